"""Pictures changed at random, so that a network learns what does not matter."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cnnkit.engine.settings import AugmentSettings
from cnnkit.ops.color import LUMA

# Principal axes of the colours of ImageNet's pictures, in columns, RGB in rows, and how far the
# colours spread along each for pixels in [0, 1], as in the published code of ResNet for Torch.
PCA_AXES = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)
PCA_SPREADS = np.array([0.2175, 0.0188, 0.0045])

_CUTOUT_GREY = 0.5
# Pixels of the picture for one of the result in the second of two steps: sampled so densely,
# what the first step left cannot turn into moire in the second.
_DENSITY = 1.3
# Pictures larger than this many times the result are reduced by whole pixels first, which is much
# faster and cannot be told apart.
_GAP = 3.0
_ROWS = 16
# Of `augment`, from 0 to 1: seven of places, six of colours, two of the cutout.
_DRAWS = 15


def augment(
    pixels: np.ndarray,
    size: tuple[int, int],
    options: AugmentSettings,
    random: np.random.Generator,
) -> np.ndarray:
    r"""Changes a picture at random and stretches it to a size.

    All that moves pixels is one affine map, from places of the result to places of the picture:

    .. math:: p = c + R(\theta) \begin{pmatrix} 1 & \tan\phi \\ 0 & 1 \end{pmatrix}
        \mathrm{diag}(s_x, s_y) (q - q_c)

    with the crop's centre c, the turn, the slant and the crop's size over the result's. Beyond its
    borders the picture is mirrored. Then come colours (saturation, brightness, the gain of each
    channel by half as much, contrast around the picture's mean luma, and a shift along the
    principal axes of natural colours, clipped once at the end), and the cutout.

    The draws for each kind of change are the same whether the others are on or off.

    Args:
        pixels: uint8 `(H, W, 3)`; not changed.
        size: `(height, width)` of the result.
        options: how much of each change.
        random: where the draws come from.

    Returns:
        float32 `(height, width, 3)` in [0, 1]. With all options off it is the picture resized.

    Example:

    >>> black = np.zeros((20, 30, 3), np.uint8)
    >>> augment(black, (8, 8), AugmentSettings.off(), np.random.default_rng(0)).shape
    (8, 8, 3)

    The colours follow Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural
    Networks" (2012), the cutout DeVries & Taylor, "Improved Regularization of Convolutional Neural
    Networks with Cutout" (2017): its side is always the same, and its centre may lie anywhere, so
    that a part of it falls outside. Their square is of the data's mean colour, this one grey.
    """
    turn, slant, area, shape, left, top, flip, *colors = random.random(_DRAWS).tolist()
    shifts = random.standard_normal(3)
    height, width = pixels.shape[:2]
    shares = _crop_shares(options, area, shape)
    crop = shares[0] * height, shares[1] * width
    centre = crop[0] / 2 + top * (height - crop[0]), crop[1] / 2 + left * (width - crop[1])
    angle = math.radians(options.rotation) * (2 * turn - 1)
    shear = math.tan(math.radians(options.shear) * (2 * slant - 1))
    scale = crop[0] / size[0], crop[1] / size[1]
    if angle == 0 and shear == 0:
        image = _stretch(pixels, size, centre, crop)
    else:
        sine, cosine = math.sin(angle), math.cos(angle)
        # Of x and y, the inverse of what happens to the picture: y points down, so that this turns
        # it counter-clockwise.
        matrix = np.array([[cosine, -sine], [sine, cosine]])
        matrix = matrix @ [[1.0, shear], [0.0, 1.0]] @ np.diag((scale[1], scale[0]))
        image = _transform(pixels, size, centre, matrix)
    if flip < options.horizontal_flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    result = np.divide(image, np.float32(255.0), dtype=np.float32)
    if options.color or options.pca_color:
        _recolor(result, _color_change(options, np.array(colors[:6]), shifts))
    if options.cutout:
        _cut_out(result, options.cutout, *colors[6:8])
    return result


def _crop_shares(options: AugmentSettings, area: float, shape: float) -> tuple[float, float]:
    """Of the picture's height and width; the crop never leaves the picture."""
    side = math.sqrt(1.0 - options.crop * area)
    stretch = (1.0 + options.stretch) ** (shape - 0.5)
    longest = max(1.0, side * stretch, side / stretch)
    return side / stretch / longest, side * stretch / longest


def _stretch(
    pixels: np.ndarray,
    size: tuple[int, int],
    centre: tuple[float, float],
    crop: tuple[float, float],
) -> Image.Image:
    """A crop without turn and slant: resized in one step, exactly and antialiased."""
    height, width = pixels.shape[:2]
    top, left = (max(0.0, at - side / 2) for at, side in zip(centre, crop, strict=True))
    box = left, top, min(width, left + crop[1]), min(height, top + crop[0])
    image = Image.fromarray(pixels)
    return image.resize((size[1], size[0]), Image.Resampling.LANCZOS, box, _GAP)


