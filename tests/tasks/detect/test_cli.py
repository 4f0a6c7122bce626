"""``cnnkit detect`` as the user meets it."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from cnnkit.cli.app import run
from cnnkit.data._class_names import COCO_CLASSES
from cnnkit.data.sources import Source
from cnnkit.engine.batch import BatchSettings
from cnnkit.results import Milliseconds
from cnnkit.tasks.detect.coco_results import CocoResults
from cnnkit.tasks.detect.data import COCO_IDS
from cnnkit.tasks.detect.predict import Detector
from cnnkit.tasks.detect.results import DetectedObject, Detection


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def detect(dot_detector, *arguments):
    return run(["detect", "--model", dot_detector, *map(str, arguments)])


def test_objects_are_listed_and_drawn(dot_detector, dotted_pictures, capsys):
    picture = dotted_pictures / "two.png"
    assert detect(dot_detector, picture) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"{picture}: 1 red, 1 blue -> two-detect.jpg"
    assert out[1].split() == ["98.2%", "red", "16x16", "at", "4,12"]
    with Image.open("two-detect.jpg") as drawn:
        assert drawn.size == (64, 64)


def test_a_record_has_boxes_in_pixels_of_the_picture(dot_detector, dotted_pictures, capsys):
    assert detect(dot_detector, dotted_pictures / "tall.png", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["width"], record["height"]) == (32, 64)
    [item] = record["items"]
    assert (item["label"], item["class_id"]) == ("blue", 1)
    assert item["box"] == {"x1": 12.0, "y1": 20.0, "x2": 28.0, "y2": 36.0}
    assert record["threshold"] == 0.25
    assert not Path("tall-detect.jpg").exists()


def test_a_folder_in_all_forms_at_once(dot_detector, dotted_pictures, capsys):
    command = ["--jsonl", "--txt", "t", "--coco", "found.json", "--crops", "c", "-o", "drawn"]
    assert detect(dot_detector, dotted_pictures, *command) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(one["source"]).name for one in records] == ["none.png", "tall.png", "two.png"]
    assert [len(one["items"]) for one in records] == [0, 1, 2]
    # 16 of 32 and 64 pixels around (20, 28).
    line = Path("t/tall.txt").read_text().split()
    assert line[:5] == ["1", "0.625000", "0.437500", "0.500000", "0.250000"]
    assert Path("t/none.txt").read_text() == ""
    results = json.loads(Path("found.json").read_text())
    assert [one["image_id"] for one in results] == [2, 3, 3]
    assert results[0]["bbox"] == [12.0, 20.0, 16.0, 16.0]
    with Image.open("c/blue/tall-1.jpg") as crop:
        assert crop.size == (16, 16)
    assert sorted(path.name for path in Path("drawn").iterdir()) == [
        "none.jpg",
        "tall.jpg",
        "two.jpg",
    ]


def test_only_some_classes_and_only_sure_ones(dot_detector, dotted_pictures, capsys):
    picture = dotted_pictures / "two.png"
    assert detect(dot_detector, picture, "--classes", "blue", "--json") == 0
    assert [item["label"] for item in json.loads(capsys.readouterr().out)["items"]] == ["blue"]
    assert detect(dot_detector, picture, "--conf", "0.99", "--json", "--fail-if-empty") == 4
    capsys.readouterr()
    assert detect(dot_detector, picture, "--max-det", "1", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == 1


def test_several_views_of_a_picture(dot_detector, dotted_pictures, capsys):
    command = ["detect", str(dotted_pictures / "two.png"), "--model", dot_detector, "--json"]
    assert run(command) == 0
    plain = json.loads(capsys.readouterr().out)
    assert run([*command, "--flip", "--scales", "1,0.5"]) == 0
    found = json.loads(capsys.readouterr().out)
    # The half-sized views, two of four, show next to nothing.
    for one, other in zip(plain["items"], found["items"], strict=True):
        assert other["score"] == pytest.approx(one["score"] / 2, abs=0.01)
    assert run([*command, "--scales", "1;2"]) == 2
    assert "--scales takes numbers such as 0.75,1,1.25, not '1;2'" in capsys.readouterr().err


def test_a_broken_picture_is_a_record_and_the_others_go_on(
    dot_detector, dotted_pictures, tmp_path, capsys
):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert detect(dot_detector, broken, dotted_pictures / "two.png", "--jsonl") == 3
    captured = capsys.readouterr()
    first, second = (json.loads(line) for line in captured.out.splitlines())
    assert first["error"]["code"] == "ImageError"
    assert len(second["items"]) == 2
    assert "broken.png" in captured.err


def test_a_picture_from_stdin(dot_detector, dotted_pictures, capsys, monkeypatch):
    data = (dotted_pictures / "two.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": io.BytesIO(data)})())
    assert detect(dot_detector, "-", "--json") == 0
    assert json.loads(capsys.readouterr().out)["source"] == "-"


def test_the_shipped_detector_is_the_usual_one(capsys):
    picture = Path(skimage.data.__file__).parent / "astronaut.png"
    assert run(["detect", str(picture), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "coco80"
    assert found["items"][0]["label"] == "person"


def test_nothing_is_written_over_unasked(dot_detector, dotted_pictures, capsys):
    picture = dotted_pictures / "two.png"
    assert detect(dot_detector, picture, "-o", "here.png") == 0
    assert detect(dot_detector, picture, "-o", "here.png") == 2
    assert "here.png exists" in capsys.readouterr().err
    assert detect(dot_detector, picture, "-o", "here.png", "--skip-existing") == 0
    assert detect(dot_detector, picture, "-o", "here.png", "--overwrite") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model", "yolo"], 2, "no detector named 'yolo'"),
        (["--model", "./nowhere"], 5, "nowhere"),
        (["--conf", "2"], 2, "conf must be between 0 and 1"),
        (["--json", "--jsonl"], 2, "exclude each other"),
        (["--suppression", "hard"], 2, "must be one of class, agnostic, soft"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, code, message, dotted_pictures, capsys):
    assert run(["detect", str(dotted_pictures / "two.png"), *arguments]) == code
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_class_that_the_detector_does_not_know(dot_detector, dotted_pictures, capsys):
    assert detect(dot_detector, dotted_pictures / "two.png", "--classes", "green") == 2
    assert "knows no 'green'; it knows: red, blue" in capsys.readouterr().err


def test_a_classifier_is_no_detector(color_run, dotted_pictures, capsys):
    assert run(["detect", str(dotted_pictures / "two.png"), "--model", color_run]) == 2
    assert "colors is no detector" in capsys.readouterr().err


def test_coco_results_have_numbers_of_their_own_for_each_picture(
    dot_detector, dotted_pictures, tmp_path, capsys
):
    for folder in ("a", "b"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        shutil.copy(dotted_pictures / "two.png", tmp_path / "in" / folder / "1.png")
    assert detect(dot_detector, "in", "-r", "--coco", "out.json") == 0
    assert "out.images.json: the pictures' and classes' numbers" in capsys.readouterr().err
    results = json.loads(Path("out.json").read_text())
    assert [(one["image_id"], one["category_id"]) for one in results] == [
        (1, 1), (1, 2), (2, 1), (2, 2)
    ]  # fmt: skip
    described = json.loads(Path("out.images.json").read_text())
    assert described == {
        "images": [
            {"id": 1, "file_name": "a/1.png", "width": 64, "height": 64},
            {"id": 2, "file_name": "b/1.png", "width": 64, "height": 64},
        ],
        "categories": [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}],
    }


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["000000000139", "000000581781"], [139, 581781]),
        (["COCO_val2014_000000000042", "COCO_val2014_000000000073"], [42, 73]),
        (["000000000139", "mine"], [1, 2]),
        (["7", "3"], [1, 2]),
    ],
)
def test_coco_results_have_the_numbers_of_cocos_names(tmp_path, names, numbers):
    results = CocoResults(tmp_path / "out.json", COCO_CLASSES, BatchSettings())
    sources = [Source(f"{name}.jpg", Path(f"{name}.jpg")) for name in names]
    results.begin(sources)
    for source in sources:
        found = DetectedObject("toothbrush", 79, 0.5, (1, 2, 4, 8))
        results.write(source, Detection(source.path, (found,), (10, 20), "m", Milliseconds()))
    results.finish()
    boxes = json.loads((tmp_path / "out.json").read_text())
    assert [one["image_id"] for one in boxes] == numbers
    assert {one["category_id"] for one in boxes} == {90}
    assert boxes[0]["bbox"] == [1, 2, 3, 6]
    described = json.loads((tmp_path / "out.images.json").read_text())
    assert [one["id"] for one in described["categories"]][:13] == [*range(1, 12), 13, 14]


def test_cocos_numbers_are_those_of_its_files():
    assert len(COCO_IDS) == len(COCO_CLASSES) == 80
    numbers = dict(zip(COCO_CLASSES, COCO_IDS, strict=True))
    # As in instances_val2017.json.
    assert [numbers[name] for name in ("stop sign", "backpack", "tie", "chair", "tv", "book")] == [
        13, 27, 32, 62, 72, 84
    ]  # fmt: skip


def test_skipping_keeps_what_the_coco_file_has(dot_detector, dotted_pictures, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    shutil.copy(dotted_pictures / "two.png", "in/b.png")
    shutil.copy(dotted_pictures / "none.png", "in/c.png")
    command = ["in", "--coco", "out.json", "--skip-existing"]
    assert detect(dot_detector, *command) == 0
    before = json.loads(Path("out.json").read_text())
    shutil.copy(dotted_pictures / "tall.png", "in/a.png")
    capsys.readouterr()
    assert detect(dot_detector, *command) == 0
    assert "2 pictures are done already" in capsys.readouterr().err
    after = json.loads(Path("out.json").read_text())
    assert after[: len(before)] == before
    assert [(one["image_id"], one["file_name"]) for one in after[len(before) :]] == [(3, "a.png")]
    kept = Path("out.json").read_bytes()
    assert detect(dot_detector, *command) == 0
    assert Path("out.json").read_bytes() == kept
    Path("out.images.json").unlink()
    assert detect(dot_detector, *command) == 3
    assert "out.json cannot be added to" in capsys.readouterr().err
    assert Path("out.json").read_bytes() == kept


def test_skipping_leaves_crops_that_are_there(dot_detector, dotted_pictures, capsys):
    command = [dotted_pictures, "--crops", "c"]
    assert detect(dot_detector, *command) == 0
    capsys.readouterr()
    assert detect(dot_detector, *command) == 3
    Path("c/blue/tall-1.jpg").write_bytes(b"mine")
    assert detect(dot_detector, *command, "--skip-existing") == 0
    assert Path("c/blue/tall-1.jpg").read_bytes() == b"mine"
    assert "2 pictures are done already" in capsys.readouterr().err


def test_a_file_that_appears_meanwhile_is_not_replaced(
    dot_detector, dotted_pictures, capsys, monkeypatch
):
    real = Detector.detect_each

    def slow(self, *arguments, **options):
        Path("two-detect.jpg").write_bytes(b"somebody else's")
        yield from real(self, *arguments, **options)

    monkeypatch.setattr(Detector, "detect_each", slow)
    assert detect(dot_detector, dotted_pictures / "two.png") == 3
    assert "two-detect.jpg exists, and is left as it is" in capsys.readouterr().err
    assert Path("two-detect.jpg").read_bytes() == b"somebody else's"


@pytest.mark.parametrize("option", ["-o", "--txt", "--coco", "--crops"])
def test_stdout_is_refused_where_it_is_not_written_to(
    dot_detector, dotted_pictures, tmp_path, option, capsys
):
    assert detect(dot_detector, dotted_pictures, option, "-") == 2
    assert " - does not write to stdout; give a name" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_no_engine_is_imported_before_the_inputs_are_checked():
    code = (
        "import sys; from cnnkit.cli.app import run; "
        "codes = [run(['detect', 'nowhere.png']), run(['detect', 'nowhere.png', '--model', 'x'])]; "
        "engines = {'keras', 'tensorflow', 'openvino', 'jax', 'torch', 'scipy', 'matplotlib'}; "
        "print(codes, sorted(engines & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[3, 2] []"
