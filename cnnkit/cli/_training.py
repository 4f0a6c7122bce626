"""What the commands that train into a run folder share."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import typer

from cnnkit.console import Console

# Options that are called otherwise than the settings they stand for.
_NAMES = {"batch": "batch_size"}


def typed_names(context: typer.Context) -> set[str]:
    """Names of the settings that the user typed."""
    return {
        _NAMES.get(name, name)
        for name in context.params
        if context.get_parameter_source(name).name == "COMMANDLINE"
    }


def typed_settings(context: typer.Context, options: Any) -> dict[str, Any]:
    """Of a dataclass of settings, those that the user typed.

    A run that goes on has the others as they were; what must not change is refused later.
    """
    typed = typed_names(context)
    return {one.name: getattr(options, one.name) for one in fields(options) if one.name in typed}


@contextlib.contextmanager
def showing_tasks(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Shows what is being done as bars, each as long as it lasts.

    Yields:
        Takes what is being done, how much of it is done, and how much there is.
    """
    with console.progress() as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total, status="")
            bar.update(tasks[what], completed=done, total=total)
            if done >= total:
                bar.remove_task(tasks.pop(what))

        yield show
