"""How examples are parted and drawn, and in which order classes come: for all kinds of data."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable

# Names that a split goes by, in folders, names of files and the column of a CSV.
SPLIT_NAMES = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}

# Words that the names of folders and files have beside that of a split.
_FILLERS = {"set", "data", "dataset", "images", "image", "imgs", "img", "pictures", "seg", "split"}


def split_of(name: str) -> str | None:
    """The split that a folder or file is named after; None where it is no such name.

    >>> [split_of(name) for name in ("train2017", "Training_Set", "valid", "test tube", "cat")]
    ['train', 'train', 'val', None, None]
    """
    words = [word for word in re.findall(r"[^\W\d_]+", name.lower()) if word not in _FILLERS]
    return SPLIT_NAMES.get(words[0]) if len(words) == 1 else None


def draw_key(seed: int, name: str) -> bytes:
    """What examples are sorted by to draw some of them.

    It goes by the name alone: examples that are added later move hardly any of the others.

    Args:
        seed: of the draw.
        name: of the example, such as its file's; both ways to write an accent are one name.
    """
    text = unicodedata.normalize("NFC", name)
    return hashlib.blake2b(f"{seed}/{text}".encode("utf-8", "surrogateescape")).digest()


def sorted_classes(names: Iterable[str]) -> list[str]:
    """Numbers in their order, where all names are numbers; other names by their letters.

    >>> sorted_classes(["10", "9"]), sorted_classes(["b", "10", "9"])
    (['9', '10'], ['10', '9', 'b'])
    """
    known = list(names)
    is_number = all(name.isascii() and name.isdigit() for name in known)
    return sorted(known, key=int if is_number else str)
