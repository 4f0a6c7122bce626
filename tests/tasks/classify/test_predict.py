import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit.engine.networks import Networks
from cnnkit.errors import DataError, ImageError, UsageError
from cnnkit.tasks.classify.predict import Classifier, classify
from cnnkit.tasks.classify.settings import ClassifySettings


def save(model, path, kind="pictures", pixels="unit"):
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("settings.json", f'{{"kind": "{kind}", "pixels": "{pixels}"}}')
    return str(path)


def test_the_most_probable_classes_come_first(color_run, color_pictures):
    [found] = classify(color_pictures / "green" / "3.png", model=color_run, top=2)
    assert [one.label for one in found.best] == ["green", "blue"]
    assert [one.class_id for one in found.best] == [1, 0]
    # Channels 40, 210, 40 of 255: softmax of 8 times these.
    scores = np.exp(8 * np.array([40, 210, 40]) / 255)
    assert found.best[0].score == pytest.approx(scores[1] / scores.sum(), rel=1e-4)
    assert found.size == (20, 30)
    assert found.model == "colors"
    assert cnnkit.classify is classify


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_a_stream_is_in_order_whatever_the_batch(color_run, color_pictures, batch):
    paths = sorted(str(path) for path in color_pictures.glob("*/*.png"))
    paths.insert(4, "none.png")
    classifier = Classifier(color_run)
    found = list(classifier.classify_each(paths, ClassifySettings(top=1), batch=batch))
    assert isinstance(found.pop(paths.index("none.png")), ImageError)
    assert [one.source for one in found] == [path for path in paths if path != "none.png"]
    labels = [one.best[0].label for one in found]
    assert labels == ["blue"] * 4 + ["green"] * 4 + ["red"] * 3 + ["blue"]


def test_turned_pictures_have_their_upright_size(color_run, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(tmp_path / "a.jpg", exif=exif)
    assert classify(tmp_path / "a.jpg", model=color_run)[0].size == (40, 20)


def test_a_network_of_any_size_sees_pictures_of_several(tmp_path):
    inputs = keras.Input((None, None, 1))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.set_weights([np.array([[8.0, 0.0]]), np.array([0.0, 4.0])])
    path = save(model, tmp_path / "any.keras")
    for name, shade, size in (("a", 255, (50, 40)), ("b", 0, (20, 64)), ("c", 255, (50, 40))):
        Image.new("L", size, shade).save(tmp_path / f"{name}.png")
    found = classify([tmp_path / f"{name}.png" for name in "abc"], model=path, top=1)
    assert [one.best[0].label for one in found] == ["class 0", "class 1", "class 0"]


def test_pixels_are_as_the_file_says(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    # Bytes above 100 are of class 1.
    model.set_weights([np.array([[0, 0.1]] * 3), np.array([0, -30.0])])
    path = save(model, tmp_path / "bytes.keras", pixels="byte")
    Image.new("RGB", (8, 8), (110, 110, 110)).save(tmp_path / "light.png")
    [found] = classify(tmp_path / "light.png", model=path)
    # 0.1 * 330 - 30 = 3.
    assert found.best[0].label == "class 1"
    assert found.best[0].score == pytest.approx(1 / (1 + np.exp(-3)), rel=1e-3)


def test_arrays_are_classified_too(tmp_path):
    inputs = keras.Input((12, 1))
    x = keras.layers.GlobalAveragePooling1D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.set_weights([np.array([[1.0, -1.0]]), np.zeros(2)])
    path = save(model, tmp_path / "signals.keras", kind="arrays")
    np.save(tmp_path / "up.npy", np.full(12, 2.0))
    np.save(tmp_path / "short.npy", np.zeros(5))
    [found] = classify(tmp_path / "up.npy", model=path)
    assert found.best[0].class_id == 0
    assert found.best[0].score == pytest.approx(1 / (1 + np.exp(-4.0)), rel=1e-4)
    assert found.size is None
    with pytest.raises(DataError, match=r"short\.npy has the shape \(5,\)"):
        classify(tmp_path / "short.npy", model=path)
    with pytest.raises(DataError, match=r"a\.png is no \.npy file; signals\.keras takes arrays"):
        classify("a.png", model=path)


def test_what_gives_no_probabilities_is_refused(tmp_path, color_pictures):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    keras.Model(inputs, keras.layers.Dense(4)(x)).save(tmp_path / "logits.keras")
    with pytest.raises(UsageError, match=r"logits\.keras gives no probabilities: .* a softmax"):
        classify(color_pictures / "red" / "0.png", model=tmp_path / "logits.keras")
    keras.Model(inputs, keras.layers.Dense(1)(x)).save(tmp_path / "one.keras")
    with pytest.raises(UsageError, match=r"one\.keras has one output without a sigmoid"):
        classify(color_pictures / "red" / "0.png", model=tmp_path / "one.keras")


def test_an_array_for_a_model_of_pictures_is_refused(color_run, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((16, 16, 3)))
    with pytest.raises(DataError, match=r"a\.npy is no picture; colors takes pictures"):
        classify(tmp_path / "a.npy", model=color_run)
    with pytest.raises(UsageError, match="top must be a whole number from 1, not 0"):
        classify("a.png", model=color_run, top=0)


def test_classifications_show_themselves(color_run, color_pictures, tmp_path):
    path = color_pictures / "green" / "3.png"
    with Image.open(path) as image:
        from_file, from_memory = classify([path, image], ClassifySettings(2), model=color_run)
    assert repr(from_file) == f"Classification({path}: green 99 %)"
    # exp(8 * 170 / 255) against twice 1.
    assert (from_file.picture, from_memory.source) == (None, "picture 2")
    drawn = from_file.plot()
    assert drawn.height > 20
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(from_memory.plot()))
    from_file.save(tmp_path / "green.png")
    assert [one["label"] for one in from_file.to_dict()["items"]] == ["green", "blue"]
    assert from_file.lines()[0] == str(path)
    [sure] = classify(path, model=color_run, conf=0.9)
    assert sure.lines() == [f"{path}: 99.04%  green"]
    array = replace(from_file, size=None)
    with pytest.raises(UsageError, match="is no picture that could be drawn"):
        array.plot()


def test_threads_may_use_one_classifier(color_run, color_pictures):
    classifier = Classifier(color_run)
    paths = sorted(color_pictures.glob("*/2.png"))
    expected = [classifier.classify(path)[0].best for path in paths]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: classifier.classify(path)[0].best, paths * 4))
    assert found == expected * 4


def test_backends_that_compile_each_size_get_full_batches(color_run, color_pictures, monkeypatch):
    monkeypatch.setattr(Networks, "compiles_each_size", True)
    classifier = Classifier(color_run)
    seen = []
    run = classifier._run
    monkeypatch.setattr(classifier, "_run", lambda values: seen.append(len(values)) or run(values))
    paths = sorted(str(path) for path in color_pictures.glob("*/*.png"))
    found = list(classifier.predict(paths, batch=8))
    assert seen == [8, 8]
    assert len(found) == 12
