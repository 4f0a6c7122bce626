"""``cnnkit train detect``: from pictures with boxes to a detector."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

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
    MixedPrecision,
    OnDevice,
    Optimizer,
    Patience,
    Schedule,
    TimeBudget,
    Warmup,
    WeightDecay,
    Workers,
    fit_option,
    typed_settings,
)
from cnnkit.console import Console
from cnnkit.engine.observer import showing_tasks
from cnnkit.errors import UsageError
from cnnkit.options import DETECTORS, TRAINABLE_DETECTORS, DetectTrainOptions

_DEFAULTS = DetectTrainOptions()
_DATA_PANEL = "Data"
_MODEL_PANEL = "Model"
_SCENE_PANEL = "Scenes (0 switches off)"


def _scene(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_SCENE_PANEL, min=0.0, **settings)


def detect(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Folder of YOLO, Pascal VOC or COCO; or a .yaml (Ultralytics, Roboflow), .data "
            "(Darknet) or .json (COCO).",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Run folder.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("runs/detect"),
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|RUN|FILE.keras",
            help=f"{', '.join(TRAINABLE_DETECTORS)}, or a run or file to start from.",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.model,
    freeze: Annotated[
        bool,
        typer.Option(
            help="Leave the trained network below the detector as it is.",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.freeze,
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the scenes in pixels, a multiple of 32, of 64 for yolov1.",
            show_default=f"{_DEFAULTS.side}, {DetectTrainOptions(model='yolov1').side} for yolov1",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.size,
    val_size: Annotated[
        int | None,
        typer.Option(
            help="Long side to see pictures at for validation, and later in 'detect'.",
            show_default="that of the scenes",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.val_size,
    width: Annotated[
        float,
        typer.Option(
            help="Of yolov1: filters, as a part of the paper's.", rich_help_panel=_MODEL_PANEL
        ),
    ] = _DEFAULTS.width,
    pretrained: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|RUN|FILE.keras",
            help="Of yolov1: a run of 'train classify --model yolov1', whose 20 convolutions it "
            "begins with. Of anchors and compact: a run of this command with either, for the "
            "stages.",
            show_default="random weights",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.pretrained,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|RUN|FILE.keras",
            help="Another detector to imitate beside learning the boxes: it sees every scene too, "
            "and its answers, or for compact its activations, are targets.",
            show_default="none",
            rich_help_panel=_MODEL_PANEL,
        ),
    ] = _DEFAULTS.teacher,
    imitation: Annotated[
        float,
        typer.Option(help="Weight of what the teacher sees.", rich_help_panel=_MODEL_PANEL),
    ] = _DEFAULTS.imitation,
    labels: Annotated[
        float,
        typer.Option(help="Weight of the boxes beside a teacher.", rich_help_panel=_MODEL_PANEL),
    ] = _DEFAULTS.labels,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in -o, with its settings; --epochs may be more.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    val_share: Annotated[
        float,
        typer.Option(
            help="Share of the pictures kept for validation, where DATA has none.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = _DEFAULTS.val_share,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad",
            help="Go on where most pictures cannot be read or most boxes are bad.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = False,
    epochs: Annotated[int, fit_option(min=1, help="Passes over the data.")] = _DEFAULTS.epochs,
    batch: Annotated[int, fit_option(min=1, help="Scenes in a step.")] = _DEFAULTS.batch_size,
    optimizer: Optimizer = _DEFAULTS.optimizer,
    learning_rate: Annotated[
        float | None, fit_option(help="At its highest.", show_default="0.001, 0.002 from new")
    ] = _DEFAULTS.learning_rate,
    pretrained_rate: Annotated[
        float, fit_option(help="Of the learning rate, for the network below with --no-freeze.")
    ] = _DEFAULTS.pretrained_rate,
    schedule: Schedule = _DEFAULTS.schedule,
    warmup: Warmup = _DEFAULTS.warmup,
    weight_decay: WeightDecay = _DEFAULTS.weight_decay,
    ema: Ema = _DEFAULTS.ema,
    clip_norm: ClipNorm = _DEFAULTS.clip_norm,
    patience: Patience = _DEFAULTS.patience,
    time_budget: TimeBudget = _DEFAULTS.time_budget,
    mosaic: Annotated[
        float, _scene(help="Share of the scenes put together from several pictures.")
    ] = _DEFAULTS.mosaic,
    scale: Annotated[
        float, _scene(help="Change of sizes, as a natural logarithm each way.")
    ] = _DEFAULTS.scale,
    mirror: Annotated[float, _scene(help="Share of mirrored pictures.")] = _DEFAULTS.mirror,
    color: Annotated[
        float, _scene(help="Brightness, contrast, saturation, channels.")
    ] = _DEFAULTS.color,
    mixed_precision: MixedPrecision = _DEFAULTS.mixed_precision,
    seed: Seed = _DEFAULTS.seed,
    workers: Workers = _DEFAULTS.workers,
    on_device: OnDevice = _DEFAULTS.on_device,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Train a detector on your own pictures with boxes.

    The data are checked first. The run folder gets model.keras (take it with detect and evaluate),
    curves, precision over recall and a sheet of samples. Ctrl-C keeps the best so far.

    Examples:

      cnnkit train detect people/ -o runs/people

      cnnkit train detect --resume -o runs/people --epochs 100
    """
    console = Console(quiet=quiet, verbose=verbose)
    require_there([data])
    if data is None and not resume:
        raise UsageError("no data is given; name a folder of pictures with boxes, or a .json")
    from cnnkit.engine.model_file import find_model_file
    from cnnkit.tasks.detect.predict import find_detector_file

    file = None if model in TRAINABLE_DETECTORS else find_model_file(model)
    known = None if teacher is None or teacher in DETECTORS else find_model_file(teacher)
    before = None
    if pretrained is not None:
        # A classifier, of yolov1.
        before = (
            find_model_file(pretrained)
            if model == "yolov1"
            else find_detector_file(pretrained, "--pretrained")
        )
        if before is None:
            raise UsageError(
                f"--pretrained takes a run folder or a .keras file, not {pretrained!r}"
            )
    options = DetectTrainOptions(
        model=model if file is None else str(file.path),
        freeze=freeze,
        size=size,
        val_size=val_size,
        width=width,
        pretrained=None if before is None else str(before.path),
        teacher=teacher if known is None else str(known.path),
        imitation=imitation,
        labels=labels,
        epochs=epochs,
        batch_size=batch,
        learning_rate=learning_rate,
        pretrained_rate=pretrained_rate,
        optimizer=optimizer,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        ema=ema,
        clip_norm=clip_norm,
        patience=patience,
        time_budget=time_budget,
        val_share=val_share,
        mosaic=mosaic,
        scale=scale,
        mirror=mirror,
        color=color,
        mixed_precision=mixed_precision,
        seed=seed,
        workers=workers,
        on_device=on_device,
    )
    if options.model == "efficientnet-lite0":
        from cnnkit.weights import locate

        # Before there is a run folder, which only --resume would go on with.
        locate(options.model)
    from cnnkit.runtime import configure

    configure(threads=threads, verbose=verbose, device=device)
    from cnnkit.training.detect import read_run_options, train_detector

    if resume:
        data, options = _resumed(context, data, options, *read_run_options(output))

    def show(epoch: int, row: dict) -> None:
        checked = ""
        if "val_ap50" in row:
            checked = f", validation AP50 {row['val_ap50']:.1%}, AP {row['val_ap']:.1%}"
        console.note(f"epoch {epoch + 1} of {options.epochs}: loss {row['loss']:.3f}{checked}")

    with showing_tasks(console) as show_progress:
        result = train_detector(
            data,
            output,
            options,
            resume=resume,
            skip_bad=skip_bad,
            on_note=console.note,
            on_progress=show_progress,
            on_epoch=show,
        )
    if json:
        console.json({"schema": "cnnkit/1", **asdict(result)})
        return 0
    for split, scores in result.scores.items():
        name = {"val": "validation", "test": "test"}[split]
        console.result(
            f"{name:10}  AP50 {scores['ap50']:.1%}, AP75 {scores['ap75']:.1%}, "
            f"AP {scores['ap']:.1%}"
        )
    plural = "class" if len(result.classes) == 1 else "classes"
    console.result(
        f"{result.model}: {len(result.classes)} {plural}, epoch {result.best} of {result.epochs} "
        f"was best, {result.seconds:.0f} s"
    )
    return 0


def _resumed(
    context: typer.Context,
    data: Path | None,
    options: DetectTrainOptions,
    data_before: str,
    before: DetectTrainOptions,
) -> tuple[Path, DetectTrainOptions]:
    """The settings of the run that goes on, with what was typed now.

    What was not typed is as it was; `train_detector` refuses what must not change.
    """
    changed = typed_settings(context, options)
    return data or Path(data_before), replace(before, **changed)
