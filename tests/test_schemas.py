"""What commands print with `--json` is what their JSON Schema files say."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import cnnkit
from cnnkit.cli.app import run
from cnnkit.schemas import read_record_schema, read_schema

NAMES = sorted(path.stem for path in (Path(cnnkit.__file__).parent / "schemas").glob("*.json"))
# Each with the schema that its JSON has to follow; in a folder with the samples.
COMMANDS = [
    ("detect", "detect samples/astronaut.png samples/coffee.png --json", 0),
    ("classify", "classify samples/chelsea.png --group --json", 0),
    ("visualize-shapes", "visualize shapes 14x14x3 conv5-16 pool2 fc10 --json", 0),
    ("visualize-shapes", "visualize model lenet5 --json", 0),
    ("weights", "weights list --json", 0),
    ("doctor", "doctor --json", 0),
]
SLOW_COMMANDS = [
    ("segment", "segment samples/astronaut.png --rle compressed --json", 0),
    ("segment", "segment samples/astronaut.png --rle counts --json", 0),
    ("cutout", "cutout samples/astronaut.png -o ada.png --json", 0),
    ("caption", "caption samples/coffee.png --candidates 2 --json", 0),
    ("verify", "verify samples/astronaut.png samples/camera.png --json", 1),
    ("embed", "embed samples/astronaut.png samples/camera.png --json", 0),
    ("stylize", "stylize samples/coffee.png waves --quality draft --size 96 --json", 0),
    ("stylize", "stylize samples/coffee.png waves --size 64 --steps 2 -o a.png --json", 0),
    ("visualize-gradcam", "visualize gradcam samples/chelsea.png --json", 0),
    ("weights", "weights check --json", 0),
]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    assert run(["samples", str(folder / "samples"), "--quiet"]) == 0
    return folder


def follow(name, words, code, room, monkeypatch, capsys):
    monkeypatch.chdir(room)
    assert run(words.split()) == code
    Draft202012Validator(read_schema(name)).validate(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_schemas(name):
    schema = read_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"cnnkit/1/{name}"


@pytest.mark.parametrize(("name", "words", "code"), COMMANDS, ids=[one[1] for one in COMMANDS])
def test_commands_print_what_their_schema_says(name, words, code, room, monkeypatch, capsys):
    follow(name, words, code, room, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words", "code"), SLOW_COMMANDS, ids=[one[1] for one in SLOW_COMMANDS]
)
def test_further_commands_do(name, words, code, room, monkeypatch, capsys):
    follow(name, words, code, room, monkeypatch, capsys)


def test_a_picture_that_fails_is_a_record_too(room, monkeypatch, capsys):
    monkeypatch.chdir(room)
    assert run(["detect", "none.png", "samples/coffee.png", "--jsonl"]) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line in lines:
        Draft202012Validator(read_record_schema("detect")).validate(line)
    assert [line["error"] is None for line in lines] == [False, True]


def test_a_schema_refuses_what_is_wrong():
    wrong = {"schema": "cnnkit/2", "source": "a.png"}
    assert not Draft202012Validator(read_schema("detect")).is_valid(wrong)


@pytest.mark.slow
def test_identified_people_and_texts_follow_theirs(room, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(room)
    gallery = ["--gallery", str(tmp_path / "people.db")]
    assert run(["faces", "enroll", "Eileen", "samples/astronaut.png", *gallery, "--quiet"]) == 0
    capsys.readouterr()
    words = " ".join(["faces identify samples/astronaut.png samples/camera.png --json", *gallery])
    follow("faces-identify", words, 0, room, monkeypatch, capsys)
