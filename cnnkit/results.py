"""What jobs return and commands print: frozen dataclasses, and the one JSON schema for all."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

SCHEMA = "cnnkit/1"


@dataclass(frozen=True)
class Milliseconds:
    """Where the time of one picture went, in milliseconds."""

    load: float = 0.0
    pre: float = 0.0
    net: float = 0.0
    post: float = 0.0


@dataclass(frozen=True)
class Failure:
    """Why a picture gave no result: a short code such as "ImageError", and the line for people."""

    code: str
    message: str


@dataclass(frozen=True)
class Record:
    """The outcome for one source, as every command prints it with ``--json``.

    Attributes:
        source: path of the picture, or "-".
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        items: what was found or made, one mapping each.
        model: name of the model.
        threshold: decision threshold, where the job has one.
        ms: time spent.
        error: why there is no result, or None.
        details: fields that only this job has; they stand beside the others in the JSON.
    """

    source: str
    width: int | None = None
    height: int | None = None
    items: tuple[Mapping[str, Any], ...] = ()
    model: str | None = None
    threshold: float | None = None
    ms: Milliseconds = field(default_factory=Milliseconds)
    error: Failure | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON types.

        >>> Record("a.jpg", error=Failure("ImageError", "a.jpg is empty")).to_json()["error"]
        {'code': 'ImageError', 'message': 'a.jpg is empty'}
        """
        values = asdict(self)
        details = values.pop("details")
        return {"schema": SCHEMA, **values, **details}


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a network in numbers.

    Attributes:
        name: of the layer.
        kind: what it is: a word of the shape language such as "conv", or a class of Keras.
        output_shape: without the batch; None for an axis of any size.
        parameters: number of weights and biases, whether they are trained or not.
        multiply_adds: for one input; None where it is not known how to count them. Additions,
            comparisons and functions of single numbers are not counted.
        receptive_field: along each axis, the places of the input that one unit sees; None where
            that is not known.
        jump: along each axis, places of the input from one unit to the next; 0 where a unit sees
            all there is.
        start: along each axis, the first place that the first unit sees; negative in the padding.
        inputs: names of the layers before it.
        kernel: of a convolution or pooling, along each axis.
        stride: of a convolution or pooling, along each axis.
        arithmetic: how the numbers come about, a line each.
    """

    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    parameters: int = 0
    multiply_adds: int | None = 0
    receptive_field: tuple[int, ...] | None = None
    jump: tuple[int, ...] | None = None
    start: tuple[int, ...] | None = None
    inputs: tuple[str, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    arithmetic: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkSummary:
    """A network in numbers, layer by layer.

    Attributes:
        name: of the network.
        input_shape: without the batch, channels last.
        layers: in the order of computation.
    """

    name: str
    input_shape: tuple[int | None, ...]
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        """Weights and biases of all layers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of all layers where they are known, for one input."""
        return sum(layer.multiply_adds or 0 for layer in self.layers)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of the layers whose multiply-adds are not known."""
        return tuple(layer.name for layer in self.layers if layer.multiply_adds is None)


@dataclass(frozen=True, eq=False)
class FilteredImage:
    """A picture after one convolution or pooling.

    Attributes:
        image: what went in: float `(height, width)`, or with three channels, in [0, 1].
        output: float64, what came out, channels last if there are any.
        kernel: float64 `(rows, columns)`, None for a pooling.
        name: of the kernel or of the pooling, for people.
        window: rows and columns of the window.
        stride: of the window.
        padding: pixels added at the top and bottom, and at the left and right.
        arithmetic: the formulas of the output's height and width, with their numbers.
    """

    image: Any
    output: Any
    kernel: Any
    name: str
    window: tuple[int, int]
    stride: int
    padding: tuple[tuple[int, int], tuple[int, int]]
    arithmetic: tuple[str, str]


