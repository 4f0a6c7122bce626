"""``cnnkit detect``: what is where in pictures."""

import glob
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._classifier import Batch
from cnnkit.cli._coco_results import CocoResults
from cnnkit.cli._inference import start_inference
from cnnkit.cli._options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    Device,
    Engine,
    Json,
    JsonLines,
    Overwrite,
    Quiet,
    Recursive,
    SkipExisting,
    Threads,
    Verbose,
)
from cnnkit.cli._outcome import Outcome, check_json
from cnnkit.cli._views import Flip, Scales, read_scales
from cnnkit.console import Console
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.options import BOX_SUPPRESSIONS, DEFAULT_DETECTOR, DETECTORS, DetectOptions
from cnnkit.results import Record

if TYPE_CHECKING:
    from cnnkit.data.sources import Source
    from cnnkit.results import Detection

_DEFAULTS = DetectOptions()
_BOX_PANEL = "Boxes"
# Objects of one picture in its line for people.
_SHOWN_CLASSES = 8


def _box(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=_BOX_PANEL, **settings)


def detect(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="IMG...", help="Files, folders, globs, @list.txt or - (stdin)."),
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|RUN|FILE.keras",
            help=f"{', '.join(DETECTORS)} (fetched), a run of 'cnnkit train detect', or a file.",
        ),
    ] = DEFAULT_DETECTOR,
    conf: Annotated[float, _box(help="Least score, from 0 to 1.")] = _DEFAULTS.conf,
    iou: Annotated[
        float, _box(help="Largest overlap of two boxes that are both kept.")
    ] = _DEFAULTS.iou,
    max_det: Annotated[int, _box(help="Objects in a picture, at most.")] = _DEFAULTS.max_det,
    classes: Annotated[
        str | None,
        _box(metavar="NAME,...", help="Look only for these.", show_default="all"),
    ] = None,
    suppression: Annotated[
        str,
        _box(
            metavar="|".join(BOX_SUPPRESSIONS),
            help="Drop overlapping boxes of one class, of all, or lower their scores.",
        ),
    ] = _DEFAULTS.suppression,
    size: Annotated[
        int | None,
        _box(
            help="Long side that the network sees pictures at, in pixels.",
            show_default="the model's own",
        ),
    ] = _DEFAULTS.size,
    flip: Flip = _DEFAULTS.flip,
    scales: Scales = "1",
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|DIR",
            help="Pictures with the boxes drawn into them.",
            show_default="<name>-detect.jpg here, and none with --json, --jsonl, --txt, --coco or "
            "--crops",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    txt: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A text file for each picture: class x y width height score, as YOLO.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    coco: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="All boxes as COCO results, and FILE.images.json with the pictures' numbers.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    crops: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Each object as a picture, in a folder for each class.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    recursive: Recursive = False,
    fail_if_empty: Annotated[
        bool,
        typer.Option(
            "--fail-if-empty", help="Exit with 4 when nothing was found.", rich_help_panel=RUN_PANEL
        ),
    ] = False,
    batch: Batch = 8,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    jsonl: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Find the objects in pictures: what they are and where.

    Examples:

      cnnkit detect street.jpg

      cnnkit detect photos/ -r --model runs/people --jsonl --conf 0.4 > found.jsonl
    """
    from cnnkit.data.sources import find_sources, plan_outputs

    console = Console(quiet=quiet, verbose=verbose)
    check_json(json, jsonl)
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing exclude each other; give one of them")
    names = None if classes is None else tuple(name.strip() for name in classes.split(","))
    options = DetectOptions(
        conf=conf,
        iou=iou,
        max_det=max_det,
        classes=names,
        size=size,
        suppression=suppression,
        flip=flip,
        scales=read_scales(scales),
    )
    from cnnkit.data._class_names import COCO_CLASSES
    from cnnkit.pipelines._detector_files import check_classes, find_detector_file

    file = find_detector_file(model)
    check_classes(names, COCO_CLASSES if file is None else file.classes, model)
    sources = find_sources(pictures, recursive, note=console.note)
    draws = output is not None or not (json or jsonl or txt or coco or crops)
    drawn: list[Path | None] = [None] * len(sources)
    if draws:
        finds_again = overwrite or skip_existing
        drawn = plan_outputs(sources, output, "detect", ".jpg", keeps_names=finds_again)
    texts = plan_outputs(sources, f"{txt}/", "detect", ".txt") if txt else [None] * len(sources)
    results = None if coco is None else CocoResults(coco, skip_existing)
    planned = [path for path in (*drawn, *texts, *(results.files if results else ())) if path]
    there = [path for path in planned if path.exists()]
    if there and not overwrite and not skip_existing:
        raise UsageError(f"{there[0]} exists; use --overwrite, --skip-existing or another place")
    if skip_existing:
        kept = [
            index
            for index, source in enumerate(sources)
            if not _is_done(source, (drawn[index], texts[index]), results, crops)
        ]
        if len(kept) < len(sources):
            console.note(
                f"{len(sources) - len(kept)} pictures are done already"
                + (", and are not in the JSON" if json or jsonl else "")
            )
        sources, drawn, texts = ([some[i] for i in kept] for some in (sources, drawn, texts))
    if results is not None:
        results.number(sources)
    outcome = Outcome(console, json, jsonl, len(sources) == 1)
    if not sources or outcome.none_is_there(sources):
        return outcome.finish()
    start_inference(console, engine, threads=threads, device=device, verbose=verbose)
    from cnnkit.pipelines._detector import Detector

    detector = Detector(model, options)
    save = _Saver(overwrite, skip_existing)
    try:
        with console.progress() as bar:
            task = bar.add_task("detect", total=len(sources), status="")
            found = detector.detect(
                [source.path for source in sources],
                batch=batch,
                stdin=sys.stdin.buffer.read,
                keep_pixels=draws or crops is not None,
            )
            for index, (source, one) in enumerate(found):
                if isinstance(one, CnnkitError):
                    outcome.fail(source, one)
                else:
                    try:
                        if draws:
                            _draw(save, drawn[index], one)
                        if txt is not None:
                            _write_text(save, texts[index], one)
                        if crops is not None:
                            _write_crops(save, crops, sources[index], one)
                        if results is not None:
                            results.add(sources[index], one, detector.detector.names)
                    except CnnkitError as error:
                        outcome.fail(source, error)
                        continue
                    outcome.add(_record(one, options), _lines(one, drawn[index]))
                bar.update(task, advance=1)
    finally:
        # After Ctrl-C too: --skip-existing goes on from there.
        if results is not None:
            console.note(results.write(overwrite))
    return outcome.finish(fail_if_empty)


def _is_done(
    source: "Source",
    files: Sequence[Path | None],
    results: CocoResults | None,
    crops: Path | None,
) -> bool:
    """Whether all that is asked for of a picture is there; of one without objects no crop is."""
    done = [path.exists() for path in files if path is not None]
    if results is not None:
        done.append(source.relative.as_posix() in results.seen)
    if not done and crops is not None:
        stem = source.relative.with_suffix("")
        pattern = f"*/{glob.escape(str(stem))}-*.jpg"
        done.append(
            any(path.stem[len(stem.name) + 1 :].isdecimal() for path in crops.glob(pattern))
        )
    return bool(done) and all(done)


@dataclass(frozen=True)
class _Saver:
    """Writes files that are asked for, or leaves those that are there."""

    overwrite: bool
    skip_existing: bool

    def __call__(self, path: Path, content: bytes) -> None:
        from cnnkit.images import write_bytes

        if not (self.skip_existing and path.exists()):
            write_bytes(path, content, overwrite=self.overwrite)


def _record(one: "Detection", options: DetectOptions) -> Record:
    height, width = one.size
    items = tuple(
        {
            "label": found.label,
            "class_id": found.class_id,
            "score": round(found.score, 4),
            "box": dict(
                zip(
                    ("x1", "y1", "x2", "y2"),
                    (round(edge, 1) for edge in found.box_xyxy),
                    strict=True,
                )
            ),
        }
        for found in one.objects
    )
    return Record(
        one.source, width, height, items, model=one.model, threshold=options.conf, ms=one.ms
    )


def _lines(one: "Detection", drawn: Path | None) -> list[str]:
    """The picture, how many of what, and each object."""
    counts: dict[str, int] = {}
    for found in one.objects:
        counts[found.label] = counts.get(found.label, 0) + 1
    parts = [f"{count} {label}" for label, count in counts.items()]
    shown = ", ".join(parts[:_SHOWN_CLASSES]) + (", ..." if len(parts) > _SHOWN_CLASSES else "")
    goes = f" -> {drawn}" if drawn is not None else ""
    lines = [f"{one.source}: {shown or 'nothing found'}{goes}"]
    for found in one.objects:
        left, top, right, bottom = found.box_xyxy
        lines.append(
            f"  {found.score:>6.1%}  {found.label}  "
            f"{right - left:.0f}x{bottom - top:.0f} at {left:.0f},{top:.0f}"
        )
    return lines


def _draw(save: _Saver, path: Path, one: "Detection") -> None:
    import numpy as np

    from cnnkit.images import Picture, encode_image
    from cnnkit.plots import draw_detections

    drawn = draw_detections(
        one.pixels,
        np.array([found.box_xyxy for found in one.objects]).reshape(-1, 4),
        [found.label for found in one.objects],
        np.array([found.score for found in one.objects]),
        np.array([found.class_id for found in one.objects], int),
    )
    save(path, encode_image(Picture(drawn.astype(np.float32) / 255.0), path.suffix))


def _write_text(save: _Saver, path: Path, one: "Detection") -> None:
    height, width = one.size
    lines = []
    for found in one.objects:
        left, top, right, bottom = found.box_xyxy
        x, y = (left + right) / 2 / width, (top + bottom) / 2 / height
        wide, high = (right - left) / width, (bottom - top) / height
        lines.append(f"{found.class_id} {x:.6f} {y:.6f} {wide:.6f} {high:.6f} {found.score:.4f}\n")
    save(path, "".join(lines).encode())


def _write_crops(save: _Saver, folder: Path, source: "Source", one: "Detection") -> None:
    import math

    import numpy as np

    from cnnkit.images import Picture, encode_image

    for number, found in enumerate(one.objects, 1):
        left, top, right, bottom = found.box_xyxy
        # Whole pixels, one at least.
        left, top = math.floor(left), math.floor(top)
        right, bottom = max(left + 1, math.ceil(right)), max(top + 1, math.ceil(bottom))
        label = found.label.replace("/", "-")
        stem = source.relative.with_suffix("")
        path = folder / label / stem.parent / f"{stem.name}-{number}.jpg"
        pixels = one.pixels[top:bottom, left:right]
        save(path, encode_image(Picture(pixels.astype(np.float32) / 255.0), path.suffix))
