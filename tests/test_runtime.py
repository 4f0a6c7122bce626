import os
import sys
import types

import pytest

from cnnkit import runtime
from cnnkit.errors import CnnkitError, UsageError


@pytest.fixture
def no_keras(monkeypatch):
    """As in a fresh process: Keras is not imported yet, and no variable is set."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        # Set first, so that what `configure` sets is undone after the test.
        monkeypatch.setenv(name, "")
    for name in ("TF_CPP_MIN_LOG_LEVEL", "GRPC_VERBOSITY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def importing(action, first_tensor=lambda size: None):
    """A stand-in for `import_module` that does something and returns a Keras of one function."""

    def import_module(name):
        action()
        return types.SimpleNamespace(ops=types.SimpleNamespace(zeros=first_tensor))

    return import_module


def test_threads_are_bounded_for_every_backend(no_keras, monkeypatch):
    monkeypatch.setattr(runtime.importlib, "import_module", importing(lambda: None))
    runtime.configure(threads=3)
    assert os.environ["OMP_NUM_THREADS"] == os.environ["TF_NUM_INTRAOP_THREADS"] == "3"


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(UsageError, match="--threads must be at least 1, not 0"):
        runtime.configure(threads=0)


@pytest.mark.parametrize(("verbose", "shown"), [(False, ""), (True, "chatter")])
def test_chatter_of_the_import_is_shown_only_when_asked(
    no_keras, monkeypatch, capfd, verbose, shown
):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    # Straight to the descriptor, as C++ code writes.
    chatter = importing(lambda: os.write(2, b"chatter"))
    monkeypatch.setattr(runtime.importlib, "import_module", chatter)
    runtime.configure(verbose=verbose)
    os.write(2, b"after")
    assert capfd.readouterr().err == f"{shown}after"


def test_chatter_of_the_first_tensor_is_held_back_too(no_keras, monkeypatch, capfd):
    def look_for_a_graphics_card(size):
        os.write(2, b"failed call to cuInit")

    loader = importing(lambda: None, look_for_a_graphics_card)
    monkeypatch.setattr(runtime.importlib, "import_module", loader)
    runtime.configure()
    assert capfd.readouterr().err == ""


def test_chatter_is_shown_when_the_import_fails(no_keras, monkeypatch, capfd):
    def fail():
        os.write(2, b"what went wrong")
        raise RuntimeError("broken library")

    monkeypatch.setattr(runtime.importlib, "import_module", importing(fail))
    with pytest.raises(RuntimeError, match="broken library"):
        runtime.configure()
    assert capfd.readouterr().err == "what went wrong"


def test_a_backend_that_cannot_be_imported_is_one_line(no_keras, monkeypatch):
    def fail():
        raise ImportError("No module named 'torch'")

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(runtime.importlib, "import_module", importing(fail))
    with pytest.raises(CnnkitError, match=r"cannot use the backend .torch. .* or unset"):
        runtime.configure()


def test_a_broken_keras_without_a_chosen_backend_shows_its_own_error(no_keras, monkeypatch):
    def fail():
        raise ImportError("libgomp.so.1")

    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(runtime.importlib, "import_module", importing(fail))
    with pytest.raises(ImportError, match=r"libgomp.so.1"):
        runtime.configure()


def test_the_cpu_alone_is_used_where_it_is_asked_for(no_keras, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(runtime.importlib, "import_module", importing(lambda: None))
    runtime.configure(device="cpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    assert os.environ["JAX_PLATFORMS"] == "cpu"


def test_a_gpu_that_is_not_there_is_one_line(monkeypatch):
    distribution = types.SimpleNamespace(list_devices=lambda: ["cpu:0"])
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(distribution=distribution))
    with pytest.raises(UsageError, match="the backend sees no GPU here; use --device cpu"):
        runtime.configure(device="gpu")


def test_the_device_of_a_backend_that_lists_none_is_that_of_its_tensors(monkeypatch):
    ops = types.SimpleNamespace(zeros=lambda size: types.SimpleNamespace(device="cuda:0"))
    keras = types.SimpleNamespace(distribution=types.SimpleNamespace(), ops=ops)
    monkeypatch.setitem(sys.modules, "keras", keras)
    assert runtime.devices() == ("cuda:0",)


def test_a_gpu_next_to_the_cpu_serves(monkeypatch):
    distribution = types.SimpleNamespace(list_devices=lambda: ["cpu:0", "gpu:0"])
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(distribution=distribution))
    runtime.configure(device="gpu")


def test_an_unknown_device_is_refused():
    with pytest.raises(UsageError, match="--device must be one of auto, cpu, gpu, not 'tpu'"):
        runtime.configure(device="tpu")
