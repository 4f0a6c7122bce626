"""``cnnkit detect``, ``cnnkit evaluate detect`` and ``cnnkit train detect``."""

import glob
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.engine.batch import (
    Batch,
    BatchSettings,
    BatchSize,
    Output,
    Overwrite,
    PicturesOrVideos,
)
from cnnkit.engine.command import EngineSettings, PrintSettings, command
from cnnkit.engine.evaluator import (
    WORST_CLASSES,
    AllClasses,
    check_report,
    report_option,
    show_evaluation,
)
from cnnkit.engine.observer import Observer, showing
from cnnkit.engine.ray_job import RaySettings
from cnnkit.engine.settings import (
    DATA_PANEL,
    OUTPUT_PANEL,
    RUN_PANEL,
    Option,
    RunFolder,
    Settings,
    require_there,
)
from cnnkit.engine.train_command import SharedRunSettings, run_training_command
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.tasks.detect.settings import (
    DATA,
    DEFAULT_DETECTOR,
    DetectSettings,
    EvaluateSettings,
    Model,
    TrainSettings,
)
from cnnkit.video.clip import VIDEO_PANEL, VideoSettings

if TYPE_CHECKING:
    from cnnkit.data.sources import Source
    from cnnkit.engine.video import VideoTask
    from cnnkit.tasks.detect.results import DetectEvaluation, Detection, TrainedDetector

# A file of the report of `evaluate detect`.
_CURVES = "precision-recall.png"


@dataclass(frozen=True)
class WrittenFiles(Settings):
    """What `cnnkit detect` writes."""

    output: Annotated[
        str | None,
        Option(
            "Pictures and videos with the boxes drawn into them.",
            OUTPUT_PANEL,
            ("-o", "--output"),
            metavar="FILE|DIR",
            show_default="<name>-detect.jpg or .mp4 here, and none with --json, --jsonl, --txt, "
            "--coco or --crops",
        ),
    ] = None
    txt: Annotated[
        Path | None,
        Option(
            "A text file for each picture: class x y width height score, as YOLO.",
            OUTPUT_PANEL,
            metavar="DIR",
        ),
    ] = None
    coco: Annotated[
        Path | None,
        Option(
            "All boxes as COCO results, and FILE.images.json with the pictures' numbers.",
            OUTPUT_PANEL,
            metavar="FILE.json",
        ),
    ] = None
    crops: Annotated[
        Path | None,
        Option(
            "Each object as a picture, in a folder for each class.", OUTPUT_PANEL, metavar="DIR"
        ),
    ] = None


@command(whole=("coco",))
def detect(
    pictures: PicturesOrVideos,
    model: Model = DEFAULT_DETECTOR,
    *,
    settings: DetectSettings,
    files: WrittenFiles,
    video: VideoSettings,
    track: Annotated[
        bool,
        Option("Give what is the same from frame to frame one number and colour.", VIDEO_PANEL),
    ] = False,
    batch_settings: BatchSettings,
    batch: BatchSize = 8,
    fail_if_empty: Annotated[
        bool, Option("Exit with 4 when nothing was found.", RUN_PANEL)
    ] = False,
    engine: EngineSettings,
    ray: RaySettings,
    printing: PrintSettings,
) -> int:
    """Find the objects in pictures and videos: what they are and where.

    Examples:

      cnnkit detect street.jpg

      cnnkit detect traffic.mp4 --track -o tracked.mp4

      cnnkit detect photos/ -r --model runs/people --jsonl --conf 0.4 > found.jsonl
    """
    from cnnkit.tasks.detect.files import check_classes, class_names

    names = class_names(model)
    check_classes(settings.classes, names, model)
    console = printing.console()
    job = Batch("detect", pictures, batch_settings, printing, console, video=video)
    if job.videos:
        _refuse_with_videos(files)
    elif track:
        raise UsageError("--track follows objects from frame to frame; give a video")

    def predict(sources: "Sequence[Source]") -> "Iterable[Detection | CnnkitError]":
        engine.start(console, printing.verbose)
        from cnnkit.tasks.detect.predict import Detector

        return Detector(model, settings).detect_each(
            [source.path for source in sources], batch=batch, stdin=sys.stdin.buffer.read
        )

    def make_video(source: str) -> "VideoTask":
        engine.start(console, printing.verbose)
        from cnnkit.tasks.detect.predict import Detector
        from cnnkit.tasks.detect.video import DetectVideo, tracking_settings

        detector = Detector(model, tracking_settings(settings) if track else settings)
        return DetectVideo(detector, source, settings.conf, track=track, batch=batch)

    outputs = _outputs(job, files, batch_settings, names)
    return job.run(predict, outputs, fail_if_empty, make_video=make_video)


