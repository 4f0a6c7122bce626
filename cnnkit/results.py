"""What jobs return and commands print: frozen dataclasses, and the one JSON schema for all."""

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


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples, paths and NumPy scalars as what `json.dumps` takes."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain(value.to_json() if isinstance(value, Record) else asdict(value))
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if hasattr(value, "item") and getattr(value, "size", 1) == 1:
        return value.item()
    return str(value)
