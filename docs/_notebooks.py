"""The pages of the course as notebooks, with their commands as cells that run."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]
# What a page has beside prose: code of the package, indented commands, and made figures with what
# stands below them.
_CODE = re.compile(r"```\{literalinclude\} (\S+)\n:language: python\n:pyobject: (\w+)\n```")
_COMMANDS = re.compile(r"(?:^    cnnkit .*\n)+", re.MULTILINE)
_FIGURE = re.compile(r"!\[(.*)\]\(_made/.*\)\n\n\*\1\*\n")


def write(pages: Path, folder: Path) -> None:
    """Writes a notebook for each page.

    Args:
        pages: folder of the course.
        folder: of the notebooks; made where it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(pages.glob("*.md")):
        if path.stem != "index":
            notebook = make(path)
            (folder / f"{path.stem}.ipynb").write_text(nbformat.writes(notebook), encoding="utf-8")


def make(path: Path) -> nbformat.NotebookNode:
    """The notebook of a page."""
    cells = [*_cells(path)]
    needs = "samples/" in path.read_text(encoding="utf-8")
    if needs:
        cells.insert(1, new_code_cell("!cnnkit samples samples --skip-existing"))
    for number, cell in enumerate(cells):
        # Those that nbformat draws differ with every build.
        cell["id"] = f"{path.stem}-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _cells(path: Path) -> Iterator[nbformat.NotebookNode]:
    text = _FIGURE.sub("", path.read_text(encoding="utf-8"))
    text = _CODE.sub(lambda found: _source((path.parent / found[1]).resolve(), found[2]), text)
    at = 0
    for found in _COMMANDS.finditer(text):
        yield new_markdown_cell(text[at : found.start()].strip())
        for line in found[0].splitlines():
            yield new_code_cell(f"!{re.split('   +', line.strip())[0]}")
        at = found.end()
    if text[at:].strip():
        yield new_markdown_cell(text[at:].strip())


def _source(path: Path, name: str) -> str:
    text = path.read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if getattr(node, "name", None) == name:
            return f"```python\n{ast.get_source_segment(text, node)}\n```"
    raise ValueError(f"{path.relative_to(ROOT)} has no {name}")
