"""Where files lie that an annotation names: paths of other systems and other machines."""

import itertools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from cnnkit.data._splits import split_of
from cnnkit.errors import DataError
from cnnkit.images import READABLE_SUFFIXES

# What archives and systems leave in folders.
_CLUTTER = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found")
# Folders that are a part of data, not a folder around them.
_PARTS = ("images", "labels", "annotations", "jpegimages")
# Names at the end of a path of another machine that are looked for here.
DEEPEST = 8
# A folder of data has fewer; a wrong path must not end in a walk through a whole disk.
_MOST_FILES = 5_000_000
# Files in which one is looked for that is not where it should be.
_MOST_SEARCHED = 200_000
# No system takes a longer path.
_LONGEST = 4096


def is_clutter(name: str) -> bool:
    """Whether a file or folder belongs to the system and is no data.

    >>> is_clutter(".DS_Store"), is_clutter("__MACOSX"), is_clutter("cats")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in _CLUTTER


def is_picture_name(name: str) -> bool:
    """Whether a file is a picture by its name, and not hidden."""
    return name.lower().endswith(READABLE_SUFFIXES) and not is_clutter(name)


def files_below(folder: Path) -> Iterator[Path]:
    """All files in a folder and its folders, sorted, without what belongs to the system.

    Links to folders are followed, each folder is entered once.

    Raises:
        DataError: there are millions, as in no folder of data.
    """
    entered: set[str] = set()
    count = 0
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        for name in sorted(files):
            if not is_clutter(name):
                yield Path(place, name)
        count += len(files)
        if count > _MOST_FILES:
            raise DataError(
                f"{folder} holds more than {_MOST_FILES:,} files; give the folder of the data alone"
            )


def innermost(folder: Path) -> Path:
    """The folder inside folders that hold nothing but one folder, as archives are unpacked."""
    while True:
        inside = [one for one in folder.iterdir() if not _is_beside_data(one.name)]
        is_wrapper = (
            len(inside) == 1
            and inside[0].is_dir()
            and inside[0].name.lower() not in _PARTS
            and split_of(inside[0].name) is None
        )
        if not is_wrapper:
            return folder
        folder = inside[0]


def _is_beside_data(name: str) -> bool:
    lower = name.lower()
    return is_clutter(name) or lower.startswith(("readme", "license")) or lower.endswith(".zip")


def parts_of(written: str) -> tuple[str, ...]:
    r"""The names in a path of any system, without drive, "." and "..".

    >>> parts_of(r"C:\data\images\0.jpg"), parts_of("../train/./0.jpg")
    (('data', 'images', '0.jpg'), ('train', '0.jpg'))
    """
    text = re.sub(r"^[A-Za-z]:(?=[\\/])", "", written.strip())
    return tuple(part for part in re.split(r"[\\/]+", text) if part not in ("", ".", ".."))


def as_written(folder: Path, written: str) -> Path:
    r"""A file that a list names: where it lies as it is written, else with "\" read as "/".

    >>> as_written(Path("data"), r"images\0.jpg").as_posix()
    'data/images/0.jpg'
    """
    path = folder / written
    if "\\" in written and not exists(path):
        return folder / written.replace("\\", "/")
    return path


def below(folder: Path, written: str) -> Path:
    """As `as_written`; of a whole path of another machine the longest end that is there."""
    path = as_written(folder, written)
    if re.match(r"[\\/]|[A-Za-z]:[\\/]", written) and not exists(path):
        parts = parts_of(written)[-DEEPEST:]
        ends = (folder.joinpath(*parts[begin:]) for begin in range(len(parts)))
        return next((end for end in ends if exists(end)), path)
    return path


def exists(path: Path) -> bool:
    """Whether a file or folder is there; not one whose name the system does not take."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether a file is there; not one whose name the system does not take."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Places:
    """Looks for files by paths that may be of another system or machine.

    Attributes:
        root: folder of the data, below which a file may lie anywhere.
        files: below it, where they are known already.
    """

    root: Path
    files: Sequence[Path] = field(default=(), repr=False)

    def find(self, written: str, near: Iterable[Path] = ()) -> Path | None:
        """The file that is meant; None where there is none, or several could be meant.

        As it is written; then ever shorter ends of the path in the folders `near`; then anywhere
        below the root, where the longest end of the path counts.

        Args:
            written: as the annotation has it.
            near: folders to look into first.
        """
        if not written or "\0" in written or len(written) > _LONGEST:
            return None
        near = list(dict.fromkeys((*near, self.root)))
        for text in dict.fromkeys((written, _path_of_address(written))):
            for folder in near:
                if is_file(folder / text):
                    return folder / text
            parts = parts_of(text)
            for begin in range(max(0, len(parts) - DEEPEST), len(parts)):
                for folder in near:
                    path = folder.joinpath(*parts[begin:])
                    if is_file(path):
                        return path
            if parts and (found := self._longest(parts)):
                return found
        return None

    def find_stem(self, stem: str, near: Iterable[Path]) -> Path | None:
        """The picture with this name but for its suffix, in the first of the folders that has it.

        The name is never taken for a pattern.
        """
        for folder in dict.fromkeys(near):
            named = self._stems_of(folder).get(_folded(stem), ())
            if named:
                return named[0]
        return None

    def _longest(self, parts: tuple[str, ...]) -> Path | None:
        """Of the files with that name, the one whose path has most in common, if it is one."""
        candidates = self._by_name.get(_folded(parts[-1]), ())
        common = []
        for path in candidates:
            count = 0
            for mine, other in zip(reversed(path.parts), reversed(parts), strict=False):
                if _folded(mine) != _folded(other):
                    break
                count += 1
            common.append(count)
        best = [path for path, n in zip(candidates, common, strict=True) if n == max(common)]
        return best[0] if len(best) == 1 else None

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found = defaultdict(list)
        files = self.files or itertools.islice(files_below(self.root), _MOST_SEARCHED)
        for path in files:
            found[_folded(path.name)].append(path)
        return found

    @cached_property
    def _stems(self) -> dict[Path, dict[str, list[Path]]]:
        return {}

    def _stems_of(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._stems:
            found = defaultdict(list)
            try:
                names = sorted(path.name for path in folder.iterdir())
            except OSError:
                names = []
            for name in names:
                if is_picture_name(name):
                    found[_folded(Path(name).stem)].append(folder / name)
            self._stems[folder] = found
        return self._stems[folder]


def _path_of_address(written: str) -> str:
    """The path in an address of the web, or in one of Label Studio's.

    >>> _path_of_address("https://x.org/u/a%20b.jpg?w=3"), _path_of_address("/files/?d=a/0.jpg")
    ('x.org/u/a b.jpg', 'a/0.jpg')
    """
    text = written.split("?d=", 1)[-1]
    if "://" in text:
        text = text.split("://", 1)[1].split("?", 1)[0]
    return unquote(text)


def _folded(name: str) -> str:
    # Systems write the same accented letter in two ways, and some do not know upper case.
    return unicodedata.normalize("NFC", name).casefold()


def relative(path: Path, root: Path) -> str:
    """A path as people name it: below the folder of the data where it lies there."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return str(path)
