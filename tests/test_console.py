import io
import json
import re
import sys

import pytest
from rich.table import Table

from cnnkit.console import Console
from cnnkit.errors import OutputError


def test_results_go_to_stdout_and_all_else_to_stderr(capsys):
    console = Console(verbose=True)
    console.result("result")
    console.note("note")
    console.detail("detail")
    console.warning("careful")
    console.error("wrong")
    assert capsys.readouterr() == (
        "result\n",
        "note\ndetail\nwarning: careful\nerror: wrong\n",
    )


def test_quiet_leaves_results_and_errors(capsys):
    console = Console(quiet=True)
    console.result("result")
    console.note("note")
    console.detail("detail")
    console.warning("careful")
    console.error("wrong")
    assert capsys.readouterr() == ("result\n", "error: wrong\n")


def test_details_are_only_for_verbose(capsys):
    Console().detail("detail")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["[bold]a[/bold].jpg", "a:cat:.jpg", "a  b.jpg", "猫.jpg"])
def test_names_are_printed_as_they_are(capsys, name):
    console = Console()
    console.result(name)
    console.error(name)
    assert capsys.readouterr() == (f"{name}\n", f"error: {name}\n")


def test_long_lines_are_not_broken(capsys):
    Console().result("x" * 500)
    assert capsys.readouterr().out == "x" * 500 + "\n"


def test_an_error_is_one_line_whatever_its_text(capsys):
    Console().error("first\nsecond\r\nthird")
    assert capsys.readouterr().err == "error: first second third\n"


def test_json_is_one_document_with_letters_as_they_are(capsys):
    Console().json({"source": "猫.jpg", "loss": float("nan")})
    out = capsys.readouterr().out
    assert "猫" in out
    assert json.loads(out) == {"source": "猫.jpg", "loss": None}


def test_json_lines_are_one_object_each_as_they_come(capsys):
    def records():
        yield {"a": 1}
        # The first line is out before the second is made.
        assert capsys.readouterr().out == '{"a": 1}\n'
        yield {"a": 2}

    Console().json_lines(records())
    assert capsys.readouterr().out == '{"a": 2}\n'


@pytest.mark.parametrize(
    ("encoding", "name"), [("ascii", "猫.jpg"), ("cp1252", "🐈.jpg"), ("utf-8", "bad\udcff.jpg")]
)
def test_json_escapes_what_the_terminal_cannot_show(monkeypatch, encoding, name):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stdout)
    Console().json({"source": name})
    stdout.flush()
    assert json.loads(stdout.buffer.getvalue().decode(encoding)) == {"source": name}


def test_a_table_is_a_result(capsys):
    table = Table("name")
    table.add_row("compact")
    Console().table(table)
    printed = capsys.readouterr()
    assert "compact" in printed.out
    assert printed.err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def use_stderr(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")

    def use(stream):
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return use


def test_colours_are_for_terminals(use_stderr):
    terminal = use_stderr(Terminal())
    Console().error("wrong")
    assert "\x1b[31m" in terminal.getvalue()
    file = use_stderr(io.StringIO())
    Console().error("wrong")
    assert file.getvalue() == "error: wrong\n"


def test_no_color_is_respected(use_stderr, monkeypatch):
    terminal = use_stderr(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    Console().error("wrong")
    assert terminal.getvalue() == "error: wrong\n"


@pytest.mark.parametrize(
    ("stream", "quiet", "is_live"),
    [(Terminal, False, True), (Terminal, True, False), (io.StringIO, False, False)],
)
def test_a_progress_bar_is_drawn_on_a_terminal_only(use_stderr, stream, quiet, is_live):
    stderr = use_stderr(stream())
    console = Console(quiet=quiet)
    assert console.is_live == is_live
    with console.progress() as progress:
        progress.add_task("painting", total=2, status="loss 1")
    assert ("painting" in stderr.getvalue()) == is_live
    assert is_live or stderr.getvalue() == ""


@pytest.mark.parametrize("width", [20, 40, 200])
def test_a_table_loses_no_word_and_no_column(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    table = Table(box=None)
    words = [f"{letter * 12}" for letter in "abcde"]
    for word in words:
        table.add_column(word, overflow="fold")
    table.add_row(*(word.upper() for word in words))
    Console().table(table)
    shown = capsys.readouterr().out
    for word in words:
        assert word in shown
        assert word.upper() in shown


def test_a_bar_makes_room_for_results_on_the_same_terminal(monkeypatch):
    """What a terminal gets has the result behind the line that erases the bar."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    console = Console()
    with console.progress() as bar:
        bar.add_task("detect", total=2, status="")
        console.result("a.png: 1 cat")
        assert bar.live.is_started
    before = terminal.getvalue().split("a.png: 1 cat")[0]
    assert "detect" in before
    # Rich erases a line by going to its start.
    assert "\x1b[2K" in before[before.rindex("detect") :]


def test_results_reach_a_file_while_a_bar_is_on_the_terminal(monkeypatch):
    terminal, file = io.StringIO(), io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", file)
    monkeypatch.setattr(sys, "stderr", terminal)
    console = Console()
    with console.progress() as bar:
        bar.add_task("detect", total=1, status="")
        console.json_lines([{"a": 1}])
        console.result("b")
    assert file.getvalue() == '{"a": 1}\nb\n'


class _Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def test_a_full_stdout_is_one_line_and_a_full_stderr_none(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", _Full())
    console = Console()
    for write in (console.result, lambda text: console.json({"a": text})):
        with pytest.raises(OutputError, match="stdout cannot be written to: No space left"):
            write("x")
    monkeypatch.setattr(sys, "stderr", _Full())
    console.note("nobody hears it")
    console.error("nor this")


def test_a_table_keeps_every_word_whole_at_any_width(capsys, monkeypatch):
    def lines(width, is_terminal):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("FORCE_COLOR", "1" if is_terminal else "")
        table = Table(box=None, pad_edge=False)
        for heading in ("name", "what", "here"):
            table.add_column(heading, no_wrap=heading == "name")
        table.add_row("face-encoder", "a [red] network", "comes with face_recognition_models")
        Console().table(table)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        return [line.rstrip() for line in plain.splitlines()]

    assert lines(40, True) == [
        "face-encoder",
        "  what: a [red] network",
        "  here: comes with",
        "    face_recognition_models",
    ]
    wide = [
        "name          what     here",
        "face-encoder  a [red]  comes with",
        "              network  face_recognition_models",
    ]
    assert lines(48, True) == wide
    # In a file lines are as long as they must be.
    assert lines(40, False) == wide
    assert lines(100, True)[1] == (
        "face-encoder  a [red] network  comes with face_recognition_models"
    )