@dataclass(frozen=True)
class UnitsProgress:
    """Where a search for what units respond to stands, after each group of pictures.

    Attributes:
        stage: "looking" at all pictures, or "drawing" those that won.
        done: pictures of this stage that are done.
        total: pictures of this stage.
        failed: those that could not be read.
        seconds: since the start of the stage.
        seconds_left: predicted.
    """

    stage: str
    done: int
    total: int
    failed: int
    seconds: float
    seconds_left: float


@dataclass(frozen=True, eq=False)
class MaximizedUnit:
    """A picture that excites a unit.

    Attributes:
        unit: index of the channel.
        image: float32 `(height, width, 3 or 1)`, sRGB in [0, 1].
        mean: activation of the unit, averaged over the places of the picture.
        peak: its largest activation.
        noise_mean: `mean` of a picture of noise with the spectrum of photographs.
        is_dead: whether nothing excites it: its peak is next to nothing beside other units'.
    """

    unit: int
    image: Any
    mean: float
    peak: float
    noise_mean: float
    is_dead: bool


@dataclass(frozen=True, eq=False)
class ActivationMaps:
    """What the units of a layer say to a picture.

    Attributes:
        layer: name of the layer.
        channels: indices, in the order of `maps`: strongest first, or as asked for.
        maps: float32 `(height, width, len(channels))`; of a layer without places `(1, 1, ...)`.
        means: float32, mean of every channel of the layer, by index.
        peaks: float32, largest value of every channel.
        shares: float32, of every channel the share of places above 0.
        is_map: whether the layer has places.
        input_size: height and width of the picture as the network saw it.
        model: name of the network.
    """

    layer: str
    channels: tuple[int, ...]
    maps: Any
    means: Any
    peaks: Any
    shares: Any
    is_map: bool
    input_size: tuple[int, int]
    model: str


