"""SOURCE arguments to files, and files to output paths, the same way in every command."""

import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cnnkit.data._places import is_clutter
from cnnkit.errors import ImageError, UsageError
from cnnkit.images import HEIF_REMEDY, READABLE_SUFFIXES, is_address, is_unreadable_heif

STDIN = "-"
_WILDCARDS = "*?["
# Kinds of files, and names of each, that are named of what was left out.
_NAMED_KINDS, _NAMED_FILES = 4, 2


@dataclass(frozen=True)
class Source:
    """One input.

    Attributes:
        path: the file, or "-" for stdin.
        relative: its path below the folder that was named, or below the part of a glob before the
            first wildcard; for mirroring the tree in the output.
    """

    path: str
    relative: Path


def find_sources(
    arguments: Sequence[str | Source],
    recursive: bool = False,
    suffixes: tuple[str, ...] = READABLE_SUFFIXES,
    note: Callable[[str], None] | None = None,
) -> list[Source]:
    """Expands files, folders, globs, "-" and "@list.txt" into sources, in order.

    A file that does not exist is kept: reading it fails with its own line and the batch goes on.
    So does an address (URL), which is never fetched.

    Args:
        arguments: what the user typed; sources that were found before stay as they are.
        recursive: look into subfolders of folders too.
        suffixes: of the files that are taken from folders.
        note: takes one line for each folder of which something was left out, with what that was.

    Returns:
        Sources, each file once.

    Raises:
        UsageError: no argument, or an empty one.
        ImageError: a folder without pictures, a glob without match, or a list that cannot be read
            or names itself.

    Example:

    >>> [source.path for source in find_sources(["a.jpg", "b.jpg", "a.jpg"])]
    ['a.jpg', 'b.jpg']
    """
    if not arguments:
        raise UsageError("no pictures given; name files, folders, globs, @list.txt or -")
    found: dict[str, Source] = {}
    for argument in arguments:
        if isinstance(argument, Source):
            found[argument.path] = argument
            continue
        try:
            expanded = _expand(argument, _Search(recursive, suffixes, note), ())
        except OSError as error:
            raise ImageError(f"{argument} cannot be read: {error.strerror or error}") from None
        for source in expanded:
            key = source.path if source.path == STDIN else os.path.realpath(source.path)
            found.setdefault(key, source)
    return list(found.values())


def stream_sources(
    arguments: Sequence[str], recursive: bool = False, note: Callable[[str], None] | None = None
) -> Iterator[Source]:
    """The sources of `find_sources` one at a time, for folders of any size.

    Of a folder no more is in memory than the names in one of its folders. What lies in one folder
    is taken as it is; of several arguments, or of a list, each file comes once.

    Args:
        arguments: what the user typed.
        recursive: look into subfolders of folders too.
        note: as in `find_sources`; when a folder has come to its end.

    Yields:
        Sources, in the order of `find_sources`.

    Raises:
        UsageError: no argument, or an empty one; when it comes to it, as all errors.
        ImageError: a folder without pictures, a glob without match, or a list that cannot be read
            or names itself.

    Example:

    >>> [source.path for source in stream_sources(["b.jpg", "a.jpg", "b.jpg"])]
    ['b.jpg', 'a.jpg']
    """
    if len(arguments) == 1 and arguments[0] and Path(arguments[0]).is_dir():
        yield from _pictures_below(Path(arguments[0]), _Search(recursive, READABLE_SUFFIXES, note))
    else:
        yield from find_sources(arguments, recursive, note=note)


@dataclass(frozen=True)
class _Search:
    """What is taken from folders, and who is told of the rest."""

    recursive: bool
    suffixes: tuple[str, ...]
    note: Callable[[str], None] | None


