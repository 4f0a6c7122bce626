"""Learning from another network: its activations as targets beside the labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cnnkit.models._anchor_boxes import AnchorBoxes
from cnnkit.ops.box_overlap import box_overlaps

# Side of the picture that the strides of a network's layers are read off with.
_PROBE = 256
_EPSILON = 1e-4
# Weights of boxes and of features in the distillation of a detector.
_OF_BOXES, _OF_FEATURES = 4.0, 4.0


def last_maps(model: keras.Model, strides: Sequence[int]) -> list[Any]:
    """What a network knows at each resolution: its last maps before the resolution changes.

    Args:
        model: functional, RGB `(B, H, W, 3)` -> anything.
        strides: pixels of the picture for a place of the maps.

    Returns:
        For each stride a tensor of the network's graph, `(B, H / stride, W / stride, C)`.

    Raises:
        ValueError: the network has no maps of a stride.

    Example:

    >>> inputs = keras.Input((None, None, 3))
    >>> first = keras.layers.Conv2D(4, 3, 2, padding="same")(inputs)
    >>> second = keras.layers.Conv2D(8, 3, 2, padding="same")(first)
    >>> model = keras.Model(inputs, keras.layers.UpSampling2D()(second))
    >>> [maps.shape[-1] for maps in last_maps(model, (2, 4))]
    [4, 8]
    """
    # Activations are often no layers.
    steps = [one for one in model.operations if not isinstance(one, keras.layers.InputLayer)]
    sources = {id(one.output): keras.tree.flatten(one.input) for one in steps}
    maps = [one.output for one in steps if len(getattr(one.output, "shape", ())) == 4]
    probe = keras.Model(model.inputs[0], maps)
    seen = probe(np.zeros((1, _PROBE, _PROBE, 3), "float32"))
    parts = {id(one): _PROBE / values.shape[1] for one, values in zip(maps, seen, strict=True)}
    found: dict[int, Any] = {}
    for one in maps:
        for before in sources[id(one)]:
            # Padding for a convolution changes the size a little.
            while id(before) in parts and not parts[id(before)].is_integer():
                before = sources[id(before)][0]
            if id(before) in parts and not 0.75 < parts[id(one)] / parts[id(before)] < 1.5:
                found[int(parts[id(before)])] = before
    missing = [stride for stride in strides if stride not in found]
    if missing:
        raise ValueError(f"{model.name} has no maps of stride {missing[0]}")
    return [found[stride] for stride in strides]


class _Distillation(keras.layers.Layer):
    """Passes the first of its inputs on, with a loss that draws a network to its teacher.

    Args:
        weight: of the loss.
    """

    def __init__(self, weight: float = 1.0, **settings: Any):
        # 16 bits would lose small differences.
        super().__init__(**{**settings, "dtype": "float32"})
        self.weight = weight

    def compute_output_shape(
        self, shapes: Sequence[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        return tuple(shapes[0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}


@keras.saving.register_keras_serializable("cnnkit")
class FeatureDistillation(_Distillation):
    r"""Passes predictions on, with a loss that draws a network's maps towards another's.

    .. math:: L = \lambda \sum_s \overline{(W_s x_s - \hat y_s)^2}, \quad
        \hat y_{s, c} = \frac{y_{s, c} - \mu_{s, c}}{\sigma_{s, c}}

    with the network's maps x at stride s, the teacher's y, the mean and deviation of each of its
    channels in the batch, and a linear map W that is learned: the share of the teacher's variance
    that the network does not explain.

    Args:
        weight: lambda.

    Call: `[predictions, x_1, ..., x_n, y_1, ..., y_n]` -> predictions.

    Romero et al., "FitNets: Hints for Thin Deep Nets" (2015).
    """

    def __init__(self, weight: float = 1.0, **settings: Any):
        super().__init__(weight, **settings)
        self._heads: list[keras.layers.Layer] = []

    def build(self, shapes: Sequence[tuple[int | None, ...]]) -> None:
        count = len(shapes) // 2
        self._heads = [
            keras.layers.Conv2D(teacher[-1], 1, dtype="float32", name=f"head{index}")
            for index, teacher in enumerate(shapes[1 + count :])
        ]
        for head, student in zip(self._heads, shapes[1 : 1 + count], strict=True):
            head.build(student)
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        ops = keras.ops
        count = len(self._heads)
        for head, student, teacher in zip(
            self._heads, inputs[1 : 1 + count], inputs[1 + count :], strict=True
        ):
            teacher = ops.stop_gradient(ops.cast(teacher, "float32"))
            mean, variance = ops.moments(teacher, axes=(0, 1, 2), keepdims=True)
            wanted = (teacher - mean) / ops.sqrt(variance + _EPSILON)
            self.add_loss(self.weight * ops.mean((head(student) - wanted) ** 2))
        return inputs[0]


@dataclass(frozen=True, eq=False)
class DetectionHead:
    """The layers with which a detector of anchors predicts at one stride.

    Attributes:
        layer: gives the boxes.
        convolution: the layer before it, which tells them from features.
    """

    layer: AnchorBoxes
    convolution: keras.layers.Conv2D

    @property
    def tensors(self) -> tuple[Any, Any, Any]:
        """Of the detector's graph: features `(B, H, W, F)`, what the convolution makes of them
        `(B, H, W, anchors (5 + classes))`, and `(B, H W anchors, 4 + classes)`, the boxes in pixels
        first.
        """
        return self.convolution.input, self.convolution.output, self.layer.output


def detection_heads(model: keras.Model) -> dict[int, DetectionHead]:
    """The layers with which a detector of anchors predicts, by stride.

    Args:
        model: functional; each layer of anchors is on a convolution.
    """
    layers = (layer for layer in model.layers if isinstance(layer, AnchorBoxes))
    return {
        layer.stride: DetectionHead(layer, layer.input._keras_history.operation) for layer in layers
    }


@keras.saving.register_keras_serializable("cnnkit")
class DetectionDistillation(_Distillation):
    r"""Passes predictions on, with a loss that draws a detector's answers to another's of the same
    anchors.

    With the teacher's objectness o of each anchor at each place of all strides, its probabilities p
    of the classes and its boxes b, and the detector's own with a hat,

    .. math:: L = \lambda \Bigl[\frac{1}{\sum o} \Bigl(\sum H(o, \hat o) + \sum o \sum_c
        H(p_c, \hat p_c) + 4 \sum o \, (1 - \mathrm{GIoU}(b, \hat b))\Bigr)
        + 4 \sum_s D_s\Bigr]

    where H is the binary cross-entropy above the teacher's own entropy, and D at each stride is how
    far the features are from the teacher's, as a share of the variance of each of its channels in
    the batch: half of it the mean of all places, half their mean weighted by the largest o there.
    Labels name one class of some objects; these targets say of every place what another network
    makes of it, and the features what it would need to name the classes that are not there.

    Args:
        anchors: of a place.
        weight: lambda.

    Call: `[predictions, x_1, ..., x_n, y_1, ..., y_n]`, for each stride the three tensors of
    `DetectionHead`, the detector's and then the teacher's -> predictions.

    Hinton et al., "Distilling the Knowledge in a Neural Network" (2015).
    """

    def __init__(self, anchors: int, weight: float = 1.0, **settings: Any):
        super().__init__(weight, **settings)
        self.anchors = anchors

    def call(self, inputs: Sequence[Any]) -> Any:
        ops = keras.ops
        predictions, *parts = inputs
        half = len(parts) // 2
        far = norm = told = 0.0
        for begin in range(0, half, 3):
            features, grid, boxes = (_in_rows(one) for one in parts[begin : begin + 3])
            wanted_features, wanted_grid, wanted_boxes = (
                ops.stop_gradient(_in_rows(one)) for one in parts[half + begin : half + begin + 3]
            )
            # From places to anchors of places.
            rows = (ops.shape(grid)[0], -1, grid.shape[-1] // self.anchors)
            grid, wanted_grid = ops.reshape(grid, rows), ops.reshape(wanted_grid, rows)
            sure = ops.sigmoid(wanted_grid[..., 4])
            norm = norm + ops.sum(sure)
            told = told + ops.sum(_excess_entropy(wanted_grid[..., 4], grid[..., 4]))
            classes = ops.sum(_excess_entropy(wanted_grid[..., 5:], grid[..., 5:]), axis=-1)
            told = told + ops.sum(sure * classes)
            miss = 1.0 - box_overlaps(boxes[..., :4], wanted_boxes[..., :4], "giou")
            told = told + _OF_BOXES * ops.sum(sure * miss)
            variance = ops.var(wanted_features, axis=(0, 1))
            error = (features - wanted_features) ** 2 / (variance + _EPSILON)
            error = ops.mean(error, axis=-1)
            seen = ops.max(ops.reshape(sure, (rows[0], -1, self.anchors)), axis=-1)
            far = far + ops.mean(error) / 2 + ops.sum(seen * error) / (2 * ops.sum(seen) + _EPSILON)
        self.add_loss(self.weight * (told / ops.maximum(norm, 1.0) + _OF_FEATURES * far))
        return predictions

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "anchors": self.anchors}


def _in_rows(maps: Any) -> Any:
    """`(B, ..., C)` -> `(B, N, C)` in 32 bits."""
    ops = keras.ops
    return ops.reshape(ops.cast(maps, "float32"), (ops.shape(maps)[0], -1, maps.shape[-1]))


def _excess_entropy(wanted: Any, logits: Any) -> Any:
    """Cross-entropy of probabilities, given as logits, less what it is when they are the same."""
    ops = keras.ops
    probability = ops.sigmoid(wanted)
    return ops.softplus(logits) - ops.softplus(wanted) + probability * (wanted - logits)


@keras.saving.register_keras_serializable("cnnkit")
class LogitDistillation(_Distillation):
    r"""Passes scores on, with a loss that draws them towards those of another network.

    .. math:: L = \lambda T^2 \, \overline{\sum_c q_c \log \frac{q_c}{p_c}}, \quad
        q = \mathrm{softmax}(y / T), \; p = \mathrm{softmax}(x / T)

    with the network's scores x of each class, the teacher's y, and the mean over all places, or
    over those that count. With a temperature T above 1 the teacher also tells which of the wrong
    classes are near.

    Args:
        weight: lambda.
        temperature: T.

    Call: `[x, y]`, each `(B, H, W, classes)`, or `[x, y, weights]`, with the weight of each place,
    `(B, H, W)` -> x. Maps cover the same picture in squares; those of the teacher are brought to
    the size of the others, bilinearly.

    Example:

    >>> layer = LogitDistillation()
    >>> student, teacher = np.zeros((2, 1, 1, 1, 2), "float32")
    >>> teacher[..., 0] = 2 * np.log(3.0)
    >>> _ = layer([student, teacher])
    >>> # 4 (3/4 log(3/2) + 1/4 log(1/2))
    >>> round(float(layer.losses[0]), 4)
    0.5232

    Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network" (2015).
    """

    def __init__(self, weight: float = 1.0, temperature: float = 2.0, **settings: Any):
        super().__init__(weight, **settings)
        self.temperature = temperature

    def call(self, inputs: Sequence[Any]) -> Any:
        ops = keras.ops
        scores, teacher, *weights = inputs
        size = ops.shape(scores)[1:3]
        if tuple(teacher.shape[1:3]) != tuple(scores.shape[1:3]):
            teacher = ops.image.resize(teacher, size, interpolation="bilinear")
        teacher = ops.stop_gradient(teacher)
        wanted = ops.log_softmax(teacher / self.temperature)
        found = ops.log_softmax(scores / self.temperature)
        divergence = ops.sum(ops.exp(wanted) * (wanted - found), axis=-1)
        mean = _weighted_mean(divergence, *weights)
        self.add_loss(self.weight * self.temperature**2 * mean)
        return scores

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable("cnnkit")
class FusedFeatureDistillation(_Distillation):
    r"""Passes predictions on, with a loss that draws a network's maps of several strides, put
    together, towards those that a teacher's answers are made of.

    .. math:: L = \lambda \, \overline{\Bigl(\sum_s U(W_s x_s) - y\Bigr)^2}

    with the network's maps x at stride s, linear maps W that are learned, U, which repeats their
    places as often as it takes, the teacher's maps y, and the mean over the places that count.

    Args:
        weight: lambda.
        factors: of each x, places of y along one of its own.

    Call: `[predictions, y, weights, x_1, ..., x_n]` -> predictions; y is `(B, h, w, K)`, weights
    are `(B, h, w)`.

    Example:

    >>> layer = FusedFeatureDistillation(factors=(2,))
    >>> y, weights = np.full((1, 2, 2, 3), 2.0, "float32"), np.ones((1, 2, 2), "float32")
    >>> _ = layer([y, y, weights, np.zeros((1, 1, 1, 5), "float32")])
    >>> float(layer.losses[0])
    4.0

    Romero et al., "FitNets: Hints for Thin Deep Nets" (2015).
    """

    def __init__(self, weight: float = 1.0, factors: Sequence[int] = (1,), **settings: Any):
        super().__init__(weight, **settings)
        self.factors = tuple(factors)

    def build(self, shapes: Sequence[tuple[int | None, ...]]) -> None:
        self._heads = [
            keras.layers.Conv2D(
                shapes[1][-1],
                1,
                # The same for a run that is taken up again.
                kernel_initializer=keras.initializers.GlorotUniform(index),
                dtype="float32",
                name=f"head{index}",
            )
            for index in range(len(self.factors))
        ]
        for head, shape in zip(self._heads, shapes[3:], strict=True):
            head.build(shape)
        self.built = True

    def call(self, inputs: Sequence[Any]) -> Any:
        ops = keras.ops
        predictions, wanted, weights, *maps = inputs
        found = 0.0
        for head, factor, one in zip(self._heads, self.factors, maps, strict=True):
            found = found + ops.repeat(ops.repeat(head(one), factor, axis=1), factor, axis=2)
        difference = ops.mean((found - ops.stop_gradient(wanted)) ** 2, axis=-1)
        self.add_loss(self.weight * _weighted_mean(difference, weights))
        return predictions

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factors": self.factors}


def _weighted_mean(values: Any, weights: Any = None) -> Any:
    ops = keras.ops
    if weights is None:
        return ops.mean(values)
    return ops.sum(values * weights) / ops.maximum(ops.sum(weights), 1.0)
