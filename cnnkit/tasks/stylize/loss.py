"""Losses of neural style transfer: content, style (Gram and Wasserstein), total variation.

`J = alpha J_content + beta J_style + gamma J_tv` (Gatys, Ecker & Bethge 2015). The paper's sums
depend on the size of the picture, on the layer and on the picture itself, so that their weights
have to be tuned for each. `StylizeLoss` divides every term by its natural scale; the weights then
mean the same at every size and for every picture.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from cnnkit.ops.gaussians import matrix_square_root
from cnnkit.ops.statistics import moments, precise_dtype
from cnnkit.tasks.stylize.layer_statistics import RELATIVE_EPSILON, LayerStatistics, mask_at

Tensor = Any


def content_loss(generated: Tensor, content: Tensor) -> Tensor:
    """`J_content = 1/2 sum (a(C) - a(G))^2`, Gatys et al. (2015), equation 1.

    Args:
        generated: activations `(height, width, channels)` of the generated image.
        content: activations of the content image, the same shape.

    Returns:
        Scalar.

    Example:

    >>> float(content_loss(np.ones((1, 2, 3), "float32"), np.zeros((1, 2, 3), "float32")))
    3.0
    """
    return 0.5 * keras.ops.sum(keras.ops.square(keras.ops.subtract(generated, content)))


def gram_style_loss(generated_gram: Tensor, style_gram: Tensor) -> Tensor:
    """`J_style = 1 / (2 n_H n_W n_C)^2 ||G(S) - G(G)||_F^2` of one layer.

    The paper's Gram matrices are sums over positions; these are means (`gram_matrix`), which takes
    `n_H n_W` out of the formula: `1 / (2 n_C)^2 ||...||^2`. Equal sizes give the paper's value, and
    a style picture of another size is compared fairly.

    Args:
        generated_gram: `(channels, channels)`, mean over positions.
        style_gram: the same of the style image.

    Returns:
        Scalar.

    Example:

    >>> a, b = np.eye(2, dtype="float32"), np.zeros((2, 2), "float32")
    >>> float(gram_style_loss(a, b))  # (1 + 1) / (2 * 2)^2
    0.125
    """
    channels = generated_gram.shape[-1]
    difference = keras.ops.subtract(generated_gram, style_gram)
    return keras.ops.sum(keras.ops.square(difference)) / (2.0 * channels) ** 2


def wasserstein_style_loss(
    mean: Tensor,
    covariance: Tensor,
    style_mean: Tensor,
    style_covariance: Tensor,
    style_root: Tensor,
) -> Tensor:
    """Squared Wasserstein-2 distance of two Gaussians.

    `||m - m_t||^2 + tr(S + S_t - 2 (S_t^1/2 S S_t^1/2)^1/2)`

    The trace of the root has the derivative `d tr(M^1/2) = 1/2 tr(M^-1/2 dM)`, so one
    eigendecomposition of `M = S_t^1/2 S S_t^1/2` gives value and gradient; differentiating through
    the decomposition itself would fail where eigenvalues meet.

    Args:
        mean: `(channels,)`, which the gradient reaches.
        covariance: S, `(channels, channels)`, positive definite; the gradient reaches it.
        style_mean: `(channels,)`, constant.
        style_covariance: S_t, `(channels, channels)`, positive definite, constant.
        style_root: `S_t^1/2`.

    Returns:
        Scalar, zero only for equal Gaussians.

    Example: variances 4 and 1, means 0: (2 - 1)^2 in each of two directions.

    >>> eye, zero = np.eye(2, dtype="float32"), np.zeros(2, "float32")
    >>> round(float(wasserstein_style_loss(zero, 4 * eye, zero, eye, eye)), 4)
    2.0
    """
    ops = keras.ops
    covariance = ops.convert_to_tensor(covariance)
    fixed = ops.stop_gradient(covariance)
    # Of the roots of the smallest eigenvalues float32 knows next to nothing: the loss of a picture
    # would tremble by some parts in 100,000, and a line search find no way down any more.
    precise = precise_dtype()
    style_root = ops.cast(style_root, precise)
    product = ops.matmul(ops.matmul(style_root, ops.cast(fixed, precise)), style_root)
    values, vectors = ops.linalg.eigh(0.5 * (product + ops.transpose(product)))
    # The largest eigenvalue sets how small one can be told from zero.
    values = ops.maximum(values, np.finfo(precise).eps * values[-1] + 1e-30)
    roots = ops.sqrt(values)
    inverse_root = ops.matmul(vectors / roots, ops.transpose(vectors))
    slope = ops.matmul(ops.matmul(style_root, inverse_root), style_root)
    # The products with the identity are traces: of few operations, since each is one to trace too.
    # The last term is zero and has the gradient of both.
    identity = np.eye(covariance.shape[-1], dtype=np.float32)
    both = ops.cast(identity * (fixed + style_covariance), precise)
    bures = ops.cast(ops.sum(both) - 2.0 * ops.sum(roots), covariance.dtype)
    slope = identity - ops.cast(ops.stop_gradient(slope), covariance.dtype)
    bures += ops.sum(slope * (covariance - fixed))
    return ops.sum(ops.square(ops.subtract(mean, style_mean))) + bures


def total_variation(image: Tensor) -> Tensor:
    """Mean over pixels of the squared differences to the right and lower neighbour.

    Args:
        image: `(height, width, channels)`, at least 2 x 2.

    Returns:
        Scalar: the sum over both directions and all channels, per pixel.

    Example:

    >>> float(total_variation(np.array([[[0.0], [1.0]], [[0.0], [1.0]]], "float32")))
    0.5
    """
    ops = keras.ops
    image = ops.convert_to_tensor(image)
    channels = image.shape[-1]
    # The sum of squared differences is the quadratic form x . Lx of the grid's Laplacian L, whose
    # gradient is 2 Lx. One convolution gives both; slicing would cost four padded copies.
    kernel = np.zeros((3, 3, channels, 1), np.float32)
    kernel[1, 1], kernel[0, 1], kernel[2, 1], kernel[1, 0], kernel[1, 2] = 4, -1, -1, -1, -1
    fixed = ops.stop_gradient(image)
    # Repeating the border makes the difference across it zero.
    padded = ops.pad(fixed[None], ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    laplacian = ops.depthwise_conv(padded, ops.cast(kernel, image.dtype), padding="valid")[0]
    form = ops.sum((2.0 * image - fixed) * laplacian)
    height, width = ops.shape(image)[:2]
    return form / ops.cast(height * width, image.dtype)


def layer_statistics(activations: Tensor, weights: Tensor | None = None) -> LayerStatistics:
    """Moments of `(height, width, C)` activations; `weights` `(height, width)` per position."""
    mean, gram = map(keras.ops.convert_to_numpy, moments(activations, weights))
    return LayerStatistics(mean.astype(np.float64), gram.astype(np.float64))


class StylizeLoss:
    """`alpha J_content + beta J_style + gamma J_tv`, every term relative to its natural scale.

    - content: divided by the loss of a picture whose activations are the content's mean, so 1
      means that nothing of the content is left;
    - style: each layer divided by the loss of activations that are all zero;
    - total variation: as it is, since pixels are in [0, 1].

    Args:
        network: RGB `(1, height, width, 3)` in [0, 1] -> dict of layer to activations.
        content: content image `(height, width, 3)`.
        content_layer: layer of the content loss.
        style: layer -> statistics to reach.
        layer_weights: layer -> weight within the style loss; divided by their sum.
        style_loss: "wasserstein" or "gram".
        alpha: weight of the content loss.
        beta: weight of the style loss.
        gamma: weight of the total variation.
        mask: `(height, width)` in [0, 1]: where style is measured, or None for everywhere.
        activations: layer -> what the network says of the content `(height, width, channels)`,
            where that is known already.

    Attributes:
        targets: all that the loss takes from the pictures, as float32 arrays: what is compiled once
            for one loss serves another one with its targets.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Mapping[str, Tensor]],
        content: np.ndarray,
        content_layer: str,
        style: Mapping[str, LayerStatistics],
        layer_weights: Mapping[str, float],
        style_loss: str = "wasserstein",
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 0.0,
        mask: np.ndarray | None = None,
        activations: Mapping[str, np.ndarray] | None = None,
    ):
        self._network = network
        self._content_layer = content_layer
        self._kind = style_loss
        self._alpha, self._beta, self._gamma = alpha, beta, gamma
        if activations is None:
            seen = network(content[None])
            activations = {layer: keras.ops.convert_to_numpy(seen[layer])[0] for layer in seen}
        kept = activations[content_layer].astype(np.float32)
        total = sum(layer_weights.values())
        wanted = {layer: weight / total for layer, weight in layer_weights.items() if weight > 0}
        self.targets = {
            "content": kept,
            "content_scale": np.float32(1.0 / content_loss_scale(kept)),
            "layers": {
                layer: _layer_targets(style[layer], style_loss, share)
                for layer, share in wanted.items()
            },
        }
        if mask is not None:
            self.targets["masks"] = {
                layer: mask_at(mask, *activations[layer].shape[:2])[..., None] for layer in wanted
            }

    def hold(self, picture: np.ndarray, weight: np.ndarray) -> None:
        """Has images be near to a picture: the temporal loss of Ruder et al. (2016).

        `mean_xy w sum_c (G - P)^2` is added to the sum.

        Args:
            picture: P, `(height, width, 3)`, such as the last frame of a video, moved along.
            weight: w, `(height, width)`, 0 where it is not to be seen.
        """
        self.targets["held"] = {
            "picture": picture.astype(np.float32),
            "weight": (weight / weight.size).astype(np.float32)[..., None],
        }

    def __call__(
        self, image: Tensor, targets: Mapping[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of an image `(height, width, 3)` in [0, 1].

        Args:
            image: to be judged.
            targets: `targets` of another loss with the same settings; its own by default.

        Returns:
            The weighted sum, and the unweighted "content", "style" and "tv".
        """
        targets = self.targets if targets is None else targets
        activations = self._network(image[None])
        content = targets["content_scale"] * content_loss(
            activations[self._content_layer][0], targets["content"]
        )
        masks = targets.get("masks", {})
        style = 0.0
        for layer, own in targets["layers"].items():
            mask = masks[layer][..., 0] if masks else None
            style += layer_loss(*moments(activations[layer][0], mask), own, self._kind)
        tv = total_variation(image)
        total = self._alpha * content + self._beta * style + self._gamma * tv
        if "held" in targets:
            held = targets["held"]
            total += keras.ops.sum(held["weight"] * keras.ops.square(image - held["picture"]))
        return total, {"content": content, "style": style, "tv": tv}


def content_loss_scale(activations: np.ndarray) -> float:
    """Content loss of the mean activation: how much content there is to lose.

    A flat picture has none; a hundredth of the activations' energy stands in for it.
    """
    mean = activations.mean(axis=(0, 1), dtype=np.float64)
    # Row by row: in float64 those of a large picture would take gigabytes.
    spread = sum(float(np.square(row - mean).sum()) for row in activations)
    energy = sum(float(np.square(row, dtype=np.float64).sum()) for row in activations)
    return max(0.5 * spread, 0.005 * energy, 1e-6)


def _layer_targets(statistics: LayerStatistics, kind: str, share: float) -> dict[str, np.ndarray]:
    """The constants of one layer's style loss, float32."""
    channels = len(statistics.mean)
    energy = max(float(np.trace(statistics.gram)), 1e-6)
    if kind == "gram":
        zero_loss = np.sum(statistics.gram**2) / (2.0 * channels) ** 2
        arrays = {"gram": statistics.gram}
    else:
        zero_loss = energy
        ridge = RELATIVE_EPSILON * energy / channels * np.eye(channels)
        covariance = statistics.covariance + ridge
        arrays = {
            "mean": statistics.mean,
            "ridge": ridge,
            "covariance": covariance,
            "root": matrix_square_root(covariance),
        }
    arrays["scale"] = np.asarray(share / max(zero_loss, 1e-12))
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def layer_loss(mean: Tensor, gram: Tensor, targets: Mapping[str, Tensor], kind: str) -> Tensor:
    """One layer's part of the style loss of `StylizeLoss`.

    Args:
        mean: of the activations, `(channels,)`.
        gram: mean over positions of `a a^T`, `(channels, channels)`.
        targets: of the layer, `StylizeLoss.targets["layers"][layer]`.
        kind: "wasserstein" or "gram".

    Returns:
        Scalar, with the layer's weight.
    """
    if kind == "gram":
        loss = gram_style_loss(gram, targets["gram"])
    else:
        loss = wasserstein_style_loss(
            mean,
            gram - mean[:, None] * mean[None, :] + targets["ridge"],
            targets["mean"],
            targets["covariance"],
            targets["root"],
        )
    return targets["scale"] * loss
