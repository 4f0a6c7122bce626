"""Natural image matting: how much of each pixel is foreground, and the foreground's own colours.

A pixel on an edge mixes both: `I = alpha F + (1 - alpha) B`. `alpha` is found first, then `F`.
"""

import numpy as np

# Of scipy's conjugate gradients.
_RELATIVE_TOLERANCE, _MOST_STEPS = 2e-3, 400
# Radii in which a foreground's colours are averaged, and the share of it that counts as none.
_WIDE, _NARROW, _LEAST_SHARE = 16, 6, 1e-5
# A window is a pixel and its eight neighbours.
_WINDOW = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
# Pixels that share a window with a pixel.
_NEIGHBOURS = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)]


def closed_form_alpha(
    pixels: np.ndarray,
    alpha: np.ndarray,
    is_unknown: np.ndarray,
    *,
    epsilon: float = 1e-4,
    trust: float | np.ndarray = 0.0,
) -> np.ndarray:
    r"""Solves for alpha in the pixels where it is not known.

    In each window of 3 x 3 pixels alpha is to be an affine function of the colour. With the mean
    :math:`\mu` and covariance :math:`\Sigma` of a window's 9 colours, the sum of the squares of
    what is left over is :math:`\alpha^T L \alpha` with

    .. math:: L_{ij} = \sum_{w \ni i, j} \Big(\delta_{ij} - \frac{1}{9} \big(1 +
        (I_i - \mu_w)^T (\Sigma_w + \tfrac{\epsilon}{9} E)^{-1} (I_j - \mu_w)\big)\Big)

    which is solved with the known pixels fixed (Levin, Lischinski & Weiss, "A Closed-Form Solution
    to Natural Image Matting", 2008). Departure: where the colours do not tell, a first guess may
    be trusted a little.

    Args:
        pixels: `(height, width, 3)` in [0, 1], each side at least 3.
        alpha: `(height, width)` in [0, 1]: what is known, and a first guess elsewhere.
        is_unknown: bool `(height, width)`.
        epsilon: variance of the colours below which a window counts as flat.
        trust: weight of the first guess's squared error beside the sum above; a number, or one for
            each pixel `(height, width)`.

    Returns:
        float32 `(height, width)` in [0, 1].

    Example: between white, which is foreground, and black, which is not, alpha is the brightness.

    >>> pixels = np.linspace(0.0, 1.0, 9)[None, :, None].repeat(5, axis=0).repeat(3, axis=2)
    >>> guess = np.full((5, 9), 0.5)
    >>> guess[:, 0], guess[:, -1] = 0.0, 1.0
    >>> is_unknown = guess == 0.5
    >>> alpha = closed_form_alpha(pixels, guess, is_unknown, epsilon=1e-9)
    >>> bool(np.abs(alpha - pixels[..., 0]).max() < 0.01)
    True
    """
    from scipy import ndimage, sparse
    from scipy.sparse.linalg import LinearOperator, cg

    alpha = np.array(alpha, np.float64)
    unknown = np.flatnonzero(is_unknown)
    if not len(unknown):
        return alpha.astype(np.float32)
    height, width = alpha.shape
    centres = ndimage.binary_dilation(is_unknown, np.ones((3, 3)))
    centres[[0, -1]] = centres[:, [0, -1]] = False
    rows, columns = np.nonzero(centres)
    window = np.stack([(rows + dy) * width + columns + dx for dy, dx in _WINDOW], axis=1)
    values = _affinities(pixels.reshape(-1, 3)[window].astype(np.float64), epsilon)
    # Numbers of the pixels in some window.
    touched = np.unique(window)
    number = np.full(height * width, -1)
    number[touched] = np.arange(len(touched))
    diagonals = np.zeros((len(_NEIGHBOURS), len(touched)))
    for i, (dy, dx) in enumerate(_WINDOW):
        for j, (ey, ex) in enumerate(_WINDOW):
            # Of two windows, pixel i is another one: nothing is added twice at once.
            diagonals[_NEIGHBOURS.index((ey - dy, ex - dx)), number[window[:, i]]] += values[
                :, i, j
            ]
    here = number[unknown]
    flat = alpha.reshape(-1)
    is_fixed = np.ones(len(flat), bool)
    is_fixed[unknown] = False
    place = np.full(len(flat), -1)
    place[unknown] = np.arange(len(unknown))
    weights = np.broadcast_to(trust, alpha.shape).reshape(-1)[unknown]
    right = weights * flat[unknown]
    parts = []
    for (dy, dx), diagonal in zip(_NEIGHBOURS, diagonals, strict=True):
        weight = diagonal[here]
        # Beyond the border weights are 0.
        other = np.where(weight != 0.0, unknown + dy * width + dx, unknown)
        right -= np.where(is_fixed[other], weight * flat[other], 0.0)
        free = ~is_fixed[other] & (weight != 0.0)
        parts.append((weight[free], np.flatnonzero(free), place[other[free]]))
    data, row, column = map(np.concatenate, zip(*parts, strict=True))
    matrix = sparse.csr_matrix((data, (row, column)), (len(unknown),) * 2)
    matrix += sparse.diags(weights, format="csr")
    scale = 1.0 / np.maximum(matrix.diagonal(), 1e-9)
    precondition = LinearOperator(matrix.shape, lambda x: scale * x.reshape(-1))
    # What is best after so many steps is good enough for an edge.
    found, _ = cg(
        matrix,
        right,
        x0=flat[unknown],
        rtol=_RELATIVE_TOLERANCE,
        maxiter=_MOST_STEPS,
        M=precondition,
    )
    flat[unknown] = found
    return np.clip(alpha, 0.0, 1.0).astype(np.float32)


