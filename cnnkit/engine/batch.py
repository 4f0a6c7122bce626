"""Sources of a command to results and files: one that fails is one line, and the others go on."""

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Protocol, TypeVar

from cnnkit.console import Console
from cnnkit.engine.command import PrintSettings
from cnnkit.engine.settings import OUTPUT_PANEL, RUN_PANEL, Argument, Option, Settings
from cnnkit.errors import (
    CnnkitError,
    ExitCode,
    ImageError,
    NothingFoundError,
    UsageError,
    VideoError,
)
from cnnkit.results import Failure, Record
from cnnkit.video.clip import VideoSettings
from cnnkit.video.formats import (
    REMEDY,
    check_writable_video,
    is_installed,
    is_video,
    parts_folder,
    suffix_for,
    video_suffixes,
)

if TYPE_CHECKING:
    from cnnkit.data.sources import Source
    from cnnkit.engine.video import VideoTask

# What `-o -` names.
STDOUT = Path("-")


class Outcome:
    """Counts what became of the pictures of a command, and prints its records.

    Args:
        console: where to.
        json: one document at the end instead of lines.
        jsonl: one object per picture instead of lines.
        is_single: whether one picture was named.
    """

    def __init__(self, console: Console, json: bool, jsonl: bool, is_single: bool = False):
        self._console = console
        self._json, self._jsonl, self._is_single = json, jsonl, is_single
        self._records: list[Record] = []
        self._failed: CnnkitError | None = None
        self._is_empty = False
        self._has_items = False
        self.load_ms: dict[str, float] = {}

    def add(self, record: Record, lines: Sequence[str] = ()) -> None:
        """Takes a record, and its lines for people."""
        self._has_items |= bool(record.items)
        if self._json:
            # A video has a record for each frame, of which only a document at the end needs all.
            self._records.append(record)
        if self._jsonl:
            self._console.json_lines([record])
        elif not self._json:
            for line in lines:
                self._console.result(line)

    def fail(self, source: str, error: CnnkitError) -> None:
        """A picture that gave no result; the others go on."""
        self._console.error(str(error))
        self._failed = error
        self.add(Record(source, error=Failure(type(error).__name__, str(error))))

    def none_is_there(self, sources: Sequence["Source"]) -> bool:
        """Whether not one of these files exists; then each has failed, before an engine is loaded.

        Where some exist, the others fail in their turn.
        """
        if any(one.path == "-" or os.path.lexists(one.path) for one in sources):
            return False
        from cnnkit.images import explain_missing

        for one in sources:
            self.fail(one.path, ImageError(explain_missing(one.path)))
        return bool(sources)

    def find_nothing(self, reason: str) -> None:
        """A picture that shows nothing of what was to be written; the others go on."""
        self._console.error(reason)
        self._is_empty = True

    def absorb(self, other: "Outcome") -> None:
        """Takes over what another one counted."""
        self._records += other._records
        self._has_items |= other._has_items
        self._failed = self._failed or other._failed

    def code(self) -> int:
        """The exit code for what failed, if anything did."""
        if self._failed is None:
            return int(ExitCode.DONE)
        return int(self._failed.exit_code if self._is_single else ExitCode.INPUT_FAILED)

    def video(
        self,
        source: str,
        output: Path | None,
        make: Callable[[], "VideoTask"],
        settings: VideoSettings,
        overwrite: bool,
    ) -> None:
        """Takes a video through a task: a record for each frame, and a line at the end.

        Args:
            source: the video.
            output: what is made of it; None for records alone.
            make: loads what is done.
            settings: the part that is taken.
            overwrite: replace a file that is there.
        """
        from cnnkit.engine.video import run_video

        try:
            line = run_video(
                source,
                output,
                make,
                settings,
                console=self._console,
                on_record=self.add,
                overwrite=overwrite,
            )
        except CnnkitError as error:
            self.fail(source, error)
            return
        if not (self._json or self._jsonl):
            self._console.result(line if output is None else f"{line} -> {output}")

    def finish(self, fail_if_empty: bool = False) -> int:
        """Prints what is left and returns the exit code."""
        if self._json:
            only = self._is_single and len(self._records) == 1
            self._console.json(self._records[0] if only else self._records)
        is_empty = fail_if_empty and not self._has_items
        if self._failed is None and (is_empty or self._is_empty):
            return int(ExitCode.NOTHING_FOUND)
        return self.code()


def check_json(json: bool, jsonl: bool) -> None:
    """Refuses both kinds of JSON at once."""
    if json and jsonl:
        raise UsageError("--json and --jsonl exclude each other; give one of them")


