"""What a long job tells, and how the command line shows it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from cnnkit.console import Console
from cnnkit.engine.observer import Observer, show_training, showing
from cnnkit.errors import DataError


@dataclass(frozen=True)
class Trained:
    """What a training gave."""

    seconds: float = 1.5

    def to_dict(self):
        return asdict(self)

    def lines(self):
        return [f"trained for {self.seconds} s"]


def test_by_default_nobody_is_told():
    observer = Observer()
    observer.on_note("a note")
    observer.on_error(DataError("bad"))
    observer.on_progress("read", 1, 2)
    observer.on_epoch(0, {"loss": 1.0})


def test_a_console_shows_lines_and_keeps_bars_for_terminals(capsys):
    with showing(Console(), lambda epoch, row: f"epoch {epoch}: {row['loss']}") as observer:
        observer.on_note("a note")
        observer.on_error(DataError("a.png is bad"))
        observer.on_progress("read", 1, 2)
        observer.on_progress("read", 2, 2)
        observer.on_epoch(3, {"loss": 0.5})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["a note", "error: a.png is bad", "epoch 3: 0.5"]


@pytest.mark.parametrize("is_json", [False, True])
def test_a_training_is_shown_as_lines_or_as_json(is_json, capsys):
    folder = Path("my runs/cups")
    where = {"command": "detect photo.jpg", "folder": folder}
    assert show_training(Console(), Trained(), is_json=is_json, **where) == 0
    out, error = capsys.readouterr()
    if is_json:
        assert json.loads(out) == {"schema": "cnnkit/1", "seconds": 1.5}
        assert error == ""
    else:
        assert out == "trained for 1.5 s\n"
        assert error == "try: cnnkit detect photo.jpg --model 'my runs/cups'\n"
