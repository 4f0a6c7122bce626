"""``cnnkit evaluate detect`` as the user meets it."""

import json

from PIL import Image

from cnnkit.cli.app import run


def test_a_detector_that_finds_all_is_perfect(dot_detector, dotted_pictures, tmp_path, capsys):
    folder = tmp_path / "report"
    command = ["evaluate", "detect", str(dotted_pictures), "--model", dot_detector, "--split"]
    assert run([*command, "train", "-o", str(folder), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pictures"] == 3
    assert report["coco"]["ap"] > 0.999
    assert report["coco"]["ap_large"] is None
    assert report["voc"]["ap_all_points"] > 0.999
    assert [one["objects"] for one in report["classes"]] == [1, 2]
    assert json.loads((folder / "report.json").read_text())["coco"] == report["coco"]
    with Image.open(folder / "precision-recall.png") as image:
        assert min(image.size) > 200


def test_figures_for_people(dot_detector, dotted_pictures, capsys):
    assert run(["evaluate", "detect", str(dotted_pictures), "--model", dot_detector]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "pictures   3 with 3 objects"
    assert lines[1] == "AP         100.0%"
    assert lines[-1].split() == ["blue", "2", "100.0%", "100.0%"]


def test_several_views_find_all_too(dot_detector, dotted_pictures, capsys):
    command = ["evaluate", "detect", str(dotted_pictures), "--model", dot_detector]
    assert run([*command, "--flip", "--scales", "1,2"]) == 0
    assert capsys.readouterr().out.splitlines()[2] == "AP50       100.0%"
    assert run([*command, "--scales", "9"]) == 2
    assert "scales must be from 0.1 to 4, not [9.0]" in capsys.readouterr().err


def test_data_with_a_class_that_is_not_known(dot_detector, dotted_pictures, tmp_path, capsys):
    values = json.loads((dotted_pictures / "train.json").read_text())
    values["categories"][0]["name"] = "green"
    for one in values["images"]:
        one["file_name"] = str(dotted_pictures / one["file_name"])
    (tmp_path / "train.json").write_text(json.dumps(values))
    assert run(["evaluate", "detect", str(tmp_path), "--model", dot_detector]) == 3
    assert "does not know 'green'" in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_is_counted(dot_detector, dotted_pictures, tmp_path, capsys):
    values = json.loads((dotted_pictures / "train.json").read_text())
    for one in values["images"]:
        one["file_name"] = str(dotted_pictures / one["file_name"])
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    values["images"][0]["file_name"] = str(broken)
    (tmp_path / "train.json").write_text(json.dumps(values))
    assert run(["evaluate", "detect", str(tmp_path), "--model", dot_detector]) == 3
    captured = capsys.readouterr()
    assert f"{broken} is not a picture" in captured.err
    assert "1 cannot be read" in captured.out


def test_a_part_that_there_cannot_be_is_refused_at_once(tmp_path, capsys):
    assert run(["evaluate", "detect", str(tmp_path), "--split", "tests", "--model", "none"]) == 2
    assert "--split must be one of train, val, test, all" in capsys.readouterr().err
