"""Classifiers to be trained: from random weights, or on top of layers that come trained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from cnnkit.errors import UsageError
from cnnkit.models._arguments import smallest_input
from cnnkit.models._pixel_range import PIXELS, expected_pixels
from cnnkit.models.alexnet import build_alexnet
from cnnkit.models.compact_features import (
    WHOLE_LAYERS,
    check_compact_shape,
    compact_features,
    sizes_of,
)
from cnnkit.models.convnet1d import build_convnet1d
from cnnkit.models.convnet3d import build_convnet3d
from cnnkit.models.efficientnet_lite import (
    SCALES,
    build_efficientnet_lite,
    build_trained_efficientnet_lite0,
)
from cnnkit.models.inception import build_inception
from cnnkit.models.lenet5 import build_lenet5
from cnnkit.models.mobilenet_v2 import build_mobilenet_v2, build_trained_mobilenet_v2
from cnnkit.models.resnet import build_resnet
from cnnkit.models.unrolled import unroll_model
from cnnkit.models.vgg import (
    COMPACT_WIDTHS,
    VGG16_CONVOLUTIONS,
    VGG19_CONVOLUTIONS,
    build_feature_network,
    build_vgg,
    build_vgg_classifier,
    load_imagenet_weights,
    unit_preprocessing,
)
from cnnkit.models.yolo import build_yolov1_classifier
from cnnkit.weights.keras_file import is_own_file, load_keras_file

# Shape of the examples where the user names none.
INPUT_SHAPES = {
    **{name: (scale.resolution, scale.resolution, 3) for name, scale in SCALES.items()},
    "compact": (160, 160, 3),
    "lenet5": (32, 32, 1),
    "alexnet": (227, 227, 3),
    "convnet1d": (128, 1),
    "convnet3d": (32, 32, 32, 1),
}
_USUAL_SHAPE = (224, 224, 3)

_CONVNET_FILTERS = (16, 32, 64, 64)


@dataclass(frozen=True, eq=False)
class TrainableClassifier:
    """A classifier, and which of its layers are new.

    Attributes:
        model: examples -> probabilities `(batch, classes)`.
        features: what the head sees, a tensor of `model`'s graph; None where there is no head
            apart from the rest.
        head: the layers behind `features`, in their order.
        pretrained: the layers with weights that come trained, in their order.
    """

    model: keras.Model
    features: Any = field(default=None, repr=False)
    head: tuple[keras.layers.Layer, ...] = ()
    pretrained: tuple[keras.layers.Layer, ...] = ()

    def freeze(self, regime: str) -> None:
        """Lets train what a regime trains: "head", "last:N", "all" or "scratch".

        Raises:
            UsageError: N is more than there are layers.
        """
        count = len(self.pretrained)
        if regime.startswith("last:"):
            trained = int(regime.removeprefix("last:"))
            if trained > count:
                raise UsageError(
                    f"{self.model.name} has {count} layers with trained weights, "
                    f"fewer than the {trained} of {regime}"
                )
        else:
            trained = 0 if regime == "head" else count
        for index, layer in enumerate(self.pretrained):
            layer.trainable = index >= count - trained

    def feature_model(self) -> keras.Model:
        """Examples -> what the head sees."""
        return keras.Model(self.model.inputs[0], self.features, name="features")

    def head_model(self) -> keras.Model:
        """What the head sees -> probabilities; its layers are those of `model`."""
        x = inputs = keras.Input(self.features.shape[1:], name="features")
        for layer in self.head:
            x = layer(x)
        return keras.Model(inputs, x, name="head")

    def set_feature_statistics(self, mean: Any, variance: Any) -> None:
        """Centres and scales what the head sees by the statistics of the training data.

        Args:
            mean: `(features,)`.
            variance: `(features,)`.
        """
        self.head[0].set_weights([mean, variance])


def default_shape(model: str) -> tuple[int, ...]:
    """The shape of examples that a model is built for by default, channels last.

    >>> default_shape("lenet5"), default_shape("resnet18")
    ((32, 32, 1), (224, 224, 3))
    """
    return INPUT_SHAPES.get(model, _USUAL_SHAPE)


def build_pretrained(
    model: str, classes: int, input_shape: Sequence[int] | None = None, dropout: float = 0.5
) -> TrainableClassifier:
    """A network with trained weights, and a new head on it.

    Args:
        model: "efficientnet-lite0", "compact", "mobilenet-v2", "vgg16", "vgg19" (the last three
            with weights that the user fetched), or a `.keras` file of a classifier whose last layer
            with weights is dense.
        classes: number of classes.
        input_shape: of the examples; the model's own by default. Those of VGG and of files are
            fixed.
        dropout: share of the head's inputs that is left out in training.

    Returns:
        A `TrainableClassifier`.

    Raises:
        UsageError: a file whose model cannot be taken over, or another shape than the model's.
        WeightsError: the weights are not here.
    """
    if model == "compact":
        shape = tuple(input_shape or default_shape(model))
        check_compact_shape(shape)
        network = build_feature_network("compact", [*WHOLE_LAYERS]).model
        inputs, features, _ = compact_features(network, shape)
        name = "compact"
    else:
        if model.endswith(".keras"):
            whole = _load_whole(model)
            name = Path(model).stem
        elif model in _TRAINED_AT_ANY_SIZE:
            whole = _build_trained(model, tuple(input_shape or default_shape(model)))
            name = model
        else:
            convolutions = VGG16_CONVOLUTIONS if model == "vgg16" else VGG19_CONVOLUTIONS
            whole = build_vgg_classifier(convolutions, name=model)
            load_imagenet_weights(whole)
            name = model
        inputs, features = _without_last(whole, model)
        if input_shape is not None and tuple(input_shape) != tuple(inputs.shape[1:]):
            raise UsageError(
                f"{model} takes examples of {sizes_of(inputs.shape[1:])}, not "
                f"{sizes_of(input_shape)}; leave out --size"
            )
    layers = keras.layers
    head = (
        # Filled with the statistics of the training data, and not trained: it only brings all
        # features to one scale.
        layers.BatchNormalization(center=False, scale=False, trainable=False, name="head_scale"),
        layers.Dropout(dropout, name="head_dropout"),
        # Softmax in 32 bits also where the rest has 16.
        layers.Dense(classes, activation="softmax", dtype="float32", name="predictions"),
    )
    x = features
    for layer in head:
        x = layer(x)
    built = keras.Model(inputs, x, name=name)
    pretrained = tuple(layer for layer in built.layers if layer.weights and layer not in head)
    if model == "efficientnet-lite0":
        # Its statistics come from a million pictures; a few batches of others would spoil them.
        normalizations = [one for one in pretrained if _is_normalization(one)]
        for layer in normalizations:
            layer.trainable = False
        pretrained = tuple(layer for layer in pretrained if layer not in normalizations)
    return TrainableClassifier(built, features, head, pretrained)


_TRAINED_AT_ANY_SIZE = {
    "efficientnet-lite0": build_trained_efficientnet_lite0,
    "mobilenet-v2": build_trained_mobilenet_v2,
}


def _build_trained(model: str, shape: tuple[int, ...]) -> keras.Model:
    try:
        return _TRAINED_AT_ANY_SIZE[model](shape)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{model} cannot see {sizes_of(shape)}: {reason}") from None


def _load_whole(path: str) -> keras.Model:
    """The model of a file, for pixels in [0, 1], which are what training feeds."""
    model = load_keras_file(path, "--model")
    shape = (
        tuple(model.inputs[0].shape[1:]) if len(getattr(model, "inputs", None) or ()) == 1 else ()
    )
    # Arrays are fed as they are.
    if is_own_file(path) or len(shape) != 3 or shape[-1] not in (1, 3):
        return model
    factor, offset = PIXELS[expected_pixels(model) or "unit"]
    if (factor, offset) == PIXELS["unit"]:
        return model
    inputs = keras.Input(shape, name="unit_pixels")
    scaled = keras.layers.Rescaling(factor, offset, name="from_unit_pixels")(inputs)
    return keras.Model(inputs, unroll_model(model, [scaled])[0], name=model.name)


def _is_normalization(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def build_untrained(
    model: str,
    classes: int,
    input_shape: Sequence[int] | None = None,
    dropout: float = 0.2,
    statistics: tuple[Sequence[float], Sequence[float]] | None = None,
    width: float = 1.0,
) -> TrainableClassifier:
    """A network with random weights, to be trained from scratch.

    Args:
        model: one of `settings.TRAINABLE`, or a `.keras` file, whose weights are not used.
        classes: number of classes.
        input_shape: of the examples, channels last; the model's own by default.
        dropout: of the compact network; others have what their papers say.
        statistics: mean and standard deviation of each channel of the training data, which are
            then brought to 0 and 1 by the model's first layer.
        width: of "yolov1": filters, as a part of the paper's.

    Returns:
        A `TrainableClassifier` without a head of its own.

    Raises:
        UsageError: the model does not take such a shape.
    """
    shape = tuple(input_shape or default_shape(model))
    try:
        built = _build_untrained(model, classes, shape, dropout, width)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"{model} cannot be built for examples of {sizes_of(shape)}: {reason}"
        ) from None
    if statistics is not None:
        mean, deviation = statistics
        scale = [1.0 / one for one in deviation]
        offset = [-m / d for m, d in zip(mean, deviation, strict=True)]
        inputs = keras.Input(built.inputs[0].shape[1:], name="example")
        scaled = keras.layers.Rescaling(scale, offset, name="standardize")(inputs)
        (output,) = unroll_model(built, [scaled])
        built = keras.Model(inputs, output, name=built.name)
    return TrainableClassifier(built)


def _build_untrained(
    model: str, classes: int, shape: tuple[int, ...], dropout: float, width: float
) -> keras.Model:
    if model.endswith(".keras"):
        # Built anew from its settings: fresh weights.
        whole = keras.models.clone_model(_load_whole(model))
        inputs, features = _without_last(whole, model)
        output = keras.layers.Dense(classes, activation="softmax", name="predictions")(features)
        return keras.Model(inputs, output, name=Path(model).stem)
    if model == "compact":
        check_compact_shape(shape)
        network = build_vgg(
            widths=COMPACT_WIDTHS,
            outputs=[*WHOLE_LAYERS],
            preprocessing=unit_preprocessing,
            padding="reflect",
            batch_normalization=True,
            name="compact",
        )
        inputs, features, _ = compact_features(network, shape)
        x = keras.layers.BatchNormalization(name="head_scale")(features)
        x = keras.layers.Dropout(dropout, name="head_dropout")(x)
        x = keras.layers.Dense(classes, activation="softmax", name="predictions")(x)
        return keras.Model(inputs, x, name="compact")
    if model == "mobilenet-v2":
        return build_mobilenet_v2(shape, classes)
    if model in SCALES:
        return build_efficientnet_lite(model, shape, classes, rescale=False)
    if model.startswith("resnet"):
        return build_resnet(int(model.removeprefix("resnet")), shape, classes)
    if model in ("vgg16", "vgg19"):
        convolutions = VGG16_CONVOLUTIONS if model == "vgg16" else VGG19_CONVOLUTIONS
        return build_vgg_classifier(
            convolutions,
            input_shape=shape,
            classes=classes,
            preprocessing=None,
            name=model,
        )
    if model in ("convnet1d", "convnet3d"):
        # As deep as there is room for: what a place sees doubles with each convolution.
        depth = 2
        while depth < len(_CONVNET_FILTERS) and min(shape[:-1]) >= smallest_input(
            _CONVNET_FILTERS[: depth + 1], kernel_size=5, pool_size=2
        ):
            depth += 1
        build = build_convnet1d if model == "convnet1d" else build_convnet3d
        return build(shape, classes, filters=_CONVNET_FILTERS[:depth])
    if model == "yolov1":
        return build_yolov1_classifier(
            classes, size=shape[0], width=width, batch_normalization=True
        )
    plain: dict[str, Callable[..., keras.Model]] = {
        "lenet5": build_lenet5,
        "alexnet": build_alexnet,
        "inception": build_inception,
    }
    return plain[model](shape, classes)


def _without_last(model: keras.Model, name: str) -> tuple[Any, Any]:
    """The input of a classifier, unrolled, and what its last dense layer sees."""
    if len(getattr(model, "inputs", None) or ()) != 1:
        raise UsageError(f"{name} must be a functional or sequential model with one input")
    inputs = keras.Input(model.inputs[0].shape[1:], name="example")
    (output,) = unroll_model(model, [inputs])[:1]
    layer, tensor = _before(output)
    while layer is not None and not layer.weights:
        layer, tensor = _before(tensor)
    if not isinstance(layer, keras.layers.Dense) or len(tensor.shape) != 2:
        raise UsageError(
            f"{name} cannot be taken over: its last layer with weights must be dense, with one "
            "vector for each example"
        )
    # The new head has these of its own.
    while isinstance(_before(tensor)[0], (keras.layers.Dropout, keras.layers.BatchNormalization)):
        tensor = _before(tensor)[1]
    return inputs, tensor


def _before(tensor: Any) -> tuple[Any, Any]:
    """The layer that gives a tensor, and its one input; None where it has not one."""
    history = tensor._keras_history
    inputs = history.operation._inbound_nodes[history.node_index].input_tensors
    return (history.operation, inputs[0]) if len(inputs) == 1 else (None, None)
