"""What style is at the layers of a network, and the ways between two styles, in NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnkit.ops.gaussians import transport_map

# Added to the diagonal of covariances, relative to the mean second moment of a channel: where a
# picture has no variance in some direction the matrix root has no derivative.
RELATIVE_EPSILON = 1e-3
# The same for maps of activations, where directions in which a picture has less variance must not
# be amplified: that would be noise.
_TRANSFORM_RIDGE = 1e-2


@dataclass(frozen=True)
class LayerStatistics:
    """What style is at one layer: first and second moments of the activations, float64.

    Attributes:
        mean: `(channels,)`.
        gram: mean over positions of `a a^T`, `(channels, channels)`.
    """

    mean: np.ndarray
    gram: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        return self.gram - np.outer(self.mean, self.mean)


def mix_statistics(
    statistics: Sequence[LayerStatistics], weights: Sequence[float]
) -> LayerStatistics:
    """Moments of several styles side by side on one canvas, each with its share of the area."""
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    return LayerStatistics(
        sum(share * item.mean for share, item in zip(shares, statistics, strict=True)),
        sum(share * item.gram for share, item in zip(shares, statistics, strict=True)),
    )


def interpolate_statistics(
    content: LayerStatistics, style: LayerStatistics, strength: float
) -> LayerStatistics:
    """The point at `strength` on the shortest path from the content's statistics to the style's.

    The Wasserstein-2 geodesic between Gaussians (McCann 1997): with T the optimal map,
    `m_t = (1-t) m_c + t m_s` and `S_t = ((1-t) I + t T) S_c ((1-t) I + t T)`. The distance to the
    content grows in proportion to `strength`, whatever the layer, the size and the pictures.

    Args:
        content: where the path starts.
        style: where it ends.
        strength: in [0, 1].

    Returns:
        Statistics; `content` at 0 and `style` at 1.
    """
    if strength >= 1.0:
        return style
    if strength <= 0.0:
        return content
    channels = len(style.mean)
    ridge = RELATIVE_EPSILON * np.trace(style.gram) / channels * np.eye(channels)
    start = content.covariance + ridge
    step = (1.0 - strength) * np.eye(channels) + strength * transport_map(
        start, style.covariance + ridge
    )
    mean = (1.0 - strength) * content.mean + strength * style.mean
    return LayerStatistics(mean, step @ start @ step - ridge + np.outer(mean, mean))


def feature_transform(
    source: LayerStatistics, target: LayerStatistics, kind: str = "wct"
) -> tuple[np.ndarray, np.ndarray]:
    """The affine map `f M + o` that gives activations other statistics.

    A ridge on both covariances keeps it finite where the picture is flat: what has no variance gets
    none.

    Args:
        source: of the activations as they are.
        target: to reach.
        kind: "wct", the optimal transport of Gaussians, or "adain", of each channel by itself.

    Returns:
        M `(C, C)` and o `(C,)`, float32.

    Example:

    >>> a = LayerStatistics(np.zeros(1), np.array([[1.0]]))
    >>> b = LayerStatistics(np.array([3.0]), np.array([[13.0]]))  # variance 13 - 3^2 = 4
    >>> matrix, offset = feature_transform(a, b)
    >>> matrix.round(1), offset
    (array([[1.9]], dtype=float32), array([3.], dtype=float32))
    """
    channels = len(source.mean)
    ridge = _TRANSFORM_RIDGE * np.trace(target.gram) / channels
    before, after = source.covariance, target.covariance
    if kind == "adain":
        gain = np.sqrt((np.diag(after).clip(0) + ridge) / (np.diag(before).clip(0) + ridge))
        matrix = np.diag(gain)
    else:
        ridge = ridge * np.eye(channels)
        matrix = transport_map(before + ridge, after + ridge)
    offset = target.mean - source.mean @ matrix
    return matrix.astype(np.float32), offset.astype(np.float32)


def mask_at(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask `(H, W)` averaged down to a layer's `(height, width)`, H and W multiples of them."""
    rows, columns = mask.shape[0] // height, mask.shape[1] // width
    cut = mask[: rows * height, : columns * width]
    return cut.reshape(height, rows, width, columns).mean(axis=(1, 3)).astype(np.float32)
