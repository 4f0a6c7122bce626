"""What the commands that train into a run folder share."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._options import RUN_PANEL
from cnnkit.console import Console
from cnnkit.options import LEARNING_RATE_SCHEDULES, MIXED_PRECISIONS, TRAINING_OPTIMIZERS
from cnnkit.results import SCHEMA

if TYPE_CHECKING:
    from cnnkit.training._classifier_runs import ClassifierTraining

FIT_PANEL = "Fit"


def fit_option(**settings: Any) -> Any:
    """An option of how a network is fitted."""
    return typer.Option(rich_help_panel=FIT_PANEL, **settings)


Optimizer = Annotated[str, fit_option(metavar="|".join(TRAINING_OPTIMIZERS), help="Of Keras.")]
Schedule = Annotated[
    str, fit_option(metavar="|".join(LEARNING_RATE_SCHEDULES), help="Of the learning rate.")
]
Warmup = Annotated[float, fit_option(help="Share of the run in which the learning rate grows.")]
WeightDecay = Annotated[float, fit_option(help="Decoupled from the gradient.")]
LabelSmoothing = Annotated[
    float, fit_option(help="Share of the target that goes to all classes alike.")
]
Ema = Annotated[float, fit_option(help="Momentum of averaged weights, such as 0.999; 0 for none.")]
ClipNorm = Annotated[float, fit_option(help="Longest gradient of each weight array; 0 for any.")]
Patience = Annotated[
    int, fit_option(min=0, help="Stop after so many epochs without a better one; 0 for never.")
]
TimeBudget = Annotated[
    float | None, fit_option(help="Seconds; the learning rate falls in time.", show_default="none")
]
Workers = Annotated[
    int,
    typer.Option(
        min=0,
        help="Processes that make examples, for a GPU that would wait; 0 for threads of this one.",
        rich_help_panel=RUN_PANEL,
    ),
]
OnDevice = Annotated[
    bool,
    typer.Option(
        "--on-device",
        help="Keep the pictures in the GPU's memory and make the examples there: many times faster "
        "than --workers.",
        rich_help_panel=RUN_PANEL,
    ),
]
MixedPrecision = Annotated[
    str, fit_option(metavar="|".join(MIXED_PRECISIONS), help="16 bits: auto is on GPUs.")
]

# Options that are called otherwise than the settings they stand for.
_NAMES = {"batch": "batch_size"}


def typed_names(context: typer.Context) -> set[str]:
    """Names of the settings that the user typed."""
    return {
        _NAMES.get(name, name)
        for name in context.params
        if context.get_parameter_source(name).name == "COMMANDLINE"
    }


def typed_settings(context: typer.Context, options: Any) -> dict[str, Any]:
    """Of a dataclass of settings, those that the user typed.

    A run that goes on has the others as they were; what must not change is refused later.
    """
    typed = typed_names(context)
    return {one.name: getattr(options, one.name) for one in fields(options) if one.name in typed}


@contextlib.contextmanager
def showing_tasks(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Shows what is being done as bars, each as long as it lasts.

    Yields:
        Takes what is being done, how much of it is done, and how much there is.
    """
    with console.progress() as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, status="")
            bar.update(tasks[what], completed=done, total=total)
            if done >= total:
                bar.remove_task(tasks.pop(what))

        yield show


def classifier_epoch(epoch: int, row: dict[str, Any], epochs: int) -> str:
    """A line about an epoch of a classifier.

    >>> classifier_epoch(1, {"loss": 0.5, "accuracy": 0.75, "val_accuracy": 0.7}, 20)
    'epoch 2 of 20: loss 0.500, accuracy 75.0%, validation 70.0%'
    """
    checked = f", validation {row['val_accuracy']:.1%}" if "val_accuracy" in row else ""
    return (
        f"epoch {epoch + 1} of {epochs}: loss {row['loss']:.3f}, "
        f"accuracy {row['accuracy']:.1%}{checked}"
    )


def show_classifier(console: Console, result: "ClassifierTraining", json: bool) -> None:
    """Prints what the training of a classifier gave."""
    if json:
        console.json({"schema": SCHEMA, **asdict(result)})
        return
    for split, scores in result.scores.items():
        name = {"val": "validation", "test": "test"}[split]
        console.result(
            f"{name:10}  {scores['accuracy']:.1%} right, "
            f"{scores['mean_class_accuracy']:.1%} in the mean of the classes"
        )
    console.result(
        f"{result.model}: {len(result.classes)} classes, epoch {result.best} of {result.epochs} "
        f"was best, {result.seconds:.0f} s"
    )
