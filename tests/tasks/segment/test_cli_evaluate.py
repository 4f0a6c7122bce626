import csv
import json

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run


@pytest.fixture
def data(tmp_path, painted):
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    mask = np.zeros((60, 80), np.uint8)
    mask[10:30, 10:40] = mask[40:44, 10:20] = 1
    mask[10:50, 50:70] = 2
    (tmp_path / "data" / "images" / "a.png").write_bytes(painted.read_bytes())
    Image.fromarray(mask).save(tmp_path / "data" / "labels" / "a.png")
    (tmp_path / "data" / "classes.txt").write_text("background\nred\nblue\n")
    return tmp_path / "data"


def evaluate(model, *arguments):
    return run(["evaluate", "segment", "--model", model, *map(str, arguments)])


def test_a_table_of_the_classes(color_segmenter, data, capsys):
    assert evaluate(color_segmenter, data) == 0
    out = capsys.readouterr().out
    assert "mean IoU         100.00%" in out
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["background", "red", "blue"]


def test_a_report_is_written_once(color_segmenter, data, tmp_path, capsys):
    folder = tmp_path / "report"
    assert evaluate(color_segmenter, data, "-o", folder, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    report = json.loads((folder / "report.json").read_text())
    assert document["schema"] == "cnnkit/1"
    assert document["mean_iou"] == report["mean_iou"] == 1.0
    assert report["confusion"][2][2] == 800
    assert [row["mean_iou"] for row in csv.DictReader((folder / "pictures.csv").open())] == [
        "1.000000"
    ]
    assert (folder / "confusion.png").exists()
    assert (folder / "worst.png").exists()
    assert evaluate(color_segmenter, data, "-o", folder) == 2
    assert "has a report already" in capsys.readouterr().err


def test_what_cannot_be_used_is_exit_code_3(color_segmenter, data, painted, capsys):
    (data / "images" / "b.png").write_bytes(painted.read_bytes())
    Image.fromarray(np.full((60, 80), 7, np.uint8)).save(data / "labels" / "b.png")
    assert evaluate(color_segmenter, data) == 3
    out, err = capsys.readouterr()
    assert "4,800 pixels of no class" in err
    assert "1, 1 cannot be used" in out
