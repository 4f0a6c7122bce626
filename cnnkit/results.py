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
