import io
import os
import signal
import subprocess
import sys
import time

import pytest
import typer

import cnnkit
from cnnkit.cli.app import _COMMANDS, app, run
from cnnkit.errors import (
    CnnkitError,
    DivergenceError,
    ExitCode,
    ImageError,
    ResourceError,
    UsageError,
    WeightsError,
)

COMMANDS = ("stylize", "visualize", "samples", "weights", "train", "doctor")


@pytest.fixture
def command(monkeypatch):
    """Adds the command `try`, which does what the test says."""

    def add(action):
        monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])
        app.command("try")(action)

    return add


def python_m_cnnkit(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "cnnkit", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_version_is_one_line_on_stdout(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr() == (f"cnnkit {cnnkit.__version__}\n", "")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command_and_exit_code(capsys, option):
    assert run([option]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in COMMANDS:
        assert name in text
    for code in ExitCode:
        assert f"{code.value} " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(capsys, name):
    assert run([name, "--help"]) == 0
    assert f"cnnkit {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_a_command_is_what_the_help_says_before_it_is_imported(name):
    said = typer.main.get_group(app).commands[name]
    built = _COMMANDS[name].build(name)
    assert (built.name, built.hidden) == (name, said.hidden)
    assert " ".join(built.help.split("\n\n")[0].split()) == said.help


def test_help_imports_no_command():
    code = (
        "import sys; from cnnkit.cli.app import run; run(['--help']); "
        "print([name for name in sys.modules if name.startswith('cnnkit.cli.')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        found.stdout.splitlines()[-1]
        == "['cnnkit.cli._examples', 'cnnkit.cli._terminal', 'cnnkit.cli.app']"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["paint"], "No such command"),
        (["doctor", "--colour"], "No such option"),
        (["weights", "fetch"], "Missing argument"),
    ],
)
def test_wrong_usage_is_exit_code_2_on_stderr(capsys, arguments, message):
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CnnkitError, 3),
        (ImageError, 3),
        (ResourceError, 3),
        (DivergenceError, 3),
        (UsageError, 2),
        (WeightsError, 5),
    ],
)
def test_an_error_that_a_user_can_mend_is_one_line_and_its_exit_code(command, capsys, error, code):
    def fail():
        raise error("a.jpg is empty; copy it again")

    command(fail)
    assert run(["try"]) == code
    assert capsys.readouterr() == ("", "error: a.jpg is empty; copy it again\n")


def test_a_bug_shows_its_traceback(command):
    def fail():
        raise ZeroDivisionError("bug")

    command(fail)
    with pytest.raises(ZeroDivisionError, match="bug"):
        run(["try"])


def test_a_bug_shows_its_traceback_in_the_shell():
    code = "import cnnkit.console as c; c.Console.result = None; from cnnkit.cli.app import run; "
    found = subprocess.run(
        [sys.executable, "-c", code + "run(['weights', 'path'])"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert "Traceback (most recent call last)" in found.stderr
    assert found.stderr.endswith("TypeError: 'NoneType' object is not callable\n")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, typer.Abort])
def test_ctrl_c_is_one_line_and_exit_code_130(command, capsys, interrupt):
    def stop():
        raise interrupt

    command(stop)
    assert run(["try"]) == 130
    assert capsys.readouterr() == ("", "stopped by Ctrl-C\n")


@pytest.mark.parametrize("code", [0, 1, 3, 4, 5, 130])
def test_commands_choose_their_exit_code(command, code):
    def leave():
        raise typer.Exit(code)

    command(leave)
    assert run(["try"]) == code


def test_commands_may_return_their_exit_code(command):
    command(lambda: ExitCode.NOTHING_FOUND)
    assert run(["try"]) == 4


def test_python_m_cnnkit_is_the_command():
    found = python_m_cnnkit("--version")
    assert (found.returncode, found.stdout) == (0, f"cnnkit {cnnkit.__version__}\n")


def test_exit_codes_reach_the_shell():
    found = python_m_cnnkit("weights", "path", "vgg20")
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr == "error: there are no weights named 'vgg20'; did you mean vgg19?\n"


