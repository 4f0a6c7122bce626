"""The VGG family (Simonyan & Zisserman 2014): feature networks, and whole with its dense layers.

One builder of each serves VGG-16, VGG-19 and the compact network: they differ in how many
convolutions a block has and how wide they are. The layer names are those of Keras' applications.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from cnnkit import weights as weights_table
from cnnkit.errors import UsageError, WeightsError
from cnnkit.models._arguments import check_classes, check_input_shape
from cnnkit.models._backbones import backbone_names
from cnnkit.models._pixel_range import PIXELS, expected_pixels
from cnnkit.weights.convolutions import (
    convolution_weights,
    read_convolutions,
    read_hed_convolutions,
    set_convolution_weights,
)
from cnnkit.weights.keras_file import load_keras_file

VGG16_CONVOLUTIONS = (2, 2, 3, 3, 3)
VGG19_CONVOLUTIONS = (2, 2, 4, 4, 4)
VGG_WIDTHS = (64, 128, 256, 512, 512)
COMPACT_WIDTHS = (16, 32, 64, 128, 128)

# The deepest layer that the compact network has: style transfer reads no further.
COMPACT_LAST_LAYER = "block5_conv1"

# ImageNet means in RGB order, pixels 0..255 (keras.applications' "caffe" mode).
IMAGENET_MEAN_RGB = (123.68, 116.779, 103.939)


def layer_names(convolutions: Sequence[int] = VGG19_CONVOLUTIONS) -> list[str]:
    """The names of the convolutions, first to last.

    >>> layer_names((1, 2))
    ['block1_conv1', 'block2_conv1', 'block2_conv2']
    """
    return [
        f"block{block}_conv{conv}"
        for block, count in enumerate(convolutions, start=1)
        for conv in range(1, count + 1)
    ]


def caffe_preprocessing(images: "keras.KerasTensor") -> "keras.KerasTensor":
    """RGB in [0, 1] to what VGG was trained on: BGR, 0..255, ImageNet mean taken off."""
    offset = [-mean for mean in IMAGENET_MEAN_RGB]
    scaled = keras.layers.Rescaling(255.0, offset, name="caffe_scale")(images)
    return keras.ops.flip(scaled, axis=-1)


def unit_preprocessing(images: "keras.KerasTensor") -> "keras.KerasTensor":
    """RGB in [0, 1] to zero mean and about unit variance over photographs."""
    offset = [-mean / 255.0 * 4.0 for mean in IMAGENET_MEAN_RGB]
    return keras.layers.Rescaling(4.0, offset, name="unit_scale")(images)


def build_vgg(
    convolutions: Sequence[int] = VGG19_CONVOLUTIONS,
    widths: Sequence[int] = VGG_WIDTHS,
    *,
    outputs: Sequence[str],
    preprocessing: Callable[[Any], Any] = caffe_preprocessing,
    pooling: str = "max",
    padding: str = "edge",
    batch_normalization: bool = False,
    compute_dtype: str = "float32",
    name: str = "vgg",
) -> keras.Model:
    """Builds a VGG feature network that takes RGB in [0, 1] and returns chosen activations.

    Args:
        convolutions: number of 3x3 convolutions of each block.
        widths: number of filters of each block.
        outputs: names such as "block4_conv2"; the network ends at the deepest of them.
        preprocessing: maps RGB in [0, 1] to what the first convolution expects.
        pooling: "max" (the paper's) or "average" (Gatys et al. found it smoother).
        padding: "edge" repeats the border pixels before the first convolution, so that the frame
            of a picture is not darkened, and pads the others with zeros; "same" pads all with
            zeros as Keras' own VGG does; "reflect" reflects at every convolution.
        batch_normalization: put a batch normalisation between convolution and ReLU (for training;
            see `fold_batch_normalization`).
        compute_dtype: what the convolutions compute in: "float32", or "bfloat16" with weights and
            outputs that are float32.
        name: name of the model.

    Returns:
        A `keras.Model`: `(batch, height, width, 3)` -> dict of layer name to activations
        `(batch, height // 2^k, width // 2^k, channels)`, after the ReLU.

    Raises:
        ValueError: an output that is no layer, or an unknown pooling or padding.
    """
    known = layer_names(convolutions)
    unknown = [layer for layer in outputs if layer not in known]
    if unknown or not outputs:
        raise ValueError(f"outputs must be among {known}. Received: {list(outputs)}")
    if pooling not in ("max", "average"):
        raise ValueError(f"pooling must be 'max' or 'average'. Received: {pooling!r}")
    if padding not in ("edge", "same", "reflect"):
        raise ValueError(f"padding must be 'edge', 'same' or 'reflect'. Received: {padding!r}")
    last = max(known.index(layer) for layer in outputs)
    pool = keras.layers.MaxPooling2D if pooling == "max" else keras.layers.AveragePooling2D
    is_mixed = compute_dtype != "float32"
    dtype = f"mixed_{compute_dtype}" if is_mixed else compute_dtype

    inputs = keras.Input((None, None, 3), name="rgb")
    x = preprocessing(inputs)
    activations = {}
    for index, layer in enumerate(known[: last + 1]):
        block = int(layer[5])
        if index and layer.endswith("_conv1"):
            x = pool(2, dtype=dtype, name=f"block{block - 1}_pool")(x)
        pad_mode = "reflect" if padding == "reflect" else "symmetric"
        pad_here = padding == "reflect" or (padding == "edge" and index == 0)
        if pad_here:
            x = keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=pad_mode)
        x = keras.layers.Conv2D(
            widths[block - 1],
            3,
            padding="valid" if pad_here else "same",
            use_bias=not batch_normalization,
            kernel_initializer="he_normal",
            activation=None if batch_normalization else "relu",
            dtype=dtype,
            name=layer,
        )(x)
        if batch_normalization:
            x = keras.layers.BatchNormalization(name=f"{layer}_bn")(x)
            x = keras.layers.ReLU(name=f"{layer}_relu")(x)
        activations[layer] = keras.ops.cast(x, "float32") if is_mixed and layer in outputs else x
    return keras.Model(inputs, {layer: activations[layer] for layer in outputs}, name=name)


def build_vgg_classifier(
    convolutions: Sequence[int] = VGG16_CONVOLUTIONS,
    widths: Sequence[int] = VGG_WIDTHS,
    *,
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    hidden: int = 4096,
    dropout: float = 0.5,
    preprocessing: Callable[[Any], Any] | None = caffe_preprocessing,
    name: str = "vgg16",
) -> keras.Model:
    """Builds a whole VGG: blocks of 3x3 convolutions and three dense layers.

    Layer names and weights are those of Keras' VGG16 and VGG19; the dropout behind both hidden
    layers is the paper's, which Keras leaves out.

    Args:
        convolutions: number of convolutions of each block: `VGG16_CONVOLUTIONS` (138,357,544
            weights) or `VGG19_CONVOLUTIONS` (143,667,240), or fewer.
        widths: number of filters of each block.
        input_shape: `(height, width, channels)`; every block halves it.
        classes: number of classes.
        hidden: units of the dense layers before the last.
        dropout: share of them that is left out in training.
        preprocessing: maps RGB in [0, 1] to what the first convolution expects; None where the
            pictures are that already, or have no three channels.
        name: of the model.

    Returns:
        A `keras.Model`: `(batch, height, width, channels)` -> probabilities `(batch, classes)`.

    Raises:
        ValueError: a shape that is too small, or no class.

    Example:

    >>> model = build_vgg_classifier((1, 1), (4, 8), input_shape=(8, 8, 3), classes=2, hidden=16)
    >>> [layer.name for layer in model.layers if layer.get_weights()]
    ['block1_conv1', 'block2_conv1', 'fc1', 'fc2', 'predictions']
    """
    input_shape = check_input_shape(input_shape, axes=2, smallest=2 ** len(convolutions))
    check_classes(classes)
    layers = keras.layers
    inputs = keras.Input(input_shape, name="picture")
    x = preprocessing(inputs) if preprocessing else inputs
    for block, (count, width) in enumerate(zip(convolutions, widths, strict=True), start=1):
        for conv in range(1, count + 1):
            x = layers.Conv2D(
                width, 3, padding="same", activation="relu", name=f"block{block}_conv{conv}"
            )(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for dense in ("fc1", "fc2"):
        x = layers.Dense(hidden, activation="relu", name=dense)(x)
        x = layers.Dropout(dropout, name=f"{dense}_dropout")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=name)


def load_imagenet_weights(model: keras.Model, path: str | Path | None = None) -> Path:
    """Puts Keras' ImageNet weights into a VGG-16 or VGG-19 with 1000 classes.

    Args:
        model: as `build_vgg_classifier` makes it for 224 x 224 pictures.
        path: of Keras' file; by default the verified one that the user fetched or imported, or
            that Keras downloaded before. Nothing is downloaded.

    Returns:
        The path of the file.

    Raises:
        WeightsError: there is no such file, or its weights do not fit the model.
    """
    count = sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)
    name = f"vgg{count + 3}-classifier"
    path = weights_table.locate(name) if path is None else Path(path)
    if not path.is_file():
        file_name = weights_table.entry(name).file_name
        raise WeightsError(f"{path} does not exist; give the path of {file_name}")
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"{path} does not fit {model.name}: {reason}") from None
    return path


@dataclass(frozen=True)
class FeatureNetwork:
    """A frozen network that turns pictures into activations, or several networks side by side.

    Attributes:
        model: RGB `(batch, height, width, 3)` in [0, 1] -> dict of output name to activations.
        name: of the weights, such as "compact", or of the file; several are joined by "+".
        hash: SHA-256 of the weights file; of several networks all of them, joined by "+".
        parts: names of the networks where there are several; empty for one network.
    """

    model: keras.Model
    name: str
    hash: str
    parts: tuple[str, ...] = ()

    def outputs_of(self, layer: str) -> tuple[str, ...]:
        """The names that a layer has among the model's outputs, one for each network that has it.

        >>> network = FeatureNetwork(None, "vgg16-hed+compact", "", ("vgg16-hed", "compact"))
        >>> network.outputs_of("block1_conv1")
        ('vgg16-hed/block1_conv1', 'compact/block1_conv1')
        >>> network.outputs_of("block5_conv1")
        ('compact/block5_conv1',)
        """
        if not self.parts:
            return (layer,)
        return tuple(f"{part}/{layer}" for part in self.parts if layer in _layers_beside(part))


def _layers_of(name: str) -> list[str]:
    """The layers of a named network, first to last."""
    known = layer_names(VGG16_CONVOLUTIONS if name.startswith("vgg16") else VGG19_CONVOLUTIONS)
    return known[: known.index(COMPACT_LAST_LAYER) + 1] if name == "compact" else known


def _layers_beside(name: str) -> list[str]:
    """The layers of a named network that are used where others look too.

    Those of HED's block 5, which was tuned for edges most, are not: measured on four pairs of
    pictures, the compact network's block 5 alone brings results nearer to the style.
    """
    known = _layers_of(name)
    return [layer for layer in known if not (name == "vgg16-hed" and layer[:6] == "block5")]


def build_feature_network(
    backbone: str, layers: Sequence[str], pooling: str = "max", compute_dtype: str = "float32"
) -> FeatureNetwork:
    """Builds a feature network with its trained weights.

    Args:
        backbone: "compact" (shipped), "vgg16-hed" (of a dependency), "vgg16" or "vgg19" (fetched or
            imported by the user), several of these joined by "+", or a `.keras` file: a functional
            model that takes RGB in [0, 1] and contains `layers`. See `_backbones.resolve_backbone`.
        layers: names of the layers to return, of each network.
        pooling: "max" or "average".
        compute_dtype: of the convolutions of VGG's full width, see `build_vgg`.

    Returns:
        A `FeatureNetwork`, whose outputs are float32.

    Raises:
        WeightsError: the weights are not here, or the file is no Keras model.
        UsageError: an unknown backbone, or a layer that it does not have.
    """
    if backbone.endswith(".keras"):
        return _load_feature_network(Path(backbone), layers, pooling)
    names = backbone_names(backbone)
    if len(names) > 1:
        return _side_by_side(names, layers, pooling, compute_dtype)
    return _build_named(backbone, layers, pooling, compute_dtype)


def _build_named(
    name: str, layers: Sequence[str], pooling: str, compute_dtype: str
) -> FeatureNetwork:
    _check_layers(layers, _layers_of(name), name)
    path = weights_table.locate(name)
    if name == "compact":
        arrays = read_convolutions(path)
        model = build_vgg(
            widths=[arrays[f"block{block}_conv1"][1].shape[0] for block in range(1, 6)],
            outputs=layers,
            preprocessing=unit_preprocessing,
            pooling=pooling,
            padding="reflect",
            name=name,
        )
    else:
        if name == "vgg16-hed":
            arrays = read_hed_convolutions(path)
        else:
            application = keras.applications.VGG16 if name == "vgg16" else keras.applications.VGG19
            arrays = convolution_weights(application(include_top=False, weights=str(path)))
        model = build_vgg(
            VGG16_CONVOLUTIONS if name.startswith("vgg16") else VGG19_CONVOLUTIONS,
            outputs=layers,
            pooling=pooling,
            compute_dtype=compute_dtype,
            name=name,
        )
    set_convolution_weights(model, arrays)
    model.trainable = False
    return FeatureNetwork(model, name, weights_table.fingerprint(path))


def _side_by_side(
    names: Sequence[str], layers: Sequence[str], pooling: str, compute_dtype: str
) -> FeatureNetwork:
    """Networks on the same picture, each with those of the layers that it has."""
    known = [layer for name in names for layer in _layers_beside(name)]
    _check_layers(layers, list(dict.fromkeys(known)), "+".join(names))
    inputs = keras.Input((None, None, 3), name="rgb")
    outputs, hashes = {}, []
    for name in names:
        used = [layer for layer in layers if layer in _layers_beside(name)]
        if used:
            network = _build_named(name, used, pooling, compute_dtype)
            maps = network.model(inputs)
            outputs.update({f"{name}/{layer}": maps[layer] for layer in used})
            hashes.append(network.hash)
    # TensorFlow makes scopes of the names of models, and "+" is not allowed in them.
    model = keras.Model(inputs, outputs, name="_".join(names))
    model.trainable = False
    return FeatureNetwork(model, "+".join(names), "+".join(hashes), tuple(names))


def _load_feature_network(path: Path, layers: Sequence[str], pooling: str) -> FeatureNetwork:
    model = load_keras_file(path, "--backbone")
    _check_layers(layers, [layer.name for layer in model.layers], path.name)
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape[1:]) != (None, None, 3):
        shapes = ", ".join(str(tuple(tensor.shape[1:])) for tensor in model.inputs)
        raise WeightsError(
            f"{path} takes pictures of shape {shapes}; save the model with input shape "
            "(None, None, 3), for pictures of any size"
        )
    for layer in layers:
        if len(getattr(model.get_layer(layer).output, "shape", ())) != 4:
            raise UsageError(f"layer {layer!r} of {path.name} gives no maps (height, width, C)")
    if pooling == "average":
        average = keras.models.clone_model(model, clone_function=_average_instead_of_max)
        average.set_weights(model.get_weights())
        model = average
    network = keras.Model(
        model.inputs[0], {name: model.get_layer(name).output for name in layers}, name="features"
    )
    factor, offset = PIXELS[expected_pixels(model) or "unit"]
    if (factor, offset) != PIXELS["unit"]:
        # Feature networks take [0, 1]; this one rescales other pixels itself.
        inputs = keras.Input((None, None, 3))
        network = keras.Model(inputs, network(inputs * factor + offset), name="features")
    network.trainable = False
    return FeatureNetwork(network, path.name, weights_table.fingerprint(path))


def _average_instead_of_max(layer: keras.layers.Layer) -> keras.layers.Layer:
    if isinstance(layer, keras.layers.MaxPooling2D):
        return keras.layers.AveragePooling2D.from_config(layer.get_config())
    return layer.__class__.from_config(layer.get_config())


def _check_layers(layers: Sequence[str], known: Sequence[str], name: str) -> None:
    for layer in layers:
        if layer not in known:
            nearest = difflib.get_close_matches(layer, known, n=3, cutoff=0.0)
            raise UsageError(
                f"{name} has no layer {layer!r}; did you mean {', '.join(nearest)}? "
                f"It has: {', '.join(known)}"
            )
