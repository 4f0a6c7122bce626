import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run


@pytest.fixture
def gallery(tmp_path):
    return str(tmp_path / "gallery.sqlite")


def faces(gallery, command, *arguments):
    return run(["faces", command, *map(str, arguments), "--gallery", gallery])


@pytest.fixture
def known(portraits, gallery, capsys):
    assert faces(gallery, "enroll", "Ada", portraits / "ada.png") == 0
    assert faces(gallery, "enroll", "Bob", portraits / "bob.png") == 0
    capsys.readouterr()
    return gallery


def test_one_picture_is_enough_to_be_recognised(portraits, known, capsys):
    assert faces(known, "identify", portraits / "ada-mirrored.jpg") == 0
    line = capsys.readouterr().out
    assert ": Ada  face 96x96" in line
    assert "nearest: Ada 0." in line
    assert ", Bob 0." in line


def test_every_face_of_a_picture_is_named(portraits, known, capsys):
    assert faces(known, "identify", portraits / "both.png", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in record["items"]] == ["Ada", "Bob"]
    first = record["items"][0]
    assert [match["name"] for match in first["matches"]] == ["Ada", "Bob"]
    assert first["matches"][0]["distance"] < record["threshold"] < first["matches"][1]["distance"]
    assert first["confidence"] > 0.9


def test_somebody_who_is_not_in_the_gallery_is_unknown(portraits, gallery, capsys):
    faces(gallery, "enroll", "Bob", portraits / "bob.png")
    capsys.readouterr()
    assert faces(gallery, "identify", portraits / "ada.png") == 0
    assert ": unknown  face" in capsys.readouterr().out


def test_a_picture_without_faces_is_no_failure_unless_asked(portraits, known, capsys):
    assert faces(known, "identify", portraits / "coffee.jpg") == 0
    assert capsys.readouterr().out.endswith("coffee.jpg: no face\n")
    assert faces(known, "identify", portraits / "coffee.jpg", "--fail-if-empty") == 4


def test_an_unreadable_picture_is_one_record_and_the_batch_goes_on(
    portraits, known, tmp_path, capsys
):
    wrong = tmp_path / "wrong.jpg"
    wrong.write_text("not a picture")
    assert faces(known, "identify", wrong, portraits / "ada.png", "--jsonl") == 3
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["error"] and record["error"]["code"] for record in records] == [
        "ImageError",
        None,
    ]


def test_names_are_drawn_into_copies(portraits, known, tmp_path, capsys):
    target = tmp_path / "named.png"
    assert faces(known, "identify", portraits / "both.png", "-o", target) == 0
    with Image.open(target) as drawn, Image.open(portraits / "both.png") as plain:
        assert drawn.size == plain.size
        changed = np.any(np.asarray(drawn) != np.asarray(plain), axis=2)
    # The boxes of both faces, and nothing far from them.
    assert changed[:, :400].any()
    assert changed[:, 600:].any()
    assert not changed[300:].any()
    assert f"{target} shows it" in capsys.readouterr().err
    assert faces(known, "identify", portraits / "both.png", "-o", target) == 2


def test_enrolling_again_adds_nothing_and_encodes_nothing(portraits, known, capsys, monkeypatch):
    from cnnkit.tasks.faces.analysis import FaceAnalyzer

    monkeypatch.setattr(FaceAnalyzer, "analyze", lambda self, pictures, **k: list(pictures))
    assert faces(known, "enroll", "Ada", portraits / "ada.png") == 0
    assert capsys.readouterr().out == "Ada: 0 faces added, 1 there already\n"