@dataclass
class _LeftOut:
    """What a folder holds and a command passes over."""

    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    heif: int = 0
    folders: int = 0
    closed: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        kind = Path(name).suffix.lower() or "without a suffix"
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if len(self.names.setdefault(kind, [])) < _NAMED_FILES:
            self.names[kind].append(name)

    def describe(self) -> str:
        """In words; "" where nothing was left out."""
        parts = [f"{self.heif} HEIC ({HEIF_REMEDY})"] if self.heif else []
        parts += [f"{name}, a folder that may not be read" for name in self.closed[:_NAMED_FILES]]
        if (more := len(self.closed) - _NAMED_FILES) > 0:
            parts.append(f"{more} more folders that may not be read")
        kinds = sorted(self.counts, key=lambda kind: (-self.counts[kind], kind))
        for kind in kinds[:_NAMED_KINDS]:
            dots = ", ..." if self.counts[kind] > _NAMED_FILES else ""
            parts.append(f"{self.counts[kind]} {kind} ({', '.join(self.names[kind])}{dots})")
        if rest := sum(self.counts[kind] for kind in kinds[_NAMED_KINDS:]):
            parts.append(f"{rest} files of {len(kinds) - _NAMED_KINDS} more kinds")
        if self.folders:
            parts.append(f"{self.folders} folder{'s' * (self.folders > 1)} (use -r)")
        return ", ".join(parts)


def _pictures_below(folder: Path, search: _Search) -> Iterator[Source]:
    """The pictures of a folder in the order of their paths, which are never all in memory."""
    left_out = _LeftOut()
    is_empty = True
    try:
        for path in _walk(folder, search, left_out):
            is_empty = False
            yield Source(str(path), path.relative_to(folder))
    except OSError as error:
        raise ImageError(f"{folder} cannot be read: {error.strerror or error}") from None
    rest = left_out.describe()
    if is_empty:
        raise _no_pictures(folder, search, rest)
    if rest and search.note is not None:
        search.note(f"{folder}: left out: {rest}")


def _walk(folder: Path, search: _Search, left_out: _LeftOut) -> Iterator[Path]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_clutter(entry.name):
                continue
            if entry.is_dir():
                # A link to a folder may lead round in a circle.
                if search.recursive and not entry.is_symlink():
                    found.append((entry.name, True))
                else:
                    left_out.folders += 1
            elif Path(entry.name).suffix.lower() not in search.suffixes or not entry.is_file():
                left_out.add(entry.name)
            elif is_unreadable_heif(entry.path):
                left_out.heif += 1
            else:
                found.append((entry.name, False))
    for name, is_folder in sorted(found):
        if not is_folder:
            yield folder / name
            continue
        try:
            yield from _walk(folder / name, search, left_out)
        except PermissionError:
            left_out.closed.append(str(folder / name))


def _expand(argument: str, search: _Search, lists: tuple[Path, ...]) -> Iterable[Source]:
    if not argument:
        raise UsageError("a picture's name is empty; is a variable in the command not set?")
    path = Path(argument)
    if argument == STDIN:
        return [Source(STDIN, Path("stdin"))]
    if is_address(argument):
        return [Source(argument, Path(path.name))]
    if argument.startswith("@") and not path.exists():
        listed = Path(argument[1:])
        if listed in lists:
            raise ImageError(f"the list {listed} names itself")
        return [
            source
            for line in _read_list(listed)
            for source in _expand(line, search, (*lists, listed))
        ]
    if path.is_dir():
        return list(_pictures_below(path, search))
    if any(character in argument for character in _WILDCARDS) and not path.exists():
        return _matches(path)
    return [Source(argument, Path(path.name))]


def _matches(pattern: Path) -> list[Source]:
    has_wildcard = [any(character in part for character in _WILDCARDS) for part in pattern.parts]
    begin = has_wildcard.index(True)
    # A folder that is there under that very name is that folder, such as "photos [1]".
    while begin < len(pattern.parts) - 1 and Path(*pattern.parts[: begin + 1]).is_dir():
        begin += 1
    plain = pattern.parts[:begin]
    base = Path(*plain)
    try:
        matches = sorted(base.glob(str(Path(*pattern.parts[len(plain) :]))))
    except ValueError as error:
        raise ImageError(f"{pattern} is no pattern ({error}); check it") from None
    files = [match for match in matches if match.is_file()]
    if not files:
        raise ImageError(f"{pattern} matches no file; check the pattern")
    return [Source(str(file), file.relative_to(base)) for file in files]


