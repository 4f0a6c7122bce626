"""SOURCE arguments to files, and files to output paths, the same way in every command."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cnnkit.errors import ImageError, UsageError
from cnnkit.images import READABLE_SUFFIXES

STDIN = "-"


@dataclass(frozen=True)
class Source:
    """One input.

    Attributes:
        path: the file, or "-" for stdin.
        relative: its path below the folder that was named, for mirroring the tree in the output.
    """

    path: str
    relative: Path


def find_sources(arguments: Sequence[str], recursive: bool = False) -> list[Source]:
    """Expands files, folders, globs, "-" and "@list.txt" into sources, in order.

    A file that does not exist is kept: reading it fails with its own line and the batch goes on.

    Args:
        arguments: what the user typed.
        recursive: look into subfolders of folders too.

    Returns:
        Sources, each file once.

    Raises:
        UsageError: no argument, or stdin named twice.
        ImageError: a folder without pictures, a glob without match, or a list that cannot be read.
    """
    if not arguments:
        raise UsageError("no pictures given; name files, folders, globs, @list.txt or -")
    found: dict[str, Source] = {}
    for argument in arguments:
        for source in _expand(argument, recursive):
            key = source.path if source.path == STDIN else os.path.realpath(source.path)
            found.setdefault(key, source)
    return list(found.values())


def _expand(argument: str, recursive: bool) -> Iterable[Source]:
    path = Path(argument)
    if argument == STDIN:
        return [Source(STDIN, Path("stdin"))]
    if argument.startswith("@") and not path.exists():
        return [
            source for line in _read_list(Path(argument[1:])) for source in _expand(line, recursive)
        ]
    if path.is_dir():
        return _pictures_below(path, recursive)
    if any(character in argument for character in "*?[") and not path.exists():
        base = Path(path.anchor) if path.is_absolute() else Path()
        matches = sorted(base.glob(str(path.relative_to(path.anchor) if path.anchor else path)))
        if not matches:
            raise ImageError(f"{argument} matches no file; check the pattern")
        return [Source(str(match), Path(match.name)) for match in matches if match.is_file()]
    return [Source(argument, Path(path.name))]


def _read_list(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}; check the list") from None
    except UnicodeDecodeError:
        raise ImageError(f"{path} is not a UTF-8 text file; give one path a line") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _pictures_below(folder: Path, recursive: bool) -> list[Source]:
    pattern = "**/*" if recursive else "*"
    pictures = sorted(
        path
        for path in folder.glob(pattern)
        if path.suffix.lower() in READABLE_SUFFIXES and path.is_file()
    )
    if not pictures:
        hint = "" if recursive else " (use -r to look into its folders)"
        raise ImageError(f"{folder} holds no pictures{hint}")
    return [Source(str(path), path.relative_to(folder)) for path in pictures]


def plan_outputs(
    sources: Sequence[Source], output: str | None, task: str, suffix: str
) -> list[Path]:
    """Where the result for each source goes; never two to one place.

    Args:
        sources: the inputs.
        output: what the user gave with -o: a file for one input, otherwise a folder that mirrors
            the input tree. None: `<stem>-<task><suffix>` in the current directory.
        task: such as "stylized".
        suffix: such as ".png", for outputs whose name the user does not give.

    Returns:
        One path per source.

    Raises:
        UsageError: several inputs and a single output file, or two inputs whose results would
            have the same name.
    """
    if output is None:
        outputs = [Path(f"{source.relative.stem}-{task}{suffix}") for source in sources]
    else:
        target = Path(output)
        as_folder = len(sources) > 1 or target.is_dir() or output.endswith(("/", os.sep))
        if not as_folder:
            return [target]
        if len(sources) > 1 and target.suffix and not target.is_dir():
            raise UsageError(
                f"{output} is one file but there are {len(sources)} inputs; give a folder"
            )
        outputs = [target / source.relative.with_suffix(suffix) for source in sources]
    first_with: dict[Path, Source] = {}
    for source, path in zip(sources, outputs, strict=True):
        other = first_with.setdefault(path, source)
        if other is not source:
            raise UsageError(
                f"{other.path} and {source.path} would both be written to {path}; "
                "rename one, or run them apart with different -o"
            )
    return outputs
