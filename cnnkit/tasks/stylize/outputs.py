"""What `cnnkit stylize` paints and where to, checked before anything is."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cnnkit.console import Console
from cnnkit.engine.batch import STDOUT, BatchSettings, find_videos
from cnnkit.engine.settings import OUTPUT_PANEL, RUN_PANEL, Option, Settings
from cnnkit.errors import ImageError, UsageError
from cnnkit.tasks.stylize.mask import Mask
from cnnkit.tasks.stylize.settings import StylizeSettings
from cnnkit.video.clip import VideoSettings
from cnnkit.video.formats import (
    check_writable_video,
    is_video,
    parts_folder,
    suffix_for,
    video_suffixes,
)

if TYPE_CHECKING:
    from cnnkit.data.sources import Source


@dataclass(frozen=True)
class WriteSettings(Settings):
    """Where results go, and what is written beside them."""

    output: Annotated[
        str | None,
        Option(
            "A file for one picture (.png .jpg .webp .tif, or - for stdout) or video (.mp4 .webm "
            ".gif and more), else a folder.",
            OUTPUT_PANEL,
            ("-o", "--output"),
            show_default="<name>-stylized.png or .mp4 here",
        ),
    ] = None
    save_every: Annotated[
        int | None,
        Option("Write the picture every N steps too.", OUTPUT_PANEL, metavar="N", min=1),
    ] = None
    sidecar: Annotated[
        bool, Option("Write settings and losses to <output>.json too.", OUTPUT_PANEL)
    ] = False


@dataclass(frozen=True)
class ClipSettings(VideoSettings):
    """Which part of a video is taken, and whether stopped runs go on, those of pictures too."""

    resume: Annotated[
        bool, Option("Go on with an interrupted run of the same command.", RUN_PANEL)
    ] = False


@dataclass(frozen=True)
class Order:
    """What a command is to paint.

    Attributes:
        contents: files, folders, globs, lists.
        styles: files or names, with their weights.
        settings: of pictures.
        video_quality: of videos.
        strengths: of the drafts on a sheet; () for no sheet.
        mask: which part is stylised.
        writing: where results go.
        batch: what becomes of files that are there.
        video: the part of videos, and whether stopped runs go on.
        started: `time.monotonic()` when the program was started.
    """

    contents: list[str]
    styles: list[tuple[str, float]]
    settings: StylizeSettings
    video_quality: str
    strengths: tuple[float, ...]
    mask: Mask
    writing: WriteSettings
    batch: BatchSettings
    video: ClipSettings
    started: float

    @property
    def to_stdout(self) -> bool:
        """Whether the one result goes to stdout."""
        return self.writing.output == str(STDOUT)

    @property
    def replaces(self) -> bool:
        """Whether files that are there are replaced: --resume does that with the picture so far."""
        return self.batch.overwrite or self.video.resume


@dataclass(frozen=True)
class Job:
    """One content, where its result goes, and whether that is there and stays."""

    source: "Source"
    path: Path
    is_video: bool
    is_done: bool


def plan_jobs(order: Order, console: Console) -> list[Job]:
    """The contents of a command, in order.

    Args:
        order: what is to be painted.
        console: told what is done already.

    Raises:
        UsageError: files that are there or would be lost, and options that do not go together.
        ImageError: a folder or list that holds no picture, or a file that cannot be written.
    """
    from cnnkit.data.sources import find_sources
    from cnnkit.images import READABLE_SUFFIXES

    known = (*READABLE_SUFFIXES, *video_suffixes())
    sources = find_sources(order.contents, order.batch.recursive, known, console.note)
    # Stopped runs of pictures are gone on with too.
    videos = find_videos(sources, replace(order.video, resume=False), ("av", "cv2"))
    if videos:
        _check_videos(order, videos[0].path)
    given = [name for name, _ in order.styles]
    if order.mask.path is not None:
        given.append(order.mask.path)
    if [*(source.path for source in sources), *given].count("-") > 1:
        raise UsageError("only one picture can come from stdin (-)")
    jobs = []
    for source, path in zip(sources, _plan_outputs(order, sources, videos), strict=True):
        is_done = _check_output(order, path, source in videos, given, console)
        jobs.append(Job(source, path, source in videos, is_done))
    return jobs


def _check_videos(order: Order, first: str) -> None:
    """Refuses what does not go with videos."""
    given = {
        "--sheet": bool(order.strengths),
        "--budget": order.settings.budget is not None,
        "--save-every": order.writing.save_every is not None,
        "--sidecar": order.writing.sidecar,
        "-o -": order.to_stdout,
    }
    for name, is_given in given.items():
        if is_given:
            raise UsageError(f"{name} is of pictures; leave it out for {first}")


def _plan_outputs(
    order: Order, sources: "Sequence[Source]", videos: "Sequence[Source]"
) -> list[Path]:
    from cnnkit.data.sources import plan_outputs, stopped_path

    output, resume = order.writing.output, order.video.resume
    if order.to_stdout:
        _check_stdout(order, len(sources))
        return [Path("stdout.png")]
    task, kinds = "sheet", [".jpg"] * len(sources)
    if not order.strengths:
        task = "stylized"
        kinds = [suffix_for(one.path) if one in videos else ".png" for one in sources]
    finds_again = order.replaces or order.batch.skip_existing
    paths = plan_outputs(sources, output, task, kinds, keeps_names=finds_again)
    return [stopped_path(path, state_path) for path in paths] if resume and not output else paths


def _check_stdout(order: Order, count: int) -> None:
    if count > 1:
        raise UsageError(f"-o - takes one picture, not {count}")
    if order.strengths:
        raise UsageError("--sheet is written to a file; give -o a name")
    if sys.stdout.isatty():
        raise UsageError("-o - would write a picture to the terminal; redirect it: > a.png")
    if order.writing.save_every or order.writing.sidecar or order.video.resume:
        raise UsageError("-o - goes without --save-every, --sidecar and --resume")


def _check_output(
    order: Order, path: Path, of_video: bool, given: Sequence[str], console: Console
) -> bool:
    """Whether a result is there and stays; refuses what would be lost or could not be written."""
    from cnnkit.images import check_writable_format

    (check_writable_video if of_video else check_writable_format)(path)
    is_done = False
    if not order.to_stdout and _is_there(path):
        if path.is_dir():
            raise UsageError(f"{path} is a folder; give -o a file name")
        if os.path.realpath(path) in {os.path.realpath(name) for name in given}:
            raise UsageError(f"{path} is the style or the mask; give another -o")
        if order.video.resume and not state_path(path).exists():
            console.note(f"{path} is done already")
            is_done = True
        elif order.batch.skip_existing:
            console.note(f"{path} exists, skipped")
            is_done = True
        elif not order.replaces:
            raise UsageError(f"{path} exists; use --overwrite, --skip-existing or -o")
    if order.writing.sidecar and not is_done and not order.replaces:
        beside = path.with_name(f"{path.name}.json")
        if _is_there(beside):
            raise UsageError(f"{beside} exists; use --overwrite or another -o")
    return is_done


def state_path(output: Path) -> Path:
    """What a stopped run of a result goes on from."""
    if is_video(output):
        return parts_folder(output)
    return output.with_name(f".{output.name}.cnnkit-state")


def _is_there(path: Path) -> bool:
    """Whether there is a file.

    Raises:
        ImageError: none could be written there either: better now than after minutes of painting.
    """
    try:
        is_there = path.exists()
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
    except OSError as error:
        raise ImageError(
            f"{path} cannot be written: {error.strerror or error}; give another -o"
        ) from None
    if not folder.is_dir():
        raise ImageError(f"{path} cannot be written: {folder} is no folder; give another -o")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageError(f"{path} cannot be written: {folder} is read-only; give another -o")
    return is_there
