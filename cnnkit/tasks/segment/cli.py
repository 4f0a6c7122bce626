"""``cnnkit segment``, ``cutout``, ``evaluate segment`` and ``train segment``."""

import functools
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.console import Console
from cnnkit.engine.batch import (
    STDOUT,
    Batch,
    BatchSettings,
    FileOutput,
    Overwrite,
    PicturesOrVideos,
    find_videos,
)
from cnnkit.engine.command import EngineSettings, PrintSettings, command
from cnnkit.engine.evaluator import check_report, report_option, show_evaluation
from cnnkit.engine.observer import Observer, showing
from cnnkit.engine.ray_job import RaySettings
from cnnkit.engine.settings import (
    DATA_PANEL,
    OUTPUT_PANEL,
    RUN_PANEL,
    Argument,
    Option,
    RunFolder,
    Settings,
    require_there,
)
from cnnkit.engine.train_command import SharedRunSettings, run_training_command
from cnnkit.errors import CnnkitError, NothingFoundError, UsageError
from cnnkit.results import Record
from cnnkit.tasks.segment.settings import (
    DATA,
    DEFAULT_SEGMENTER,
    PICTURE_PANEL,
    Background,
    CutoutSettings,
    EvaluateSettings,
    Model,
    SegmentSettings,
    TrainSettings,
)
from cnnkit.video.clip import VideoSettings

if TYPE_CHECKING:
    from cnnkit.data.sources import Source
    from cnnkit.engine.video import VideoTask
    from cnnkit.images import Picture
    from cnnkit.tasks.segment.results import (
        Cutout,
        Segmentation,
        SegmentEvaluation,
        TrainedSegmenter,
    )

# How the classes of pixels are drawn, and how their masks are written into JSON.
SHOWS = ("overlay", "colors", "contours")
RLES = ("none", "compressed", "counts")
# These have no transparency.
_OPAQUE_SUFFIXES = (".jpg", ".jpeg")
# Files of a report beside report.json.
_ROWS, _CONFUSION, _WORST = "pictures.csv", "confusion.png", "worst.png"


@dataclass(frozen=True)
class Drawing(Settings):
    """What `cnnkit segment` writes of a picture."""

    show: Annotated[
        str,
        Option(
            "Colours over the picture, colours alone, or outlines.", PICTURE_PANEL, choices=SHOWS
        ),
    ] = "overlay"
    legend: Annotated[bool, Option("Name the colours below a picture.", PICTURE_PANEL)] = True
    mask: Annotated[
        bool,
        Option("Write a PNG of class numbers instead, of the picture's own size.", PICTURE_PANEL),
    ] = False
    cutout: Annotated[
        str | None,
        Option(
            "Write these classes alone, the rest transparent.", PICTURE_PANEL, metavar="LABEL,..."
        ),
    ] = None
    background: Background = None
    rle: Annotated[
        str,
        Option(
            "Add masks to --json as COCO's runs, as text or as numbers.", OUTPUT_PANEL, choices=RLES
        ),
    ] = "none"

    @property
    def cuts(self) -> bool:
        """Whether a part of the picture is written alone."""
        return self.cutout is not None or self.background is not None

    @property
    def task(self) -> str:
        """What is made, for names of files and messages."""
        if self.mask:
            return "mask"
        if self.background is not None:
            return "background"
        return "segment" if self.cutout is None else "cutout"

    def check(self) -> None:
        """Refuses what does not go together."""
        if self.mask and self.cuts:
            raise UsageError("--mask goes without --cutout and --background")
        if self.task != "segment" and self.show != "overlay":
            raise UsageError(f"--show {self.show} goes without --{self.task}")


