"""Model files: whole or as they were before, on a full disk too."""

import errno
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from cnnkit.errors import ResourceError
from cnnkit.weights.keras_file import load_keras_file, size_of, write_keras_file, writing_anew


@pytest.fixture
def model():
    inputs = keras.Input((3,))
    return keras.Model(inputs, keras.layers.Dense(2, kernel_initializer="ones")(inputs))


def test_a_model_is_written_and_read(model, tmp_path):
    path = tmp_path / "model.keras"
    write_keras_file(model, path, {"more.txt": b"more"})
    again = load_keras_file(path, "--model")
    np.testing.assert_array_equal(again(np.ones((1, 3))), [[3.0, 3.0]])
    assert [one.name for one in tmp_path.iterdir()] == ["model.keras"]


def test_the_size_of_weights():
    inputs = keras.Input((3,))
    assert size_of(keras.Model(inputs, keras.layers.Dense(2)(inputs))) == 4 * (3 * 2 + 2)


def test_without_room_nothing_is_begun(model, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    write_keras_file(model, path, {})
    before = path.read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(ResourceError, match=r"has room for 0 MB, and 1 MB are needed; make room"):
        write_keras_file(model, path, {})
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_fills_up_meanwhile_leaves_the_file_of_before(tmp_path):
    path = tmp_path / "state.npz"
    path.write_bytes(b"before")

    def write_half():
        with writing_anew(path, 10) as temporary:
            temporary.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ResourceError, match=r"state\.npz cannot be written: No space left"):
        write_half()
    assert path.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1
