"""What README and documentation tell people to type is there, and their links lead somewhere."""

import importlib.util
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
MADE_FIGURES = {
    *runpy.run_path(str(ROOT / "docs" / "_figures.py"))["FIGURES"],
    *runpy.run_path(str(ROOT / "docs" / "_drawings.py"))["DRAWINGS"],
}
sys.path.remove(str(ROOT / "docs"))
# Written when the documentation is built, from the commands themselves.
MADE = ROOT / "docs" / "reference" / "commands.md"
PAGES = [ROOT / "README.md", *(one for one in sorted((ROOT / "docs").rglob("*.md")) if one != MADE)]


def ids(path):
    return path.relative_to(ROOT).as_posix()


def commands(text):
    """Lines of code that begin with `cnnkit`, without what explains them behind three blanks."""
    for line in text.replace("\\\n", " ").splitlines():
        found = re.match(r"    (?:.*&& |\$ (?:.*\| )?|srun |KERAS_BACKEND=jax )?(cnnkit .*)", line)
        if found:
            # Further ones on the line are others' or the same again.
            yield re.split(r" {3,}| && | > ", found[1])[0]


def command_of(words):
    """What Typer built for the words of a command, and the words that are left."""
    from cnnkit.cli.app import _COMMANDS

    name, *rest = words
    command = _COMMANDS[name].build(name)
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_commands_and_their_options_are_there(path):
    from cnnkit.cli._terminal import prepare_command

    for line in commands(path.read_text(encoding="utf-8")):
        words = shlex.split(line)[1:]
        if not words or words[0].startswith("-") or words[0].isupper():
            continue
        command, rest = command_of(words)
        name = " ".join(words[: len(words) - len(rest)])
        prepare_command(command, name, lambda: True)
        known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
        typed = {word.split("=")[0] for word in rest if re.fullmatch(r"--?[a-z][\w=.-]*", word)}
        assert typed <= known | {"--help"}, f"{line}: {typed - known}"


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if target.startswith("_made/"):
            assert Path(target).name in MADE_FIGURES
        elif not target.startswith(("http:", "https:")):
            assert (path.parent / target).exists(), f"{ids(path)}: {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "course").glob("*.md")), ids=ids)
def test_every_page_of_the_course_has_formula_code_figure_and_exercises(path):
    text = path.read_text(encoding="utf-8")
    if path.stem != "index":
        assert "$$" in text
        assert "literalinclude" in text
        assert "](_made/" in text
        assert re.search(r"## Exercises\n\n1\. .*\n2\. ", text)
        assert list(commands(text))


SHAPES = sorted(
    {
        line
        for path in PAGES
        for line in commands(path.read_text(encoding="utf-8"))
        if line.startswith("cnnkit visualize shapes")
    }
)


@pytest.mark.parametrize("line", SHAPES)
def test_the_networks_in_words_are_networks(line):
    from cnnkit.cli.app import run

    assert run(shlex.split(line)[1:]) == 0


def test_there_are_commands_to_look_at():
    lines = [line for path in PAGES for line in commands(path.read_text(encoding="utf-8"))]
    assert len(lines) > 100
    assert "cnnkit classify photo.jpg" in lines


def test_the_readme_fits_on_a_few_screens():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 180


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_documentation_is_built_without_a_warning(tmp_path):
    for name in ("sphinx", "furo", "myst_parser"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed; it comes with the extra [docs]")
    # In a process of its own: there warnings of Sphinx' own code are none of ours.
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = (tmp_path / "reference" / "commands.html").read_text(encoding="utf-8")
    for name in ("stylize", "train detect", "faces identify"):
        assert f">{name}<" in shown


def test_pages_of_the_course_are_notebooks_too():
    pytest.importorskip("nbformat")
    make = runpy.run_path(str(ROOT / "docs" / "_notebooks.py"))["make"]
    notebook = make(ROOT / "docs" / "course" / "edges.md")
    cells = [(cell["cell_type"], cell["source"]) for cell in notebook["cells"]]
    assert cells[1] == ("code", "!cnnkit samples samples --skip-existing")
    assert ("code", "!cnnkit visualize edges samples/coffee.png --kernel vertical") in cells
    prose = "\n".join(source for kind, source in cells if kind == "markdown")
    assert "def convolve_image(" in prose
    assert "_made" not in prose
    assert "## Exercises" in prose
