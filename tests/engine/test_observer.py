"""What a long job tells, and how the command line shows it."""

import io
import json
import math
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from cnnkit.console import Console
from cnnkit.engine.observer import Observer, Step, TrainingView, show_training, showing
from cnnkit.errors import DataError


@dataclass(frozen=True)
class Trained:
    """What a training gave."""

    seconds: float = 1.5

    def to_dict(self):
        return asdict(self)

    def lines(self):
        return [f"trained for {self.seconds} s"]

    def warnings(self):
        return ["it has learnt nothing"]


def test_by_default_nobody_is_told():
    observer = Observer()
    observer.on_note("a note")
    observer.on_error(DataError("bad"))
    observer.on_progress("read", 1, 2)
    observer.on_step(Step(1, 2, 1, 2, 1.0, 8))
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
    warning = "warning: it has learnt nothing\n"
    if is_json:
        assert json.loads(out) == {"schema": "cnnkit/1", "seconds": 1.5}
        assert error == warning
    else:
        assert out == "trained for 1.5 s\n"
        assert error == f"{warning}try: cnnkit detect photo.jpg --model 'my runs/cups'\n"


def test_the_view_of_a_training_says_where_it_stands_and_what_was_best():
    now = [100.0]
    view = TrainingView(("val_ap50", "AP50"), clock=lambda: now[0])
    before = Step(1, 3, 0, 4, math.nan, 8)
    view.step(before)
    assert (view.lines(), view.status(before), view.seconds_left) == ([], "compiling", None)
    # Steps of two seconds; the first, in which the engine compiles, is not counted.
    for step in range(1, 5):
        view.step(Step(1, 3, step, 4, 2.0, 8))
        now[0] += 2.0
    # Four steps of three epochs: twelve, of which three are counted, in eight seconds by now.
    assert view.seconds_left == pytest.approx(8.0 / 3.0 * 8)
    assert view.status(Step(1, 3, 3, 4, 2.0, 8)) == "3/s"
    assert view.status(Step(1, 3, 4, 4, 2.0, 8)) == "validating"
    view.epoch(0, {"loss": 2.0, "val_ap50": 0.5})
    view.epoch(1, {"loss": 0.5, "val_ap50": 0.25})
    view.step(Step(3, 3, 1, 4, 1.0, 8))
    assert view.lines() == [
        "loss  1.000  best 0.500             █▁▃",
        "AP50  25.0%  best 50.0% in epoch 1  █▁",
    ]


def test_a_budget_bounds_the_time_left():
    now = [0.0]
    view = TrainingView(budget=5.0, clock=lambda: now[0])
    view.step(Step(1, 100, 1, 2, 1.0, 8))
    now[0] = 3.0
    view.step(Step(1, 100, 2, 2, 1.0, 8))
    assert view.seconds_left == 2.0


@pytest.mark.parametrize("width", [60, 100])
def test_a_training_is_one_view_on_a_terminal(monkeypatch, width):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    with showing(Console(), lambda epoch, row: "a line", ("val_ap50", "AP50")) as observer:
        observer.on_step(Step(1, 200, 3, 120, 1.25, 16))
        observer.on_epoch(0, {"loss": 1.25, "val_ap50": 0.5})
        observer.on_step(Step(2, 200, 4, 120, 0.75, 16))
    shown = terminal.getvalue()
    assert "a line" not in shown
    last = shown[shown.rindex("epoch 2 of 200") :]
    assert "4 of 120" in last
    assert "loss  0.750  best 0.750" in last
    assert "AP50  50.0%  best 50.0% in epoch 1" in last
    # No line is longer than the terminal is wide.
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert max(len(line) for line in re.split(r"[\r\n]", plain)) <= width


def test_a_training_is_lines_with_verbose(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with showing(
        Console(verbose=True), lambda epoch, row: f"epoch {epoch + 1} is over"
    ) as observer:
        observer.on_step(Step(1, 2, 3, 120, 1.25, 16))
        observer.on_epoch(0, {"loss": 1.25})
    assert "epoch 1 is over" in terminal.getvalue()
