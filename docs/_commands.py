"""The page of all commands and options, made from the commands themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from cnnkit.cli import app as cli
from cnnkit.cli._terminal import prepare_command


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Each command that does something, by what is typed for it."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
    for part, one in (inner or {}).items():
        yield from leaves(one, f"{name} {part}")


def describe(name: str, command: Any) -> Iterator[str]:
    """The lines of a command: what it does, and a table of options under each heading."""
    context = typer.Context(command, info_name=f"cnnkit {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (f"## {name}", "", f"    cnnkit {name} {usage}", "")
    for paragraph in (command.help or "").split("\n\n"):
        # Examples are indented, and stay as they are typed.
        text = paragraph.strip("\n")
        yield from ((f"    {text.strip()}" if text.startswith("  ") else text), "")
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is None or getattr(parameter, "hidden", False):
            continue
        panel = getattr(parameter, "rich_help_panel", None) or parameter.param_type_name
        panels.setdefault(str(panel).capitalize(), []).append(record)
    for panel, records in panels.items():
        yield from (f"**{panel}**", "", "| | |", "| --- | --- |")
        for names, text in records:
            yield f"| `{_cell(names)}` | {_cell(text).replace('<', '&lt;')} |"
        yield ""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def write(path: Path) -> None:
    """Writes the page, if it is not as it should be."""
    lines = ["# All commands", "", "Made from `cnnkit COMMAND --help-all`.", ""]
    for name, one in cli._COMMANDS.items():
        if one.hidden:
            continue
        command = one.build(name)
        prepare_command(command, name, lambda: True)
        for leaf, inner in leaves(command, name):
            lines += describe(leaf, inner)
    text = "\n".join(lines)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