def find_videos(
    sources: Sequence["Source"], settings: VideoSettings, packages: Sequence[str] = ("av",)
) -> list["Source"]:
    """Those of some files that are videos.

    Args:
        sources: all files.
        settings: of videos.
        packages: what reads them and does what is to be done.

    Raises:
        UsageError: settings of videos, and no video.
        VideoError: nothing but videos, and a package that is not installed. Beside pictures, each
            video fails in its turn.
    """
    videos = [one for one in sources if is_video(one.path)]
    if settings.is_given and not videos:
        raise UsageError("--start, --end, --every and --resume are for videos; there is none")
    if videos and len(videos) == len(sources) and not all(map(is_installed, packages)):
        raise VideoError(f"{videos[0].path}: videos need an extra; run: {REMEDY}")
    return videos


def goes_on(path: Path | None, settings: VideoSettings) -> bool:
    """Whether a file is the beginning of a video, which this run is to finish."""
    return settings.resume and path is not None and parts_folder(path).is_dir()


Pictures = Annotated[
    list[str], Argument("Files, folders, globs, @list.txt or - (stdin).", metavar="IMG...")
]
PicturesOrVideos = Annotated[
    list[str],
    Argument("Files, folders, globs, @list.txt or - (stdin); videos too.", metavar="IMG|VIDEO..."),
]
Overwrite = Annotated[bool, Option("Replace files that exist.", OUTPUT_PANEL)]
JsonLines = Annotated[
    bool, Option("Print one JSON object per input on stdout, of a video per frame.", OUTPUT_PANEL)
]
Recursive = Annotated[
    bool, Option("Look into folders of folders.", RUN_PANEL, ("-r", "--recursive"))
]
BatchSize = Annotated[int, Option("Files that the network sees at a time.", RUN_PANEL, min=1)]


@dataclass(frozen=True)
class BatchSettings(Settings):
    """How a command goes through its sources."""

    overwrite: Overwrite = False
    skip_existing: Annotated[bool, Option("Leave files that exist and go on.", OUTPUT_PANEL)] = (
        False
    )
    jsonl: JsonLines = False
    recursive: Recursive = False

    def check(self) -> None:
        """Refuses to replace files and to leave them at once."""
        if self.overwrite and self.skip_existing:
            raise UsageError("--overwrite and --skip-existing exclude each other; give one of them")

    def save(self, path: Path, content: bytes) -> None:
        """Writes a file, or leaves one that is there, as these settings have it.

        Raises:
            ImageError: it cannot be written, or is there and must neither be replaced nor left.
        """
        from cnnkit.images import write_bytes

        if not (self.skip_existing and path.exists()):
            write_bytes(path, content, overwrite=self.overwrite)


class Result(Protocol):
    """What a task finds in one source."""

    def to_record(self) -> Record:
        """What the JSON says of it."""

    def lines(self) -> list[str]:
        """What people are told of it; the first line begins with the source."""


_Result = TypeVar("_Result", bound=Result)
_Contra = TypeVar("_Contra", bound=Result, contravariant=True)


class Output(Protocol[_Contra]):
    """What is written of each result, such as a drawn picture, or a row of one file for all."""

    @property
    def planned(self) -> Iterable[Path]:
        """The files that are going to be written, as far as they are known before."""

    def is_done(self, source: "Source") -> bool | None:
        """Whether what would be written of a source is there; None where nobody can tell."""

    def begin(self, sources: Sequence["Source"]) -> None:
        """Takes the sources that are left to be done, before the first is."""

    def write(self, source: "Source", result: _Contra) -> Path | None:
        """Writes what there is of one result; gives the file that its line is to name."""

    def finish(self) -> str | None:
        """Ends what is for all results, after Ctrl-C too; gives a line about it."""


class FileOutput(Generic[_Result]):
    """A file for each source, or the one result on stdout.

    Args:
        paths: source -> its file, or `STDOUT`.
        encode: result and suffix of the file -> its content.
        settings: what becomes of files that are there.
        suffix: of what goes to stdout.
        is_named: whether the lines for people name the files.
    """

    def __init__(
        self,
        paths: Mapping["Source", Path],
        encode: Callable[[_Result, str], bytes],
        settings: BatchSettings,
        suffix: str,
        is_named: bool = False,
    ):
        self._paths, self._encode, self._settings = paths, encode, settings
        self._suffix, self._is_named = suffix, is_named

    @property
    def planned(self) -> Iterable[Path]:
        """See `Output`."""
        return [path for path in self._paths.values() if path != STDOUT]

    def is_done(self, source: "Source") -> bool | None:
        """See `Output`."""
        path = self._paths[source]
        return path != STDOUT and path.exists()

    def path_of(self, source: "Source") -> Path:
        """The file of a source, or `STDOUT`."""
        return self._paths[source]

    def begin(self, sources: Sequence["Source"]) -> None:
        """See `Output`."""

    def write(self, source: "Source", result: _Result) -> Path | None:
        """See `Output`."""
        path = self._paths[source]
        content = self._encode(result, path.suffix or self._suffix)
        if path == STDOUT:
            Console().binary(content)
        else:
            self._settings.save(path, content)
        return path if self._is_named else None

    def finish(self) -> str | None:
        """See `Output`."""
        return None


