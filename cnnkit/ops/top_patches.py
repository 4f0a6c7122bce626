"""The places where each unit of a network responds most, kept while pictures stream by.

Nothing here needs Keras, and nothing grows with the number of pictures.
"""

from collections.abc import Mapping

import numpy as np

_BINS = 64
# Units that respond to a smaller share of the pictures are nearly dead.
_LEAST_SHARE = 0.02
# The finest bins are this wide; a power of two, so that wider ones are whole numbers of them.
_FINEST = 2.0**-20


class TopPatches:
    """The strongest responses of each unit, one a picture, and how often it responds how much.

    What is kept does not depend on the order in which pictures come, nor on how many come at a
    time: of equal responses that of the earlier picture wins. A response of exactly 0 is silence,
    what rectified units say where they see nothing, and never among the strongest.

    Args:
        units: of the layer.
        count: responses kept for each unit.

    Attributes:
        values: float32 `(units, count)`, the strongest first; -inf where there are fewer.
        pictures: int64 `(units, count)`, numbers of their pictures; -1 where there are fewer.
        rows: int32 `(units, count)`, places in the layer's map.
        columns: int32 `(units, count)`.
        histogram: of the strongest responses to all pictures.

    Raises:
        ValueError: no unit, or a count below 1.

    Example:

    >>> top = TopPatches(units=1, count=2)
    >>> for picture, value in enumerate([0.5, 3.0, 0.0, 2.0]):
    ...     top.update([[value]], [[0]], [[7]], [picture])
    >>> top.values.tolist(), top.pictures.tolist()
    ([[3.0, 2.0]], [[1, 3]])
    """

    def __init__(self, units: int, count: int = 9):
        if units < 1 or count < 1:
            raise ValueError(f"units and count must be at least 1. Received: {units}, {count}")
        self.values = np.full((units, count), -np.inf, np.float32)
        self.pictures = np.full((units, count), -1, np.int64)
        self.rows = np.zeros((units, count), np.int32)
        self.columns = np.zeros((units, count), np.int32)
        self.histogram = ResponseHistogram(units)

    def update(
        self, values: np.ndarray, rows: np.ndarray, columns: np.ndarray, pictures: np.ndarray
    ) -> None:
        """Takes the strongest response of each unit to some pictures.

        Args:
            values: `(pictures, units)`.
            rows: `(pictures, units)`, where in the map.
            columns: `(pictures, units)`.
            pictures: `(pictures,)`, their numbers; each comes once in the life of this object.

        Raises:
            ValueError: shapes that do not fit, or responses that are not finite.
        """
        values = np.asarray(values, np.float32)
        units, count = self.values.shape
        if values.ndim != 2 or values.shape[1] != units or len(pictures) != len(values):
            raise ValueError(
                f"values must be (pictures, {units}). Received: {values.shape} of {len(pictures)}"
            )
        if not np.isfinite(values).all():
            raise ValueError("values must be finite. Received: NaN or infinity")
        self.histogram.update(values)
        numbers = np.broadcast_to(np.asarray(pictures, np.int64)[:, None], values.shape)
        heard = np.where(values == 0.0, np.float32(-np.inf), values)
        merged = np.concatenate([self.values, heard.T], axis=1)
        of = np.concatenate([self.pictures, np.where(values == 0.0, -1, numbers).T], axis=1)
        # The last key counts first; -inf comes last whatever its picture.
        order = np.lexsort((of, -merged), axis=1)[:, :count]

        def strongest(*parts: np.ndarray) -> np.ndarray:
            return np.take_along_axis(np.concatenate(parts, axis=1), order, axis=1)

        self.rows = strongest(self.rows, np.asarray(rows, np.int32).T)
        self.columns = strongest(self.columns, np.asarray(columns, np.int32).T)
        self.values = np.take_along_axis(merged, order, axis=1)
        self.pictures = np.take_along_axis(of, order, axis=1)

    def state(self) -> dict[str, np.ndarray]:
        """All that is kept, as arrays; see `restore`."""
        own = {name: getattr(self, name) for name in ("values", "pictures", "rows", "columns")}
        return {**own, **self.histogram.state()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave.

        Raises:
            ValueError: the state is of other units.
        """
        for name in ("values", "pictures", "rows", "columns"):
            own, kept = getattr(self, name), np.asarray(state[name])
            if kept.shape != own.shape:
                raise ValueError(f"{name} must be {own.shape}. Received: {kept.shape}")
            setattr(self, name, kept.astype(own.dtype))
        self.histogram.restore(state)


class ResponseHistogram:
    """How often each unit responds how much, in bins that grow with the responses.

    The bins are a power of two wide, and as narrow as 64 of them on each side of 0 allow. When a
    response does not fit, neighbours are joined in pairs, so that the counts are those of wider
    bins from the beginning.

    Args:
        units: of the layer.

    Attributes:
        width: float64 `(units,)`, of the bins.
        counts: int64 `(units, 128)`: bin i begins at `(i - 64) * width`.
        silent: int64 `(units,)`, responses of exactly 0, which are in no bin.
        total: float64 `(units,)`, sum of the responses.
        seen: number of responses of each unit.

    Example:

    >>> histogram = ResponseHistogram(1)
    >>> histogram.update(np.array([[0.0], [1.0], [1.5], [60.0]], np.float32))
    >>> edges, counts = histogram.of(0)
    >>> [(float(edge), int(n)) for edge, n in zip(edges, counts) if n], int(histogram.silent[0])
    ([(1.0, 2), (60.0, 1)], 1)
    """

    def __init__(self, units: int):
        self.width = np.full(units, _FINEST)
        self.counts = np.zeros((units, 2 * _BINS), np.int64)
        self.silent = np.zeros(units, np.int64)
        self.total = np.zeros(units)
        self.seen = 0

    def update(self, values: np.ndarray) -> None:
        """Counts finite responses `(pictures, units)`."""
        values = np.asarray(values, np.float64)
        # One after the other: the sum must not depend on how many come at a time.
        for picture in values:
            self.total += picture
        self.seen += len(values)
        self.silent += (values == 0.0).sum(axis=0)
        self._widen(np.abs(values).max(axis=0, initial=0.0))
        bins = np.floor(values / self.width).astype(np.int64) + _BINS
        picture, unit = np.nonzero(values)
        np.add.at(self.counts, (unit, bins[picture, unit]), 1)

    def of(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """Edges `(B + 1,)` and counts `(B,)` of a unit, from its first to its last full bin."""
        filled = np.flatnonzero(self.counts[unit])
        # Bins on the positive side begin at 0, where silence is.
        first = min(filled[0], _BINS) if filled.size else _BINS
        last = filled[-1] + 1 if filled.size else _BINS + 1
        edges = (np.arange(first, last + 1) - _BINS) * self.width[unit]
        return edges, self.counts[unit, first:last].copy()

    def state(self) -> dict[str, np.ndarray]:
        """All that is kept, as arrays."""
        return {
            "width": self.width,
            "counts": self.counts,
            "silent": self.silent,
            "total": self.total,
            "seen": np.array(self.seen),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        for name in ("width", "counts", "silent", "total"):
            own = getattr(self, name)
            setattr(self, name, np.asarray(state[name]).astype(own.dtype).reshape(own.shape))
        self.seen = int(state["seen"])

    def _widen(self, largest: np.ndarray) -> None:
        """Doubles bins until `largest` `(units,)` fits on both sides of 0."""
        while (too_narrow := largest >= _BINS * self.width).any():
            counts = self.counts[too_narrow].reshape(-1, _BINS, 2).sum(axis=2)
            wider = np.zeros((len(counts), 2 * _BINS), np.int64)
            # Bins -64..-1 become -32..-1, and 0..63 become 0..31.
            wider[:, _BINS // 2 : _BINS + _BINS // 2] = counts
            self.counts[too_narrow] = wider
            self.width[too_narrow] *= 2.0


def pick_places(values: np.ndarray, count: int, apart: tuple[int, int]) -> list[tuple[int, int]]:
    """The strongest places of one map that lie apart from one another, strongest first.

    Args:
        values: `(height, width)`; places of exactly 0 are never picked.
        count: places at most.
        apart: two places differ by at least so many rows, or by so many columns.

    Returns:
        `(row, column)` of each, the first of equals being the one that is read first.

    Example:

    >>> pick_places(np.array([[5.0, 4.0, 0.0, 3.0]]), 9, apart=(1, 2))
    [(0, 0), (0, 3)]
    """
    left = np.where(np.asarray(values) == 0.0, -np.inf, values).astype(np.float64)
    places: list[tuple[int, int]] = []
    while len(places) < count and np.isfinite(left).any():
        row, column = (int(i) for i in np.unravel_index(int(left.argmax()), left.shape))
        places.append((row, column))
        near_rows = slice(max(0, row - apart[0] + 1), row + max(1, apart[0]))
        near_columns = slice(max(0, column - apart[1] + 1), column + max(1, apart[1]))
        left[near_rows, near_columns] = -np.inf
    return places


def cut_patch(
    pixels: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], fill: float = 0.0
) -> np.ndarray:
    """Cuts a patch out of a picture, beyond its edges too.

    Args:
        pixels: `(height, width, channels)`.
        rows: first row, and the one behind the last; they may lie outside.
        columns: first column, and the one behind the last.
        fill: what is outside of the picture.

    Returns:
        `(rows, columns, channels)`, of the same type.

    Example:

    >>> cut_patch(np.arange(6).reshape(2, 3, 1), (-1, 1), (1, 4), fill=9)[..., 0].tolist()
    [[9, 9, 9], [1, 2, 9]]
    """
    spans = []
    for (begin, end), n in zip((rows, columns), pixels.shape, strict=False):
        first, last = min(max(begin, 0), n), max(0, min(end, n))
        spans.append((slice(first, last), slice(first - begin, last - begin)))
    patch = np.full(
        (rows[1] - rows[0], columns[1] - columns[0], *pixels.shape[2:]), fill, pixels.dtype
    )
    (from_rows, to_rows), (from_columns, to_columns) = spans
    patch[to_rows, to_columns] = pixels[from_rows, from_columns]
    return patch


def choose_units(top: TopPatches, count: int) -> list[int]:
    """The units whose strongest responses stand out most, each of another kind.

    How far a unit's responses stand out is the mean of those that are kept over its mean response
    to all pictures. A unit that is strongest at more than a third of the places of one that is
    chosen already says the same once more, and is passed over as long as there are others. So are
    units that are nearly dead, with fewer pictures than are kept, or one in fifty, that they
    respond to; units that respond to none are never chosen.

    Args:
        top: what the units respond to.
        count: units at most.

    Returns:
        Numbers of units, the most selective first.

    Example:

    >>> top = TopPatches(units=3, count=1)
    >>> top.update([[1.0, 0.0, 4.0], [2.0, 0.0, 0.1]], [[0] * 3] * 2, [[0] * 3] * 2, [0, 1])
    >>> choose_units(top, 3)
    [2, 0]
    """
    kept = np.isfinite(top.values)
    number = kept.sum(axis=1)
    best = np.where(kept, top.values, 0.0).sum(axis=1) / np.maximum(number, 1)
    mean = top.histogram.total / max(1, top.histogram.seen)
    score = np.where(mean > 0.0, best / np.where(mean > 0.0, mean, 1.0), best)
    heard = top.histogram.seen - top.histogram.silent
    alive = (number == number.max(initial=0)) & (heard >= _LEAST_SHARE * top.histogram.seen)
    # Live ones first, each group by its score; the unit's number decides between equals.
    order = [int(unit) for unit in np.lexsort((-score, ~alive)) if number[unit]]
    chosen: list[int] = []
    for allowed in (1.0 / 3.0, 1.0):
        for unit in order:
            if len(chosen) >= count:
                break
            is_new = unit not in chosen and (alive[unit] or allowed == 1.0)
            if is_new and all(_shared(top, unit, other) <= allowed for other in chosen):
                chosen.append(unit)
    return chosen


def _shared(top: TopPatches, unit: int, other: int) -> float:
    """Share of the places of one unit that lie at one of another unit's, or next to it."""
    same = (
        (top.pictures[unit][:, None] == top.pictures[other][None])
        & (top.pictures[unit][:, None] >= 0)
        & (np.abs(top.rows[unit][:, None] - top.rows[other][None]) <= 1)
        & (np.abs(top.columns[unit][:, None] - top.columns[other][None]) <= 1)
    )
    return float(same.any(axis=1).sum() / max(1, (top.pictures[unit] >= 0).sum()))
