"""``cnnkit train text`` as the user meets it."""

import json

import pytest

from cnnkit.cli.app import run

SMALL = ["--units", "4", "--embedding-size", "3", "--network", "bag"]


@pytest.fixture
def mail(tmp_path):
    path = tmp_path / "mail.csv"
    lines = [f"{('win now', 'meet me')[k % 2]} {k},{('spam', 'ham')[k % 2]}" for k in range(24)]
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    return path


def train(tmp_path, *more):
    return run(["train", "text", *SMALL, "-o", str(tmp_path / "run"), *map(str, more)])


def test_a_run_says_what_is_read_and_how_good_it_is_and_goes_on(mail, tmp_path, capsys):
    assert train(tmp_path, mail, "--epochs", 1) == 0
    out, err = capsys.readouterr()
    assert "bag: " in err
    assert "words are known, texts have up to 3" in err
    assert "epoch 1 of 1: loss" in err
    lines = out.splitlines()
    assert lines[0].startswith("validation  ")
    assert lines[-1].startswith(f"{tmp_path}/run/model.keras: 2 classes, epoch 1 of 1 was best")
    folder = str(tmp_path / "run")
    assert run(["train", "text", "--resume", "-o", folder, "--epochs", "2", "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    assert (report["schema"], report["epochs"]) == ("cnnkit/1", 2)
    assert report["classes"] == ["ham", "spam"]
    assert run(["train", "text", "--resume", "-o", folder, "--by", "character"]) == 2
    assert "holds a run with another by" in capsys.readouterr().err
    assert run(["train", "classify", "--resume", "-o", folder]) == 3
    assert "holds no run of a classifier" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data is given; name a .csv"),
        (["nowhere.csv"], "nowhere.csv does not exist"),
        (["mail.csv", "--label-column", "lable"], "did you mean 'label'?"),
        (["mail.csv", "--table-columns", "age"], "has no column 'age'"),
        (["mail.csv", "--table-columns", "label"], "'label' is that of the labels"),
        (["mail.csv", "--network", "cnn"], "network must be one of lstm, gru, rnn, bag, not 'cnn'"),
        (["mail.csv", "--by", "letter"], "by must be one of word, character"),
        (["mail.csv", "--units", "0"], "units must be a whole number from 1"),
        (["--resume", "-o", "nothing"], "nothing holds no training run"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message, mail, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["train", "text", *arguments]) in (2, 3)
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
