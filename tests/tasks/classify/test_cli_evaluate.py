import csv
import json

import keras
from PIL import Image

from cnnkit.cli.app import run


def evaluate(data, *arguments):
    return run(["evaluate", "classify", str(data), *map(str, arguments)])


def test_figures_and_the_worst_classes_are_shown(color_run, color_pictures, capsys):
    assert evaluate(color_pictures, "--model", color_run) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[1].startswith("accuracy     91.67% (95 % interval ")
    table = [line.split() for line in lines[lines.index("") + 1 :]]
    assert table[1] == ["red", "4", "75.0%", "100.0%", "85.7%", "blue", "(1)"]
    assert [row[0] for row in table[2:]] == ["blue", "green"]
    assert "so these are all of its files" in err
    # With five classes or fewer the top five say nothing.
    assert "top 5" not in out


def test_the_folder_has_the_report(color_run, color_pictures, tmp_path, capsys):
    target = tmp_path / "report"
    assert evaluate(color_pictures, "--model", color_run, "-o", target, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("schema") == "cnnkit/1"
    assert printed.pop("engine") == keras.backend.backend()
    assert json.loads((target / "report.json").read_text()) == printed
    assert printed["confusion"] == [[4, 0, 0], [0, 4, 0], [1, 0, 3]]
    assert printed["classes"][2]["recall"] == 0.75
    with (target / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    [wrong] = [row for row in rows if row["right"] == "0"]
    assert (wrong["label"], wrong["predicted"]) == ("red", "blue")
    for name in ("confusion", "calibration", "mistakes"):
        assert Image.open(target / f"{name}.png").width > 200
    assert evaluate(color_pictures, "--model", color_run, "-o", target) == 2
    assert "has a report already; use --overwrite" in capsys.readouterr().err


def test_what_cannot_be_read_is_exit_code_3(color_run, color_pictures, tmp_path, capsys):
    rows = [f"{path},{path.parent.name}" for path in sorted(color_pictures.glob("*/*.png"))]
    listed = tmp_path / "list.csv"
    listed.write_text("\n".join(["file,label", *rows, f"{tmp_path}/none.png,red"]))
    assert evaluate(listed, "--model", color_run, "--split", "all") == 3
    out, err = capsys.readouterr()
    assert "12, 1 cannot be read" in out
    assert "none.png does not exist" in err


def test_wrong_usage_is_one_line(color_run, color_pictures, capsys):
    assert evaluate(color_pictures, "--model", color_run, "--split", "half") == 2
    assert "--split must be one of" in capsys.readouterr().err
    assert evaluate(color_pictures) == 3
    assert "imagenet does not know the class 'blue'" in capsys.readouterr().err