def _read_list(path: Path) -> list[str]:
    try:
        # "-sig": Notepad begins its files with a byte order mark.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}; check the list") from None
    except UnicodeDecodeError:
        raise ImageError(f"{path} is not a UTF-8 text file; give one path a line") from None
    names = [line.strip() for line in lines]
    return [name for name in names if name and not name.startswith("#")]


def _no_pictures(folder: Path, search: _Search, left_out: str) -> ImageError:
    if search.suffixes == READABLE_SUFFIXES:
        what = "pictures"
    elif set(READABLE_SUFFIXES) < set(search.suffixes):
        what = "pictures and no videos"
    else:
        what = f"files in {', '.join(search.suffixes)}"
    return ImageError(f"{folder} holds no {what}" + (f", only {left_out}" if left_out else ""))


def free_path(path: Path, taken: Container[Path] = ()) -> Path:
    """A name that the tool chose, numbered where there is such a file.

    Args:
        path: that is wanted.
        taken: what is written in the same run.

    Returns:
        `path`, or the first of `<stem>-2<suffix>`, `<stem>-3<suffix>` and so on that is free.
    """
    return _numbered(path, lambda one: one in taken or os.path.lexists(one))


def stopped_path(path: Path, state_of: Callable[[Path], Path]) -> Path:
    """Of the names that `free_path` may have chosen, the one whose run was stopped.

    Args:
        path: that was wanted.
        state_of: gives the file with the state of the run that writes a file.

    Returns:
        `path` where no run was stopped.
    """
    found, number = path, 1
    while not state_of(found).exists():
        if not os.path.lexists(found):
            return path
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def _numbered(path: Path, is_taken: Callable[[Path], bool]) -> Path:
    found, number = path, 1
    while is_taken(found):
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


def plan_outputs(
    sources: Sequence[Source],
    output: str | None,
    task: str,
    suffix: str | Sequence[str],
    *,
    keeps_names: bool = False,
) -> list[Path]:
    """Where the result for each source goes; never two to one place.

    Args:
        sources: the inputs.
        output: what the user gave with -o: a file for one input, otherwise a folder that mirrors
            the input tree; a name without suffix is a folder. None: `<stem>-<task><suffix>` in the
            current directory, numbered where that is taken.
        task: such as "stylized".
        suffix: such as ".png", for outputs whose name the user does not give; or one for each
            source.
        keeps_names: what an earlier run has written is to be found again: without `output` names
            are numbered by what is taken in this run alone.

    Returns:
        One path per source.

    Raises:
        UsageError: several inputs and a single output file, two inputs whose results would have
            the same name, or a result that would replace an input.
    """
    suffixes = [suffix] * len(sources) if isinstance(suffix, str) else suffix
    if output is None:
        outputs = []
        taken: set[Path] = set()
        for source, own in zip(sources, suffixes, strict=True):
            path = Path(f"{source.relative.stem}-{task}{own}")
            is_taken = taken.__contains__
            path = _numbered(path, is_taken) if keeps_names else free_path(path, taken)
            taken.add(path)
            outputs.append(path)
    else:
        target = Path(output)
        try:
            is_there = target.is_dir()
        except OSError as error:
            raise ImageError(
                f"{output} cannot be written: {error.strerror or error}; give another -o"
            ) from None
        is_folder = is_there or output.endswith(("/", os.sep)) or not target.suffix
        if len(sources) > 1 and not is_folder:
            raise UsageError(
                f"{output} is one file but there are {len(sources)} inputs; give a folder"
            )
        if is_folder:
            outputs = [
                target / source.relative.with_suffix(own)
                for source, own in zip(sources, suffixes, strict=True)
            ]
        else:
            outputs = [target]
    first_with: dict[Path, Source] = {}
    for source, path in zip(sources, outputs, strict=True):
        other = first_with.setdefault(path, source)
        if other is not source:
            raise UsageError(
                f"{other.path} and {source.path} would both be written to {path}; "
                "rename one, or run them apart with different -o"
            )
    inputs = {os.path.realpath(source.path) for source in sources if source.path != STDIN}
    for path in outputs:
        if os.path.realpath(path) in inputs:
            raise UsageError(f"{path} is an input and would be replaced; give another -o")
    return outputs
