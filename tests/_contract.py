"""What users can call: commands with their options, exit codes, public names of Python.

`python -m tests._contract` writes it to contract.json anew, after a change that was meant.
"""

import dataclasses
import inspect
import json
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cnnkit
from cnnkit.cli import app
from cnnkit.errors import ExitCode

FILE = Path(__file__).with_name("contract.json")


def contract() -> dict[str, Any]:
    """All of it, as plain JSON types."""
    commands: dict[str, Any] = {}
    for name, command in app._COMMANDS.items():
        _add_command(commands, name, command.build(name))
    return {
        "exit codes": {code.name: int(code) for code in ExitCode},
        "commands": commands,
        "names": {name: _describe(getattr(cnnkit, name)) for name in cnnkit.__all__},
    }


def _add_command(commands: dict[str, Any], name: str, command: Any) -> None:
    for inner, one in getattr(command, "commands", {}).items():
        _add_command(commands, f"{name} {inner}", one)
    if not hasattr(command, "commands"):
        # Of the function: Typer's own classes differ from version to version.
        kinds = inspect.signature(command.callback).parameters
        commands[name] = {
            "hidden": command.hidden,
            "parameters": {
                " ".join([*one.opts, *one.secondary_opts]): _parameter(one, kinds)
                for one in command.params
            },
        }


def _parameter(parameter: Any, kinds: Mapping[str, inspect.Parameter]) -> str:
    """Such as "Path | None DIR = None"."""
    shown = getattr(parameter, "show_default", None)
    words = [
        _type_name(kinds[parameter.name].annotation) if parameter.name in kinds else "bool",
        *filter(None, [parameter.metavar]),
        f"= {shown if isinstance(shown, str) else _plain(parameter.default)!r}",
    ]
    flags = ("required", "multiple", "hidden")
    return " ".join([*words, *(flag for flag in flags if getattr(parameter, flag, False))])


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("pathlib.", "")


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _describe(value: Any) -> Any:
    """The signature of a function; of a class also those of its methods, and its fields."""
    if not inspect.isclass(value):
        return _signature(value)
    public = {
        name: _signature(member) if callable(member) else "property"
        for name, member in inspect.getmembers(value)
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    }
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    return {"call": _signature(value), "fields": [one.name for one in fields], "methods": public}


def _signature(value: Any) -> str:
    """Names and defaults of the arguments; their types may be said otherwise."""
    parameters = inspect.signature(value).parameters.values()
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    words, is_keyword_only = [], False
    for one in parameters:
        if one.kind is inspect.Parameter.KEYWORD_ONLY and not is_keyword_only:
            words.append("*")
        is_keyword_only = one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        default = "" if one.default is one.empty else f"={one.default!r}"
        # Factories and classes have addresses, and modules that may change.
        words.append(stars.get(one.kind, "") + one.name + re.sub(r"<.*>", "<...>", default))
    return ", ".join(words)


if __name__ == "__main__":
    FILE.write_text(json.dumps(contract(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
