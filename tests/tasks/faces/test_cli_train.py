"""``cnnkit train faces`` as the user meets it."""

import json

import numpy as np
import pytest
from PIL import Image

from cnnkit.cli.app import run
from cnnkit.models.face_similarity import load_face_similarity
from cnnkit.tasks.faces import chips


class Patterns:
    """A picture's first pixel says whose pattern its chip shows."""

    settings = "patterns"

    def cut(self, pixels):
        person, picture, _ = (int(value) for value in pixels[0, 0])
        pattern = np.random.default_rng(person).integers(0, 256, (5, 5, 3))
        noise = np.random.default_rng([person, picture]).normal(0, 20, (150, 150, 3))
        chip = np.kron(pattern, np.ones((30, 30, 1))) + noise
        return np.clip(chip, 0, 255).astype(np.uint8)

    def embed(self, chips):
        means = chips.reshape(len(chips), 5, 30, 5, 30, 3).mean(axis=(2, 4)) / 1000.0
        return np.tile(means.reshape(len(chips), -1), 2)[:, :128].astype(np.float32)


@pytest.fixture
def people(tmp_path, monkeypatch):
    monkeypatch.setattr(chips, "MainFaces", Patterns)
    root = tmp_path / "people"
    for person in range(12):
        folder = root / f"person{person:02d}"
        folder.mkdir(parents=True)
        for picture in range(5):
            pixels = np.full((2, 2, 3), (person, picture, 255), np.uint8)
            Image.fromarray(pixels).save(folder / f"{picture}.png")
    return root


def options(tmp_path, *more):
    run_folder = str(tmp_path / "run")
    return ["--loss", "binary", "--steps", "20", "--steps-per-epoch", "10", "-o", run_folder, *more]


def test_train_faces_writes_a_model_and_says_how_good_it_is(people, tmp_path, capsys):
    assert run(["train", "faces", str(people), *options(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path}/run/faces.keras: ")
    assert "of the pairs for validation right at" in out
    assert "step 10 of 20: loss" in err
    assert "step 20 of 20: loss" in err
    calibration = load_face_similarity(f"{tmp_path}/run/faces.keras").calibration
    assert calibration["format"] == "cnnkit/face-calibration/1"


def test_train_faces_as_one_json_document(people, tmp_path, capsys):
    people_file = tmp_path / "people.txt"
    people_file.write_text("".join(f"person{i:02d}\t5\n" for i in range(7)))
    arguments = options(tmp_path, "--json", "--form", "chi-square", "--train-people")
    assert run(["train", "faces", str(people), *arguments, str(people_file)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["people"] == {"training": 5, "validation": 2}
    assert document["name"] == "dlib chi-square"
    assert len(document["hash"]) == 64
    assert 0.5 <= document["accuracy"] <= 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loss", "binary", "--encoder", "scratch"], "binary loss goes with the encoder dlib"),
        (["--encoder", "dlib"], "triplet loss goes with the encoder scratch, not dlib"),
        (["--mining", "hardest"], "mining must be one of random, semi-hard, batch-hard"),
        (["--margin", "0"], "margin must be more than 0"),
        (["--val-share", "1"], "val-share must be between 0 and 1"),
        (["--images", "."], "--images says where the pictures of --val-pairs are"),
        (["--val-pairs", "a.txt", "--val-people", "b.txt"], "exclude each other"),
    ],
)
def test_options_that_do_not_fit_are_one_clear_line(capsys, arguments, message):
    assert run(["train", "faces", "people", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path, people, capsys):
    assert run(["train", "faces", str(tmp_path / "nobody"), *options(tmp_path)]) == 3
    assert "nobody does not exist; check the path" in capsys.readouterr().err
