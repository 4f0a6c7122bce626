"""``cnnkit cutout``: a picture's subject without its background."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from cnnkit.engine.batch import BatchSettings, Outcome, check_json
from cnnkit.engine.command import EngineSettings, PrintSettings, command
from cnnkit.engine.settings import OUTPUT_PANEL, Argument, Flip, Option, Scales, check_scales
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.options import DEFAULT_SEGMENTER, SEGMENT_SIZE
from cnnkit.results import Record

if TYPE_CHECKING:
    from cnnkit.results import Segmentation


@command
def cutout(
    pictures: Annotated[
        list[str],
        Argument(
            "Files, folders, globs, @list.txt or - (stdin). Of two names without -o the second is "
            "the output.",
            metavar="IMG... [OUT]",
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
    subject: Annotated[
        str | None,
        Option(
            "What to cut out, such as dog or person,bicycle.",
            PICTURE_PANEL,
            metavar="LABEL,...",
            show_default="people, else what is largest",
        ),
    ] = None,
    background: Background = None,
    model: Model = DEFAULT_SEGMENTER,
    size: Size = SEGMENT_SIZE,
    flip: Flip = False,
    scales: Scales = (1.0,),
    *,
    batch: BatchSettings,
    engine: EngineSettings,
    printing: PrintSettings,
) -> int:
    """Cut people, animals or things out of pictures, with soft edges.

    Exits with 4 where a picture does not show the subject; nothing is written for it then.

    Examples:

      cnnkit cutout ada.jpg ada.png

      cnnkit cutout rex.jpg rex.png --subject dog

      cnnkit cutout ada.jpg before-yellow.jpg --background "#ffcc00"

      cnnkit cutout photos/ -r -o cutouts/ --background blur
    """
    from cnnkit.data.sources import find_sources
    from cnnkit.tasks.segment.cutout import read_background
    from cnnkit.tasks.segment.files import find_classes, find_segmenter_file

    console = printing.console()
    is_json = printing.json or batch.jsonl
    check_json(printing.json, batch.jsonl)
    check_scales(scales)
    file = find_segmenter_file(model)
    if subject is not None:
        find_classes(subject, file.classes, "--subject")
    pictures, output = _split(pictures, output, batch.skip_existing)
    if output == STD and is_json:
        raise UsageError("-o - and --json both want stdout; give one of them")
    sources = find_sources(pictures, batch.recursive, note=console.note)
    jobs = plan_pictures(
        sources,
        output,
        "cutout",
        overwrite=batch.overwrite,
        skip_existing=batch.skip_existing,
        console=console,
    )
    behind: Any = None
    if background is not None:
        behind = read_background(background)
    else:
        for _, path in jobs:
            check_transparency(path)
    outcome = Outcome(console, printing.json, batch.jsonl, len(sources) == 1)
    if outcome.none_is_there(sources):
        return outcome.finish()
    engine.start(console, printing.verbose)
    from cnnkit.images import read_image
    from cnnkit.tasks.segment.cutout import cut_out, subject_classes
    from cnnkit.tasks.segment.predict import Segmenter

    segmenter = Segmenter(model, size=size, flip=flip, scales=scales)
    with console.progress() as bar:
        task = bar.add_task("cut out", total=len(jobs), status="")
        for source, path in jobs:
            begin = time.monotonic()
            try:
                picture = read_image(
                    sys.stdin.buffer if source.path == STD else source.path, keep_alpha=True
                )
                load = round(1e3 * (time.monotonic() - begin), 1)
                found = segmenter.segment(picture)
                class_ids = subject_classes(found, subject)
                begin = time.monotonic()
                if class_ids:
                    cut = cut_out(picture, found, class_ids, behind)
                    write_to(path, encode_for(path, cut), batch.overwrite)
                else:
                    outcome.find_nothing(_what_instead(source.path, subject, found))
                post = found.ms.post + round(1e3 * (time.monotonic() - begin), 1)
            except CnnkitError as error:
                outcome.fail(source.path, error)
            else:
                record = Record(
                    source.path,
                    picture.width,
                    picture.height,
                    tuple(one.to_dict() for one in found.segments if one.class_id in class_ids),
                    model=found.model,
                    ms=replace(found.ms, load=load, post=post),
                    details={
                        "output": str(path) if class_ids else None,
                        "others": [
                            one.label for one in found.segments if one.class_id not in class_ids
                        ],
                    },
                )
                outcome.add(record, _lines(record))
            bar.update(task, advance=1)
    return outcome.finish()


def _split(
    names: list[str], output: str | None, skip_existing: bool
) -> tuple[list[str], str | None]:
    """Pictures, and where they go: the last of two names without -o."""
    if output is not None or len(names) != 2:
        return names, output
    picture, target = names
    if target != STD and Path(target).is_file() and not skip_existing:
        # It may be meant as a picture, and must not be lost.
        raise UsageError(
            f"{target} exists; to replace it give -o {target} --overwrite, to cut both out give "
            "-o FOLDER"
        )
    return [picture], target


def _what_instead(name: str, subject: str | None, found: "Segmentation") -> str:
    labels = ", ".join(one.label for one in found.segments)
    wanted = "nothing to cut out" if subject is None else f"no {subject}"
    instead = f"only {labels}" if labels else "nothing but background"
    return f"{name}: {wanted} was found, {instead}; nothing is written"


def _lines(record: Record) -> list[str]:
    """A record for people; none where nothing is written, or stdout takes the picture."""
    path = record.details["output"]
    if path is None or path == STD:
        return []
    labels = ", ".join(item["label"] for item in record.items)
    share = sum(item["share"] for item in record.items)
    return [f"{record.source} -> {path}: {labels}, {share:.0%} of the picture"]