def _affinities(colors: np.ndarray, epsilon: float) -> np.ndarray:
    """Of each window, what it adds to the matrix.

    Args:
        colors: `(windows, 9, 3)`.
        epsilon: see `closed_form_alpha`.

    Returns:
        `(windows, 9, 9)`.
    """
    count = colors.shape[1]
    colors = colors - colors.mean(axis=1, keepdims=True)
    covariance = np.einsum("wic,wid->wcd", colors, colors) / count
    covariance += epsilon / count * np.eye(3)
    solved = np.linalg.solve(covariance, colors.transpose(0, 2, 1))
    return np.eye(count) - (1.0 + colors @ solved) / count


def enlarge_alpha(
    alpha: np.ndarray, small: np.ndarray, pixels: np.ndarray, *, epsilon: float = 1e-4
) -> np.ndarray:
    """Enlarges alpha with the edges of a larger picture.

    Around each pixel alpha is an affine function of the colour, as in `closed_form_alpha`; it is
    fitted in the small picture, and applied to the colours of the large one: the fast guided filter
    (He & Sun 2015) with a guide of three channels.

    Args:
        alpha: `(h, w)`.
        small: `(h, w, 3)`, the picture that it is of.
        pixels: `(height, width, 3)`, the same picture, larger.
        epsilon: variance of the colours below which a window counts as flat.

    Returns:
        float32 `(height, width)` in [0, 1].
    """
    from scipy.ndimage import uniform_filter

    def mean(plane: np.ndarray) -> np.ndarray:
        return uniform_filter(plane, 5, mode="nearest")

    colors = [small[..., channel].astype(np.float64) for channel in range(3)]
    alpha = alpha.astype(np.float64)
    means, alpha_mean = [mean(plane) for plane in colors], mean(alpha)
    covariance = np.empty((*alpha.shape, 3, 3))
    both = np.empty((*alpha.shape, 3))
    for i in range(3):
        both[..., i] = mean(colors[i] * alpha) - means[i] * alpha_mean
        for j in range(i, 3):
            plane = mean(colors[i] * colors[j]) - means[i] * means[j]
            covariance[..., i, j] = covariance[..., j, i] = plane
    covariance += epsilon * np.eye(3)
    slopes = np.linalg.solve(covariance, both[..., None])[..., 0]
    offset = alpha_mean - sum(slopes[..., i] * means[i] for i in range(3))
    height, width = pixels.shape[:2]
    result = _resized(mean(offset), height, width)
    for i in range(3):
        result += _resized(mean(slopes[..., i]), height, width) * pixels[..., i]
    return np.clip(result, 0.0, 1.0)


def _resized(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))


def estimate_foreground(pixels: np.ndarray, alpha: np.ndarray, radius: int) -> np.ndarray:
    r"""The colours of the foreground alone, without the background that shines through.

    Both sides' colours are averaged around each pixel, and what the mixture leaves over is given to
    the foreground, in wide windows first and then in narrow ones (Forte, "Approximate Fast
    Foreground Colour Estimation", 2021):

    .. math:: \bar F = \frac{\text{mean}(\alpha F)}{\text{mean}(\alpha)}, \quad
        F \leftarrow \bar F + \alpha (I - \alpha \bar F - (1 - \alpha) \bar B)

    Departure: the wide windows are those of a smaller picture, so that the time does not grow with
    the radius.

    Args:
        pixels: I, `(height, width, 3)` in [0, 1].
        alpha: `(height, width)` in [0, 1].
        radius: of the wide windows, in pixels.

    Returns:
        float32 `(height, width, 3)`; where alpha is 1, the picture's own colours.

    Example: half of a white edge before black is white foreground.

    >>> alpha = np.repeat([1.0, 0.5, 0.0], 4)[None].repeat(12, axis=0)
    >>> pixels = alpha[..., None].repeat(3, axis=2)
    >>> bool(estimate_foreground(pixels, alpha, 8)[6, 5, 0] > 0.95)
    True
    """
    pixels, alpha = np.asarray(pixels, np.float32), np.asarray(alpha, np.float32)
    height, width = alpha.shape
    factor = max(1, radius // _WIDE)
    size = -(-height // factor), -(-width // factor)
    small = [_resized(pixels[..., channel], *size) for channel in range(3)]
    small_alpha = np.clip(_resized(alpha, *size), 0.0, 1.0)
    result = np.empty_like(pixels)
    for channel in range(3):
        fore, back = _fuse(small[channel], small[channel], small[channel], small_alpha, _WIDE)
        fore, back = (_resized(plane, height, width) for plane in (fore, back))
        result[..., channel] = _fuse(pixels[..., channel], fore, back, alpha, _NARROW)[0]
    return result


def _fuse(
    image: np.ndarray, fore: np.ndarray, back: np.ndarray, alpha: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """One channel of the foreground and of the background, from what they are in windows."""
    from scipy.ndimage import uniform_filter

    def mean(plane: np.ndarray) -> np.ndarray:
        return uniform_filter(plane, 2 * radius + 1, mode="nearest")

    # The filter's running sums come to a little less than 0 where there is nothing.
    share = np.clip(mean(alpha), 0.0, 1.0)
    fore = mean(fore * alpha) / (share + _LEAST_SHARE)
    back = mean(back * (1.0 - alpha)) / (1.0 - share + _LEAST_SHARE)
    found = fore + alpha * (image - alpha * fore - (1.0 - alpha) * back)
    return np.clip(found, 0.0, 1.0), np.clip(back, 0.0, 1.0)
