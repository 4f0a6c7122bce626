"""Whether the pictures that a training is validated with can say how good it is."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

# Pictures of which a mean says little of others.
FEW = 50


def shared_files(first: Iterable[str], second: Iterable[str]) -> int:
    """How many files of a second set are in a first one too, under whatever name.

    Args:
        first: paths; those that cannot be read count as different.
        second: paths.
    """
    by_size: dict[int, list[str]] = defaultdict(list)
    for path in first:
        by_size[_size(path)].append(path)
    by_size.pop(-1, None)
    digests: dict[int, set[str]] = {}
    count = 0
    for path in second:
        size = _size(path)
        if size not in by_size:
            continue
        if size not in digests:
            digests[size] = {_digest(one) for one in by_size[size]}
        count += _digest(path) in digests[size]
    return count


def warnings_of_split(train: Iterable[str], validation: Iterable[str]) -> list[str]:
    """What to know of validation pictures before their figures are believed, a line each.

    Args:
        train: paths of the pictures that are trained on.
        validation: paths of those that are validated with.
    """
    validation = list(validation)
    shared = shared_files(train, validation)
    lines = []
    if shared:
        lines.append(
            f"warning: {shared} of {len(validation)} validation pictures are trained on too: the "
            "figures will be better than those of new pictures"
        )
    if 0 < len(validation) < FEW:
        lines.append(
            f"warning: {len(validation)} validation pictures are few: their figures are rough"
        )
    return lines


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return -1


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return path
