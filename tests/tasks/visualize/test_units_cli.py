"""``cnnkit visualize units`` as the user meets it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run
from cnnkit.images import read_image


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for index in range(11):
        folder = tmp_path / "photos" / ("more" if index % 2 else "")
        pixels = generator.integers(0, 256, (24, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path


def command(backbone, *more):
    return ["visualize", "units", "second", "--model", backbone, "--size", "30", *more]


def test_the_sheet_goes_beside_and_is_not_replaced(tiny_backbone, here, capsys):
    arguments = command(tiny_backbone, "--images", "photos", "-r")
    assert run(arguments) == 0
    assert capsys.readouterr().out == "units-second.png\n"
    assert read_image("units-second.png").width > 500
    before = Path("units-second.png").read_bytes()
    assert run([*arguments, "-o", "units-second.png"]) == 2
    assert "units-second.png exists; use --overwrite or another -o" in capsys.readouterr().err
    assert Path("units-second.png").read_bytes() == before
    assert run([*arguments, "--overwrite", "--deconv", "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert Path("units-second.png").read_bytes() != before
    assert sorted(path.name for path in here.iterdir()) == ["photos", "units-second.png"]


def test_the_other_spelling_does_the_same(tiny_backbone, capsys):
    arguments = command(tiny_backbone, "--images", "photos", "--units", "1")
    assert run([*arguments, "-o", "a.png"]) == 0
    assert run(["visualize-units", *arguments[2:], "-o", "b.png"]) == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_one_json_document_tells_everything(tiny_backbone, capsys):
    Path("photos/broken.png").write_bytes(b"no picture")
    arguments = command(tiny_backbone, "--images", "photos", "-r", "--units", "0-1,4", "--json")
    assert run([*arguments, "--html", "page"]) == 3
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert (found["schema"], found["pictures"], found["failed"]) == ("cnnkit/1", 11, 1)
    assert (found["output"], found["html"]) == ("units-second.png", "page/index.html")
    assert found["errors"][0]["source"] == "photos/broken.png"
    assert err.count("error: photos/broken.png is not a picture") == 1
    assert "1 picture could not be read" in err
    (layer,) = found["layers"]
    assert (layer["layer"], layer["total_units"], layer["receptive_field"]) == ("second", 6, [8, 8])
    assert [unit["unit"] for unit in layer["units"]] == [0, 1, 4]
    patches = layer["units"][0]["patches"]
    assert len({patch["source"] for patch in patches}) == len(patches) == 9
    assert patches[0]["box"]["x2"] - patches[0]["box"]["x1"] == 8
    values = [patch["value"] for patch in patches]
    assert values == sorted(values, reverse=True)
    assert Path("page/index.html").is_file()


def test_a_folder_that_is_not_empty_is_left_alone(tiny_backbone, capsys):
    Path("page").mkdir()
    Path("page/index.html").write_text("mine")
    arguments = command(tiny_backbone, "--images", "photos", "--html", "page")
    assert run(arguments) == 2
    assert "page is not empty; use --overwrite or another --html" in capsys.readouterr().err
    assert not Path("units-second.png").exists()
    assert run([*arguments, "--overwrite"]) == 0
    assert "<!doctype html>" in Path("page/index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a LAYER, such as layer3, or add --all-layers"),
        (["layer3", "--all-layers"], "--all-layers goes without a LAYER"),
        (["layer3", "--units", "1", "--count", "2"], "--units and --count exclude each other"),
        (["layer3", "--units", "a"], "--units takes numbers such as 0,5,17 or 0-15, not 'a'"),
        (["layer3", "--units", "5-2"], "--units: 5-2 runs backwards"),
        (["layer3", "--size", "0"], "size must be a whole number from 1"),
        (["layer3", "-o", "a.jpg"], "-o writes a .png, not a.jpg"),
        (["layer3", "--images", "-"], "pictures are read twice, which stdin cannot be"),
        (["layer3", "--html", "photos/0.png"], "--html photos/0.png is a file; give a folder"),
        (["layr3"], "compact has no layer 'layr3'; it has:"),
    ],
)
def test_bad_usage_is_one_line(arguments, message, capsys):
    assert run(["visualize", "units", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_an_empty_folder_and_missing_weights_have_their_codes(capsys, here):
    (here / "empty").mkdir()
    assert run(["visualize", "units", "layer3", "--images", "empty"]) == 3
    assert "empty holds no pictures" in capsys.readouterr().err
    assert run(["visualize", "units", "layer3", "--model", "none.keras"]) == 5
    assert "none.keras does not exist" in capsys.readouterr().err


def test_all_layers_are_one_sheet(tiny_backbone, capsys):
    arguments = ["visualize", "units", "--all-layers", "--model", tiny_backbone, "--size", "30"]
    assert run([*arguments, "--images", "photos", "-r", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [layer["layer"] for layer in found["layers"]] == ["first", "second"]
    assert found["output"] == "units-all-layers.png"


def test_an_interrupted_run_is_gone_on_with(tiny_backbone, capsys, monkeypatch):
    from cnnkit.tasks.visualize import units as module

    arguments = command(tiny_backbone, "--images", "photos", "-r")
    draw = module.choose_units

    def stop(*ignored):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "choose_units", stop)
    assert run(arguments) == 130
    err = capsys.readouterr().err
    assert ".units-second.png.cnnkit-state keeps what was found so far; --resume goes on" in err
    monkeypatch.setattr(module, "choose_units", draw)
    assert run([*arguments, "--resume"]) == 0
    assert "going on after 11 of 11 pictures" in capsys.readouterr().err
    assert not Path(".units-second.png.cnnkit-state").exists()
    assert run([*arguments, "-o", "again.png"]) == 0
    assert Path("again.png").read_bytes() == Path("units-second.png").read_bytes()