@command
def evaluate(
    data: Annotated[Path, DATA],
    model: Model = DEFAULT_DETECTOR,
    *,
    settings: EvaluateSettings,
    all_classes: AllClasses = False,
    output: Annotated[Path | None, report_option(_CURVES)] = None,
    overwrite: Overwrite = False,
    batch: BatchSize = 8,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Compare what is found with true boxes: COCO's AP and AR, and Pascal VOC's AP.

    Example: cnnkit evaluate detect people/ --model runs/people -o report/
    """
    from cnnkit.tasks.detect.files import find_detector_file

    check_report(output, overwrite, (_CURVES,))
    find_detector_file(model)
    require_there([data])
    _check_layout(data)
    console = printing.console()
    engine.start(console, printing.verbose)
    from cnnkit.tasks.detect.evaluate import evaluate_detect

    with showing(console) as observer:
        found = evaluate_detect(data, settings, model=model, batch=batch, observer=observer)
    if settings.split is None and found.split == "all":
        console.note(
            f"{data} has no part named val or test, so these are all of its pictures: if the model "
            "was trained on some of them, it does worse on others"
        )
    return show_evaluation(
        console,
        found,
        found.lines(None if all_classes else WORST_CLASSES),
        is_json=printing.json,
        folder=output,
        draw=lambda: {_CURVES: _curves(found)},
        overwrite=overwrite,
    )


def _check_layout(data: Path | None) -> None:
    """Says before the engine is loaded that a folder or file holds no boxes."""
    if data is not None:
        from cnnkit.tasks.detect.formats.layouts import recognise_boxes

        recognise_boxes(data)


def _curves(found: "DetectEvaluation") -> bytes:
    from cnnkit.plots import encode_figure
    from cnnkit.tasks.detect.plots import plot_precision_recall

    coco = found.coco
    title = f"{found.model}: AP50 {coco.ap50:.1%}, AP {coco.ap:.1%}"
    return encode_figure(
        plot_precision_recall(coco.precision50, coco.class_ap50, found.names, title=title)
    )


@command
def train(
    context: typer.Context,
    data: Annotated[Path | None, DATA] = None,
    *,
    output: RunFolder = Path("runs/detect"),
    settings: TrainSettings,
    skip_bad: Annotated[
        bool,
        Option("Go on where most pictures cannot be read or most boxes are bad.", DATA_PANEL),
    ] = False,
    run: SharedRunSettings,
    printing: PrintSettings,
) -> int:
    """Train a detector on your own pictures with boxes.

    The data are checked first. The run folder gets model.keras (take it with detect and evaluate),
    curves, precision over recall and a sheet of samples. Ctrl-C keeps the best so far.

    Examples:

      cnnkit train detect people/ -o runs/people

      cnnkit train detect --resume -o runs/people --epochs 100
    """
    run.check_data(data, "a folder of pictures with boxes, or a .json")
    from cnnkit.tasks.detect.files import find_training_files

    settings = find_training_files(settings)
    _check_layout(data)

    def fit(data: str | Path, settings: TrainSettings, observer: Observer) -> "TrainedDetector":
        from cnnkit.tasks.detect.train import train_detector

        return train_detector(
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
        score=("val_ap50", "AP50"),
        try_next="detect photo.jpg",
    )


def _epoch_line(epoch: int, row: dict[str, Any], settings: TrainSettings) -> str:
    checked = ""
    if "val_ap50" in row:
        checked = f", validation AP50 {row['val_ap50']:.1%}, AP {row['val_ap']:.1%}"
    return f"epoch {epoch + 1} of {settings.epochs}: loss {row['loss']:.3f}{checked}"


def _refuse_with_videos(files: WrittenFiles) -> None:
    for name in ("txt", "coco", "crops"):
        if getattr(files, name) is not None:
            raise UsageError(f"--{name} is of pictures; of a video --jsonl has a line a frame")


def _outputs(
    job: Batch, files: WrittenFiles, settings: BatchSettings, names: Sequence[str]
) -> "list[Output[Detection]]":
    outputs: list[Output[Any]] = []
    if files.output is not None or not (job.is_json or files.txt or files.coco or files.crops):
        outputs.append(job.pictures(files.output, ".jpg", lambda found: found.plot()))
    if files.txt is not None:
        outputs.append(job.files(f"{files.txt}/", ".txt", _yolo))
    if files.coco is not None:
        from cnnkit.tasks.detect.coco_results import CocoResults

        outputs.append(CocoResults(files.coco, names, settings))
    if files.crops is not None:
        outputs.append(_Crops(files.crops, settings))
    return outputs


def _yolo(found: "Detection", suffix: str) -> bytes:
    return found.to_yolo().encode()


class _Crops:
    """Each object as a picture, in a folder for each class; see `engine.batch.Output`."""

    planned: tuple[Path, ...] = ()

    def __init__(self, folder: Path, settings: BatchSettings):
        self._folder, self._settings = folder, settings

    def is_done(self, source: "Source") -> bool | None:
        # Of a picture without objects there is no crop.
        stem = source.relative.with_suffix("")
        crops = self._folder.glob(f"*/{glob.escape(str(stem))}-*.jpg")
        is_there = any(path.stem[len(stem.name) + 1 :].isdecimal() for path in crops)
        return True if is_there else None

    def begin(self, sources: "Sequence[Source]") -> None:
        pass

    def write(self, source: "Source", found: "Detection") -> None:
        from cnnkit.images import as_picture, encode_image

        stem = source.relative.with_suffix("")
        for number, one in enumerate(found.objects, 1):
            folder = self._folder / one.label.replace("/", "-") / stem.parent
            crop = as_picture(found.crop(one), found.source)
            self._settings.save(folder / f"{stem.name}-{number}.jpg", encode_image(crop, ".jpg"))

    def finish(self) -> None:
        pass
