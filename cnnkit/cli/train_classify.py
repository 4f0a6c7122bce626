"""``cnnkit train classify``: from a folder of pictures to a model."""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    Device,
    Json,
    Quiet,
    Seed,
    Threads,
    Verbose,
    require_there,
)
from cnnkit.cli._training import (
    ClipNorm,
    Ema,
    LabelSmoothing,
    MixedPrecision,
    Optimizer,
    Patience,
    Schedule,
    TimeBudget,
    Warmup,
    WeightDecay,
    fit_option,
    typed_names,
    typed_settings,
)
from cnnkit.console import Console
from cnnkit.engine.observer import show_training, showing
from cnnkit.engine.train_command import class_line
from cnnkit.errors import CnnkitError, ExitCode, UsageError
from cnnkit.options import (
    PRETRAINED,
    TRAINABLE,
    AugmentOptions,
    ClassifyTrainOptions,
)
from cnnkit.weights import locate

if TYPE_CHECKING:
    from cnnkit.data.labelled import LabelledData

_DEFAULTS = ClassifyTrainOptions()
_AUGMENT = AugmentOptions()
_DATA_PANEL = "Data"
_MODEL_PANEL = "Model"
_DEVICES_PANEL = "Several devices"
_AUGMENT_PANEL = "Augmentation (0 switches off)"


def _data(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_DATA_PANEL, **settings)


def _several(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_DEVICES_PANEL, **settings)


def _augment(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_AUGMENT_PANEL, min=0.0, **settings)


