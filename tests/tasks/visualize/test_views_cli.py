"""``cnnkit visualize activations|filters|maximize|gradcam|occlusion`` as the user meets them."""

import io
import json
import types

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run
from cnnkit.images import read_image, read_record


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path / "cnnkit"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path


@pytest.fixture(scope="session")
def classifier_file(tmp_path_factory):
    """A tiny classifier of 32 x 32 pictures, "dark" or "bright" in the middle."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(2, 3, padding="same", activation="relu", name="conv")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="gap")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="scores")(x))
    kernel = np.zeros((3, 3, 3, 2), np.float32)
    kernel[1, 1, :, 0], kernel[1, 1, :, 1] = -1.0, 1.0
    weights = [np.array([[1.0, 0.0], [0.0, 4.0]]), np.zeros(2)]
    model.set_weights([kernel, np.array([1.0, 0.0]), *weights])
    folder = tmp_path_factory.mktemp("classifier")
    model.save(folder / "light.keras")
    (folder / "classes.txt").write_text("dark\nbright\n")
    return str(folder / "light.keras")


@pytest.fixture
def spot(here):
    """Dark but for one bright place."""
    pixels = np.full((40, 60, 3), 30, np.uint8)
    pixels[24:32, 10:20] = 255
    Image.fromarray(pixels).save("spot.png")
    return "spot.png"


def document(capsys):
    out, _ = capsys.readouterr()
    found = json.loads(out)
    assert found["schema"] == "cnnkit/1"
    return found


# Activations ----------------------------------------------------------------------------------


def test_activations_are_a_sheet_and_a_few_lines(capsys, spot):
    assert run(["visualize", "activations", spot, "layer1", "--maps", "6"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == ("spot-layer1.png  block1_conv2: 6 of 16 maps of 60x40, highest mean first")
    assert len(lines) == 6
    means = [float(line.split("mean ")[1].split()[0]) for line in lines[1:]]
    assert means == sorted(means, reverse=True)
    assert err == ""
    assert read_image("spot-layer1.png").width > 400


def test_activations_as_json_in_the_order_asked_for(capsys, spot, tiny_backbone):
    command = ["visualize", "activations", spot, "second", "--model", tiny_backbone]
    assert run([*command, "--channels", "4,0-1", "-o", "out/maps.png", "--json"]) == 0
    found = document(capsys)
    assert (found["width"], found["height"], found["layer"]) == (60, 40, "second")
    assert (found["map_width"], found["map_height"], found["channels"]) == (30, 20, 6)
    assert [item["channel"] for item in found["items"]] == [4, 0, 1]
    assert all(0 <= item["mean"] <= item["maximum"] for item in found["items"])
    assert found["output"] == "out/maps.png"
    assert read_image("out/maps.png").height > 100


def test_a_dense_layer_is_a_bar_chart(capsys, spot, classifier_file):
    command = ["visualize", "activations", spot, "scores", "--model", classifier_file]
    assert run(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "spot-scores.png  scores: 2 of 2 units, highest mean first"
    assert read_image("spot-scores.png").width > 500


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_pictures_of_any_kind_and_name(capsys, mode, here):
    Image.new("RGB", (33, 47), (200, 100, 50)).convert(mode).save("žlutý kůň 馬.png")
    assert run(["visualize", "activations", "žlutý kůň 馬.png", "block1_conv1"]) == 0
    assert (here / "žlutý kůň 馬-block1_conv1.png").exists()


def test_a_picture_from_stdin(capsys, spot, here, monkeypatch):
    stdin = types.SimpleNamespace(buffer=io.BytesIO((here / spot).read_bytes()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert run(["visualize", "activations", "-", "layer1"]) == 0
    assert (here / "stdin-layer1.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["spot.png", "layer9"], 2, "compact has no layer 'layer9'; it has: "),
        (["spot.png", "layer1", "--channels", "16"], 2, "block1_conv2 has the channels 0 to 15"),
        (["spot.png", "layer1", "--channels", "a"], 2, "--channels takes numbers such as 0,5,7"),
        (["spot.png", "layer1", "--channels", "3-1"], 2, "--channels: 3-1 runs backwards"),
        (["spot.png", "layer1", "--model", "vgg16"], 5, "the vgg16 weights are not on this"),
        (["spot.png", "layer1", "--model", "alexnet"], 2, "there is no trained network named"),
        (["none.png", "layer1"], 3, "none.png does not exist"),
        (["spot.png", "layer1", "-o", "maps.jpg"], 2, "-o writes a .png, not maps.jpg"),
        (["spot.png", "layer1", "-o", "spot.png"], 2, "spot.png exists; use --overwrite"),
    ],
)
def test_what_is_wrong_with_activations_is_one_line(capsys, spot, arguments, code, message):
    assert run(["visualize", "activations", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_a_failure_is_a_record_with_json(capsys, here):
    assert run(["visualize", "activations", "none.png", "layer1", "--json"]) == 3
    assert document(capsys)["error"]["code"] == "ImageError"


def test_a_figure_replaces_nothing_unless_told_to(capsys, spot, here):
    (here / "spot-layer1.png").write_bytes(b"mine")
    command = ["visualize", "activations", spot, "layer1"]
    assert run([*command, "-o", "spot-layer1.png"]) == 2
    assert run(command) == 0
    assert read_image("spot-layer1-2.png").width > 400
    assert (here / "spot-layer1.png").read_bytes() == b"mine"
    assert run([*command, "--overwrite", "-q"]) == 0
    assert read_image("spot-layer1.png").width > 400
    before = (here / spot).read_bytes()
    assert run([*command, "-o", spot, "--overwrite"]) == 2
    assert (here / spot).read_bytes() == before


# Filters --------------------------------------------------------------------------------------


def test_filters_are_a_sheet(capsys):
    assert run(["visualize", "filters"]) == 0
    out = capsys.readouterr().out
    assert out == "compact-filters.png  block1_conv1: 16 kernels of 3x3, in colour\n"
    pixels = read_image("compact-filters.png").pixels
    # In colour: some pixels are far from grey.
    assert np.ptp(pixels, axis=-1).max() > 0.5


def test_filters_of_another_layer_are_grey(capsys):
    command = ["visualize", "filters", "--layer", "block2_conv1", "--units", "0-3", "--channel"]
    assert run([*command, "2", "--json"]) == 0
    found = document(capsys)
    assert (found["layer"], found["input_channels"], found["kernel"]) == (
        "block2_conv1",
        16,
        [3, 3],
    )
    assert [item["unit"] for item in found["items"]] == [0, 1, 2, 3]
    assert found["output"] == "compact-block2_conv1-filters.png"
    assert np.ptp(read_image(found["output"]).pixels[60:], axis=-1).max() < 0.1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--layer", "block1_pool"], 2, "block1_pool has no kernels; compact has convolutions in"),
        (["--units", "99"], 2, "block1_conv1 has the filters 0 to 15, not 99"),
        (["--model", "vgg19"], 5, "the vgg19 weights are not on this machine; run: cnnkit"),
    ],
)
def test_what_is_wrong_with_filters_is_one_line(capsys, arguments, code, message):
    assert run(["visualize", "filters", *arguments]) == code
    assert capsys.readouterr().err.startswith(f"error: {message}")


# Maximize -------------------------------------------------------------------------------------

QUICK = ["--size", "32", "--steps", "3"]


def test_one_unit_is_a_picture_with_its_settings(capsys):
    assert run(["visualize", "maximize", "layer1", "--unit", "3", *QUICK]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("layer1-unit3.png  block1_conv2: 1 of 1 units, 32x32\n     3  mean ")
    assert err == ""
    picture = read_image("layer1-unit3.png")
    assert (picture.width, picture.height) == (32, 32)
    record = json.loads(read_record("layer1-unit3.png"))
    assert (record["layer"], record["units"], record["steps"]) == ("block1_conv2", [3], 3)


def test_several_units_are_a_sheet(capsys):
    command = ["visualize", "maximize", "block2_conv1", "--units", "0-2", *QUICK, "--json"]
    assert run([*command, "--parameterization", "pixels", "--target", "centre"]) == 0
    found = document(capsys)
    assert [item["unit"] for item in found["items"]] == [0, 1, 2]
    assert found["settings"]["parameterization"] == "pixels"
    assert read_image(found["output"]).width > 3 * 32


def test_a_dead_unit_is_told_and_gets_no_picture(capsys, here):
    inputs = keras.Input((16, 16, 3))
    conv = keras.layers.Conv2D(2, 1, activation="relu", name="conv")
    model = keras.Model(inputs, conv(inputs))
    conv.set_weights([np.ones((1, 1, 3, 2)), np.array([-4.0, 0.0])])
    model.save("dead.keras")
    command = ["visualize", "maximize", "conv", "--model", "dead.keras", "--steps", "2"]
    assert run([*command, "--unit", "0"]) == 4
    assert capsys.readouterr().out == "     0  dead: nothing excites it, 0 at most\n"
    assert not (here / "conv-unit0.png").exists()
    assert run([*command, "--unit", "0,1", "--json"]) == 0
    assert [item["dead"] for item in document(capsys)["items"]] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["layer9", "--unit", "0"], 2, "compact has no layer 'layer9'"),
        (["layer1", "--unit", "16"], 2, "block1_conv2 has the units 0 to 15, not 16"),
        (["layer1", "--unit", "x"], 2, "--units takes numbers such as 0,5,7 or 0-8, not 'x'"),
        (["layer1", "--unit", "0", "--steps", "0"], 2, "steps must be a whole number from 1"),
        (["layer1", "--unit", "0", "--size", "8"], 2, "size must be at least 16 pixels, not 8"),
        (
            ["layer1", "--unit", "0", "--target", "all"],
            2,
            "target must be one of mean, centre, not",
        ),
        (
            ["layer1", "--unit", "0", "--zoom", "1"],
            2,
            "zoom must be at least 0 and less than 1, not 1.0",
        ),
        (["layer1", "--unit", "0", "--blur", "-1"], 2, "blur must be at least 0, not -1"),
    ],
)
def test_what_is_wrong_with_maximize_is_one_line(capsys, arguments, code, message):
    assert run(["visualize", "maximize", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


# Grad-CAM and occlusion -----------------------------------------------------------------------


@pytest.mark.parametrize("view", ["gradcam", "occlusion"])
def test_the_evidence_is_where_it_is(capsys, spot, classifier_file, view):
    command = ["visualize", view, spot, "--model", classifier_file, "--class", "bright"]
    assert run([*command, "--map", "map.npy", "--json"]) == 0
    found = document(capsys)
    [item] = found["items"]
    assert (item["label"], item["class_id"]) == ("bright", 1)
    assert 0 < item["score"] < 1
    assert 8 <= item["peak"]["x"] <= 21
    assert 22 <= item["peak"]["y"] <= 33
    assert {one["label"] for one in found["best"]} == {"dark", "bright"}
    heat = np.load("map.npy")
    assert heat.shape == (40, 60)
    assert heat.max() == pytest.approx(item["maximum"])
    assert read_image(f"spot-{view}.png").width > 900


def test_the_best_class_is_shown_with_its_score(capsys, spot, classifier_file):
    assert run(["visualize", "gradcam", spot, "--model", classifier_file, "--map", "m.png"]) == 0
    out, err = capsys.readouterr()
    first, *best = out.splitlines()
    assert first.startswith("spot-gradcam.png  bright: ")
    assert first.endswith("(Grad-CAM at conv)")
    assert [line.split()[1] for line in best] == ["bright", "dark"]
    assert err == "m.png holds the map\n"
    assert read_image("m.png").width == 60


def test_a_class_that_nothing_speaks_for_is_a_warning(capsys, here, classifier_file):
    Image.new("RGB", (20, 20)).save("black.png")
    command = ["visualize", "gradcam", "black.png", "--model", classifier_file, "--class", "1"]
    assert run(command) == 0
    assert capsys.readouterr().err == "warning: nothing in black.png speaks for bright\n"


@pytest.mark.parametrize("view", ["gradcam", "occlusion"])
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model", "vgg16"], 5, "the vgg16-classifier weights are not on this machine; run: "),
        (["--model", "none.keras"], 5, "none.keras does not exist; give --model a .keras file"),
        (["--model", "compact"], 2, "there is no classifier named 'compact'"),
        (["--model", "FILE", "--class", "cat"], 2, "light.keras has no class 'cat'; the nearest"),
        (["--model", "FILE", "--class", "2"], 2, "light.keras has the classes 0 to 1, not 2"),
        (["--model", "FILE", "--classes", "no.txt"], 3, "no.txt cannot be read"),
        (["--model", "FILE", "--map", "map.tif"], 2, "--map writes a .npy or a .png, not map.tif"),
    ],
)
def test_what_is_wrong_with_a_classifier_is_one_line(
    capsys, spot, classifier_file, view, arguments, code, message
):
    arguments = [classifier_file if one == "FILE" else one for one in arguments]
    assert run(["visualize", view, spot, *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_a_layer_without_maps_and_a_square_that_does_not_fit(capsys, spot, classifier_file):
    model = ["--model", classifier_file]
    assert run(["visualize", "gradcam", spot, *model, "--layer", "gap"]) == 2
    assert "gap has no maps" in capsys.readouterr().err
    assert run(["visualize", "occlusion", spot, *model, "--window", "33"]) == 2
    assert "--window must be 1 to 32: light.keras sees 32x32" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_grey_and_transparent_pictures_are_explained_too(capsys, classifier_file, mode):
    Image.new("RGB", (90, 20), (250, 250, 250)).convert(mode).save("größe.png")
    assert run(["visualize", "gradcam", "größe.png", "--model", classifier_file, "-q"]) == 0
    assert "größe-gradcam.png  bright" in capsys.readouterr().out
