"""Models that stay loaded, and when they do not."""

import os

import numpy as np
import pytest

import cnnkit
from cnnkit.engine.predictor import keep_last
from cnnkit.errors import UsageError
from cnnkit.tasks.segment import predict as pipeline


class Loads(list):
    """Counts what is loaded."""

    def __call__(self, model, *, size=1):
        if model == "missing":
            raise UsageError("there is none")
        self.append((str(model), size))
        return [model, size]


def test_it_is_loaded_again_only_for_other_arguments():
    loads = Loads()
    load = keep_last(loads)
    first = load("a", size=2)
    assert load("a", size=2) is first
    assert load("a") is not first
    assert load("a", size=2) is not first
    assert loads == [("a", 2), ("a", 1), ("a", 2)]


@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_file_that_has_changed_is_loaded_again(tmp_path, where):
    loads = Loads()
    load = keep_last(loads)
    file = tmp_path / "model.keras"
    model = file if where == "file" else tmp_path
    file.write_bytes(b"one")
    assert load(str(model)) is load(str(model))
    file.write_bytes(b"another")
    load(str(model))
    os.utime(file, ns=(1, 1))
    load(str(model))
    assert len(loads) == 3


def test_names_that_are_no_files_do_no_harm(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    load = keep_last(Loads())
    for model in ("x" * 5000, "a\0b", str(tmp_path), str(tmp_path / "none")):
        assert load(model) is load(model)


def test_with_another_home_weights_are_looked_for_again(monkeypatch, tmp_path):
    loads = Loads()
    load = keep_last(loads)
    load("deeplab")
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path))
    load("deeplab")
    assert len(loads) == 2


def test_what_failed_is_tried_again():
    load = keep_last(Loads())
    for _ in range(2):
        with pytest.raises(UsageError, match="there is none"):
            load("missing")


def test_the_library_loads_a_segmenter_once(monkeypatch):
    loads = []

    class Segmenter:
        def __init__(self, *arguments, **settings):
            loads.append((arguments, settings))

        def segment(self, sources):
            return len(sources)

    monkeypatch.setattr(pipeline, "kept_segmenter", keep_last(Segmenter))
    gray = np.full((4, 4, 3), 0.5)
    for scales in ([1.0], (1.0,)):
        assert cnnkit.segment(gray, scales=scales) == 4
    assert len(loads) == 1
