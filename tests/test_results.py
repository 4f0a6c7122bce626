import dataclasses
import enum
import json
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from cnnkit.results import SCHEMA, Failure, Milliseconds, Record, to_plain


def test_a_record_has_the_fields_of_the_contract_in_order():
    assert list(Record("a.jpg").to_json()) == [
        "schema",
        "source",
        "width",
        "height",
        "items",
        "model",
        "threshold",
        "ms",
        "error",
    ]
    assert Record("a.jpg").to_json()["schema"] == SCHEMA == "cnnkit/1"
    assert list(Record("a.jpg").to_json()["ms"]) == ["load", "pre", "net", "post"]


def test_details_stand_beside_the_other_fields():
    document = Record("a.jpg", details={"output": Path("b.png")}).to_json()
    assert document["output"] == Path("b.png")
    assert "details" not in document


def test_results_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Record("a.jpg").source = "b.jpg"


def test_a_whole_record_goes_through_json_and_back():
    record = Record(
        source="Ω.jpg",
        width=np.int64(640),
        height=480,
        items=({"label": "cat", "score": np.float32(0.5), "box": np.array([1.0, 2.0])},),
        model="compact",
        ms=Milliseconds(load=1.5, net=np.float64(2.5)),
        error=Failure("ImageError", "Ω.jpg is empty"),
    )
    document = json.loads(json.dumps(to_plain(record), allow_nan=False))
    assert document["width"] == 640
    assert document["items"] == [{"label": "cat", "score": 0.5, "box": [1.0, 2.0]}]
    assert document["ms"] == {"load": 1.5, "pre": 0.0, "net": 2.5, "post": 0.0}
    assert document["error"] == {"code": "ImageError", "message": "Ω.jpg is empty"}


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (np.True_, True),
        (np.float32(0.25), 0.25),
        (np.int8(-1), -1),
        (np.zeros((1, 2)), [[0.0, 0.0]]),
        (np.array(3), 3),
        (np.array([7]), [7]),
        (Path("a") / "b.jpg", str(Path("a") / "b.jpg")),
        (Level.HIGH, 3),
        ((1, [2, (3,)]), [1, [2, [3]]]),
        ({1: "one"}, {"1": "one"}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (float("inf"), None),
        (np.array([np.nan, 1.0]), [None, 1.0]),
        (Failure("code", "message"), {"code": "code", "message": "message"}),
        ([Milliseconds()], [{"load": 0.0, "pre": 0.0, "net": 0.0, "post": 0.0}]),
    ],
)
def test_everything_becomes_plain(value, plain):
    result = to_plain(value)
    assert result == plain
    assert type(result) in (type(None), bool, int, float, str, list, dict, Level)
    json.dumps(result, allow_nan=False)
