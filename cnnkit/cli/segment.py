"""``cnnkit segment``: the class of every pixel."""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from cnnkit.cli._segmenter import (
    PICTURE_PANEL,
    STD,
    Background,
    Model,
    Size,
    check_transparency,
    encode_for,
    plan_pictures,
    write_to,
)
from cnnkit.cli._views import Flip, Scales, read_scales
from cnnkit.console import Console
from cnnkit.engine.batch import Outcome, check_json
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.options import DEFAULT_SEGMENTER, SEGMENT_SIZE
from cnnkit.results import Record

if TYPE_CHECKING:
    from cnnkit.images import Picture
    from cnnkit.results import Segment, Segmentation

_SHOWS = ("overlay", "colors", "contours")
_RLES = ("none", "compressed", "counts")


def segment(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="IMG...", help="Files, folders, globs, @list.txt or - (stdin)."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="File, folder for several pictures, or - (stdout).",
            show_default="<name>-segment.png; nothing with --json",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    show: Annotated[
        str,
        typer.Option(
            metavar="|".join(_SHOWS),
            help="Colours over the picture, colours alone, or outlines.",
            rich_help_panel=PICTURE_PANEL,
        ),
    ] = "overlay",
    legend: Annotated[
        bool,
        typer.Option(help="Name the colours below the picture.", rich_help_panel=PICTURE_PANEL),
    ] = True,
    mask: Annotated[
        bool,
        typer.Option(
            "--mask",
            help="Write a PNG of class numbers instead, of the picture's own size.",
            rich_help_panel=PICTURE_PANEL,
        ),
    ] = False,
    cutout: Annotated[
        str | None,
        typer.Option(
            metavar="LABEL,...",
            help="Write these classes alone, the rest transparent.",
            rich_help_panel=PICTURE_PANEL,
        ),
    ] = None,
    background: Background = None,
    rle: Annotated[
        str,
        typer.Option(
            metavar="|".join(_RLES),
            help="Add masks to --json as COCO's runs, as text or as numbers.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = "none",
    model: Model = DEFAULT_SEGMENTER,
    size: Size = SEGMENT_SIZE,
    flip: Flip = False,
    scales: Scales = "1",
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    fail_if_empty: Annotated[
        bool,
        typer.Option(
            "--fail-if-empty",
            help="Exit with 4 when nothing but background is found.",
            rich_help_panel=RUN_PANEL,
        ),
    ] = False,
    threads: Threads = None,
    device: Device = "auto",
    engine: Engine = "auto",
    json: Json = False,
    jsonl: JsonLines = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Tell what every pixel of a picture shows: people, animals, vehicles, furniture.

    Examples:

      cnnkit segment street.jpg

      cnnkit segment ada.jpg --cutout person -o ada.png

      cnnkit segment ada.jpg --cutout person --background blur

      cnnkit segment photos/ -r --jsonl --rle compressed
    """
    from cnnkit.data.sources import find_sources
    from cnnkit.tasks.segment.files import find_classes, find_segmenter_file

    console = Console(quiet=quiet, verbose=verbose)
    check_json(json, jsonl)
    wanted = _Wanted(show, legend, mask, cutout, background, rle)
    wanted.check(output, json or jsonl)
    sizes = read_scales(scales)
    file = find_segmenter_file(model)
    keep = tuple(range(1, len(file.classes)))
    if cutout is not None:
        keep = find_classes(cutout, file.classes, "--cutout")
    sources = find_sources(pictures, recursive, note=console.note)
    if [source.path for source in sources].count(STD) and background == STD:
        raise UsageError("only one picture can come from stdin (-)")
    writes = output is not None or not (json or jsonl)
    jobs: list[tuple[Any, Path | None]] = [(source, None) for source in sources]
    if writes:
        jobs = wanted.check_files(
            plan_pictures(
                sources,
                output,
                wanted.task,
                overwrite=overwrite,
                skip_existing=skip_existing,
                console=console,
            )
        )
    behind: Any = None
    if background is not None:
        from cnnkit.tasks.segment.cutout import read_background

        behind = read_background(background)
    outcome = Outcome(console, json, jsonl, len(sources) == 1)
    if outcome.none_is_there(sources):
        return outcome.finish()
    start_inference(console, engine, threads=threads, device=device, verbose=verbose)
    from cnnkit.images import read_image
    from cnnkit.tasks.segment.predict import Segmenter

    segmenter = Segmenter(model, size=size, flip=flip, scales=sizes)
    with console.progress() as bar:
        task = bar.add_task("segment", total=len(jobs), status="")
        for source, path in jobs:
            begin = time.monotonic()
            try:
                picture = read_image(
                    sys.stdin.buffer if source.path == STD else source.path, keep_alpha=True
                )
                load = round(1e3 * (time.monotonic() - begin), 1)
                found = segmenter.segment(picture)
                if _is_empty(wanted, found, keep):
                    outcome.find_nothing(_what_instead(source.path, wanted, found))
                    path = None
                if path is not None:
                    content = _encode(path, wanted, picture, found, keep, behind)
                    write_to(path, content, overwrite)
            except CnnkitError as error:
                outcome.fail(source.path, error)
            else:
                record = Record(
                    source.path,
                    picture.width,
                    picture.height,
                    tuple(_item(one, found, rle) for one in found.segments),
                    model=found.model,
                    ms=replace(found.ms, load=load),
                    details={"output": None if path is None else str(path)},
                )
                lines = [] if path is not None and str(path) == STD else _lines(record)
                outcome.add(record, lines)
            bar.update(task, advance=1)
    return outcome.finish(fail_if_empty)


def _is_empty(wanted: "_Wanted", found: "Segmentation", keep: tuple[int, ...]) -> bool:
    """Whether a picture shows nothing of what is to be cut out, or put before a background."""
    return wanted.cuts and not any(one.class_id in keep for one in found.segments)


def _what_instead(name: str, wanted: "_Wanted", found: "Segmentation") -> str:
    labels = ", ".join(one.label for one in found.segments) or "nothing but background"
    return (
        f"{name}: no {wanted.cutout or 'foreground'} was found, only {labels}; nothing is written"
    )


@dataclass(frozen=True)
class _Wanted:
    """What the user wants to see."""

    show: str
    legend: bool
    mask: bool
    cutout: str | None
    background: str | None
    rle: str

    @property
    def cuts(self) -> bool:
        return self.cutout is not None or self.background is not None

    @property
    def task(self) -> str:
        if self.mask:
            return "mask"
        if self.background is not None:
            return "background"
        return "segment" if self.cutout is None else "cutout"

    def check(self, output: str | None, is_json: bool) -> None:
        if self.show not in _SHOWS:
            raise UsageError(f"--show must be one of {', '.join(_SHOWS)}, not {self.show}")
        if self.rle not in _RLES:
            raise UsageError(f"--rle must be one of {', '.join(_RLES)}, not {self.rle}")
        if self.rle != "none" and not is_json:
            raise UsageError("--rle is for --json and --jsonl; give one of them")
        if self.mask and self.cuts:
            raise UsageError("--mask goes without --cutout and --background")
        if self.task != "segment" and self.show != "overlay":
            raise UsageError(f"--show {self.show} goes without --{self.task}")
        if output == STD and is_json:
            raise UsageError("-o - and --json both want stdout; give one of them")
        if self.task != "segment" and is_json and output is None:
            raise UsageError(f"--{self.task} writes a picture: name it with -o beside --json")

    def check_files(self, jobs: list[tuple[Any, Path]]) -> list[tuple[Any, Path]]:
        """The same jobs, whose files can hold what is wanted."""
        for _, path in jobs:
            if self.mask and str(path) != STD and path.suffix.lower() != ".png":
                raise UsageError(f"{path}: --mask writes .png files, which keep class numbers")
            if self.task == "cutout":
                check_transparency(path)
        return jobs


def _encode(
    path: Path,
    wanted: _Wanted,
    picture: "Picture",
    found: "Segmentation",
    keep: tuple[int, ...],
    behind: Any,
) -> bytes:
    """What is written to a file."""
    if wanted.mask:
        return _encode_mask(found)
    return encode_for(path, _picture(wanted, picture, found, keep, behind))


def _encode_mask(found: "Segmentation") -> bytes:
    """Class numbers as a PNG, with VOC's colours to look at."""
    import io

    from PIL import Image

    from cnnkit.tasks.segment.plots import class_palette

    image = Image.fromarray(found.classes)
    image.putpalette(class_palette().ravel().tolist())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _picture(
    wanted: _Wanted,
    picture: "Picture",
    found: "Segmentation",
    keep: tuple[int, ...],
    behind: Any,
) -> "Picture":
    """What is drawn of a picture."""
    import numpy as np

    from cnnkit.images import Picture, to_uint8
    from cnnkit.tasks.segment.plots import (
        add_legend,
        color_segments,
        outline_segments,
        overlay_segments,
    )

    if wanted.cuts:
        from cnnkit.tasks.segment.cutout import cut_out

        return cut_out(picture, found, keep, behind)
    if wanted.show == "colors":
        drawn = color_segments(found.classes)
    else:
        draw = overlay_segments if wanted.show == "overlay" else outline_segments
        drawn = draw(to_uint8(picture.opaque().pixels), found.classes)
    if wanted.legend:
        drawn = add_legend(drawn, [(one.class_id, one.label) for one in found.segments])
    return Picture(drawn.astype(np.float32) / 255.0)


def _item(one: "Segment", found: "Segmentation", rle: str) -> dict[str, Any]:
    """A class as an item of a record, with its masks if they are wanted."""
    item = one.to_dict()
    if rle != "none":
        import numpy as np

        from cnnkit.ops.rle import coco_rle

        compressed = rle == "compressed"
        item["rle"] = coco_rle(found.classes == one.class_id, compressed=compressed)
        for part, written in zip(one.regions, item["regions"], strict=True):
            whole = np.zeros(found.classes.shape, bool)
            left, top, right, bottom = part.box_xyxy
            whole[top:bottom, left:right] = part.mask
            written["rle"] = coco_rle(whole, compressed=compressed)
    return item


def _lines(record: Record) -> list[str]:
    """A record for people."""
    path = record.details["output"]
    head = record.source if path is None else f"{record.source} -> {path}"
    if not record.items:
        return [f"{head}: nothing but background"]
    width = max(len(item["label"]) for item in record.items)
    lines = [head]
    for item in record.items:
        count = len(item["regions"])
        parts = f"{count} region" + ("" if count == 1 else "s")
        lines.append(f"  {item['share']:>6.1%}  {item['label']:<{width}}  {parts}")
    return lines
