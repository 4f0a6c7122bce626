"""What became of the pictures of a command: its records and its exit code."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnkit.console import Console
from cnnkit.errors import CnnkitError, ExitCode, ImageError, UsageError
from cnnkit.results import Failure, Record

if TYPE_CHECKING:
    from cnnkit.data.sources import Source


class Outcome:
    """Counts what became of the pictures of a command, and prints its records.

    Args:
        console: where to.
        json: one document at the end instead of lines.
        jsonl: one object per picture instead of lines.
        is_single: whether one picture was named.
    """

    def __init__(self, console: Console, json: bool, jsonl: bool, is_single: bool = False):
        self._console = console
        self._json, self._jsonl, self._is_single = json, jsonl, is_single
        self._records: list[Record] = []
        self._failed: CnnkitError | None = None
        self._is_empty = False
        self.load_ms: dict[str, float] = {}

    def add(self, record: Record, lines: Sequence[str] = ()) -> None:
        """Takes a record, and its lines for people."""
        self._records.append(record)
        if self._jsonl:
            self._console.json_lines([record])
        elif not self._json:
            for line in lines:
                self._console.result(line)

    def fail(self, source: str, error: CnnkitError) -> None:
        """A picture that gave no result; the others go on."""
        self._console.error(str(error))
        self._failed = error
        self.add(Record(source, error=Failure(type(error).__name__, str(error))))

    def none_is_there(self, sources: "Sequence[Source]") -> bool:
        """Whether not one of these files exists; then each has failed, before an engine is loaded.

        Where some exist, the others fail in their turn.
        """
        if any(one.path == "-" or os.path.lexists(one.path) for one in sources):
            return False
        from cnnkit.images import explain_missing

        for one in sources:
            self.fail(one.path, ImageError(explain_missing(one.path)))
        return bool(sources)

    def find_nothing(self, source: str, reason: str) -> None:
        """A picture that shows nothing of what was to be written; the others go on."""
        self._console.error(reason)
        self._is_empty = True

    def absorb(self, other: "Outcome") -> None:
        """Takes over what another one counted."""
        self._records += other._records
        self._failed = self._failed or other._failed

    def code(self) -> int:
        """The exit code for what failed, if anything did."""
        if self._failed is None:
            return int(ExitCode.DONE)
        return int(self._failed.exit_code if self._is_single else ExitCode.INPUT_FAILED)

    def finish(self, fail_if_empty: bool = False) -> int:
        """Prints what is left and returns the exit code."""
        if self._json:
            only = self._is_single and len(self._records) == 1
            self._console.json(self._records[0] if only else self._records)
        is_empty = fail_if_empty and not any(record.items for record in self._records)
        if self._failed is None and (is_empty or self._is_empty):
            return int(ExitCode.NOTHING_FOUND)
        return self.code()


def check_json(json: bool, jsonl: bool) -> None:
    """Refuses both kinds of JSON at once."""
    if json and jsonl:
        raise UsageError("--json and --jsonl exclude each other; give one of them")