@pytest.mark.parametrize("arguments", [("weights", "list", "--json"), ("weights", "list")])
def test_a_reader_that_goes_away_is_no_error(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run(
        [sys.executable, "-m", "cnnkit", *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (found.returncode, found.stderr) == (0, "")


def test_names_that_are_no_text_can_be_printed():
    environment = {**os.environ, "CNNKIT_HOME": "/bad\udcff", "PYTHONIOENCODING": "ascii"}
    found = python_m_cnnkit("weights", "path", env=environment)
    assert (found.returncode, found.stdout) == (0, "/bad\\udcff/weights\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to a group of processes")
def test_a_real_ctrl_c_ends_a_command_with_130():
    code = (
        "import signal, sys, time; from cnnkit.cli.app import app, run\n"
        # A shell has what it starts in the background ignore Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "@app.command('wait')\n"
        "def wait():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(20)\n"
        "sys.exit(run(['wait']))"
    )
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert (process.returncode, error) == (130, "stopped by Ctrl-C\n")
    assert time.monotonic() - started < 15


def test_a_bug_shows_its_traceback_and_is_no_answer(monkeypatch, capsys):
    from cnnkit import __main__

    monkeypatch.setattr("cnnkit.cli.app.run", lambda: {}["missing"])
    with pytest.raises(SystemExit) as stop:
        __main__.main()
    assert stop.value.code == ExitCode.BUG == 70
    assert "KeyError: 'missing'" in capsys.readouterr().err


_COMMANDS_ON_PICTURES = (
    ("detect",), ("segment",), ("cutout",), ("classify",), ("caption",), ("embed",),
    ("faces", "cluster"), ("faces", "crop", "-o", "cut"), ("visualize", "gradcam"),
)  # fmt: skip
_COMMANDS_ON_DATA = tuple(
    ("train", kind, "-o", "run") for kind in ("detect", "segment", "classify", "caption", "text")
) + tuple(("evaluate", kind) for kind in ("detect", "segment", "classify", "caption"))


@pytest.mark.parametrize("name", ["nothing.here", "https://example.org/nothing.zip"])
@pytest.mark.parametrize("arguments", _COMMANDS_ON_PICTURES + _COMMANDS_ON_DATA)
def test_what_is_not_there_is_noticed_before_an_engine_is_loaded(
    capsys, monkeypatch, tmp_path, arguments, name
):
    def refuse(**settings):
        raise AssertionError("an engine is loaded")

    monkeypatch.setattr("cnnkit.runtime.configure", refuse)
    monkeypatch.chdir(tmp_path)
    assert run([*arguments, name]) == ExitCode.INPUT_FAILED
    error = capsys.readouterr().err
    assert ("URLs are not read; download it first" if ":" in name else "not exist") in error
    assert len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["classify", "detect", "segment", "caption", "text"])
def test_a_folder_that_is_no_data_set_is_noticed_before_an_engine_is_loaded(
    capsys, monkeypatch, tmp_path, kind
):
    def refuse(**settings):
        raise AssertionError("an engine is loaded")

    monkeypatch.setattr("cnnkit.runtime.configure", refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.md").write_text("no data\n")
    assert run(["train", kind, "notes", "-o", "run"]) == ExitCode.INPUT_FAILED
    assert capsys.readouterr().err.startswith("error: notes ")
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize(
    ("redirection", "code", "says"),
    [
        (">&-", 0, ""),
        (">/dev/full", 3, "No space left on device"),
        ("2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("| true", 0, ""),
    ],
)
@pytest.mark.parametrize("command", ["weights list", "visualize shapes --help", "--version"])
def test_streams_that_take_nothing_are_no_bugs(command, redirection, code, says):
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m cnnkit {command} {redirection}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert len(done.stderr.splitlines()) == bool(says)


def _commands(command, name):
    yield name, command
    for inner_name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{name} {inner_name}")


def test_no_help_has_brackets_that_rich_would_leave_out():
    for name, one in _COMMANDS.items():
        for called, command in _commands(one.build(name), name):
            for parameter in command.params:
                text = getattr(parameter, "help", None) or ""
                assert "[default" not in text, f"{called} {parameter.name}"


@pytest.mark.parametrize("width", ["40", "60"])
def test_weights_have_whole_names_on_narrow_terminals(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    assert run(["weights", "list"]) == 0
    names = {line.split(" ")[0] for line in capsys.readouterr().out.splitlines()}
    assert {"efficientnet-lite0", "vgg16-classifier", "yolo-fastest-xl"} <= names


def _every_command():
    return [
        (called, command)
        for name, one in _COMMANDS.items()
        for called, command in _commands(one.build(name), name)
    ]


def test_every_help_is_whole_in_old_code_pages(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    for called, command in _every_command():
        taken = io.BytesIO()
        stream = io.TextIOWrapper(taken, encoding="cp1252")
        monkeypatch.setattr(sys, "stdout", stream)
        assert run([*called.split(), "--help-all"]) == 0, called
        stream.flush()
        shown = taken.getvalue().decode("cp1252")
        assert "\x1b" not in shown, called
        for parameter in command.params:
            # Names of before are hidden.
            for option in () if getattr(parameter, "hidden", False) else parameter.opts:
                assert option.removeprefix("--") in shown or not option.startswith("--"), called


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_help_is_whole_in_narrow_terminals(encoding):
    environment = {**os.environ, "COLUMNS": "40", "NO_COLOR": "1", "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "cnnkit", "stylize", "--help-all"]
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    shown = done.stdout.decode(encoding)
    assert {"--preserve-color", "--content-weight", "--parameterization"} <= set(shown.split())


@pytest.mark.parametrize("command", ["", "detect", "train segment", "faces"])
def test_help_fits_into_sixty_columns(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    assert run([*command.split(), "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 10
    # An option with its values is not broken.
    assert all(len(line) <= 60 or line.startswith("  --") for line in lines)
    # Without frames, whose columns would cut names off.
    assert not any("│" in line for line in lines)
