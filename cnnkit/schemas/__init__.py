"""JSON Schema files of what commands print with `--json`, and the server answers."""

import json
from importlib import resources
from typing import Any


def read_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a command, such as "detect" or "faces-identify".

    >>> read_schema("detect")["title"]
    'cnnkit detect --json'
    """
    text = resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def read_record_schema(name: str) -> dict[str, Any]:
    """The schema of one record, for commands that print a list of them for several sources."""
    schema = read_schema(name)
    return schema["$defs"]["record"] if "$defs" in schema else schema