@command
def segment(
    pictures: PicturesOrVideos,
    output: Annotated[
        str | None,
        Option(
            "File, folder for several pictures, or - (stdout).",
            OUTPUT_PANEL,
            ("-o", "--output"),
            show_default="<name>-segment.png; nothing with --json",
        ),
    ] = None,
    model: Model = DEFAULT_SEGMENTER,
    *,
    drawing: Drawing,
    settings: SegmentSettings,
    video: VideoSettings,
    batch: BatchSettings,
    fail_if_empty: Annotated[
        bool, Option("Exit with 4 when nothing but background is found.", RUN_PANEL)
    ] = False,
    engine: EngineSettings,
    ray: RaySettings,
    printing: PrintSettings,
) -> int:
    """Tell what every pixel of a picture or video shows: people, animals, vehicles, furniture.

    Examples:

      cnnkit segment street.jpg

      cnnkit segment ada.jpg --cutout person -o ada.png

      cnnkit segment ada.jpg --cutout person --background blur

      cnnkit segment photos/ -r --jsonl --rle compressed

      cnnkit segment talk.mp4 --cutout person --background blur -o blurred.mp4
    """
    from cnnkit.tasks.segment.files import find_classes, find_segmenter_file

    file = find_segmenter_file(model)
    keep = tuple(range(1, len(file.classes)))
    if drawing.cutout is not None:
        keep = find_classes(drawing.cutout, file.classes, "--cutout")
    console = printing.console()
    job = _job(drawing.task, pictures, batch, printing, console, video)
    if job.videos and drawing.mask:
        raise UsageError("--mask is of pictures; of a video --jsonl --rle has masks of each frame")
    if drawing.task == "cutout":
        _refuse_transparent_videos(job)
    if drawing.rle != "none" and not job.is_json:
        raise UsageError("--rle is for --json and --jsonl; give one of them")
    if drawing.task != "segment" and job.is_json and output is None:
        raise UsageError(f"--{drawing.task} writes a picture: name it with -o beside --json")
    outputs: list[FileOutput[Segmentation]] = []
    behind = _background(drawing.background, job)

    def draw(found: "Segmentation") -> Any:
        if not drawing.cuts:
            return found.plot(drawing.show, drawing.legend)
        from cnnkit.tasks.segment.cutout import cut_out
        from cnnkit.tasks.segment.results import say_instead

        if not any(one.class_id in keep for one in found.segments):
            raise NothingFoundError(say_instead(found, f"no {drawing.cutout or 'foreground'}"))
        return cut_out(found.read_picture(), found, keep, behind)

    if drawing.mask:
        outputs.append(job.files(output, ".png", _encode_mask, is_named=True))
        for path in outputs[0].planned:
            if path.suffix.lower() != ".png":
                raise UsageError(f"{path}: --mask writes .png files, which keep class numbers")
    elif output is not None or not job.is_json:
        outputs.append(job.pictures(output, ".png", draw))
        if drawing.task == "cutout":
            _check_transparency(outputs[0])

    def predict(sources: "Sequence[Source]") -> "Iterable[Segmentation | CnnkitError]":
        engine.start(console, printing.verbose)
        from cnnkit.tasks.segment.predict import Segmenter

        return Segmenter(model, settings).segment_each(
            [source.path for source in sources], stdin=sys.stdin.buffer.read
        )

    def make_video(source: str) -> "VideoTask":
        engine.start(console, printing.verbose)
        from cnnkit.tasks.segment.predict import Segmenter
        from cnnkit.tasks.segment.results import Segmentation
        from cnnkit.tasks.segment.video import CutoutVideo, SegmentVideo

        segmenter, how = Segmenter(model, settings), asdict(drawing)
        if behind is not None:
            return CutoutVideo(segmenter, source, lambda found: keep, behind, how, to_record)
        # A legend has more or fewer lines from frame to frame.
        shown = functools.partial(Segmentation.plot, show=drawing.show, legend=False)
        return SegmentVideo(segmenter, source, shown, how, to_record)

    def to_record(found: "Segmentation") -> Record:
        return found.to_record(drawing.rle)

    return job.run(predict, outputs, fail_if_empty, to_record, make_video)


def _job(
    task: str,
    pictures: Sequence[str],
    batch: BatchSettings,
    printing: PrintSettings,
    console: Console,
    video: VideoSettings,
) -> Batch:
    job = Batch(task, pictures, batch, printing, console, names_output=True, video=video)
    # Masks of videos go along with the motion.
    find_videos(job.videos, video, ("av", "cv2"))
    return job


