"""How examples are parted and drawn, and in which order classes come: for all kinds of data."""

import hashlib
import unicodedata
from collections.abc import Iterable

# Names that a split goes by, in folders, names of files and the column of a CSV.
SPLIT_NAMES = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}


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
