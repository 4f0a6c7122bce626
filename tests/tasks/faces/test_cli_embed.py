import csv
import json

import numpy as np
import pytest

from cnnkit.cli.app import run


def embed(portraits, *arguments):
    names = [str(portraits / a) if "." in a and not a.startswith("/") else a for a in arguments]
    return run(["embed", *names])


def test_one_json_line_for_each_picture(portraits, capsys):
    assert embed(portraits, "both.png", "coffee.jpg", "--jsonl") == 0
    both, coffee = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [len(item["embedding"]) for item in both["items"]] == [128, 128]
    assert set(both["items"][0]["box"]) == {"x1", "y1", "x2", "y2"}
    assert coffee["items"] == []
    assert coffee["error"] is None
    assert both["ms"]["load"] > 0
    assert both["ms"]["net"] > 0


def test_without_a_file_json_lines_are_the_result(portraits, capsys):
    assert embed(portraits, "ada.png") == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == 1


def test_the_files_hold_the_same_numbers(portraits, tmp_path, capsys):
    for suffix in ("npz", "csv", "jsonl"):
        assert embed(portraits, "ada.png", "both.png", "-o", f"{tmp_path}/e.{suffix}") == 0
    with np.load(tmp_path / "e.npz") as file:
        vectors, sources, boxes = file["embeddings"], file["sources"], file["boxes_xyxy"]
    assert vectors.shape == (3, 128)
    assert vectors.dtype == np.float32
    assert [source.split("/")[-1] for source in sources] == ["ada.png", "both.png", "both.png"]
    with (tmp_path / "e.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_array_equal(
        np.array([[row[f"e{i}"] for i in range(128)] for row in rows], np.float32), vectors
    )
    np.testing.assert_allclose([float(row["x1"]) for row in rows], boxes[:, 0])
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    stored = [item["embedding"] for line in lines for item in line["items"]]
    np.testing.assert_array_equal(np.array(stored, np.float32), vectors)
    # Ada is in both pictures, Bob in one.
    distances = np.linalg.norm(vectors - vectors[0], axis=1)
    assert distances[1] < 0.2
    assert distances[2] > 0.6


def test_only_the_largest_face(portraits, capsys):
    assert embed(portraits, "both.png", "--largest") == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == 1


def test_nothing_is_overwritten_and_other_formats_are_refused(portraits, tmp_path, capsys):
    target = tmp_path / "e.npz"
    target.write_bytes(b"mine")
    assert embed(portraits, "ada.png", "-o", str(target)) == 2
    assert target.read_bytes() == b"mine"
    assert embed(portraits, "ada.png", "-o", "/nowhere/e.xlsx") == 2
    assert "-o takes a name in .npz, .csv, .jsonl" in capsys.readouterr().err


def test_no_face_anywhere_is_an_empty_file(portraits, tmp_path, capsys):
    assert embed(portraits, "coffee.jpg", "-o", f"{tmp_path}/e.npz") == 0
    with np.load(tmp_path / "e.npz") as file:
        assert len(file["embeddings"]) == len(file["sources"]) == 0
    assert embed(portraits, "coffee.jpg", "--fail-if-empty") == 4


@pytest.mark.parametrize("wrong", [["missing.jpg"], ["missing.jpg", "ada.png"]])
def test_a_missing_picture_is_exit_code_3(portraits, wrong, capsys):
    assert embed(portraits, *wrong) == 3
    assert "missing.jpg" in capsys.readouterr().err
