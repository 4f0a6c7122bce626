"""Text files and the values in them, checked before they are used."""

import codecs
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cnnkit.errors import DataError

_SHOWN_LENGTH = 60
# A YAML file is read at about 100 KB a second.
_LONGEST_YAML = 5_000_000
# Pairs of a byte order mark and its encoding; UTF-32's begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in the UTF-16 or UTF-32 that its byte order mark names.

    Raises:
        DataError: it cannot be read, or is in another encoding.
    """
    content = read_bytes(path)
    try:
        return content.decode(marked_encoding(content) or "utf-8")
    except UnicodeError:
        raise DataError(f"{path} is not a UTF-8 text file; save it as UTF-8") from None


def marked_encoding(content: bytes) -> str | None:
    """The encoding that a byte order mark names; None without one."""
    return next((name for mark, name in _MARKS if content.startswith(mark)), None)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without the space around them."""
    return [line.strip() for line in read_text(path).splitlines()]


def read_json(path: Path) -> Any:
    """The values of a JSON file.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON file ({first_line(error)}); mend it") from None


class _Loader(yaml.BaseLoader):
    """Reads all values as texts, and refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value.__hash__ is not None and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{shown(key.value)} stands there twice", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """The values of a YAML file: mappings, lists, and all else as the text that stands there.

    YAML would make "no" a boolean and "1e3" a number, which may be names of classes.

    Raises:
        DataError: it cannot be read, or is no YAML.
    """
    text = read_text(path)
    if len(text) > _LONGEST_YAML:
        raise DataError(
            f"{path} has {len(text) / 1e6:.0f} MB, too many for a YAML file; put lists of pictures "
            "into .txt files"
        )
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise DataError(
            f"{path}{line} cannot be read as YAML: {error.problem or first_line(error)}"
        ) from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as YAML: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """The first line of what an error says, cut to a few words.

    >>> first_line(ValueError("no number\\nat all")), first_line(KeyError())
    ('no number', 'KeyError')
    """
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return text if len(text) <= 100 else f"{text[:97]}..."


def counted(count: int, noun: str) -> str:
    """A number of things, in the plural but for one.

    >>> counted(1, "text file"), counted(2000, "picture")
    ('1 text file', '2,000 pictures')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def joined(parts: Sequence[str], most: int = 20) -> str:
    """The first of some texts with commas between them, and how many more there are.

    >>> joined(["a", "b", "c"], most=2)
    'a, b, and 1 more'
    """
    more = [f"and {len(parts) - most:,} more"] if len(parts) > most else []
    return ", ".join([*parts[:most], *more])


def shown(value: Any) -> str:
    """A value of a file for messages: what it is, and its beginning.

    >>> shown("0:box 1:ball"), shown([1, 2]), shown(None), shown(True)
    ("the text '0:box 1:ball'", '[1, 2]', 'nothing', 'true')
    """
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        is_short = len(value) <= 6 and not any(isinstance(one, (list, dict)) for one in value)
        return f"[{', '.join(map(shown, value))}]" if is_short else f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, str):
        text = " ".join(value[: 2 * _SHOWN_LENGTH].split())
        return f"the text {text[:_SHOWN_LENGTH]!r}{'...' if len(value) > _SHOWN_LENGTH else ''}"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a huge number"
    return repr(value)[:_SHOWN_LENGTH]


def number(value: Any) -> float | None:
    """A finite number, also one that is written as text; None for anything else.

    >>> number(3), number(" 2.5 "), number(True), number("x"), number(float("nan")), number(None)
    (3.0, 2.5, None, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def identity(value: Any) -> int | str | None:
    """An id such that 7, 7.0 and "7" are one; None for what can be no id.

    >>> identity(7), identity(7.0), identity("007"), identity("a7"), identity([7]), identity(True)
    (7, 7, 7, 'a7', None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str):
        text = value.strip()
        is_number = re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII)
        return int(text) if is_number else text or None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value
