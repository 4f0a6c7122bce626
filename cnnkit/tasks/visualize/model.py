"""A network by name or from a file, layer by layer."""

import functools
from collections.abc import Callable
from pathlib import Path

import keras

from cnnkit.engine.layer_summary import NetworkSummary
from cnnkit.engine.model_summary import summarize_model
from cnnkit.errors import UsageError
from cnnkit.models.alexnet import build_alexnet
from cnnkit.models.convnet1d import build_convnet1d
from cnnkit.models.convnet3d import build_convnet3d
from cnnkit.models.efficientnet_lite import SCALES, build_efficientnet_lite
from cnnkit.models.inception import build_inception
from cnnkit.models.lenet5 import build_lenet5
from cnnkit.models.mobilenet_v2 import build_mobilenet_v2
from cnnkit.models.resnet import build_resnet
from cnnkit.models.vgg import (
    COMPACT_LAST_LAYER,
    VGG19_CONVOLUTIONS,
    build_feature_network,
    build_vgg_classifier,
)
from cnnkit.weights.keras_file import load_keras_file, refuse_other_formats

NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "compact": lambda: build_feature_network("compact", [COMPACT_LAST_LAYER]).model,
    "lenet5": build_lenet5,
    "alexnet": build_alexnet,
    "vgg16": build_vgg_classifier,
    "vgg19": lambda **options: build_vgg_classifier(VGG19_CONVOLUTIONS, name="vgg19", **options),
    "resnet18": lambda **options: build_resnet(18, **options),
    "resnet34": lambda **options: build_resnet(34, **options),
    "resnet50": lambda **options: build_resnet(50, **options),
    "inception": build_inception,
    "mobilenet-v2": build_mobilenet_v2,
    **{name: functools.partial(build_efficientnet_lite, name) for name in SCALES},
    "convnet1d": build_convnet1d,
    "convnet3d": build_convnet3d,
}
# Of pictures for networks that take any size.
_DEFAULT_SIDE = 224


def visualize_model(
    model: str, *, input_shape: tuple[int, ...] | None = None, classes: int | None = None
) -> NetworkSummary:
    """Shapes, weights, work and receptive field of each layer of a network.

    Args:
        model: a name of `NETWORKS`, or a `.keras` file of a functional or sequential model.
        input_shape: without the batch, channels last; the network's own by default, 224 where it
            takes any size. For a file only its open axes may be given.
        classes: of a network by name; its own number by default.

    Returns:
        A `NetworkSummary`.

    Raises:
        UsageError: an unknown name, or a shape that the network does not take.
        WeightsError: the file does not exist, or holds no model that can be read.

    Example:

    >>> visualize_model("lenet5").parameters
    61706
    """
    refuse_other_formats(model, "visualize model")
    is_file = model.endswith(".keras")
    if not is_file and model not in NETWORKS:
        raise UsageError(
            f"there is no network named {model!r}; use a .keras file or one of: "
            f"{', '.join(NETWORKS)}"
        )
    is_open = is_file or model == "compact"
    if is_open and classes is not None:
        raise UsageError(f"--classes is for the classifiers that have a name, not for {model}")
    options = {"input_shape": input_shape, "classes": classes}
    options = {name: value for name, value in options.items() if value is not None}
    try:
        if is_open:
            network = load_keras_file(model, "visualize model") if is_file else NETWORKS[model]()
            network = _with_size(network, input_shape)
        else:
            network = NETWORKS[model](**options)
        return summarize_model(network, Path(model).name)
    except ValueError as error:
        reason = (str(error).strip().splitlines() or ["it cannot be built"])[0]
        raise UsageError(f"{model}: {reason}") from None


def _with_size(model: keras.Model, input_shape: tuple[int, ...] | None) -> keras.Model:
    """The same layers for an input whose axes all have a size."""
    inputs = getattr(model, "inputs", None)
    if not inputs or len(inputs) != 1:
        # `summarize_model` says what is wrong.
        return model
    own = tuple(inputs[0].shape[1:])
    wanted = input_shape or tuple(_DEFAULT_SIDE if size is None else size for size in own)
    fits = len(wanted) == len(own) and all(
        size in (None, want) for size, want in zip(own, wanted, strict=True)
    )
    if not fits:
        raise ValueError(f"the input must have the shape {own}. Received: {wanted}")
    if wanted == own:
        return model
    return keras.models.clone_model(model, input_tensors=keras.Input(wanted, name="picture"))
