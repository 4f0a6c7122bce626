"""``cnnkit detect``: what is where in pictures."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._classifier import Batch
from cnnkit.cli._options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    Device,
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
            help="All boxes as COCO results.",
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
    from cnnkit.pipelines._detector_files import find_detector_file

    find_detector_file(model)
    sources = find_sources(pictures, recursive, note=console.note)
    draws = output is not None or not (json or jsonl or txt or coco or crops)
    drawn = plan_outputs(sources, output, "detect", ".jpg") if draws else [None] * len(sources)
    texts = plan_outputs(sources, f"{txt}/", "detect", ".txt") if txt else [None] * len(sources)
    planned = [path for path in (*drawn, *texts, coco) if path is not None and path.exists()]
    if planned and not overwrite and not skip_existing:
        raise UsageError(
            f"{planned[0]} exists; use --overwrite, --skip-existing or another place for it"
        )
    if skip_existing and (draws or txt):
        kept = [
            index
            for index in range(len(sources))
            if not any(path is not None and path.exists() for path in (drawn[index], texts[index]))
        ]
        if len(kept) < len(sources):
            console.note(f"{len(sources) - len(kept)} pictures are done already")
        sources, drawn, texts = ([some[i] for i in kept] for some in (sources, drawn, texts))
    outcome = Outcome(console, json, jsonl, len(sources) == 1)
    if outcome.none_is_there(sources):
        return outcome.finish()
    from cnnkit.runtime import configure

    configure(threads=threads, verbose=verbose, device=device)
    from cnnkit.pipelines._detector import Detector

    detector = Detector(model, options)
    results: list[dict[str, Any]] = []
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
                        _draw(drawn[index], one)
                    if txt is not None:
                        _write_text(texts[index], one)
                    if crops is not None:
                        _write_crops(crops, sources[index], one, overwrite)
                except CnnkitError as error:
                    outcome.fail(source, error)
                    continue
                results += _coco_results(sources[index], index, one)
                outcome.add(_record(one, options), _lines(one, drawn[index]))
            bar.update(task, advance=1)
    if coco is not None:
        from cnnkit.images import write_bytes

        write_bytes(coco, _dumps(results))
        console.note(f"{coco}: {len(results)} boxes")
    return outcome.finish(fail_if_empty)


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


def _draw(path: Path, one: "Detection") -> None:
    import numpy as np

    from cnnkit.images import Picture, write_image
    from cnnkit.plots import draw_detections

    drawn = draw_detections(
        one.pixels,
        np.array([found.box_xyxy for found in one.objects]).reshape(-1, 4),
        [found.label for found in one.objects],
        np.array([found.score for found in one.objects]),
        np.array([found.class_id for found in one.objects], int),
    )
    write_image(path, Picture(drawn.astype(np.float32) / 255.0))


def _write_text(path: Path, one: "Detection") -> None:
    from cnnkit.images import write_bytes

    height, width = one.size
    lines = []
    for found in one.objects:
        left, top, right, bottom = found.box_xyxy
        x, y = (left + right) / 2 / width, (top + bottom) / 2 / height
        wide, high = (right - left) / width, (bottom - top) / height
        lines.append(f"{found.class_id} {x:.6f} {y:.6f} {wide:.6f} {high:.6f} {found.score:.4f}\n")
    write_bytes(path, "".join(lines).encode())


def _write_crops(folder: Path, source: "Source", one: "Detection", overwrite: bool) -> None:
    import math

    import numpy as np

    from cnnkit.images import Picture, write_image

    for number, found in enumerate(one.objects, 1):
        left, top, right, bottom = found.box_xyxy
        # Whole pixels, one at least.
        left, top = math.floor(left), math.floor(top)
        right, bottom = max(left + 1, math.ceil(right)), max(top + 1, math.ceil(bottom))
        label = found.label.replace("/", "-")
        stem = source.relative.with_suffix("")
        path = folder / label / stem.parent / f"{stem.name}-{number}.jpg"
        if path.exists() and not overwrite:
            raise UsageError(f"{path} exists; use --overwrite or another --crops")
        pixels = one.pixels[top:bottom, left:right]
        write_image(path, Picture(pixels.astype(np.float32) / 255.0))


def _coco_results(source: "Source", index: int, one: "Detection") -> Sequence[dict[str, Any]]:
    """Boxes as COCO's results: the picture's number is its name where that is one."""
    stem = source.relative.stem
    key = int(stem) if stem.isdecimal() else index + 1
    rows = []
    for found in one.objects:
        left, top, right, bottom = found.box_xyxy
        rows.append(
            {
                "image_id": key,
                "file_name": str(source.relative),
                "category_id": found.class_id,
                "bbox": [round(edge, 2) for edge in (left, top, right - left, bottom - top)],
                "score": round(found.score, 5),
            }
        )
    return rows


def _dumps(value: Any) -> bytes:
    import json

    return (json.dumps(value, indent=1) + "\n").encode()
