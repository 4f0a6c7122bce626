import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from cnnkit.cli import _examples, _terminal
from cnnkit.cli.app import run
from cnnkit.errors import ExitCode


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def complete(words, folder):
    """What Bash is offered for the last of the words."""
    environment = {
        **os.environ,
        "_CNNKIT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - (not words.endswith(" "))),
        "CNNKIT_HOME": str(folder / "home"),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from cnnkit.cli.app import run; run()"],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split("\n")


def test_without_a_command_there_is_a_page_to_start_from(capsys):
    assert run([]) == 0
    page = capsys.readouterr().out
    assert "cnnkit stylize photo.jpg waves" in page
    assert len(page.splitlines()) <= 12
    assert max(map(len, page.splitlines())) <= 60


def test_commands_stand_in_groups(room, capsys):
    assert run(["--help"]) == 0
    page = capsys.readouterr().out
    places = [page.index(f"─ {group} ─") for group in ("Paint", "People", "Find", "Say", "Train")]
    assert places == sorted(places)


@pytest.mark.parametrize("arguments", [[], ["faces"], ["detect"], ["train", "classify"]])
def test_flags_have_no_type(room, capsys, arguments):
    assert run([*arguments, "--help"]) == 0
    assert "<bool>" not in capsys.readouterr().out


def test_long_help_shows_what_is_used_every_day_and_all_on_demand(room, capsys):
    assert run(["stylize", "--help"]) == 0
    brief = capsys.readouterr().out
    assert "--strength" in brief
    assert "--resume" in brief
    assert "--style-weight" not in brief
    assert "more options: cnnkit stylize --help-all" in brief
    assert run(["stylize", "--help-all"]) == 0
    whole = capsys.readouterr().out
    assert "--style-weight" in whole
    assert "more options" not in whole
    assert run(["verify", "--help"]) == 0
    assert "more options" not in capsys.readouterr().out


def test_values_are_completed(room):
    run_folder = room / "runs" / "pets"
    run_folder.mkdir(parents=True)
    (run_folder / "model.keras").touch()
    (room / "wall.jpg").touch()
    assert complete("cnnkit stylize photo.jpg w", room)[:-1] == ["woodcut", "waves", "wall.jpg"]
    assert "runs/pets" in complete("cnnkit classify x.png --model ", room)
    (room / "sheepdog.jpg").touch()
    assert complete("cnnkit detect --classes sheep", room)[:-1] == ["sheep"]
    assert complete("cnnkit visualize units layer", room)[:2] == ["layer1", "layer2"]
    assert "vgg19" in complete("cnnkit weights fetch vgg", room)


def test_people_of_the_gallery_are_completed(room, monkeypatch):
    from cnnkit.data.gallery import FaceRow, Gallery

    row = FaceRow(np.zeros(4, np.float32), "model", "0" * 64, (0, 0, 9, 9), "a.png")
    with Gallery(room / "people.db") as gallery:
        gallery.enroll("Ada", [row])
    words = f"cnnkit faces remove --gallery {room / 'people.db'} "
    assert complete(words, room)[0] == "Ada"


def filter_picture(room):
    Image.new("RGB", (12, 12), "teal").save(room / "photo.png")
    return ["visualize", "edges", "photo.png", "-o", "edges.png"]


def test_what_was_written_is_opened(room, monkeypatch):
    opened = []
    monkeypatch.setattr(typer, "launch", opened.append)
    command = filter_picture(room)
    assert run(command) == 0
    assert opened == []
    assert run([*command, "--overwrite", "--open"]) == 0
    assert opened == ["edges.png"]
    # The next command opens nothing.
    assert run([*command, "--overwrite"]) == 0
    assert opened == ["edges.png"]


def test_of_many_files_the_folder_is_opened(room, monkeypatch):
    opened = []
    monkeypatch.setattr(typer, "launch", opened.append)
    assert run(["samples", "styles"]) == 0
    _terminal._viewing.opens = True
    _terminal.view_results([room / "styles" / f"{n}.png" for n in range(9)])
    assert opened == [str(room / "styles")]


def test_what_draws_pictures_into_terminals_is_named_where_it_is_missing(room, monkeypatch, capsys):
    find = _terminal.importlib.util.find_spec
    monkeypatch.setattr(
        _terminal.importlib.util,
        "find_spec",
        lambda name: None if name == "textual_image" else find(name),
    )
    assert run([*filter_picture(room), "--show"]) == ExitCode.USAGE
    assert 'pip install ".[show]"' in capsys.readouterr().err
    assert not (room / "edges.png").exists()


def test_a_training_shows_its_sheets_of_results(room, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(typer, "launch", opened.append)
    monkeypatch.setattr(_terminal, "_can_draw", lambda: False)
    (room / "run").mkdir()
    written = [Path("run/curves.png"), Path("run/samples.png"), Path("run/mistakes-test.png")]
    # The option is taken before the command finds that there are no data.
    run(["train", "detect", "nowhere", "--show-results"])
    _terminal.view_results(written)
    assert opened == ["run/samples.png"]
    # Without it nothing is opened.
    _terminal.view_results(written)
    assert opened == ["run/samples.png"]
    run(["train", "detect", "--help-all"])
    assert "--show-results" in capsys.readouterr().out


def test_what_was_written_is_drawn_into_the_terminal(room, capsys):
    pytest.importorskip("textual_image", reason="the extra [show] is not installed")
    assert run([*filter_picture(room), "--show"]) == 0
    assert len(capsys.readouterr().err.splitlines()) > 5
    # Programs read what is on stdout.
    assert run([*filter_picture(room), "--overwrite", "--json", "--show"]) == 0
    assert json.loads(capsys.readouterr().out)["error"] is None


def every_command():
    from cnnkit.cli.app import _COMMANDS

    def leaves(command, name):
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
        for part, one in (inner or {}).items():
            yield from leaves(one, f"{name} {part}")

    for name, one in _COMMANDS.items():
        built = one.build(name)
        _terminal.prepare_command(built, name, lambda: False)
        yield from leaves(built, name)


def test_every_help_has_three_examples_whose_options_there_are():
    commands = dict(every_command())
    for name, command in commands.items():
        lines = re.findall(
            r"^ *(?:\S.* \| |\S+=\S+ |srun |cp \$\()*(cnnkit .*|curl .*)$", command.help, re.M
        )
        assert len(lines) >= 3, f"{name}: {command.help}"
        assert command.help.count("Example") == 1, f"{name}: {command.help}"
        for line in lines:
            if line.startswith("curl") or f"cnnkit {name} " not in f"{line} ":
                continue
            options = {option for one in command.params for option in one.opts}
            options |= {option for one in command.params for option in one.secondary_opts}
            typed = {word for word in line.split() if re.fullmatch(r"--?[a-z][a-z-]*", word)}
            assert typed <= options | {"--help"}, f"{name}: {line}"
    # The table has no command of another name.
    assert set(_examples.EXAMPLES) <= set(commands)