def _refuse_transparent_videos(job: Batch) -> None:
    if job.videos:
        raise UsageError(
            f"{job.videos[0].path}: a video has no transparency; give --background blur, a colour "
            "or a picture"
        )


def _background(name: str | None, job: Batch) -> "str | Picture | None":
    """What is to be behind what is cut out, of what the user said."""
    if name is None:
        return None
    if name == str(STDOUT) and name in [source.path for source in job.sources]:
        raise UsageError("only one picture can come from stdin (-)")
    from cnnkit.tasks.segment.cutout import read_background

    return read_background(name)


def _encode_mask(found: "Segmentation", suffix: str) -> bytes:
    buffer = io.BytesIO()
    found.mask().save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _check_transparency(files: FileOutput[Any]) -> None:
    """Refuses files that would lay a cutout over white."""
    for path in files.planned:
        if path.suffix.lower() in _OPAQUE_SUFFIXES:
            raise UsageError(
                f"{path}: JPEG has no transparency; name it .png or .webp, or give --background "
                "white"
            )


@command
def cutout(
    pictures: Annotated[
        list[str],
        Argument(
            "Files, folders, globs, @list.txt or - (stdin); videos too, with --background. Of two "
            "names without -o the second is the output.",
            metavar="IMG|VIDEO... [OUT]",
        ),
    ],
    output: Annotated[
        str | None,
        Option(
            "File, folder for several pictures, or - (stdout).",
            OUTPUT_PANEL,
            ("-o", "--output"),
            show_default="<name>-cutout.png",
        ),
    ] = None,
    background: Background = None,
    model: Model = DEFAULT_SEGMENTER,
    *,
    settings: CutoutSettings,
    video: VideoSettings,
    batch: BatchSettings,
    engine: EngineSettings,
    ray: RaySettings,
    printing: PrintSettings,
) -> int:
    """Cut people, animals or things out of pictures and videos, with soft edges.

    Exits with 4 where a picture does not show the subject; nothing is written for it then.

    Examples:

      cnnkit cutout ada.jpg ada.png

      cnnkit cutout rex.jpg rex.png --subject dog

      cnnkit cutout ada.jpg before-yellow.jpg --background "#ffcc00"

      cnnkit cutout photos/ -r -o cutouts/ --background blur

      cnnkit cutout talk.mp4 office.mp4 --background office.jpg
    """
    from cnnkit.tasks.segment.files import find_classes, find_segmenter_file

    file = find_segmenter_file(model)
    if settings.subject is not None:
        find_classes(settings.subject, file.classes, "--subject")
    pictures, output = _split(pictures, output, batch.skip_existing)
    console = printing.console()
    job = _job("cutout", pictures, batch, printing, console, video)
    if background is None:
        _refuse_transparent_videos(job)
    behind = _background(background, job)
    cutouts: FileOutput[Cutout] = job.pictures(output, ".png", lambda cut: cut.cut_picture())
    if background is None:
        _check_transparency(cutouts)

    def predict(sources: "Sequence[Source]") -> "Iterable[Cutout | CnnkitError]":
        engine.start(console, printing.verbose)
        from cnnkit.tasks.segment.cutout import cut_each
        from cnnkit.tasks.segment.predict import Segmenter

        paths = [source.path for source in sources]
        segmenter = Segmenter(model, settings)
        return cut_each(segmenter, paths, settings.subject, behind, stdin=sys.stdin.buffer.read)

    def make_video(source: str) -> "VideoTask":
        engine.start(console, printing.verbose)
        from cnnkit.tasks.segment.cutout import subject_classes
        from cnnkit.tasks.segment.predict import Segmenter
        from cnnkit.tasks.segment.video import CutoutVideo

        # Without one, videos were refused.
        assert behind is not None
        segmenter, how = Segmenter(model, settings), {"background": background}
        return CutoutVideo(
            segmenter,
            source,
            lambda found: subject_classes(found, settings.subject),
            behind,
            {**how, "subject": settings.subject},
        )

    return job.run(predict, [cutouts], make_video=make_video)


