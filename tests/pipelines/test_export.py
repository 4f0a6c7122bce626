import errno
import importlib.util
import shutil
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnkit.errors import CnnkitError, ResourceError, UsageError
from cnnkit.pipelines import export as export_module
from cnnkit.pipelines._export_checks import check_export
from cnnkit.pipelines._exported_tensorflow import run_savedmodel, run_tflite
from cnnkit.pipelines.export import export

RED = np.broadcast_to(np.array([1, 0, 0], np.float32), (1, 16, 16, 3))


def test_a_keras_file_keeps_its_names(color_run, tmp_path):
    made = export(color_run, tmp_path / "new" / "a.keras", format="keras")
    assert made.largest_difference == 0
    assert made.classes_path is None
    with zipfile.ZipFile(made.path) as archive:
        assert archive.read("classes.txt") == b"blue\ngreen\nred\n"
    assert made.size == Path(made.path).stat().st_size


def test_a_classifier_with_a_name_takes_its_names_along(color_run, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "find_model_file", lambda model: None)
    made = export(color_run, tmp_path / "a.keras", format="keras")
    with zipfile.ZipFile(made.path) as archive:
        assert archive.read("classes.txt") == b"blue\ngreen\nred\n"


def test_a_savedmodel_runs_without_keras(color_run, tmp_path):
    made = export(color_run, tmp_path / "saved", format="savedmodel")
    assert made.largest_difference < 1e-6
    assert run_savedmodel(tmp_path / "saved", RED).argmax() == 2
    assert Path(made.classes_path).read_text().split() == ["blue", "green", "red"]
    assert Path(made.classes_path).parent == tmp_path / "saved"
    # Again: the old one goes, and nothing is left beside it.
    export(color_run, tmp_path / "saved", format="savedmodel", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_tflite_takes_any_number_of_pictures(color_run, tmp_path):
    made = export(color_run, tmp_path / "a.tflite", format="tflite")
    assert made.largest_difference < 1e-5
    with warnings.catch_warnings():
        # tf.lite.Interpreter tells of a package with the runtime alone.
        warnings.simplefilter("ignore")
        outputs = run_tflite(tmp_path / "a.tflite", np.repeat(RED, 5, axis=0))
    assert outputs.shape == (5, 3)
    assert (tmp_path / "a-classes.txt").read_text() == "blue\ngreen\nred\n"
    assert made.input_shape == (16, 16, 3)


def test_onnx_runs_in_its_own_runtime(color_run, tmp_path):
    pytest.importorskip("tf2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    made = export(color_run, tmp_path / "a.onnx", format="onnx")
    assert made.largest_difference < 1e-5
    session = onnxruntime.InferenceSession(made.path, providers=["CPUExecutionProvider"])
    assert session.run(None, {session.get_inputs()[0].name: RED})[0].argmax() == 2


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'needs tf2onnx and onnx; run: pip install "cnnkit\[onnx'):
        check_export("onnx", "a.onnx")


def test_models_of_any_size_and_of_arrays_are_exported(tmp_path):
    inputs = keras.Input((None, None, 1))
    x = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(2, 3)(inputs))
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)).save(tmp_path / "a.keras")
    made = export(tmp_path / "a.keras", tmp_path / "a.tflite", format="tflite")
    assert made.input_shape == (None, None, 1)
    assert made.largest_difference < 1e-5
    assert made.classes_path is None
    inputs = keras.Input((20, 1))
    x = keras.layers.GlobalMaxPooling1D()(keras.layers.Conv1D(2, 3)(inputs))
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)).save(tmp_path / "b.keras")
    with zipfile.ZipFile(tmp_path / "b.keras", "a") as archive:
        archive.writestr("settings.json", '{"kind": "arrays"}')
    assert export(tmp_path / "b.keras", tmp_path / "b", format="savedmodel").size > 0


def test_a_file_that_gives_other_results_is_not_written(color_run, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "_run", lambda path, format, batch: np.zeros((4, 3)))
    with pytest.raises(CnnkitError, match="colors as tflite gives other probabilities, by up to"):
        export(color_run, tmp_path / "a.tflite", format="tflite")
    monkeypatch.setattr(export_module, "_run", lambda path, format, batch: np.full((4, 3), np.nan))
    with pytest.raises(CnnkitError, match="by up to nan"):
        export(color_run, tmp_path / "a.tflite", format="tflite")
    assert list(tmp_path.iterdir()) == []
    notes = []
    monkeypatch.setattr(export_module, "_run", lambda path, format, batch: None)
    made = export(color_run, tmp_path / "a.tflite", format="tflite", on_note=notes.append)
    assert made.largest_difference is None
    assert "is not checked" in notes[0]


def test_a_layer_that_cannot_be_converted_is_one_line(color_run, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no such layer\nand a long story")

    monkeypatch.setattr(keras.Model, "export", fail)
    with pytest.raises(CnnkitError, match="cannot be exported as tflite: no such layer; use"):
        export(color_run, tmp_path / "a.tflite", format="tflite")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_no_fault_of_the_format(color_run, tmp_path, monkeypatch):
    def fail(*arguments, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(ResourceError, match=r"no room for .* as keras; make room"):
        export(color_run, tmp_path / "out.keras", format="keras")
    assert not list(tmp_path.iterdir())


def test_an_operation_that_a_format_lacks_is_named(tmp_path):
    inputs = keras.Input((4, 4, 4, 1))
    x = keras.layers.GlobalAveragePooling3D()(keras.layers.MaxPooling3D()(inputs))
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)).save(tmp_path / "a.keras")
    with pytest.raises(CnnkitError, match="as tflite: the format has no MaxPool3D; use another"):
        export(tmp_path / "a.keras", tmp_path / "a.tflite", format="tflite")


def test_wrong_outputs_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--format must be one of keras, savedmodel, onnx, tflite"):
        check_export("pt", "a.pt")
    with pytest.raises(UsageError, match=r"--format tflite writes a \.tflite file, not a\.onnx"):
        check_export("tflite", "a.onnx")
    with pytest.raises(UsageError, match=r"writes a folder; give -o a name without \.pb"):
        check_export("savedmodel", "a.pb")
    (tmp_path / "a.keras").touch()
    with pytest.raises(UsageError, match="exists; use --overwrite"):
        check_export("keras", tmp_path / "a.keras")
    # A folder of something else is never replaced.
    with pytest.raises(UsageError, match="is a folder but no SavedModel"):
        check_export("savedmodel", tmp_path, overwrite=True)
