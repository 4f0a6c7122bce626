"""Models that others trained: rescaling of their own, one sigmoid, other formats, code inside."""

import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import WeightsError
from cnnkit.images import read_image
from cnnkit.models.vgg import build_feature_network
from cnnkit.tasks.classify.evaluate import evaluate_classify
from cnnkit.tasks.classify.predict import classify
from cnnkit.tasks.classify.trainable import build_pretrained
from cnnkit.tasks.visualize.gradcam import visualize_gradcam
from cnnkit.tasks.visualize.model import visualize_model
from cnnkit.tasks.visualize.network import load_viewed_network
from cnnkit.tasks.visualize.settings import GradcamSettings
from cnnkit.weights.keras_file import load_keras_file

L = keras.layers


@pytest.fixture
def grey(tmp_path):
    """A picture of one grey, 102 of 255."""
    path = tmp_path / "grey.png"
    Image.new("RGB", (8, 8), (102, 102, 102)).save(path)
    return path


def saved(path, head, *first, shape=(8, 8, 3)):
    """A model that says how light a picture is, by the mean of its first layers' output."""
    inputs = keras.Input(shape)
    x = inputs
    for layer in first:
        x = layer(x)
    x = L.Conv2D(1, 1, kernel_initializer="ones", name="conv")(x)
    x = L.GlobalAveragePooling2D()(x)
    keras.Model(inputs, head(x)).save(path)
    return str(path)


def two_classes(x):
    logits = L.Dense(2, kernel_initializer=keras.initializers.Constant([[0.0, 1.0]]))(x)
    return L.Softmax()(logits)


def one_sigmoid(x):
    return L.Dense(1, "sigmoid", kernel_initializer=keras.initializers.Constant(2.0),
                   bias_initializer=keras.initializers.Constant(-1.0))(x)  # fmt: skip


def test_a_classifier_that_rescales_itself_gets_the_bytes_that_it_was_trained_on(tmp_path, grey):
    path = saved(tmp_path / "own.keras", two_classes, L.Rescaling(1 / 255))
    [found] = classify(grey, model=path)
    # 3 * 102/255 = 1.2
    expected = 1 / (1 + np.exp(-1.2))
    assert {one.label: one.score for one in found.best}["class 1"] == pytest.approx(expected, 1e-4)
    plain = saved(tmp_path / "plain.keras", two_classes)
    [found] = classify(grey, model=plain)
    assert {one.label: one.score for one in found.best}["class 1"] == pytest.approx(expected, 1e-4)


def test_what_is_looked_into_gets_bytes_too(tmp_path, grey):
    path = saved(tmp_path / "own.keras", two_classes, L.Rescaling(1 / 255))
    network = load_viewed_network(path)
    maps = network.submodel(["conv"])(np.full((1, 8, 8, 3), 0.4, np.float32))["conv"]
    np.testing.assert_allclose(maps, 1.2, rtol=1e-5)
    features = build_feature_network(
        saved(tmp_path / "any.keras", two_classes, L.Rescaling(1 / 255), shape=(None, None, 3)),
        ["conv"],
    )
    maps = features.model(np.full((1, 16, 16, 3), 0.4, np.float32))["conv"]
    np.testing.assert_allclose(maps, 1.2, rtol=1e-5)


def test_a_head_is_trained_on_features_of_bytes(tmp_path):
    path = saved(tmp_path / "own.keras", two_classes, L.Rescaling(1 / 255))
    taken = build_pretrained(path, 5)
    features = keras.Model(taken.model.inputs[0], taken.features)
    np.testing.assert_allclose(features(np.full((1, 8, 8, 3), 0.4, np.float32)), 1.2, rtol=1e-5)


@pytest.mark.parametrize(
    "head",
    [
        one_sigmoid,
        lambda x: L.Activation("sigmoid")(2 * x - 1),
        lambda x: keras.ops.sigmoid(2 * x - 1),
    ],
)
def test_one_sigmoid_is_two_classes(tmp_path, grey, head):
    path = saved(tmp_path / "one.keras", head)
    (tmp_path / "classes.txt").write_text("dark\nlight\n")
    [found] = classify(grey, model=path)
    expected = 1 / (1 + np.exp(-1.4))
    assert [one.label for one in found.best] == ["light", "dark"]
    assert [one.score for one in found.best] == pytest.approx([expected, 1 - expected], rel=1e-4)