def test_folders_of_people_are_enrolled_by_their_names(portraits, gallery, tmp_path, capsys):
    for person, picture in (("Ada_Lovelace", "ada.png"), ("Bob", "bob.png"), ("Tea", "coffee.jpg")):
        folder = tmp_path / "people" / person
        folder.mkdir(parents=True)
        (folder / picture).write_bytes((portraits / picture).read_bytes())
    assert faces(gallery, "enroll", "-r", tmp_path / "people") == 3
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["Ada Lovelace: 1 face added", "Bob: 1 face added"]
    assert "coffee.jpg: no face found" in printed.err
    assert faces(gallery, "list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)["items"]
    assert [(one["name"], one["faces"]) for one in listed] == [("Ada Lovelace", 1), ("Bob", 1)]


def test_a_folder_without_pictures_is_one_line_and_the_others_are_enrolled(
    portraits, gallery, tmp_path, capsys
):
    people = tmp_path / "people"
    for person in ("Ada", "Empty", "Texts"):
        (people / person).mkdir(parents=True)
    (people / "Texts" / "notes.txt").write_text("who?")
    assert faces(gallery, "enroll", "-r", people) == 3
    assert "people has no pictures in its folders; put some into each" in capsys.readouterr().err
    (people / "Ada" / "a.png").write_bytes((portraits / "ada.png").read_bytes())
    assert faces(gallery, "enroll", "-r", people) == 0
    printed = capsys.readouterr()
    assert printed.out == "Ada: 1 face added\n"
    assert printed.err.splitlines() == [
        f"warning: {people}/Empty holds no pictures; nothing of Empty is enrolled from it",
        f"warning: {people}/Texts holds no pictures, only 1 .txt (notes.txt); nothing of Texts is "
        "enrolled from it",
    ]


def test_a_face_of_somebody_else_is_not_enrolled_twice(portraits, known, capsys):
    assert faces(known, "enroll", "Eve", portraits / "ada.png") == 3
    assert "is enrolled as Ada" in capsys.readouterr().err
    assert faces(known, "enroll", "Eve", portraits / "both.png", "--face", "2") == 0


def test_list_is_a_table_for_people(known, capsys):
    assert faces(known, "list") == 0
    printed = capsys.readouterr()
    assert [line.split()[:2] for line in printed.out.splitlines() if line.strip()][1:] == [
        ["Ada", "1"],
        ["Bob", "1"],
    ]
    assert "2 people, 2 faces" in printed.err


def test_removal_really_removes(portraits, known, capsys):
    assert faces(known, "remove", "Ada") == 0
    assert capsys.readouterr().out == "removed Ada (1 face)\n"
    assert faces(known, "identify", portraits / "ada.png") == 0
    assert ": unknown  " in capsys.readouterr().out
    assert faces(known, "remove", "Ad") == 3
    assert faces(known, "remove", "Bop") == 3
    assert "did you mean Bob?" in capsys.readouterr().err


def test_people_are_renamed_and_merged(portraits, known, capsys):
    assert faces(known, "rename", "Ada", "Eve") == 0
    assert faces(known, "rename", "Eve", "Bob") == 3
    assert faces(known, "rename", "Eve", "Bob", "--merge") == 0
    capsys.readouterr()
    faces(known, "list", "--json")
    [one] = json.loads(capsys.readouterr().out)["items"]
    assert (one["name"], one["faces"]) == ("Bob", 2)


def test_what_was_exported_can_be_imported(portraits, known, tmp_path, capsys):
    file = tmp_path / "people.jsonl"
    assert faces(known, "export", file) == 0
    assert capsys.readouterr().out.endswith("people.jsonl: 2 faces\n")
    assert faces(known, "export", file) == 3
    other = str(tmp_path / "other.sqlite")
    capsys.readouterr()
    assert faces(other, "import", file) == 0
    assert capsys.readouterr().out == "2 new people, 2 faces added, 0 there already\n"
    assert faces(other, "identify", portraits / "ada-mirrored.jpg") == 0
    assert ": Ada  " in capsys.readouterr().out


def test_a_gallery_that_is_not_there_is_not_made_by_looking(portraits, gallery, tmp_path, capsys):
    assert faces(gallery, "identify", portraits / "ada.png") == 3
    assert faces(gallery, "list") == 3
    assert capsys.readouterr().err.count("error: ") == 2
    assert list(tmp_path.iterdir()) == []


def test_identify_leaves_no_strangers_in_the_gallery(portraits, gallery, capsys):
    from cnnkit.data.gallery import Gallery

    faces(gallery, "enroll", "Bob", portraits / "bob.png")
    faces(gallery, "identify", portraits / "both.png", portraits / "ada.png")
    with Gallery(gallery, read_only=True) as opened:
        statistics = opened.statistics()
    assert (statistics.faces, statistics.unnamed, statistics.pictures) == (1, 0, 1)


def test_a_damaged_gallery_is_one_clear_line(portraits, known, capsys):
    with Path(known).open("r+b") as file:
        file.seek(0)
        file.write(b"this is no database")
    assert faces(known, "identify", portraits / "ada.png") == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_enroll_wants_a_picture_and_folders_of_people(portraits, gallery, tmp_path, capsys):
    assert faces(gallery, "enroll", "Ada") == 2
    assert faces(gallery, "enroll", "-r", portraits / "ada.png") == 2
    assert faces(gallery, "enroll", "-r", portraits) == 2
    assert "has no folders in it" in capsys.readouterr().err


def test_cluster_groups_the_faces_of_each_person(portraits, tmp_path, capsys):
    target = tmp_path / "people"
    assert run(["faces", "cluster", str(portraits), "-o", str(target), "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["items"]
    sources = [[one["source"].split("/")[-1] for one in group["faces"]] for group in groups]
    assert sources == [["ada-mirrored.jpg", "ada.png", "both.png"], ["bob.png", "both.png"]]
    assert sorted(path.name for path in target.iterdir()) == [
        "person-001",
        "person-002",
        "sheet.png",
    ]
    assert len(list((target / "person-001").glob("*.jpg"))) == 3
    assert run(["faces", "cluster", str(portraits), "-o", str(target)]) == 2
    assert run(["faces", "cluster", str(portraits)]) == 0
    assert capsys.readouterr().out.startswith("person 1: 3 faces: ")


def test_cluster_says_when_there_is_no_face(portraits, capsys):
    coffee = str(portraits / "coffee.jpg")
    assert run(["faces", "cluster", coffee]) == 0
    assert capsys.readouterr().out == "no face\n"
    assert run(["faces", "cluster", coffee, "--fail-if-empty"]) == 4


def test_crop_cuts_out_upright_squares(portraits, tmp_path, capsys):
    arguments = ["faces", "crop", str(portraits / "both.png"), "-o", str(tmp_path), "--size", "99"]
    assert run(arguments) == 0
    assert [line.split("  ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "face 98x97 at 172,67",
        "face 82x82 at 692,119",
    ]
    for number in (1, 2):
        with Image.open(tmp_path / f"both-face{number}.png") as image:
            assert image.size == (99, 99)
    assert run(arguments) != 0


def test_calibrate_needs_more_than_two_pictures(portraits, tmp_path, capsys):
    folder = tmp_path / "people" / "Ada"
    folder.mkdir(parents=True)
    for name in ("ada.png", "ada-mirrored.jpg"):
        (folder / name).write_bytes((portraits / name).read_bytes())
    assert run(["faces", "calibrate", str(tmp_path / "people")]) == 3
    assert "error: " in capsys.readouterr().err
    assert run(["faces", "calibrate", str(tmp_path / "missing")]) == 2


def enroll_in_another_process(gallery, name, picture):
    raise SystemExit(run(["faces", "enroll", name, picture, "--gallery", gallery, "-q"]))


@pytest.mark.slow
def test_two_processes_enrol_at_once(portraits, gallery, capsys):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(
            target=enroll_in_another_process, args=(gallery, name, str(portraits / picture))
        )
        for name, picture in (("Ada", "ada.png"), ("Bob", "bob.png"))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    faces(gallery, "list", "--json")
    listed = json.loads(capsys.readouterr().out)["items"]
    assert [one["name"] for one in listed] == ["Ada", "Bob"]
