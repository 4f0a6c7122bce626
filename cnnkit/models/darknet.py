"""Detectors of Darknet as Keras models: YOLOv2, v3 and their small relatives."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from cnnkit.errors import WeightsError
from cnnkit.models._anchor_boxes import AnchorBoxes
from cnnkit.models._depthwise import DepthwiseConv2D
from cnnkit.weights.darknet_format import DarknetWeights, Section, anchors_of

_ACTIVATIONS: dict[str, Callable[[Any], Any] | None] = {
    "linear": None,
    "leaky": lambda x: keras.ops.leaky_relu(x, 0.1),
    "relu": keras.ops.relu,
    "relu6": keras.ops.relu6,
    "mish": lambda x: x * keras.ops.tanh(keras.ops.softplus(x)),
    "swish": keras.ops.silu,
    "logistic": keras.ops.sigmoid,
}
# What makes no difference when nothing is trained.
_TRAINING_ONLY = ("dropout",)


def build_darknet(
    sections: Sequence[Section], weights: DarknetWeights, name: str = "darknet"
) -> keras.Model:
    """Builds a Darknet detector with its weights; batch normalisations are folded in.

    Known are convolutional (also depthwise), maxpool, route, shortcut, upsample, dropout, yolo and
    region layers: those of Tiny-YOLOv2, v3, v4 and Yolo-Fastest. Others are refused by name.

    Args:
        sections: of the `.cfg` file.
        weights: of the `.weights` file; all of it must be used.
        name: of the model.

    Returns:
        A `keras.Model`: RGB `(B, H, W, 3)` in [0, 1], H and W multiples of 32 -> `(B, N, 4 +
        classes)`: boxes in pixels of the input and scores.

    Raises:
        WeightsError: a layer or activation that is not known, layers that do not fit together, or
            weights of another network.
    """
    inputs = keras.Input((None, None, 3), name="picture")
    builder = _Builder(inputs, weights)
    for number, section in enumerate(sections[1:]):
        builder.add(number, section)
    weights.finish()
    if not builder.found:
        raise WeightsError("the .cfg has no [yolo] or [region] layer: it is no detector")
    found = builder.found
    if len({one.shape[-1] for one in found}) > 1:
        raise WeightsError("the [yolo] layers of the .cfg have different numbers of classes")
    output = found[0]
    if len(found) > 1:
        output = keras.layers.Concatenate(axis=1, name="detections")(found)
    model = keras.Model(inputs, output, name=name)
    for layer, convolution in builder.convolutions:
        layer.set_weights([convolution.kernel, convolution.bias])
    return model


class _Builder:
    """Puts layers on one another."""

    def __init__(self, inputs: Any, weights: DarknetWeights):
        self._x, self._stride, self._weights = inputs, 1, weights
        self._outputs: list[Any] = []
        self._strides: list[int] = []
        self.found: list[Any] = []
        self.convolutions: list[tuple[keras.layers.Layer, Any]] = []

    def add(self, number: int, section: Section) -> None:
        """Adds a layer."""
        add = getattr(self, f"_add_{section.kind}", None)
        where = f"layer {number}, [{section.kind}] in line {section.line}"
        if add is None and section.kind not in _TRAINING_ONLY:
            raise WeightsError(f"{where}: this kind of layer is not known")
        try:
            if add is not None:
                add(section, f"layer{number}", where)
        except (ValueError, IndexError, ArithmeticError, TypeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise WeightsError(f"{where} does not fit the layers before: {reason}") from None
        self._outputs.append(self._x)
        self._strides.append(self._stride)

    def _activate(self, section: Section, where: str, default: str) -> None:
        kind = section.text("activation", default)
        if kind not in _ACTIVATIONS:
            raise WeightsError(f"{where}: the activation {kind!r} is not known")
        if _ACTIVATIONS[kind] is not None:
            self._x = _ACTIVATIONS[kind](self._x)

    def _add_convolutional(self, section: Section, name: str, where: str) -> None:
        layers, x = keras.layers, self._x
        inputs, filters = x.shape[-1], section.integer("filters", 1)
        size, stride = section.integer("size", 1), section.integer("stride", 1)
        groups = section.integer("groups", 1)
        is_depthwise = groups > 1 and groups == inputs == filters
        if groups > 1 and not is_depthwise:
            raise WeightsError(
                f"{where}: groups={groups} is not known; only depthwise ones are, where groups, "
                "filters and inputs are as many"
            )
        for option in ("dilation", "stride_x", "stride_y", "antialiasing", "binary", "xnor"):
            if section.integer(option, 1 if option == "dilation" else 0) not in (0, 1):
                raise WeightsError(f"{where}: {option} is not known")
        padding = size // 2 if section.integer("pad") else section.integer("padding")
        convolution = self._weights.convolution(section, inputs, where, is_depthwise)
        if padding:
            # On all sides alike, which with a stride of 2 is not Keras' "same".
            x = layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
        if is_depthwise:
            layer = DepthwiseConv2D(size, stride, name=name)
        else:
            layer = layers.Conv2D(filters, size, stride, name=name)
        self._x = layer(x)
        self.convolutions.append((layer, convolution))
        self._stride *= stride
        self._activate(section, where, "logistic")

    def _add_maxpool(self, section: Section, name: str, where: str) -> None:
        stride = section.integer("stride", 1)
        size = section.integer("size", stride)
        if stride not in (1, size) or section.integer("padding", size - 1) != size - 1:
            raise WeightsError(f"{where}: size={size} with stride={stride} is not known")
        self._x = keras.layers.MaxPooling2D(size, stride, padding="same", name=name)(self._x)
        self._stride *= stride

    def _add_upsample(self, section: Section, name: str, where: str) -> None:
        stride = section.integer("stride", 2)
        if section.real("scale", 1.0) != 1.0 or self._stride % stride:
            raise WeightsError(f"{where}: scale={section.text('scale')} is not known")
        self._x = keras.layers.UpSampling2D(stride, name=name)(self._x)
        self._stride //= stride

    def _add_route(self, section: Section, name: str, where: str) -> None:
        sources = [self._at(int(one), where) for one in section.numbers("layers")]
        if not sources:
            raise WeightsError(f"{where}: it names no layers")
        parts = [self._outputs[one] for one in sources]
        groups = section.integer("groups", 1)
        if groups > 1:
            part = section.integer("group_id")
            parts = [
                one[..., part * one.shape[-1] // groups : (part + 1) * one.shape[-1] // groups]
                for one in parts
            ]
        self._x = parts[0]
        if len(parts) > 1:
            self._x = keras.layers.Concatenate(name=name)(parts)
        self._stride = self._strides[sources[0]]

    def _add_shortcut(self, section: Section, name: str, where: str) -> None:
        sources = [self._at(int(one), where) for one in section.numbers("from")]
        others = [self._outputs[one] for one in sources]
        if not others or any(one.shape[-1] != self._x.shape[-1] for one in others):
            raise WeightsError(f"{where}: it adds maps of different channels")
        self._x = keras.layers.Add(name=name)([self._x, *others])
        self._activate(section, where, "linear")

    def _add_yolo(self, section: Section, name: str, where: str) -> None:
        if section.integer("new_coords"):
            raise WeightsError(f"{where}: new_coords is not known")
        self._detect(section, name, where, anchors_of(section), softmax=False)

    def _add_region(self, section: Section, name: str, where: str) -> None:
        if not section.integer("softmax", 1) or section.text("tree"):
            raise WeightsError(f"{where}: only a softmax over the classes is known")
        # In places there, not in pixels.
        anchors = [(self._stride * a, self._stride * b) for a, b in anchors_of(section)]
        self._detect(section, name, where, anchors, softmax=True)

    def _detect(
        self,
        section: Section,
        name: str,
        where: str,
        anchors: Sequence[tuple[float, float]],
        softmax: bool,
    ) -> None:
        classes = section.integer("classes", 20)
        wanted = len(anchors) * (5 + classes)
        if self._x.shape[-1] != wanted:
            raise WeightsError(
                f"{where}: it takes {wanted} channels, but the layer before gives "
                f"{self._x.shape[-1]}"
            )
        scale = section.real("scale_x_y", 1.0)
        layer = AnchorBoxes(anchors, self._stride, scale, softmax, name=name, dtype="float32")
        self.found.append(layer(self._x))

    def _at(self, index: int, where: str) -> int:
        """Number of a layer that is named by its distance, or by itself."""
        at = index if index >= 0 else len(self._outputs) + index
        if not 0 <= at < len(self._outputs):
            raise WeightsError(f"{where}: there is no layer {index}")
        return at
