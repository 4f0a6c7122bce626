"""L-BFGS inside a box: quasi-Newton descent for pictures, whose pixels are bounded."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

# Of the decrease that the slope promises, a step has to bring this share (Armijo's condition).
_ARMIJO = 1e-4
_MOST_BACKTRACKS = 12


@dataclass(frozen=True)
class LBFGSStep:
    """Where the search stands.

    Attributes:
        x: the best point so far.
        value: of the function there.
        evaluations: of the function, since the start.
    """

    x: np.ndarray
    value: float
    evaluations: int


def lbfgs(
    function: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    *,
    lower: float = -math.inf,
    upper: float = math.inf,
    memory: int = 6,
    first_step: float = 0.02,
    enough: float = -math.inf,
    precondition: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[LBFGSStep]:
    """Minimises a smooth function of many variables, one step at a time.

    `x <- clip(x - t H g)`, with H the inverse Hessian that the last `memory` differences of points
    and gradients tell of (Nocedal 1980, the two-loop recursion), built on the variables that may
    move: one at its bound whose gradient pushes outwards stays there (Bertsekas 1982). The step t
    is 1, made smaller along a parabola until the value has fallen enough. A search that finds
    nothing throws the memory away and starts again along the gradient; if that finds nothing
    either, it is over.

    `precondition` says what is known of the inverse Hessian beforehand: a smoothing makes large
    moves of coarse structure and small ones of fine, as a function wants that reacts most to
    noise.

    SciPy's L-BFGS-B does the same in float64, with a search along the piecewise linear path; on a
    512x512 picture that cost as much as the network.

    Args:
        function: point -> `(value, gradient)`, the gradient with the point's shape. Where it is not
            finite, the step is made smaller.
        start: float32 array of any shape, within the bounds; not changed.
        lower: bound of all variables.
        upper: bound of all variables.
        memory: number of differences that are kept, each twice the size of the point.
        first_step: root mean square of the first move.
        enough: a value below which there is nothing left to do.
        precondition: a symmetric positive definite linear map of gradients, which stands for the
            inverse Hessian, up to a factor, before anything is known of it; the identity by
            default.

    Yields:
        An `LBFGSStep` after each step that lowered the value. It ends when no step does, or the
        value is low enough.

    Raises:
        FloatingPointError: the function is not finite at the start.

    Example: the minimum of (x - 3)^2 within [0, 2] is at the bound.

    >>> square = lambda x: (float(((x - 3) ** 2).sum()), 2 * (x - 3))
    >>> *_, last = lbfgs(square, np.zeros(1, "float32"), lower=0.0, upper=2.0)
    >>> last.x.tolist(), last.value
    ([2.0], 1.0)
    """
    conditioned = precondition or np.copy
    x = np.asarray(start, np.float32)
    value, gradient = function(x)
    evaluations = 1
    if not _is_finite(value, gradient):
        raise FloatingPointError(f"the function must be finite at the start. Received: {value}")
    history: list[tuple[np.ndarray, np.ndarray, float]] = []
    while value >= enough:
        held = ((x <= lower) & (gradient > 0)) | ((x >= upper) & (gradient < 0))
        free_gradient = np.where(held, np.float32(0), gradient)
        direction = -_inverse_hessian_times(history, free_gradient, conditioned)
        direction[held] = 0
        slope = _dot(free_gradient, direction)
        if slope >= 0.0:
            history = []
            direction = -free_gradient
            slope = _dot(free_gradient, direction)
        if slope == 0.0:
            return
        rate = 1.0
        if not history:
            rate = first_step * math.sqrt(x.size) / math.sqrt(_dot(direction, direction))
        for _ in range(_MOST_BACKTRACKS):
            new = np.clip(x + np.float32(rate) * direction, lower, upper)
            new_value, new_gradient = function(new)
            evaluations += 1
            finite = _is_finite(new_value, new_gradient)
            if finite and new_value <= value + _ARMIJO * _dot(gradient, new - x):
                break
            # The minimum of the parabola through value, slope and the new value.
            curve = new_value - value - slope * rate
            shorter = -slope * rate / (2.0 * curve) if finite and curve > 0 else 0.1
            rate *= min(0.5, max(0.1, shorter))
        else:
            if not history:
                return
            history = []
            continue
        if new_value >= value:
            # Rounding hides what is left to gain.
            return
        moved, turned = new - x, new_gradient - gradient
        curvature = _dot(moved, turned)
        if curvature > 1e-10 * _dot(turned, turned):
            history = [*history, (moved, turned, 1.0 / curvature)][-memory:]
        x, value, gradient = new, new_value, new_gradient
        yield LBFGSStep(x, value, evaluations)


def _inverse_hessian_times(
    history: list[tuple[np.ndarray, np.ndarray, float]],
    gradient: np.ndarray,
    conditioned: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """The two-loop recursion; the conditioned gradient itself where nothing is known yet."""
    if not history:
        return conditioned(gradient)
    result = gradient.copy()
    shares = []
    for moved, turned, inverse_curvature in reversed(history):
        share = inverse_curvature * _dot(moved, result)
        result -= np.float32(share) * turned
        shares.append(share)
    _, turned, inverse_curvature = history[-1]
    result = conditioned(result)
    result *= np.float32(1.0 / (inverse_curvature * _dot(turned, conditioned(turned))))
    for (moved, turned, inverse_curvature), share in zip(history, reversed(shares), strict=True):
        result += np.float32(share - inverse_curvature * _dot(turned, result)) * moved
    return result


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.vdot(a, b))


def _is_finite(value: float, gradient: np.ndarray) -> bool:
    return math.isfinite(value) and bool(np.isfinite(gradient).all())
