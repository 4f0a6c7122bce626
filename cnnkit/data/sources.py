"""SOURCE arguments to files, and files to output paths, the same way in every command."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnkit.errors import ImageError, UsageError
from cnnkit.images import READABLE_SUFFIXES

STDIN = "-"
_WILDCARDS = "*?["


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
    arguments: Sequence[str],
    recursive: bool = False,
    suffixes: tuple[str, ...] = READABLE_SUFFIXES,
) -> list[Source]:
    """Expands files, folders, globs, "-" and "@list.txt" into sources, in order.

    A file that does not exist is kept: reading it fails with its own line and the batch goes on.

    Args:
        arguments: what the user typed.
        recursive: look into subfolders of folders too.
        suffixes: of the files that are taken from folders.

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
        try:
            expanded = _expand(argument, recursive, suffixes, ())
        except OSError as error:
            raise ImageError(f"{argument} cannot be read: {error.strerror or error}") from None
        for source in expanded:
            key = source.path if source.path == STDIN else os.path.realpath(source.path)
            found.setdefault(key, source)
    return list(found.values())


def stream_sources(arguments: Sequence[str], recursive: bool = False) -> Iterator[Source]:
    """The sources of `find_sources` one at a time, for folders of any size.

    Of a folder no more is in memory than the names in one of its folders. What lies in one folder
    is taken as it is; of several arguments, or of a list, each file comes once.

    Args:
        arguments: what the user typed.
        recursive: look into subfolders of folders too.

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
        folder = Path(arguments[0])
        is_empty = True
        try:
            for path in _walk(folder, recursive):
                is_empty = False
                yield Source(str(path), path.relative_to(folder))
        except OSError as error:
            raise ImageError(f"{folder} cannot be read: {error.strerror or error}") from None
        if is_empty:
            raise _no_pictures(folder, recursive)
    else:
        yield from find_sources(arguments, recursive)


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    """The pictures below a folder in the order of their paths, which are never all in memory."""
    with os.scandir(folder) as entries:
        found = sorted(
            (entry.name, is_folder)
            for entry in entries
            # A link to a folder may lead round in a circle; `glob` does not follow it either.
            if (is_folder := recursive and entry.is_dir(follow_symlinks=False))
            or (_is_wanted(entry.name, READABLE_SUFFIXES) and entry.is_file())
        )
    for name, is_folder in found:
        if not is_folder:
            yield folder / name
            continue
        # A folder inside that must not be read is passed over, as by `glob`.
        with contextlib.suppress(PermissionError):
            yield from _walk(folder / name, recursive)


def _expand(
    argument: str, recursive: bool, suffixes: tuple[str, ...], lists: tuple[Path, ...]
) -> Iterable[Source]:
    if not argument:
        raise UsageError("a picture's name is empty; is a variable in the command not set?")
    path = Path(argument)
    if argument == STDIN:
        return [Source(STDIN, Path("stdin"))]
    if argument.startswith("@") and not path.exists():
        listed = Path(argument[1:])
        if listed in lists:
            raise ImageError(f"the list {listed} names itself")
        return [
            source
            for line in _read_list(listed)
            for source in _expand(line, recursive, suffixes, (*lists, listed))
        ]
    if path.is_dir():
        return _pictures_below(path, recursive, suffixes)
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


def _pictures_below(folder: Path, recursive: bool, suffixes: tuple[str, ...]) -> list[Source]:
    pattern = "**/*" if recursive else "*"
    pictures = sorted(
        path for path in folder.glob(pattern) if _is_wanted(path.name, suffixes) and path.is_file()
    )
    if not pictures:
        raise _no_pictures(folder, recursive, suffixes)
    return [Source(str(path), path.relative_to(folder)) for path in pictures]


def _is_wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    # macOS leaves a "._a.jpg" beside each "a.jpg" on foreign disks.
    return Path(name).suffix.lower() in suffixes and not name.startswith(".")


def _no_pictures(
    folder: Path, recursive: bool, suffixes: tuple[str, ...] = READABLE_SUFFIXES
) -> ImageError:
    hint = "" if recursive else " (use -r to look into its folders)"
    what = "pictures" if suffixes == READABLE_SUFFIXES else f"files in {', '.join(suffixes)}"
    return ImageError(f"{folder} holds no {what}{hint}")


def plan_outputs(
    sources: Sequence[Source], output: str | None, task: str, suffix: str
) -> list[Path]:
    """Where the result for each source goes; never two to one place.

    Args:
        sources: the inputs.
        output: what the user gave with -o: a file for one input, otherwise a folder that mirrors
            the input tree; a name without suffix is a folder. None: `<stem>-<task><suffix>` in the
            current directory.
        task: such as "stylized".
        suffix: such as ".png", for outputs whose name the user does not give.

    Returns:
        One path per source.

    Raises:
        UsageError: several inputs and a single output file, two inputs whose results would have
            the same name, or a result that would replace an input.
    """
    if output is None:
        outputs = [Path(f"{source.relative.stem}-{task}{suffix}") for source in sources]
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
            outputs = [target / source.relative.with_suffix(suffix) for source in sources]
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