class Batch:
    """The sources of a command, on their way to results and files.

    Args:
        task: name of the command, such as "detect"; for names of files.
        arguments: what the user named: files, folders, globs, lists.
        settings: how to go through them.
        printing: what is printed.
        console: where to.
        names_output: whether the JSON says of each source which file was written, or that none was.
        suffixes: of the files that are looked for in folders; those of pictures by default.
        video: how videos are taken; None where the command takes none.

    Attributes:
        sources: each file once, in order.
        videos: those of them that are videos.
        is_json: whether JSON is printed, and no lines for people.

    Raises:
        UsageError: no source, settings that exclude each other, or settings of videos without one.
        ImageError: a folder or list that holds no picture.
    """

    def __init__(
        self,
        task: str,
        arguments: Sequence[str],
        settings: BatchSettings,
        printing: PrintSettings,
        console: Console,
        names_output: bool = False,
        suffixes: tuple[str, ...] | None = None,
        video: VideoSettings | None = None,
    ):
        from cnnkit.data.sources import find_sources
        from cnnkit.images import READABLE_SUFFIXES

        check_json(printing.json, settings.jsonl)
        self._task, self._settings, self._console = task, settings, console
        self._names_output, self._is_on_stdout = names_output, False
        self.is_json = printing.json or settings.jsonl
        known = suffixes or READABLE_SUFFIXES
        if video is not None:
            known = (*known, *video_suffixes())
        self.sources = find_sources(arguments, settings.recursive, known, console.note)
        self._video = video or VideoSettings()
        self.videos = [] if video is None else find_videos(self.sources, video)
        self._drawn: dict[Source, Path] = {}
        self._outcome = Outcome(
            console, printing.json, settings.jsonl, is_single=len(self.sources) == 1
        )

    def files(
        self,
        output: str | None,
        suffix: str,
        encode: Callable[[_Result, str], bytes],
        *,
        is_named: bool = False,
    ) -> FileOutput[_Result]:
        """A file for each source.

        Args:
            output: a file, a folder, "-" for stdout, or None for names that are chosen; see
                `plan_outputs`.
            suffix: of files that the user does not name.
            encode: result and suffix of a file -> its content.
            is_named: whether the lines for people name the files.

        Raises:
            UsageError: names that clash, or more than one result, JSON or a terminal for stdout.
        """
        from cnnkit.data.sources import plan_outputs, stopped_path

        if output == str(STDOUT):
            self._take_stdout()
            paths = [STDOUT]
        else:
            settings, resume = self._settings, self._video.resume
            # Names that an earlier run chose are found again.
            keeps_names = settings.overwrite or settings.skip_existing or resume
            suffixes = [
                suffix_for(one.path) if one in self.videos else suffix for one in self.sources
            ]
            paths = plan_outputs(
                self.sources, output, self._task, suffixes, keeps_names=keeps_names
            )
            if resume and output is None:
                paths = [stopped_path(path, parts_folder) for path in paths]
        planned = dict(zip(self.sources, paths, strict=True))
        return FileOutput(planned, encode, self._settings, suffix, is_named)

    def pictures(
        self, output: str | None, suffix: str, draw: Callable[[_Result], Any]
    ) -> FileOutput[_Result]:
        """A picture for each source, see `files`.

        Args:
            output: see `files`.
            suffix: see `files`.
            draw: result -> its picture, a `Picture`, `PIL.Image` or array.

        Of a video that is a video, which its task draws.

        Raises:
            UsageError: see `files`, and a name that is of no video.
            ImageError: a file of a format that cannot be written.
        """
        import numpy as np

        from cnnkit.images import Picture, as_picture, check_writable_format, encode_image

        def encode(result: _Result, suffix: str) -> bytes:
            drawn = draw(result)
            picture = drawn if isinstance(drawn, Picture) else np.asarray(drawn)
            return encode_image(as_picture(picture, "", keep_alpha=True), suffix)

        files = self.files(output, suffix, encode, is_named=True)
        for source in self.sources:
            path = files.path_of(source)
            if source in self.videos:
                check_writable_video(path)
                self._drawn[source] = path
            elif path != STDOUT:
                check_writable_format(path)
        return files

    def _take_stdout(self) -> None:
        if len(self.sources) > 1:
            raise UsageError(f"-o - takes one picture, not {len(self.sources)}")
        if self.videos:
            raise UsageError("-o - takes no video; give a file name")
        if self.is_json:
            raise UsageError("-o - and --json both want stdout; give one of them")
        if sys.stdout.isatty():
            raise UsageError("-o - would write a picture to the terminal; redirect it: > a.png")
        self._is_on_stdout = True

    def run(
        self,
        predict: Callable[[Sequence["Source"]], Iterable[_Result | CnnkitError]],
        outputs: Sequence[Output[_Result]] = (),
        fail_if_empty: bool = False,
        to_record: Callable[[_Result], Record] | None = None,
        make_video: Callable[[str], "VideoTask"] | None = None,
    ) -> int:
        """Predicts, writes and prints; the exit code.

        Args:
            predict: loads the model, and gives for each source its result, or why there is none. It
                is called once, and only where something is left to be done, after all that can be
                checked without it was.
            outputs: what is written of each result.
            fail_if_empty: exit with 4 where no result has an item.
            to_record: what the JSON says of a result; its own `to_record` by default.
            make_video: loads what is done to a video, by its path; what is made of it goes where
                `pictures` has it, where there was a call of that.

        Raises:
            UsageError: a file is there already.
        """
        left, outcome = self._left(outputs), self._outcome
        pictures = [source for source in left if source not in self.videos]
        for output in outputs:
            output.begin(pictures)
        if not left or outcome.none_is_there(left):
            return outcome.finish()
        if pictures:
            self._run_pictures(pictures, predict(pictures), outputs, to_record)
        for source in left:
            if make_video is not None and source in self.videos:
                path = self._drawn.get(source)
                overwrites = self._settings.overwrite or goes_on(path, self._video)
                make = functools.partial(make_video, source.path)
                outcome.video(source.path, path, make, self._video, overwrites)
        return outcome.finish(fail_if_empty)

    def _run_pictures(
        self,
        sources: Sequence["Source"],
        results: Iterable[_Result | CnnkitError],
        outputs: Sequence[Output[_Result]],
        to_record: Callable[[_Result], Record] | None,
    ) -> None:
        try:
            with self._console.progress() as bar:
                task = bar.add_task(self._task, total=len(sources), status="")
                for source, result in zip(sources, results, strict=True):
                    self._take(source, result, outputs, to_record)
                    bar.update(task, advance=1)
        finally:
            for output in outputs:
                if line := output.finish():
                    self._console.note(line)

    def _take(
        self,
        source: "Source",
        result: _Result | CnnkitError,
        outputs: Sequence[Output[_Result]],
        to_record: Callable[[_Result], Record] | None,
    ) -> None:
        if isinstance(result, CnnkitError):
            self._outcome.fail(source.path, result)
            return
        written: list[Path | None] = []
        try:
            written += [output.write(source, result) for output in outputs]
        except NothingFoundError as error:
            self._outcome.find_nothing(str(error))
        except CnnkitError as error:
            self._outcome.fail(source.path, error)
            return
        named = ", ".join(str(path) for path in written if path is not None)
        record = result.to_record() if to_record is None else to_record(result)
        lines = [] if self._is_on_stdout else result.lines()
        if self._names_output:
            record = replace(record, details={**record.details, "output": named or None})
        if lines and named:
            lines = [f"{lines[0]} -> {named}", *lines[1:]]
        self._outcome.add(record, lines)

    def _left(self, outputs: Sequence[Output[_Result]]) -> list["Source"]:
        """The sources of which something is left to be written."""
        if not self._settings.skip_existing:
            there = [
                path
                for output in outputs
                for path in output.planned
                if path.exists() and not goes_on(path, self._video)
            ]
            if there and not self._settings.overwrite:
                raise UsageError(
                    f"{there[0]} exists; use --overwrite, --skip-existing or another place"
                )
            return self.sources
        left = [one for one in self.sources if not _is_done(one, outputs)]
        if len(left) < len(self.sources):
            self._console.note(
                f"{len(self.sources) - len(left)} {'files' if self.videos else 'pictures'} are "
                "done already" + (", and are not in the JSON" if self.is_json else "")
            )
        return left


def _is_done(source: "Source", outputs: Sequence[Output[_Result]]) -> bool:
    done = [output.is_done(source) for output in outputs]
    return True in done and False not in done
