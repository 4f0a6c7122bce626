"""What the commands that train into a run folder share."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._options import setting_option
from cnnkit.console import Console
from cnnkit.engine import settings
from cnnkit.engine.command import option_type, typed_names
from cnnkit.engine.observer import suggest_model
from cnnkit.engine.settings import FIT_PANEL, FitSettings
from cnnkit.results import SCHEMA

if TYPE_CHECKING:
    from cnnkit.training._classifier_runs import ClassifierTraining


def fit_option(**settings: Any) -> Any:
    """An option of how a network is fitted."""
    return typer.Option(rich_help_panel=FIT_PANEL, **settings)


Optimizer = setting_option(FitSettings, "optimizer")
Schedule = setting_option(FitSettings, "schedule")
Warmup = setting_option(FitSettings, "warmup")
WeightDecay = setting_option(FitSettings, "weight_decay")
LabelSmoothing = Annotated[
    float, fit_option(help="Share of the target that goes to all classes alike.")
]
Ema = option_type("ema", settings.Ema, 0.0)
ClipNorm = setting_option(FitSettings, "clip_norm")
Patience = setting_option(FitSettings, "patience")
TimeBudget = setting_option(FitSettings, "time_budget")
Workers = option_type("workers", settings.Workers, 0)
OnDevice = option_type("on_device", settings.OnDevice, False)
MixedPrecision = option_type("mixed_precision", settings.MixedPrecision, "off")

# Options that are called otherwise than the settings they stand for.
_NAMES = {"batch": "batch_size"}


def typed_settings(context: typer.Context, options: Any) -> dict[str, Any]:
    """Of a dataclass of settings, those that the user typed.

    A run that goes on has the others as they were; what must not change is refused later.
    """
    typed = {_NAMES.get(name, name) for name in typed_names(context)}
    return {one.name: getattr(options, one.name) for one in fields(options) if one.name in typed}


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


def show_classifier(
    console: Console, result: "ClassifierTraining", json: bool, command: str, folder: Path
) -> None:
    """Prints what the training of a classifier gave, and what may be done next."""
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
    suggest_model(console, command, folder)
