"""``cnnkit weights import --cfg`` as the user meets it."""

import struct

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run

CFG = """[net]
width=64
height=64
[convolutional]
filters=7
size=8
stride=8
activation=linear
[yolo]
anchors=16,16
classes=2
"""


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.cfg").write_text(CFG)
    # Objectness and the second class are sure everywhere; the box is around the place.
    numbers = np.concatenate([[0, 0, 0, 0, 9, -9, 9], np.zeros(7 * 3 * 64)]).astype("<f4")
    (tmp_path / "x.weights").write_bytes(struct.pack("<iiiq", 0, 2, 0, 0) + numbers.tobytes())
    (tmp_path / "names").write_text("cat\ndog\n")
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.png")


def test_an_imported_network_finds_objects(capsys):
    command = ["weights", "import", "x.weights", "--cfg", "x.cfg", "--names", "names"]
    assert run(command) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == "x.keras"
    assert "cnnkit detect IMG --model x.keras" in captured.err
    assert run(["detect", "picture.png", "--model", "x.keras", "--jsonl"]) == 0
    assert '"label": "dog"' in capsys.readouterr().out
    assert run(command) == 2
    assert "x.keras exists" in capsys.readouterr().err


def test_what_does_not_fit_is_one_line(capsys):
    assert run(["weights", "import", "x.weights", "--cfg", "nowhere.cfg"]) == 5
    assert "nowhere.cfg cannot be read" in capsys.readouterr().err
    assert run(["weights", "import", "x.weights", "--names", "names"]) == 2
    assert "give --cfg" in capsys.readouterr().err
    command = ["weights", "import", "x.weights", "--cfg", "x.cfg"]
    assert run([*command, "--names", "x.cfg"]) == 3
    assert "but the network has 2 classes" in capsys.readouterr().err
