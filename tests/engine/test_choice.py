import sys
import types

import pytest

from cnnkit.engine import choice
from cnnkit.engine.choice import configure_inference, current_engine, give_up_openvino
from cnnkit.engine.choice import resolve_engine as resolve
from cnnkit.errors import UsageError


@pytest.fixture
def fresh(monkeypatch):
    """As in a fresh process: nothing was chosen, Keras is not imported, no variable is set."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(choice, "_choice", [choice.Choice()])
    monkeypatch.setattr(choice, "is_installed", lambda: True)


def test_openvino_computes_in_a_fresh_process_where_it_is_installed(fresh, monkeypatch):
    assert resolve() == "openvino"
    monkeypatch.setattr(choice, "is_installed", lambda: False)
    assert resolve() == "tensorflow"


def test_keras_stays_on_the_backend_that_it_is_on(fresh, monkeypatch):
    backend = types.SimpleNamespace(backend=lambda: "torch")
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(backend=backend))
    assert resolve() == "torch"


@pytest.mark.parametrize(
    ("engine", "device", "named", "expected"),
    [
        ("auto", "auto", "jax", "jax"),
        ("auto", "gpu", "jax", "jax"),
        ("auto", "gpu", None, "tensorflow"),
        ("tensorflow", "auto", None, "tensorflow"),
        ("openvino", "cpu", None, "openvino"),
        ("openvino", "auto", "openvino", "openvino"),
    ],
)
def test_what_the_user_says_counts(fresh, monkeypatch, engine, device, named, expected):
    if named:
        monkeypatch.setenv("KERAS_BACKEND", named)
    assert resolve(engine, device) == expected


@pytest.mark.parametrize(
    ("engine", "device", "named", "installed", "message"),
    [
        ("onnx", "auto", None, True, "--engine must be one of auto, openvino, tensorflow"),
        ("openvino", "auto", "jax", True, "--engine openvino contradicts KERAS_BACKEND=jax"),
        ("openvino", "auto", None, False, "not installed here; run: pip install openvino"),
        ("openvino", "gpu", None, True, "leave out --device gpu"),
    ],
)
def test_what_cannot_be_is_refused(fresh, monkeypatch, engine, device, named, installed, message):
    monkeypatch.setattr(choice, "is_installed", lambda: installed)
    if named:
        monkeypatch.setenv("KERAS_BACKEND", named)
    with pytest.raises(UsageError, match=message):
        resolve(engine, device)


def test_a_fresh_process_on_openvino_imports_no_keras(fresh):
    assert configure_inference(threads=3, note=print) == "openvino" == current_engine()
    assert "keras" not in sys.modules


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"threads": 0}, "--threads must be at least 1"), ({"device": "tpu"}, "--device must be")],
)
def test_other_settings_are_checked(fresh, wrong, message):
    with pytest.raises(UsageError, match=message):
        configure_inference(**wrong)


def test_who_gives_up_openvino_says_why_and_stays_with_it(fresh):
    notes = []
    configure_inference(note=notes.append)
    give_up_openvino("no such operation")
    assert current_engine() == "tensorflow"
    assert notes == ["OpenVINO cannot run this (no such operation); TensorFlow takes over"]


def test_who_insists_on_openvino_is_told_that_it_cannot(fresh):
    configure_inference("openvino", note=print)
    with pytest.raises(UsageError, match="no such operation; use --engine tensorflow"):
        give_up_openvino("no such operation")
