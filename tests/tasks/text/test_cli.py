"""``cnnkit classify-text``, ``evaluate text`` and ``visualize words`` as the user meets them."""

import io
import json
import sys

import pytest
from PIL import Image

from cnnkit.cli.app import run
from tests._text_runs import write_text_run


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return write_text_run(tmp_path_factory.mktemp("texts") / "films")


@pytest.fixture(scope="module")
def aged(tmp_path_factory):
    return write_text_run(tmp_path_factory.mktemp("texts") / "aged", table=True)


def test_classes_stand_below_the_text(films, capsys):
    assert run(["classify-text", "a good\n film", "bad", "--model", films]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "a good film"
    assert [line.split()[1] for line in out[1:3]] == ["good", "bad"]
    assert out[3] == "bad"


def test_lines_of_stdin_keep_their_number(films, capsys, monkeypatch):
    lines = b"poor film\n\nfine film\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert run(["classify-text", "-", "--model", films, "--top", "1", "--jsonl"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["line"] for one in records] == [1, 2, 3]
    assert [one["text"] for one in records] == ["poor film", "", "fine film"]
    assert {one["source"] for one in records} == {"-"}
    assert [one["items"][0]["label"] for one in records] == ["bad", "bad", "good"]


def test_a_file_brings_its_other_columns(aged, tmp_path, capsys):
    path = tmp_path / "new.csv"
    path.write_text("review,age\ngood,60\ngood,20\n")
    command = ["classify-text", "--file", str(path), "--model", aged, "--json"]
    assert run([*command, "--text-column", "review"]) == 0
    old, young = json.loads(capsys.readouterr().out)
    assert old["items"][0]["score"] > young["items"][0]["score"]
    assert (old["source"], old["line"]) == (str(path), 2)
    assert run(command) == 3
    assert "has no column 'text'" in capsys.readouterr().err
    path.write_text("text,age\ngood,old\n")
    assert run(command) == 3
    assert "line 2, column 'age': 'old' is no number" in capsys.readouterr().err
    assert run(["classify-text", "good", "--model", aged, "--conf", "1", "--fail-if-empty"]) == 4
    out, err = capsys.readouterr()
    assert "aged knows age too; give them in a --file with the texts" in err
    assert "no class reaches 1" in out


def test_an_evaluation_says_and_writes_what_is_right(films, tmp_path, capsys):
    data = tmp_path / "films.csv"
    data.write_text("text,label\nbad film,bad\nfine,good\npoor,good\n")
    command = ["evaluate", "text", str(data), "--model", films]
    assert run([*command, "-o", str(tmp_path / "report")]) == 0
    out, err = capsys.readouterr()
    assert "accuracy     66.67%" in out
    assert "these are all: if the model was trained on some of them" in err
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"report.json", "predictions.csv", "mistakes.csv", "confusion.png",
                     "calibration.png"}  # fmt: skip
    mistakes = (tmp_path / "report" / "mistakes.csv").read_text().splitlines()
    assert mistakes[0] == "text,label,predicted,probability,line"
    assert [line.split(",")[:3] for line in mistakes[1:]] == [["poor", "good", "bad"]]
    predictions = (tmp_path / "report" / "predictions.csv").read_text().splitlines()
    assert predictions[0].startswith("text,label,predicted")
    assert run([*command, "-o", str(tmp_path / "report")]) == 2
    assert "has a report already" in capsys.readouterr().err
    assert run([*command, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(2 / 3)


def test_near_words_are_listed_and_drawn(films, tmp_path, capsys):
    plot = tmp_path / "words.png"
    command = ["visualize", "words", "good", "goood", "--model", films, "--near", "2"]
    assert run([*command, "--plot", str(plot)]) == 3
    out, err = capsys.readouterr()
    assert [line.split()[-1] for line in out.splitlines()] == ["good", "fine", "film"]
    assert "'goood' is no word that films knows; did you mean good" in err
    with Image.open(plot) as image:
        assert min(image.size) > 500
    assert run(["visualize", "words", "--model", films]) == 2
    assert "name words to look at, or give --plot" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["classify-text", "--model", "FILMS"], 2, "give texts in quotes, - for the lines"),
        (["classify-text", "x", "--file", "y.csv", "--model", "FILMS"], 2, "give texts in quotes"),
        (["classify-text", "x", "--model", "nowhere/run"], 5, "nowhere/run does not exist"),
        (["classify-text", "x", "--model", "films"], 2, "no classifier of texts named 'films'"),
        (["classify-text", "--file", "no.csv", "--model", "FILMS"], 3, "no.csv cannot be read"),
        (["classify-text", "x", "--model", "FILMS", "--text-column", "y"], 2, "is for --file"),
        (["classify", "x.png", "--model", "FILMS"], 2, "takes texts, not pictures"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, code, message, films, capsys):
    assert run([films if one == "FILMS" else one for one in arguments]) == code
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
