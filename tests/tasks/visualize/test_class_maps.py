import dataclasses
import zipfile

import keras
import numpy as np
import pytest

from cnnkit.engine import model_file
from cnnkit.errors import DataError, UsageError, WeightsError
from cnnkit.tasks.classify import files
from cnnkit.tasks.visualize.class_maps import load_classifier
from cnnkit.weights import _registry, fingerprint


@pytest.fixture
def file(tmp_path):
    """A classifier of three classes."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(inputs))
    path = tmp_path / "own.keras"
    keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x)).save(path)
    return path


@pytest.fixture(autouse=True)
def no_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path / "cnnkit"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


def test_classes_without_names_have_numbers(file):
    classifier = load_classifier(str(file))
    assert classifier.names == ()
    assert classifier.label(2) == "class 2"
    assert classifier.index("2") == 2
    with pytest.raises(UsageError, match="has the classes 0 to 2, not 3"):
        classifier.index("3")
    with pytest.raises(UsageError, match=r"own\.keras's classes are not known; give --class"):
        classifier.index("cat")


def test_names_lie_inside_the_model_or_beside_it_or_where_the_user_says(file, tmp_path):
    (file.parent / "classes.txt").write_text("ant\nbee\ncat\n")
    assert load_classifier(str(file)).names == ("ant", "bee", "cat")
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("classes.txt", "Affe\nBär\nKatze\n")
    assert load_classifier(str(file)).names == ("Affe", "Bär", "Katze")
    mine = tmp_path / "mine.txt"
    mine.write_text("\N{BYTE ORDER MARK}un\n\ndeux \ntrois", encoding="utf-8")
    assert load_classifier(str(file), classes=mine).names == ("un", "deux", "trois")


def test_a_class_is_found_by_name_whatever_its_case(file):
    (file.parent / "classes.txt").write_text("tabby, tabby cat\ntiger cat\nTiger\n")
    classifier = load_classifier(str(file))
    assert classifier.index("Tabby Cat") == 0
    assert classifier.index("tabby, tabby cat") == 0
    assert classifier.index("tiger") == 2
    with pytest.raises(UsageError, match="has no class 'tigre'; the nearest are: Tiger; "):
        classifier.index("tigre")


def test_a_class_is_found_by_words_that_no_other_class_has(file):
    (file.parent / "classes.txt").write_text("tabby cat\nPersian cat\nold English sheepdog\n")
    classifier = load_classifier(str(file))
    assert classifier.index("tabby") == 0
    assert classifier.index("Sheepdog old") == 2
    message = "has several classes with 'cat', choose one: tabby cat; Persian cat$"
    with pytest.raises(UsageError, match=message):
        classifier.index("cat")
    with pytest.raises(UsageError, match="has no class 'sheep'"):
        classifier.index("sheep")


def test_names_that_do_not_fit_are_refused(file, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("ant\nbee\n")
    with pytest.raises(DataError, match="has 3 classes but there are 2 names; give --classes"):
        load_classifier(str(file), classes=names)
    names.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is not a UTF-8 text file"):
        load_classifier(str(file), classes=names)
    with pytest.raises(DataError, match=r"none\.txt cannot be read"):
        load_classifier(str(file), classes=tmp_path / "none.txt")


def test_what_is_no_classifier_is_refused(tmp_path):
    inputs = keras.Input((8, 8, 3))
    path = tmp_path / "maps.keras"
    keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs)).save(path)
    with pytest.raises(UsageError, match=r"maps\.keras is no classifier: its output has the shape"):
        load_classifier(str(path))
    with pytest.raises(UsageError, match="no classifier named 'compact'; use the folder of"):
        load_classifier("compact")


def test_the_folder_of_a_run_is_its_model(file, tmp_path):
    run = tmp_path / "run7"
    run.mkdir()
    with pytest.raises(WeightsError, match=r"run7 holds no model\.keras; give --model the folder"):
        load_classifier(str(run))
    file.rename(run / "model.keras")
    with zipfile.ZipFile(run / "model.keras", "a") as archive:
        archive.writestr("classes.txt", "ant\nbee\ncat\n")
        archive.writestr("settings.json", '{"pixels": "byte", "kind": "pictures"}')
    classifier = load_classifier(str(run))
    assert classifier.network.name == "run7"
    assert classifier.names == ("ant", "bee", "cat")
    # What the file says of its pixels counts: bytes.
    image = np.full((1, 8, 8, 3), 0.5, np.float32)
    model = keras.models.load_model(run / "model.keras")
    np.testing.assert_allclose(
        classifier.network.model(image), model(image * 255), rtol=1e-4, atol=1e-6
    )
    with pytest.raises(WeightsError, match=r"runs/none does not exist; give --model the folder"):
        load_classifier("runs/none")


@pytest.mark.parametrize(
    ("name", "file"),
    [("vgg16", "vgg16-classifier"), ("vgg19", "vgg19-classifier"), ("mobilenet-v2",) * 2],
)
def test_weights_that_are_not_here_are_one_line(name, file):
    with pytest.raises(WeightsError, match=f"run: cnnkit weights fetch {file}, or"):
        load_classifier(name)


def test_a_new_classifier_is_an_entry_in_the_table_and_a_name(file, monkeypatch):
    """Nothing but these two lines."""
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("classes.txt", "ant\nbee\ncat\n")
    entry = dataclasses.replace(
        _registry.entry("compact"),
        name="small",
        file_name=str(file),
        size=file.stat().st_size,
        digest=fingerprint(file),
    )
    monkeypatch.setattr(_registry, "ENTRIES", (*_registry.ENTRIES, entry))
    for module in (model_file, files):
        monkeypatch.setattr(module, "CLASSIFIERS", ("small",))
    monkeypatch.setattr(files, "CLASSIFIER_WEIGHTS", {"small": "small"})
    classifier = load_classifier("small")
    assert classifier.network.name == "small"
    assert classifier.names == ("ant", "bee", "cat")
    scores = classifier.network.model(np.zeros((1, 8, 8, 3), np.float32))
    assert scores.shape == (1, 3)
