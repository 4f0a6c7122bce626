import io
import json

import pytest
from PIL import Image

from cnnkit.cli.app import run


def verify(portraits, *arguments):
    first, second, *rest = arguments
    return run(["verify", str(portraits / first), str(portraits / second), *rest])


def test_one_person_is_told_with_exit_code_0(portraits, capsys):
    assert verify(portraits, "ada.png", "ada-mirrored.jpg") == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "same person"
    assert lines[1].startswith("  distance 0.")
    assert "of pairs of strangers pass" in lines[2] or "pairs of strangers passes" in lines[2]
    assert lines[3].endswith("ada.png: face 96x96 at 168,69")
    assert len(lines) == 5
    assert printed.err == ""


def test_two_people_are_told_with_exit_code_1(portraits, capsys):
    assert verify(portraits, "ada.png", "bob.png") == 1
    assert capsys.readouterr().out.startswith("different people\n")


def test_json_has_the_faces_and_the_verdict(portraits, capsys):
    assert verify(portraits, "ada.png", "bob.png", "--json") == 1
    record = json.loads(capsys.readouterr().out)
    assert record["schema"] == "cnnkit/1"
    assert record["same"] is False
    assert 0.7 < record["distance"] < 0.9
    assert record["threshold"] < record["distance"]
    assert 0.9 < record["confidence"] <= 1
    assert 1e-6 < record["false_accept_rate"] < 0.1
    assert [item["source"].split("/")[-1] for item in record["items"]] == ["ada.png", "bob.png"]
    box = record["items"][0]["box"]
    assert [box[edge] for edge in ("x1", "y1", "x2", "y2")] == [168, 69, 264, 165]
    assert (record["width"], record["height"]) == (512, 512)
    assert len(record["items"][0]["landmarks"]) == 5


def test_of_several_faces_a_large_one_near_the_middle_is_used_and_this_is_said(portraits, capsys):
    # Ada's is a little larger, Bob's much nearer to the middle.
    assert verify(portraits, "both.png", "bob.png") == 0
    assert "both.png shows 2 faces; number 2 by size, large and near" in capsys.readouterr().err


def test_another_face_can_be_chosen(portraits, capsys):
    assert verify(portraits, "both.png", "ada.png", "--face", "2") == 1
    assert verify(portraits, "bob.png", "both.png", "--face", "1,2") == 0
    assert capsys.readouterr().err == ""


def test_a_face_that_is_not_there_is_exit_code_3(portraits, capsys):
    assert verify(portraits, "both.png", "ada.png", "--face", "3") == 3
    assert "both.png has no face 3: it shows 2" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "x", "1,2,3", "-1", ""])
def test_what_is_no_number_of_a_face_is_refused(portraits, text, capsys):
    assert verify(portraits, "ada.png", "bob.png", f"--face={text}") == 2
    assert "--face takes N or N,M counted from 1" in capsys.readouterr().err


def test_a_picture_without_a_face_is_exit_code_3_and_names_the_file(portraits, capsys):
    assert verify(portraits, "ada.png", "coffee.jpg") == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert "coffee.jpg: no face found; if there is a small one, try --upsample 1" in printed.err


def test_with_json_a_failure_is_a_record_too(portraits, capsys):
    assert verify(portraits, "ada.png", "coffee.jpg", "--json") == 3
    record = json.loads(capsys.readouterr().out)
    assert record["error"]["code"] == "NoFaceError"
    assert "coffee.jpg" in record["error"]["message"]


def test_the_threshold_decides(portraits, capsys):
    assert verify(portraits, "ada.png", "bob.png", "--threshold", "0.99") == 0
    assert "threshold 0.990" in capsys.readouterr().out
    assert verify(portraits, "ada.png", "ada-mirrored.jpg", "--threshold", "0.01") == 1
    assert verify(portraits, "ada.png", "bob.png", "--threshold", "0") == 2


def test_explain_draws_a_picture_and_never_over_another(portraits, tmp_path, capsys):
    target = tmp_path / "why.png"
    assert verify(portraits, "ada.png", "bob.png", "--explain", str(target)) == 1
    with Image.open(target) as image:
        assert image.size == (960, 912)
    assert verify(portraits, "ada.png", "bob.png", "--explain", str(target)) == 2
    assert "exists; use --overwrite" in capsys.readouterr().err
    assert verify(portraits, "ada.png", "bob.png", "--explain", "why.jpg") == 2


def test_unreadable_pictures_are_named(portraits, tmp_path, capsys):
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    for wrong, message in ((empty, "is empty"), (tmp_path / "missing.jpg", "missing.jpg")):
        assert run(["verify", str(portraits / "ada.png"), str(wrong)]) == 3
        assert message in capsys.readouterr().err
    cut = tmp_path / "cut.png"
    cut.write_bytes((portraits / "ada.png").read_bytes()[:20_000])
    assert run(["verify", str(cut), str(portraits / "ada.png")]) == 3
    assert "cut.png" in capsys.readouterr().err


def test_a_calibration_of_another_model_is_refused(portraits, tmp_path, capsys):
    from cnnkit.tasks.faces.calibration import (
        calibration_to_json,
        shipped_calibration,
    )

    values = calibration_to_json(shipped_calibration())
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**values, "threshold": 0.9}))
    assert verify(portraits, "ada.png", "bob.png", "--calibration", str(path)) == 0
    path.write_text(json.dumps({**values, "model_hash": "0" * 64}))
    assert verify(portraits, "ada.png", "bob.png", "--calibration", str(path)) == 2
    assert "was measured with another model" in capsys.readouterr().err
    path.write_text("{}")
    assert verify(portraits, "ada.png", "bob.png", "--calibration", str(path)) == 3
    assert "is no calibration" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_one_line(portraits, capsys):
    assert verify(portraits, "ada.png", "bob.png", "--model", "missing.keras") in (2, 5)
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("degrees", [90, 180])
def test_a_picture_on_its_side_or_upside_down_is_turned(portraits, tmp_path, capsys, degrees):
    turned = tmp_path / "turned.png"
    with Image.open(portraits / "ada.png") as image:
        image.rotate(degrees).save(turned)
    assert run(["verify", str(turned), str(portraits / "ada.png")]) == 0
    assert "turned (yaw" in capsys.readouterr().out


def test_a_picture_turned_by_its_exif_tag_is_upright(portraits, tmp_path, capsys):
    tagged = tmp_path / "tagged.jpg"
    with Image.open(portraits / "ada.png") as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(tagged, exif=exif, quality=95)
    assert run(["verify", str(tagged), str(portraits / "ada.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["distance"] < 0.1


def test_a_picture_comes_from_stdin(portraits, monkeypatch, capsys):
    data = io.BytesIO((portraits / "ada.png").read_bytes())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(data))
    assert run(["verify", "-", str(portraits / "ada-mirrored.jpg")]) == 0
    assert "the picture on stdin: face 96x96" in capsys.readouterr().out
    assert run(["verify", "-", "-"]) == 2