def _split(
    names: list[str], output: str | None, skip_existing: bool
) -> tuple[list[str], str | None]:
    """Pictures, and where they go: the last of two names without -o."""
    if output is not None or len(names) != 2:
        return names, output
    picture, target = names
    if target != str(STDOUT) and Path(target).is_file() and not skip_existing:
        # It may be meant as a picture, and must not be lost.
        raise UsageError(
            f"{target} exists; to replace it give -o {target} --overwrite, to cut both out give "
            "-o FOLDER"
        )
    return [picture], target


@command
def evaluate(
    data: Annotated[Path, DATA],
    model: Model = DEFAULT_SEGMENTER,
    *,
    settings: EvaluateSettings,
    output: Annotated[Path | None, report_option(_ROWS, _CONFUSION, _WORST)] = None,
    overwrite: Overwrite = False,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Compare labelled pixels with true masks: accuracy, IoU, and what is taken for what.

    Example: cnnkit evaluate segment camvid/ --model runs/roads -o report/
    """
    from cnnkit.tasks.segment.files import find_segmenter_file

    check_report(output, overwrite, (_ROWS, _CONFUSION, _WORST))
    find_segmenter_file(model)
    require_there([data])
    console = printing.console()
    engine.start(console, printing.verbose)
    from cnnkit.tasks.segment.evaluate import evaluate_segment

    with showing(console) as observer:
        found = evaluate_segment(data, settings, model=model, observer=observer)
    return show_evaluation(
        console,
        found,
        found.lines(),
        is_json=printing.json,
        folder=output,
        draw=lambda: _report_files(found),
        overwrite=overwrite,
    )


def _report_files(found: "SegmentEvaluation") -> Mapping[str, bytes]:
    from cnnkit.images import as_picture, encode_image
    from cnnkit.plots import encode_figure
    from cnnkit.tasks.segment.plots import draw_segments, plot_pixel_confusion

    title = f"{found.model}: % of the pixels of each class"
    worst = draw_segments(
        [(one.pixels, one.true, one.predicted) for one in found.worst], found.names
    )
    return {
        _ROWS: found.to_csv().encode(),
        _CONFUSION: encode_figure(plot_pixel_confusion(found.confusion, found.names, title=title)),
        _WORST: encode_image(as_picture(worst, _WORST), ".png"),
    }


@command
def train(
    context: typer.Context,
    data: Annotated[Path | None, DATA] = None,
    *,
    output: RunFolder = Path("runs/segment"),
    settings: TrainSettings,
    skip_bad: Annotated[bool, Option("Go on where most pairs cannot be used.", DATA_PANEL)] = False,
    run: SharedRunSettings,
    printing: PrintSettings,
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
    from cnnkit.tasks.segment.files import find_training_files

    settings = find_training_files(settings)
    run.check_data(data, "a folder with images/ and labels/")
    if data is not None:
        from cnnkit.tasks.segment.data import read_masks

        read_masks(data, val_share=settings.val_share, seed=settings.seed)

    def fit(data: str | Path, settings: TrainSettings, observer: Observer) -> "TrainedSegmenter":
        from cnnkit.tasks.segment.train import train_segmenter

        return train_segmenter(
            data,
            output,
            settings,
            resume=run.resume,
            skip_bad=skip_bad,
            devices=run.devices,
            observer=observer,
        )

    return run_training_command(
        context,
        data,
        output,
        settings,
        run,
        printing,
        train=fit,
        epoch_line=_epoch_line,
        score=("val_mean_iou", "mean IoU"),
        try_next="segment photo.jpg",
    )


def _epoch_line(epoch: int, row: dict[str, Any], settings: TrainSettings) -> str:
    return (
        f"epoch {epoch + 1} of {settings.epochs} ({row['stage']}): loss {row['loss']:.3f}, "
        f"validation mean IoU {row['val_mean_iou']:.1%}, "
        f"{row['val_pixel_accuracy']:.1%} of the pixels"
    )