def classify(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="A folder per class, train/ and val/ folders of those, or a .csv with file and "
            "label.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Run folder.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("runs/classify"),
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE.keras",
            help=f"{', '.join(TRAINABLE)}, or a file to start from.",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.model,
    transfer: Annotated[
        str | None,
        typer.Option(
            metavar="head|last:N|all|scratch",
            help="What is trained: the classes alone, the last N layers too, everything from the "
            "trained weights, or everything from random ones.",
            show_default="head where there are trained weights, else scratch",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.transfer,
    size: Annotated[
        int | None,
        typer.Option(
            help="Side that pictures are stretched to, in pixels.",
            show_default="the model's own",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.size,
    width: Annotated[
        float,
        typer.Option(
            help="Of yolov1: filters, as a part of the paper's.", rich_help_panel=_MODEL_PANEL
        ),
    ] = _DEFAULTS.width,
    dropout: Annotated[
        float | None,
        typer.Option(
            help="Share of the head's inputs left out.",
            show_default=f"{_DEFAULTS.head_dropout:g}, 0.2 from scratch",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.dropout,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in -o, with its settings; --epochs may be more.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    val_share: Annotated[
        float, _data(help="Share of each class kept for validation, where DATA has none.")
    ] = _DEFAULTS.val_share,
    per_class: Annotated[
        int | None,
        _data(min=1, help="Training pictures of each class at most.", show_default="all"),
    ] = _DEFAULTS.per_class,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Leave out training pictures that are in another split, and go on where most "
            "files cannot be read.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = False,
    class_weights: Annotated[
        bool,
        typer.Option(
            "--class-weights",
            help="Let rare classes count as much as frequent ones.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = _DEFAULTS.class_weights,
    epochs: Annotated[
        int | None,
        fit_option(
            min=1,
            help="Passes over the data.",
            show_default=f"{_DEFAULTS.total_epochs}, 20 for last:N and all",
        ),
    ] = _DEFAULTS.epochs,
    head_epochs: Annotated[
        int, fit_option(min=0, help="Of last:N and all: passes before, for the head alone.")
    ] = _DEFAULTS.head_epochs,
    batch: Annotated[int, fit_option(min=1, help="Examples in a step.")] = _DEFAULTS.batch_size,
    optimizer: Optimizer = _DEFAULTS.optimizer,
    learning_rate: Annotated[
        float | None,
        fit_option(
            help="At its highest.",
            show_default=f"{_DEFAULTS.peak_learning_rate:g}, 0.0003 for last:N and all; "
            "50 times that for sgd",
        ),
    ] = _DEFAULTS.learning_rate,
    pretrained_rate: Annotated[
        float, fit_option(help="Of the learning rate, for weights that come trained.")
    ] = _DEFAULTS.pretrained_rate,
    schedule: Schedule = _DEFAULTS.schedule,
    warmup: Warmup = _DEFAULTS.warmup,
    weight_decay: WeightDecay = _DEFAULTS.weight_decay,
    label_smoothing: LabelSmoothing = _DEFAULTS.label_smoothing,
    ema: Ema = _DEFAULTS.ema,
    clip_norm: ClipNorm = _DEFAULTS.clip_norm,
    patience: Patience = _DEFAULTS.patience,
    time_budget: TimeBudget = _DEFAULTS.time_budget,
    mixed_precision: MixedPrecision = _DEFAULTS.mixed_precision,
    mirror: Annotated[float, _augment(help="Share that is mirrored.")] = _AUGMENT.mirror,
    rotation: Annotated[float, _augment(help="Degrees each way.")] = _AUGMENT.rotation,
    shear: Annotated[float, _augment(help="Degrees each way.")] = _AUGMENT.shear,
    crop: Annotated[float, _augment(help="Part of the area cut away.")] = _AUGMENT.crop,
    stretch: Annotated[float, _augment(help="Change of width to height.")] = _AUGMENT.stretch,
    color: Annotated[
        float, _augment(help="Brightness, contrast, saturation, channels.")
    ] = _AUGMENT.color,
    pca_color: Annotated[
        float, _augment(help="Shift along the main axes of colours.")
    ] = _AUGMENT.pca_color,
    cutout: Annotated[float, _augment(help="Side of a grey square, as a part.")] = _AUGMENT.cutout,
    mixup: Annotated[
        float, _augment(help="Mix two pictures; alpha of the Beta distribution.")
    ] = _AUGMENT.mixup,
    no_augment: Annotated[
        bool,
        typer.Option("--no-augment", help="Pictures as they are.", rich_help_panel=_AUGMENT_PANEL),
    ] = False,
    preview_augment: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png",
            help="Only draw what pictures are changed to.",
            rich_help_panel=_AUGMENT_PANEL,
        ),
    ] = None,
    devices: Annotated[
        int | None,
        _several(
            min=1,
            help="That share each batch, on this machine: GPUs, or whatever JAX has.",
            show_default="all GPUs, else one device",
        ),
    ] = None,
    processes: Annotated[
        int | None,
        _several(
            min=1,
            help="That train together, each with its devices, on JAX; 1 for this one alone. Also "
            "CNNKIT_PROCESSES, or what srun of Slurm says.",
            show_default="1",
        ),
    ] = None,
    process_id: Annotated[
        int | None,
        _several(
            min=0,
            help="Which of them this is, from 0; 0 alone writes. Also CNNKIT_PROCESS_ID, Slurm's "
            "number, or JOB_COMPLETION_INDEX of Kubernetes.",
            show_default="none",
        ),
    ] = None,
    coordinator: Annotated[
        str | None,
        _several(
            metavar="HOST:PORT",
            help="Where process 0 is found; any free port. Also CNNKIT_COORDINATOR, or Slurm's "
            "first node.",
            show_default="none",
        ),
    ] = None,
    seed: Seed = _DEFAULTS.seed,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Train a classifier on your own pictures, signals or volumes.

    Without further options a new softmax is trained on the shipped network: seconds to minutes on
    a laptop. The run folder gets model.keras (take it with classify, evaluate, visualize), curves,
    the confusion matrix and the worst mistakes. Ctrl-C keeps the best so far.

    Examples:

      cnnkit train classify flowers/ -o runs/flowers

      cnnkit train classify flowers/ --transfer all --epochs 30 -o runs/flowers-all

      cnnkit train classify --resume -o runs/flowers-all --epochs 40

      KERAS_BACKEND=jax srun cnnkit train classify big/ --transfer all --batch 512 -o runs/big
    """
    require_there([data])
    from cnnkit.runtime import configure, find_cluster

    cluster = find_cluster(coordinator, processes, process_id)
    is_first = cluster is None or cluster.process_id == 0
    console = Console(quiet=quiet or not is_first, verbose=verbose and is_first)
    augment = AugmentOptions.off()
    if not no_augment:
        augment = AugmentOptions(
            mirror=mirror,
            rotation=rotation,
            shear=shear,
            crop=crop,
            stretch=stretch,
            color=color,
            pca_color=pca_color,
            cutout=cutout,
            mixup=mixup,
        )
    options = ClassifyTrainOptions(
        model=model,
        transfer=transfer,
        size=size,
        epochs=epochs,
        head_epochs=head_epochs,
        batch_size=batch,
        optimizer=optimizer,
        learning_rate=learning_rate,
        pretrained_rate=pretrained_rate,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        width=width,
        dropout=dropout,
        ema=ema,
        clip_norm=clip_norm,
        patience=patience,
        time_budget=time_budget,
        class_weights=class_weights,
        mixed_precision=mixed_precision,
        val_share=val_share,
        per_class=per_class,
        augment=augment,
        seed=seed,
    )
    if data is None and not resume:
        raise UsageError("no data is given; name a folder with one folder per class, or a .csv")
    if preview_augment is not None:
        _preview(data, options, preview_augment, console)
        return 0
    if options.model in PRETRAINED and options.regime != "scratch":
        # Before there is a run folder, which only --resume would go on with.
        locate(PRETRAINED[options.model])
    labelled = None
    if data is not None and cluster is None and not resume:
        # What is no data set is said before the engine is loaded.
        from cnnkit.data.labelled import read_labelled

        labelled = read_labelled(data, val_share=val_share, per_class=per_class, seed=seed)
    if cluster is not None:
        console.note(f"waiting at {cluster.coordinator} for all {cluster.processes} processes")
    with contextlib.nullcontext() if cluster is None else _leaving_at_once(console):
        configure(threads=threads, verbose=verbose, device=device, cluster=cluster)
        result = _train(
            context, data, labelled, output, options, resume, skip_bad, devices, console
        )
    if not is_first:
        return 0
    return show_training(console, result, is_json=json, command="classify photo.jpg", folder=output)


@contextlib.contextmanager
def _leaving_at_once(console: Console) -> Iterator[None]:
    """Ends one of several processes where it fails: at its usual end it would wait for the others,
    which wait for it in their next step.
    """
    try:
        yield
        return
    except CnnkitError as error:
        console.error(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        console.note("stopped by Ctrl-C")
        code = ExitCode.INTERRUPTED
    except Exception:
        traceback.print_exc()
        code = ExitCode.BUG
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


def _train(
    context: typer.Context,
    data: Path | None,
    labelled: "LabelledData | None",
    output: Path,
    options: ClassifyTrainOptions,
    resume: bool,
    skip_bad: bool,
    devices: int | None,
    console: Console,
) -> Any:
    """Trains, and shows how it goes."""
    from cnnkit.training.classify import read_run_options, train_classifier

    if resume:
        data, options = _resumed(context, data, options, *read_run_options(output))

    def line(epoch: int, row: dict) -> str:
        return class_line(epoch, row, options.total_epochs)

    score = ("val_accuracy", "accuracy")
    with showing(console, line, score, options.time_budget) as observer:
        return train_classifier(
            data,
            output,
            options,
            labelled=labelled,
            resume=resume,
            skip_bad=skip_bad,
            devices=devices,
            on_note=console.note,
            on_progress=observer.on_progress,
            on_step=observer.on_step,
            on_epoch=observer.on_epoch,
        )


def _resumed(
    context: typer.Context,
    data: Path | None,
    options: ClassifyTrainOptions,
    data_before: str,
    before: ClassifyTrainOptions,
) -> tuple[Path, ClassifyTrainOptions]:
    """The settings of the run that goes on, with what was typed now.

    What was not typed is as it was; `train_classifier` refuses what must not change.
    """
    changed = typed_settings(context, options)
    augmented = {field.name for field in fields(AugmentOptions)} | {"no_augment"}
    if typed_names(context) & augmented:
        changed["augment"] = options.augment
    return data or Path(data_before), replace(before, **changed)


def _preview(
    data: Path | None, options: ClassifyTrainOptions, output: Path, console: Console
) -> None:
    """Draws what augmentation makes of some pictures; no network is needed for that."""
    import numpy as np

    from cnnkit.data.augmentation import augment
    from cnnkit.data.labelled import read_labelled
    from cnnkit.images import Picture, read_pixels, write_image
    from cnnkit.plots import draw_augmented

    if output.exists():
        raise UsageError(f"{output} exists; give --preview-augment another name")
    if data is None:
        raise UsageError("--preview-augment needs DATA, a folder with one folder per class")
    labelled = read_labelled(
        data, val_share=options.val_share, per_class=options.per_class, seed=options.seed
    )
    if labelled.kind != "pictures":
        raise UsageError("--preview-augment is for pictures; arrays are not augmented")
    side = options.size or 160
    random = np.random.default_rng(options.seed)
    step = max(1, len(labelled.train) // 6)
    originals = [read_pixels(path) for path in labelled.train.paths[::step][:6]]
    variants = [
        [augment(pixels, (side, side), options.augment, random) for _ in range(7)]
        for pixels in originals
    ]
    sheet = draw_augmented(originals, variants)
    write_image(output, Picture(sheet.astype(np.float32) / 255.0), overwrite=False)
    console.result(str(output))