def _transform(
    pixels: np.ndarray, size: tuple[int, int], centre: tuple[float, float], matrix: np.ndarray
) -> Image.Image:
    """Any affine map, in up to two steps: first smaller where it shrinks, then the map itself."""
    middle = np.array([size[1], size[0]]) / 2
    reach = np.abs(matrix) @ middle
    centre_xy = np.array(centre[::-1])
    sides = np.array(pixels.shape[1::-1])
    # The part of the picture that is seen, with a pixel around it to interpolate with.
    low = np.floor(centre_xy - reach).astype(int) - 1
    high = np.ceil(centre_xy + reach).astype(int) + 1
    begin, end = np.maximum(low, 0), np.minimum(high, sides)
    # Pixels of the picture along each of its axes for one of the result.
    shrink = np.maximum(np.hypot(*matrix.T) / _DENSITY, 1.0)
    small = np.maximum(np.round((end - begin) / shrink).astype(int), 1)
    shrink = (end - begin) / small
    part = pixels[begin[1] : end[1], begin[0] : end[0]]
    if (shrink > 1).any():
        image = Image.fromarray(pixels)
        part = np.asarray(
            image.resize(
                tuple(small.tolist()),
                Image.Resampling.BICUBIC,
                (*begin.tolist(), *end.tolist()),
                _GAP,
            )
        )
    before = np.ceil((begin - low) / shrink).astype(int)
    after = np.ceil((high - end) / shrink).astype(int)
    if before.any() or after.any():
        pads = (before[1], after[1]), (before[0], after[0]), (0, 0)
        part = np.pad(part, pads, mode="symmetric")
    matrix = matrix / shrink[:, None]
    offset = (centre_xy - begin) / shrink + before - matrix @ middle
    values = (*matrix[0], offset[0], *matrix[1], offset[1])
    return Image.fromarray(part).transform(
        (size[1], size[0]), Image.Transform.AFFINE, values, Image.Resampling.BILINEAR
    )


@dataclass(frozen=True, eq=False)
class ColorChange:
    """An affine map of the colours of a picture: `contrast * matrix @ rgb + (1 - contrast) * luma +
    shift`, with the mean luma of the picture after the matrix.

    Attributes:
        matrix: `(3, 3)`: saturation, brightness and the gain of each channel.
        contrast: around the mean luma.
        shift: `(3,)`, along the principal axes of natural colours.
    """

    matrix: np.ndarray
    contrast: float
    shift: np.ndarray


def draw_color_change(options: AugmentSettings, random: np.random.Generator) -> ColorChange:
    """The change of colours that `augment` would make with these options and draws.

    >>> change = draw_color_change(AugmentSettings.off(), np.random.default_rng(0))
    >>> change.matrix.tolist() == np.eye(3).tolist(), change.contrast
    (True, 1.0)
    """
    colors = random.random(_DRAWS)[7:13]
    return _color_change(options, colors, random.standard_normal(3))


def _color_change(options: AugmentSettings, draws: np.ndarray, shifts: np.ndarray) -> ColorChange:
    most = options.color * np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
    brightness, contrast, saturation, *gains = 1.0 + most * (2.0 * draws - 1.0)
    matrix = saturation * np.eye(3) + (1.0 - saturation) * LUMA.astype(float)
    matrix = brightness * np.array(gains)[:, None] * matrix
    shift = PCA_AXES @ (options.pca_color * shifts * PCA_SPREADS)
    return ColorChange(matrix, float(contrast), shift)


def _recolor(pixels: np.ndarray, change: ColorChange) -> None:
    """All changes of colour as one affine map of RGB, in place."""
    # Over long rows first: NumPy's sum over rows of three takes twenty times as long.
    total = pixels.reshape(len(pixels), -1).sum(axis=0).reshape(-1, 3).sum(axis=0)
    mean = LUMA.astype(float) @ change.matrix @ (total / (pixels.size / 3))
    shift = (1.0 - change.contrast) * mean + change.shift
    shift = np.tile(shift.astype(np.float32), pixels.shape[1])
    matrix = np.ascontiguousarray((change.contrast * change.matrix).T, np.float32)
    # A few rows at a time stay in the cache, and BLAS starts no threads for them.
    for begin in range(0, len(pixels), _ROWS):
        rows = pixels[begin : begin + _ROWS]
        changed = (rows.reshape(-1, 3) @ matrix).reshape(len(rows), -1)
        changed += shift
        np.clip(changed, 0.0, 1.0, out=rows.reshape(len(rows), -1))


def _cut_out(pixels: np.ndarray, share: float, x: float, y: float) -> None:
    height, width = pixels.shape[:2]
    side = share * min(height, width)
    top, left = round(y * height - side / 2), round(x * width - side / 2)
    bottom, right = top + max(1, round(side)), left + max(1, round(side))
    pixels[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = _CUTOUT_GREY


def mixup(
    x: np.ndarray, y_one_hot: np.ndarray, alpha: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    r"""Mixes each example of a batch, and its label, with the next one.

    .. math:: \tilde x_i = \lambda x_i + (1 - \lambda) x_{i+1}, \quad
        \tilde y_i = \lambda y_i + (1 - \lambda) y_{i+1}, \quad
        \lambda \sim \mathrm{Beta}(\alpha, \alpha)

    The last one is mixed with the first. The batch is taken to be in random order, so that the next
    is as good as any.

    Args:
        x: `(N, ...)` floats.
        y_one_hot: `(N, classes)`.
        alpha: of the Beta distribution; 0 mixes nothing.
        random: where the one draw for all comes from.

    Returns:
        Mixed `x` and `y_one_hot`, as new arrays unless nothing is mixed.

    Example:

    >>> x, y = mixup(np.eye(2), np.eye(2), 1.0, np.random.default_rng(0))
    >>> bool(np.array_equal(x, y)), y.sum(axis=1).tolist()
    (True, [1.0, 1.0])

    Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2018).
    """
    if not alpha:
        return x, y_one_hot
    share = np.asarray(random.beta(alpha, alpha), x.dtype)
    rest = np.asarray(1, x.dtype) - share
    return (
        share * x + rest * np.roll(x, -1, axis=0),
        share * y_one_hot + rest * np.roll(y_one_hot, -1, axis=0),
    )
