"""``cnnkit train segment``: from pictures and masks to a network that labels every pixel."""

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
    fit_option,
    typed_names,
    typed_settings,
)
from cnnkit.console import Console
from cnnkit.engine.observer import showing_tasks, suggest_model
from cnnkit.errors import UsageError
from cnnkit.options import (
    FCN_BACKBONES,
    PYRAMID_BACKBONES,
    SEGMENTER_VARIANTS,
    SEGMENTERS,
    TEACHER_VIEWS,
    SegmentTrainOptions,
)

_DEFAULTS = SegmentTrainOptions()
_DATA_PANEL = "Data"
_MODEL_PANEL = "Model"
_CROP_PANEL = "Crops"


def _model(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_MODEL_PANEL, **settings)


def _crop(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_CROP_PANEL, **settings)


def segment(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="A folder with images/ and labels/, or train/ and val/ of those, or masks beside "
            "their pictures, and classes.txt; or one of Pascal VOC, labelme, CVAT or COCO's "
            "panoptic segments.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Run folder.", rich_help_panel=OUTPUT_PANEL)
    ] = Path("runs/segment"),
    backbone: Annotated[
        str,
        _model(
            metavar="|".join(FCN_BACKBONES),
            help="Network below the scores: the compact one knows textures, the shipped detector "
            "coco80 objects; so do efficientnet-lite0 (ImageNet), and vgg16 and mobilenet-v2, "
            "whose weights are fetched.",
        ),
    ] = _DEFAULTS.backbone,
    variant: Annotated[
        str,
        _model(
            metavar="|".join(SEGMENTER_VARIANTS),
            help="Pixels between the scores of an FCN: fewer are finer; or a feature pyramid, with "
            f"4 or 8 between them, of {' or '.join(PYRAMID_BACKBONES)}.",
        ),
    ] = _DEFAULTS.variant,
    staged: Annotated[
        bool,
        _model(help="Begin with 32s, and start 16s from it and 8s from that."),
    ] = _DEFAULTS.staged,
    transfer: Annotated[
        str,
        _model(
            metavar="head|last:N|all",
            help="What is trained: all but the backbone, its last N layers too, or everything.",
        ),
    ] = _DEFAULTS.transfer,
    start: Annotated[
        str | None,
        _model(
            metavar="NAME|RUN|FILE.keras",
            help="An earlier training whose weights this one begins with, where layers agree.",
            show_default="none",
        ),
    ] = _DEFAULTS.start,
    teacher: Annotated[
        str | None,
        _model(
            metavar="NAME|RUN|FILE.keras",
            help="Another network whose scores of the same classes are imitated beside learning "
            "the labels.",
            show_default="none",
        ),
    ] = _DEFAULTS.teacher,
    imitation: Annotated[
        float, _model(help="Weight of what the teacher sees.")
    ] = _DEFAULTS.imitation,
    teacher_sees: Annotated[
        str,
        _model(
            metavar="|".join(TEACHER_VIEWS),
            help="Every crop, or each picture once, whole: that is kept in the run folder.",
        ),
    ] = _DEFAULTS.teacher_sees,
    hints: Annotated[
        float,
        _model(
            help="Of --teacher-sees pictures: weight of what the teacher's scores are made of, "
            "e.g. 1; 0 for the scores alone."
        ),
    ] = _DEFAULTS.hints,
    dropout: Annotated[
        float | None,
        _model(help="Share of the deepest maps left out.", show_default="0.1, 0.5 for vgg16"),
    ] = _DEFAULTS.dropout,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in -o, with its settings.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    val_share: Annotated[
        float,
        typer.Option(
            help="Share kept for validation, where DATA has no such part.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = _DEFAULTS.val_share,
    val_size: Annotated[
        int,
        typer.Option(
            help="Long side that larger pictures are validated at, in pixels.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = _DEFAULTS.val_size,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Go on where most pairs cannot be used.", rich_help_panel=_DATA_PANEL
        ),
    ] = False,
    class_weights: Annotated[
        bool,
        typer.Option(
            "--class-weights",
            help="Let rare classes count more.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = _DEFAULTS.class_weights,
    balance: Annotated[
        float,
        typer.Option(
            help="Draw pictures of classes that fewer than this share of the pictures show more "
            "often, e.g. 0.1; 0 for all alike.",
            rich_help_panel=_DATA_PANEL,
        ),
    ] = _DEFAULTS.balance,
    views: Annotated[
        int,
        _crop(
            min=0,
            help="Of --transfer head, or up to last:15 of efficientnet-lite0: crops of each "
            "picture that the backbone sees once, for many quick epochs; 0 for fresh crops.",
        ),
    ] = _DEFAULTS.views,
    crop: Annotated[
        int, _crop(help="Side of the squares to train on, in pixels, a multiple of 32.")
    ] = _DEFAULTS.crop,
    scale: Annotated[
        str,
        _crop(metavar="LEAST,MOST", help="Size of pictures in them, of their own."),
    ] = f"{_DEFAULTS.least_scale:g},{_DEFAULTS.most_scale:g}",
    mosaic: Annotated[
        float,
        _crop(
            help="Share that is laid out instead: one picture or several, each about as large as "
            "its part."
        ),
    ] = _DEFAULTS.mosaic,
    mirror: Annotated[float, _crop(help="Share that is mirrored.")] = _DEFAULTS.mirror,
    color: Annotated[
        float, _crop(help="Change of brightness, contrast, saturation, channels.")
    ] = _DEFAULTS.color,
    epochs: Annotated[
        int, fit_option(min=1, help="Passes over the data, in all stages together.")
    ] = _DEFAULTS.epochs,
    batch: Annotated[int, fit_option(min=1, help="Crops in a step.")] = _DEFAULTS.batch_size,
    optimizer: Optimizer = _DEFAULTS.optimizer,
    learning_rate: Annotated[
        float | None,
        fit_option(
            help="At its highest, in each stage.",
            show_default="0.001, 0.0001 for vgg16; 50 times that for sgd",
        ),
    ] = _DEFAULTS.learning_rate,
    pretrained_rate: Annotated[
        float, fit_option(help="Of the learning rate, for the backbone.")
    ] = _DEFAULTS.pretrained_rate,
    schedule: Schedule = _DEFAULTS.schedule,
    warmup: Warmup = _DEFAULTS.warmup,
    weight_decay: WeightDecay = _DEFAULTS.weight_decay,
    dice: Annotated[
        float, fit_option(help="Weight of the dice loss beside the cross-entropy.")
    ] = _DEFAULTS.dice,
    ema: Ema = _DEFAULTS.ema,
    clip_norm: ClipNorm = _DEFAULTS.clip_norm,
    patience: Patience = _DEFAULTS.patience,
    time_budget: TimeBudget = _DEFAULTS.time_budget,
    mixed_precision: MixedPrecision = _DEFAULTS.mixed_precision,
    seed: Seed = _DEFAULTS.seed,
    on_device: OnDevice = _DEFAULTS.on_device,
    threads: Threads = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Train a network that labels every pixel, on your own pictures and masks.

    A mask has the name of its picture and holds class numbers, or colours that classes.txt lists;
    255 does not count. The run folder gets model.keras (take it with segment and evaluate),
    curves, samples and the confusion matrix. Ctrl-C keeps the best so far.

    Examples:

      cnnkit train segment camvid/ -o runs/roads

      cnnkit train segment camvid/ --transfer last:5 --epochs 40 -o runs/roads-fine

      cnnkit train segment things/ --backbone coco80 --transfer all --balance 0.1 -o runs/things

      cnnkit train segment --resume -o runs/roads
    """
    console = Console(quiet=quiet, verbose=verbose)
    require_there([data])
    least, most = _scales(scale)
    options = SegmentTrainOptions(
        backbone=backbone,
        variant=variant,
        staged=staged,
        transfer=transfer,
        start=None if start is None else _start_file(start),
        teacher=None if teacher is None else _teacher_file(teacher),
        imitation=imitation,
        teacher_sees=teacher_sees,
        hints=hints,
        views=views,
        crop=crop,
        least_scale=least,
        most_scale=most,
        mosaic=mosaic,
        mirror=mirror,
        color=color,
        epochs=epochs,
        batch_size=batch,
        optimizer=optimizer,
        learning_rate=learning_rate,
        pretrained_rate=pretrained_rate,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        dropout=dropout,
        dice=dice,
        ema=ema,
        class_weights=class_weights,
        balance=balance,
        clip_norm=clip_norm,
        patience=patience,
        time_budget=time_budget,
        mixed_precision=mixed_precision,
        val_share=val_share,
        val_size=val_size,
        seed=seed,
        on_device=on_device,
    )
    if data is None and not resume:
        raise UsageError("no data is given; name a folder with images/ and labels/")
    if data is not None:
        from cnnkit.tasks.segment.data import read_masks

        read_masks(data, val_share=val_share, seed=seed)
    if options.backbone in ("vgg16", "mobilenet-v2", "efficientnet-lite0"):
        from cnnkit.weights import locate

        # Before there is a run folder, which only --resume would go on with.
        locate(options.backbone)
    from cnnkit.runtime import configure

    configure(threads=threads, verbose=verbose, device=device)
    result = _train(context, data, output, options, resume, skip_bad, console)
    if json:
        console.json({"schema": "cnnkit/1", **asdict(result)})
        return 0
    for stage, scores in result.stages.items():
        console.result(
            f"{stage:4}  mean IoU {scores['mean_iou']:.1%}, {scores['pixel_accuracy']:.1%} of the "
            f"pixels right, {scores['seconds']:.0f} s"
        )
    console.result(
        f"{result.model}: {len(result.classes)} classes, epoch {result.best} of {result.epochs} "
        f"was best, {result.seconds:.0f} s"
    )
    suggest_model(console, "segment photo.jpg", output)
    return 0


def _start_file(start: str) -> str:
    """The `.keras` file that is meant."""
    from cnnkit.tasks.segment.files import find_segmenter_file

    path = str(find_segmenter_file(start, "--start").path)
    if not path.endswith(".keras"):
        raise UsageError(f"--start takes an FCN, which {start} is not; use --teacher {start}")
    return path


def _teacher_file(teacher: str) -> str:
    """The `.keras` file that is meant, which may be of another program."""
    from cnnkit.engine.model_file import find_model_file
    from cnnkit.tasks.segment.files import find_segmenter_file

    named = teacher in SEGMENTERS
    file = find_segmenter_file(teacher) if named else find_model_file(teacher)
    if file is None:
        raise UsageError(f"--teacher takes a run folder or a .keras file, not {teacher!r}")
    return str(file.path)


def _scales(text: str) -> tuple[float, float]:
    try:
        least, most = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--scale takes two numbers such as 0.5,1.5, not {text!r}") from None
    return least, most


def _train(
    context: typer.Context,
    data: Path | None,
    output: Path,
    options: SegmentTrainOptions,
    resume: bool,
    skip_bad: bool,
    console: Console,
) -> Any:
    """Trains, and shows how it goes."""
    from cnnkit.tasks.segment.train import read_run_options, train_segmenter

    if resume:
        data, options = _resumed(context, data, options, *read_run_options(output))

    def show(epoch: int, row: dict) -> None:
        console.note(
            f"epoch {epoch + 1} of {options.epochs} ({row['stage']}): loss {row['loss']:.3f}, "
            f"validation mean IoU {row['val_mean_iou']:.1%}, "
            f"{row['val_pixel_accuracy']:.1%} of the pixels"
        )

    with showing_tasks(console) as show_progress:
        return train_segmenter(
            data,
            output,
            options,
            resume=resume,
            skip_bad=skip_bad,
            on_note=console.note,
            on_progress=show_progress,
            on_epoch=show,
        )


def _resumed(
    context: typer.Context,
    data: Path | None,
    options: SegmentTrainOptions,
    data_before: str,
    before: SegmentTrainOptions,
) -> tuple[Path, SegmentTrainOptions]:
    """The settings of the run that goes on, with what was typed now."""
    changed = typed_settings(context, options)
    if "scale" in typed_names(context):
        changed |= {"least_scale": options.least_scale, "most_scale": options.most_scale}
    return data or Path(data_before), replace(before, **changed)