@dataclass(frozen=True, eq=False)
class FilterPictures:
    """The kernels of a layer.

    Attributes:
        layer: name of the layer.
        kernels: float32 `(filters, height, width, channels)`: of colours RGB as they act on the
            picture, `(filters, height, width, 1)` for one input channel.
        units: index of each kernel.
        input_channels: of the layer.
        input_channel: the one that is shown, or None where the kernels are in colour or all that
            there is.
        model: name of the network.
    """

    layer: str
    kernels: Any
    units: tuple[int, ...]
    input_channels: int
    input_channel: int | None
    model: str


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Where in a picture the evidence for a class is.

    Attributes:
        heat: float32 `(height, width)` of the picture's own size. Of Grad-CAM in [0, 1], 1 at the
            strongest place; of occlusion what the score loses, negative where it gains.
        coarse: the same before it was spread over the picture.
        class_index: of the class.
        label: its name, or "class 3" without one.
        score: of the class for the whole picture, as the network gives it.
        best: index, name and score of the best classes, best first.
        peak_xy: where the map is strongest, in pixels of the picture.
        layer: of Grad-CAM, the layer that was looked at.
        input_size: height and width of the picture as the network saw it.
        model: name of the network.
    """

    heat: Any
    coarse: Any
    class_index: int
    label: str
    score: float
    best: tuple[tuple[int, str, float], ...]
    peak_xy: tuple[int, int]
    layer: str | None
    input_size: tuple[int, int]
    model: str


@dataclass(frozen=True, eq=False)
class ConfidenceCalibration:
    """Whether a classifier is right as often as its probabilities say.

    Attributes:
        error: expected calibration error in [0, 1]: how far both are apart, on average over the
            pictures.
        edges: float64 `(bins + 1,)`, of the bins of the predicted class's probability.
        counts: int64 `(bins,)`, pictures in each.
        confidences: float64 `(bins,)`, their mean probability; NaN in an empty bin.
        accuracies: float64 `(bins,)`, share of them that are right; NaN in an empty bin.
    """

    error: float
    edges: Any
    counts: Any
    confidences: Any
    accuracies: Any


@dataclass(frozen=True)
class ExportedModel:
    """A classifier in another format.

    Attributes:
        path: of the file or folder.
        format: "keras", "savedmodel", "onnx" or "tflite".
        size: in bytes.
        largest_difference: between the probabilities of both on random inputs; None where nothing
            was there to run it.
        input_shape: without the batch; None for axes of any size.
        classes_path: of the names of the classes; None where they are not known.
        model: name of the classifier.
    """

    path: str
    format: str
    size: int
    largest_difference: float | None
    input_shape: tuple[int | None, ...]
    classes_path: str | None
    model: str


@dataclass(frozen=True, eq=False)
class UnitPatch:
    """What one unit sees in one picture.

    Attributes:
        value: its response.
        source: name of the picture.
        row: of the unit's map, where the response is from; 0 for a layer without maps.
        column: of the same.
        box_xyxy: what the unit sees, in pixels of the upright picture; it may reach beyond.
        pixels: uint8 `(height, width, 3)`, what it sees, as the network sees it.
        reconstruction: uint8 of the same shape, drawn by the deconvnet; None without it.
    """

    value: float
    source: str
    row: int
    column: int
    box_xyxy: tuple[float, float, float, float]
    pixels: Any
    reconstruction: Any = None


@dataclass(frozen=True, eq=False)
class UnitResponse:
    """What one unit of a layer responds to.

    Attributes:
        unit: its number in the layer, from 0.
        patches: the strongest, best first.
        mean: of its strongest response to each picture.
        silent: pictures to which it does not respond at all.
        histogram_edges: of the bins of its strongest response to each picture, one more than bins.
        histogram_counts: pictures in each bin; the silent ones are in none.
    """

    unit: int
    patches: tuple[UnitPatch, ...]
    mean: float
    silent: int
    histogram_edges: tuple[float, ...]
    histogram_counts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LayerResponses:
    """What units of one layer respond to.

    Attributes:
        layer: its name.
        total_units: units that it has.
        receptive_field: rows and columns of the picture that a unit sees; None where a unit sees
            all of it, or where that is not known.
        silent_units: numbers of the units that responded to no picture.
        units: those that were chosen.
    """

    layer: str
    total_units: int
    receptive_field: tuple[int, int] | None
    silent_units: tuple[int, ...]
    units: tuple[UnitResponse, ...]


@dataclass(frozen=True, eq=False)
class UnitsResult:
    """What units of a network respond to.

    Attributes:
        model: name of the network.
        model_hash: SHA-256 of its weights.
        layers: in the order asked for.
        size: long side of the pictures as the network saw them; None where its own size is fixed.
        pictures: number of pictures that it saw.
        failed: number of pictures that could not be read.
        failures: name and reason of the first of them.
        thumbnails: picture -> uint8 `(height, width, 3)`, for the pictures of the patches.
        sizes: picture -> height and width as it is in the file, upright.
    """

    model: str
    model_hash: str
    layers: tuple[LayerResponses, ...]
    size: int | None
    pictures: int
    failed: int
    failures: tuple[tuple[str, Failure], ...]
    thumbnails: Mapping[str, Any]
    sizes: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class NearWord:
    """A word whose learned vector points where another one's does.

    Attributes:
        word: the word.
        similarity: cosine of the angle between both vectors, from -1 to 1.
    """

    word: str
    similarity: float


@dataclass(frozen=True)
class WordNeighbours:
    """A word, and those that are near to it in a learned embedding.

    Attributes:
        word: as the vocabulary has it.
        index: in the vocabulary.
        near: the nearest first.
        model: name of the classifier that learned it.
    """

    word: str
    index: int
    near: tuple[NearWord, ...]
    model: str


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples, paths and NumPy arrays as what `json.dumps` takes.

    Numbers that are not finite become None: JSON has no word for them.

    >>> to_plain({"box": (1, 2.5), "loss": float("nan")})
    {'box': [1, 2.5], 'loss': None}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain(value.to_json() if isinstance(value, Record) else asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (str, int)) or value is None:
        return value
    if hasattr(value, "tolist"):
        return to_plain(value.tolist())
    return str(value)
