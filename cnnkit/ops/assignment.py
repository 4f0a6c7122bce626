"""Pairs at least cost (the Hungarian method)."""

import numpy as np
import numpy.typing as npt


def assign(costs: npt.NDArray[np.float64], limit: float = np.inf) -> list[tuple[int, int]]:
    """Pairs rows and columns one to one, so that the sum of costs is least.

    Shortest augmenting paths with potentials (Jonker & Volgenant 1987); `O(n^2 m)` for `n` rows
    and `m >= n` columns. Pairs that are dearer than `limit` are never made: leaving a row and a
    column alone costs `limit`.

    Args:
        costs: `(rows, columns)`; infinite where a pair is impossible.
        limit: dearest pair that is made.

    Returns:
        Pairs of row and column, by rows.

    Example:

    >>> assign(np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0]]))
    [(0, 1), (1, 0)]
    """
    costs = np.asarray(costs, np.float64)
    if costs.size == 0:
        return []
    if len(costs) > costs.shape[1]:
        return sorted((row, column) for column, row in assign(costs.T, limit))
    rows, columns = costs.shape
    possible = np.isfinite(costs) & (costs <= limit)
    if not possible.any():
        return []
    # Each row has a column of its own for being left alone.
    dearest, span = float(costs[possible].max()), float(np.ptp(costs[possible]))
    top = float(limit) if np.isfinite(limit) else dearest + (rows + 1) * (span + 1.0)
    alone = np.where(np.eye(rows, dtype=bool), top, np.inf)
    full = np.hstack([np.where(possible, costs, np.inf), alone])
    owner = np.full(columns + rows + 1, -1)
    row_price, column_price = np.zeros(rows), np.zeros(columns + rows + 1)
    for row in range(rows):
        # The last column stands for the row that looks for a place.
        column, owner[-1] = -1, row
        shortest = np.full(columns + rows, np.inf)
        before = np.full(columns + rows, -1)
        is_used = np.zeros(columns + rows + 1, bool)
        while owner[column] >= 0:
            is_used[column] = True
            taker = owner[column]
            length = full[taker] - row_price[taker] - column_price[:-1]
            is_nearer = ~is_used[:-1] & (length < shortest)
            shortest[is_nearer], before[is_nearer] = length[is_nearer], column
            open_columns = np.where(is_used[:-1], np.inf, shortest)
            nearest = int(np.argmin(open_columns))
            step = open_columns[nearest]
            row_price[owner[is_used]] += step
            column_price[is_used] -= step
            shortest[~is_used[:-1]] -= step
            column = nearest
        while column != -1:
            owner[column] = owner[before[column]]
            column = int(before[column])
    found = [(int(owner[column]), column) for column in range(columns) if owner[column] >= 0]
    return sorted(found)
