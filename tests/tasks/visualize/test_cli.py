"""``cnnkit visualize`` as the user meets it."""

import io
import json
import types

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run
from cnnkit.images import read_image


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cat(here):
    """Bright on the left, dark on the right."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, :15] = 255
    Image.fromarray(pixels).save("cat.png")
    return "cat.png"


def document(capsys):
    out, _ = capsys.readouterr()
    found = json.loads(out)
    assert found["schema"] == "cnnkit/1"
    return found


# Shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [["14x14x3 conv5-16 conv5-32"], ["14x14x3", "conv5-16", "conv5-32"]]
)
def test_shapes_are_a_table_with_totals(capsys, words):
    assert run(["visualize", "shapes", *words]) == 0
    out, err = capsys.readouterr()
    rows = [line.split() for line in out.splitlines()]
    assert rows == [
        ["layer", "output", "parameters", "multiply-adds", "sees"],
        ["input", "14x14x3"],
        ["conv5-16", "10x10x16", "1,216", "120,000", "5x5"],
        ["conv5-32", "6x6x32", "12,832", "460,800", "9x9"],
        ["total", "14,048", "580,800"],
    ]
    assert err == ""


def test_the_arithmetic_is_shown_with_v(capsys):
    assert run(["visualize", "shapes", "14x14x3 conv5-16 pool2/2p1", "-v"]) == 0
    out = capsys.readouterr().out
    assert "\nconv5-16\n  size: (14 + 2*0 - 5)/1 + 1 = 10\n  parameters: 5*5*3*16 + 16 = " in out
    assert "  sees: 6x6, the first from -1 on, then every 2\n" in out


def test_shapes_as_json(capsys):
    assert run(["visualize", "shapes", "14x1 conv5-16 fc2", "--json"]) == 0
    found = document(capsys)
    assert found["input_shape"] == [14, 1]
    assert found["parameters"] == (5 + 1) * 16 + (160 + 1) * 2
    first, last = found["layers"]
    assert first["output_shape"] == [10, 16]
    assert first["receptive_field"] == [5]
    assert first["arithmetic"][0] == "size: (14 + 2*0 - 5)/1 + 1 = 10"
    assert (last["kind"], last["output_shape"]) == ("fc", [2])


def test_a_wrong_word_is_one_line_and_exit_code_2(capsys):
    assert run(["visualize", "shapes", "14x14x3 conv5-16 pol2"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: word 3, 'pol2': must be a layer such as conv5-16, pool2")
    assert err.count("\n") == 1


def test_shapes_are_drawn_and_no_picture_is_replaced(capsys, here):
    command = ["visualize", "shapes", "14x14x3 conv5-16 fc2", "--plot", "net.png"]
    assert run(command) == 0
    assert "net.png shows the architecture" in capsys.readouterr().err
    assert read_image("net.png").width > 600
    before = (here / "net.png").read_bytes()
    (here / "net.png").write_bytes(b"mine")
    assert run(command) == 2
    assert (here / "net.png").read_bytes() == b"mine"
    assert "net.png exists; use --overwrite" in capsys.readouterr().err
    assert run([*command, "--overwrite", "-q"]) == 0
    assert (here / "net.png").read_bytes() == before
    assert capsys.readouterr().err == ""


# Models ---------------------------------------------------------------------------------------


def test_a_network_by_name_is_a_table(capsys):
    assert run(["visualize", "model", "lenet5"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[2] == ["C1", "Conv2D", "28x28x6", "156", "117,600", "5x5"]
    assert rows[-1] == ["total", "61,706", "416,520"]


def test_a_network_of_another_size_as_json_and_as_picture(capsys):
    command = ["visualize", "model", "lenet5", "--input", "28x28x3", "--classes", "4"]
    assert run([*command, "--json", "--plot", "lenet.png"]) == 0
    found = document(capsys)
    assert found["input_shape"] == [28, 28, 3]
    assert found["layers"][-1]["output_shape"] == [4]
    assert found["output"] == "lenet.png"
    assert read_image("lenet.png").height > 300


def test_a_file_of_ones_own(capsys):
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, name="first")(inputs)
    keras.Model(inputs, x).save("own.keras")
    assert run(["visualize", "model", "own.keras", "--input", "10x12x3", "--json"]) == 0
    found = document(capsys)
    assert found["name"] == "own.keras"
    assert found["layers"][0]["output_shape"] == [8, 10, 4]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["lenet"], 2, "there is no network named 'lenet'; use a .keras file or one of: compact"),
        (["none.keras"], 5, "none.keras does not exist"),
        (["broken.keras"], 5, "broken.keras cannot be loaded as a Keras model"),
        (["lenet5", "--input", "9x9x1"], 2, "lenet5: input_shape must be (height, width, chann"),
        (["lenet5", "--input", "9"], 2, "--input takes a shape with channels last"),
        (["compact", "--classes", "3"], 2, "--classes is for the classifiers that have a name"),
        (["compact", "--input", "64x64x1"], 2, "compact: the input must have the shape (None, "),
        (["lenet5", "--plot", "net.svg"], 2, "--plot writes a .png, not net.svg"),
    ],
)
def test_what_is_wrong_with_a_model_is_one_line(capsys, here, arguments, code, message):
    (here / "broken.keras").write_bytes(b"PK no model")
    assert run(["visualize", "model", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


# Edges ----------------------------------------------------------------------------------------


def test_edges_are_a_figure_beside_the_current_folder(capsys, cat):
    assert run(["visualize", "edges", cat]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "cat-edges.png  30x20 -> 28x18",
        "  height: floor((n + 2p - f)/s) + 1 = (20 + 2*0 - 3)/1 + 1 = 18",
        "  width:  floor((n + 2p - f)/s) + 1 = (30 + 2*0 - 3)/1 + 1 = 28",
    ]
    # Red is positive: bright turns to dark somewhere.
    pixels = read_image("cat-edges.png").pixels
    assert np.any(pixels[..., 0] - pixels[..., 2] > 0.3)


def test_edges_as_json(capsys, cat):
    command = ["visualize", "edges", cat, "--kernel", "1 0 -1", "--padding", "same", "--stride"]
    assert run([*command, "2", "-o", "out/row.png", "--json"]) == 0
    found = document(capsys)
    [item] = found["items"]
    assert (found["width"], found["height"]) == (30, 20)
    assert (item["output"], item["output_width"], item["output_height"]) == ("out/row.png", 15, 10)
    assert item["kernel"] == [[1, 0, -1]]
    # White is 1, black 0; the zeros around the picture are dark too, to the left of the white.
    assert (item["minimum"], item["maximum"]) == pytest.approx((0.0, 1.0))
    assert read_image("out/row.png").height > 300


def test_pooling(capsys, cat):
    assert run(["visualize", "edges", cat, "--pool", "max", "--size", "3", "--stride", "2"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "cat-pooled.png  30x20 -> 14x9"


def test_a_kernel_from_a_file_and_a_picture_from_stdin(capsys, cat, here, monkeypatch):
    (here / "kernel.txt").write_text("0,1,0\n1,-4,1\n0,1,0\n")
    stdin = types.SimpleNamespace(buffer=io.BytesIO((here / cat).read_bytes()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert run(["visualize", "edges", "-", "--kernel", "kernel.txt"]) == 0
    assert (here / "stdin-edges.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.png"], 3, "none.png does not exist"),
        (["cat.png", "--kernel", "sobl"], 2, "--kernel: a kernel must be one of vertical, "),
        (["cat.png", "--kernel", "1 2; 3"], 2, "--kernel: a kernel must be one of vertical, "),
        (["cat.png", "--padding", "full"], 2, "padding must be one of valid, same, not 'full'"),
        (["cat.png", "--pool", "min"], 2, "pool must be one of max, average, not 'min'"),
        (["cat.png", "--pool", "max", "--size", "21"], 2, "a window that spans 21 must fit"),
        (["cat.png", "--pool", "max", "--kernel", "sobel"], 2, "--pool has no kernel"),
        (["cat.png", "--size", "3"], 2, "--size is that of a pooling window"),
        (["cat.png", "-o", "edges.jpg"], 2, "-o writes a .png, not edges.jpg"),
        (["cat.png", "-o", "cat.png"], 2, "cat.png exists; use --overwrite"),
    ],
)
def test_what_is_wrong_with_edges_is_one_line(capsys, cat, arguments, code, message):
    assert run(["visualize", "edges", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_a_picture_is_never_replaced_by_its_own_figure(capsys, cat, here):
    before = (here / cat).read_bytes()
    assert run(["visualize", "edges", cat, "-o", cat, "--overwrite"]) == 2
    assert "is the picture itself" in capsys.readouterr().err
    assert (here / cat).read_bytes() == before


def test_a_failure_is_a_record_with_json(capsys, here):
    assert run(["visualize", "edges", "none.png", "--json"]) == 3
    found = document(capsys)
    assert found["error"]["code"] == "ImageError"