def test_of_one_sigmoid_one_name_may_be_known(tmp_path, grey):
    path = saved(tmp_path / "one.keras", one_sigmoid)
    (tmp_path / "classes.txt").write_text("light\n")
    [found] = classify(grey, model=path)
    assert [one.label for one in found.best] == ["light", "not light"]


def test_one_sigmoid_is_evaluated_and_explained(tmp_path):
    path = saved(tmp_path / "one.keras", one_sigmoid)
    (tmp_path / "classes.txt").write_text("dark\nlight\n")
    for name, value in (("dark", 20), ("light", 240)):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8), (value,) * 3).save(folder / "a.png")
    assert evaluate_classify(tmp_path / "data", model=path).accuracy == 1.0
    half = np.zeros((8, 8, 3), np.uint8)
    half[:, 4:] = 255
    Image.fromarray(half).save(tmp_path / "half.png")
    picture = read_image(tmp_path / "half.png")
    light = visualize_gradcam(
        picture, GradcamSettings(class_name="light", layer="conv"), model=path
    )
    # What speaks for light lies in the right half.
    assert light.heat[:, 5:].min() > light.heat[:, :3].max()
    assert light.label == "light"


def test_other_formats_say_how_to_come_by_a_keras_file(tmp_path, monkeypatch, grey):
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential([keras.Input((2,)), L.Dense(1)])
    (tmp_path / "old.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "other.onnx").touch()
    for load in (
        lambda name: classify(grey, model=name),
        load_viewed_network,
        visualize_model,
        lambda name: build_feature_network(name, ["conv"]),
        lambda name: load_keras_file(name, "--model"),
    ):
        with pytest.raises(
            WeightsError, match=r"old\.h5 is of Keras' old format.*python -c \"import"
        ):
            load("old.h5")
        with pytest.raises(WeightsError, match=r"other\.onnx is a model in the format ONNX"):
            load("other.onnx")
        with pytest.raises(WeightsError, match="URLs are not read; download it first"):
            load("https://example.org/model.keras")
    with pytest.raises(WeightsError, match=r"none\.h5 does not exist"):
        classify(grey, model="none.h5")
    model.save("fine.keras")
    assert load_keras_file("fine.keras", "--model").count_params() == 3


class _Doubling(L.Layer):
    def call(self, inputs):
        return 2 * inputs


def test_a_layer_of_the_makers_own_is_named(tmp_path):
    path = tmp_path / "own.keras"
    keras.Sequential([keras.Input((2,)), _Doubling(name="twice")]).save(path)
    _change(
        path,
        lambda config: config.replace("tests.tasks.visualize.test_foreign_models", "studio.net"),
    )
    with pytest.raises(
        WeightsError, match=r"of its maker's own, '_Doubling' named 'twice'.*Keras' lay"
    ):
        load_keras_file(path, "--model")


def _change(path, change):
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["config.json"] = change(files["config.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def test_code_in_a_model_is_never_run(tmp_path):
    path, mark = tmp_path / "evil.keras", tmp_path / "ran"

    def trap(x, at=str(mark)):
        pathlib.Path(at).touch()
        return x

    trap.__name__ = "<lambda>"
    keras.Sequential([keras.Input((2,)), L.Lambda(trap, name="trap")]).save(path)
    mark.unlink()
    with pytest.raises(WeightsError, match="code of its maker in the layer 'trap', which is never"):
        load_keras_file(path, "--model")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("module", "kind"), [("os", "system"), ("subprocess", "Popen"), ("trap_module", "Layer")]
)
def test_a_model_imports_nothing(tmp_path, monkeypatch, module, kind):
    mark = tmp_path / "ran"
    (tmp_path / "trap_module.py").write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "evil.keras"
    keras.Sequential([keras.Input((2,)), L.Dense(1, name="trap")]).save(path)

    def crafted(config):
        config = json.loads(config)
        layer = config["config"]["layers"][1]
        layer.update(module=module, class_name=kind, registered_name=kind)
        layer["config"] = {"command": f"touch {mark}", "args": ["touch", str(mark)], "name": "trap"}
        return json.dumps(config)

    _change(path, crafted)
    with pytest.raises(WeightsError, match=rf"own, '{kind}' named 'trap' \(of {module}\)"):
        load_keras_file(path, "--model")
    assert not mark.exists()
