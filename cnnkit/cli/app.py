"""The command line as a whole: commands, global options, and the one boundary for errors.

Modules of commands are imported when one of theirs is asked for: to say what there is, or to run
another one, takes half of the time without them.
"""

import contextlib
import errno
import importlib
import sys
from dataclasses import dataclass
from typing import Any

import typer
import typer.core
import typer.main

import cnnkit
from cnnkit.cli._terminal import (
    HELP_ALL,
    START_PAGE,
    drop_flag_types,
    format_narrow,
    prepare_command,
    view_results,
)
from cnnkit.console import (
    Console,
    leave_broken_streams,
    open_closed_streams,
    reporting_stdout,
)
from cnnkit.errors import CnnkitError, ExitCode, UsageError
from cnnkit.written_files import recording_writes


@dataclass(frozen=True)
class _Command:
    """A command, or a group of them, in a module of its own.

    Attributes:
        panel: heading of the help that it stands under, one of `_PANELS`.
        summary: the first paragraph of its help.
        module: of this package, or "tasks.<task>.cli"; it has the function, or the group's `app`.
        function: of a command; "" for a group.
        more: of a group: name, module and function of each command that has a module of its own.
        hidden: from the help.
        epilog: of its help.
    """

    panel: str
    summary: str
    module: str
    function: str = ""
    more: tuple[tuple[str, str, str], ...] = ()
    hidden: bool = False
    epilog: str | None = None

    def build(self, name: str) -> Any:
        """What Typer runs under that name."""
        parent = typer.Typer(add_completion=False, rich_markup_mode="rich")
        if self.function:
            add = parent.command(name, hidden=self.hidden, epilog=self.epilog)
            add(_find(self.module, self.function))
        else:
            group = _find(self.module, "app")
            known = {one.name for one in group.registered_commands}
            for more, module, function in self.more:
                if more not in known:
                    group.command(more)(_find(module, function))
            parent.add_typer(group, name=name)
        parent.callback()(_do_nothing)
        return typer.main.get_group(parent).commands[name]


def _find(module: str, name: str) -> Any:
    package = "cnnkit" if module.startswith("tasks.") else "cnnkit.cli"
    return getattr(importlib.import_module(f"{package}.{module}"), name)


def _do_nothing() -> None:
    pass


# Headings of the help, in their order.
_PANELS = ("Paint", "People", "Find", "Say", "See inside", "Train", "Play and serve", "Set up")
_COMMANDS = {
    "stylize": _Command(
        "Paint",
        "Paint pictures and videos in the style of a picture.",
        "tasks.stylize.cli",
        "stylize",
    ),
    "verify": _Command(
        "People",
        "Say whether two pictures show the same person. Exits with 0 for yes, 1 for no.",
        "tasks.faces.cli",
        "verify",
    ),
    "embed": _Command(
        "People",
        "Turn each face of the pictures into a vector: near for one person, far for two.",
        "tasks.faces.cli",
        "embed",
    ),
    "caption": _Command(
        "Say", "Say in a sentence what pictures show.", "tasks.caption.cli", "caption"
    ),
    "classify": _Command(
        "Say",
        "Tell what pictures show: the most probable classes of each.",
        "tasks.classify.cli",
        "classify",
    ),
    "classify-text": _Command(
        "Say",
        "Tell the classes of texts, the most probable ones first.",
        "tasks.text.cli",
        "classify_text",
    ),
    "detect": _Command(
        "Find",
        "Find the objects in pictures and videos: what they are and where.",
        "tasks.detect.cli",
        "detect",
    ),
    "segment": _Command(
        "Find",
        "Tell what every pixel of a picture or video shows: people, animals, vehicles, furniture.",
        "tasks.segment.cli",
        "segment",
    ),
    "cutout": _Command(
        "Find",
        "Cut people, animals or things out of pictures and videos, with soft edges.",
        "tasks.segment.cli",
        "cutout",
    ),
    "visualize-units": _Command(
        "See inside",
        "Show the nine patches of many pictures that drive each unit of a layer most.",
        "tasks.visualize.units_cli",
        "units",
        hidden=True,
    ),
    "samples": _Command(
        "Paint", "Write sample photographs and style pictures into a folder.", "samples", "samples"
    ),
    "export": _Command(
        "Train",
        "Write a classifier in another format, and run both to compare them.",
        "export",
        "export",
    ),
    "doctor": _Command(
        "Set up",
        "Tell what this installation is and can do: versions, devices, memory, weights.",
        "doctor",
        "doctor",
        epilog="Example: cnnkit doctor --json",
    ),
    "studio": _Command(
        "Play and serve",
        "Open a page to play on: paint, find, cut out, compare faces, caption, see inside.",
        "serve",
        "studio",
    ),
    "serve": _Command(
        "Play and serve",
        "Answer HTTP requests: detect, segment, cutout, classify, caption, verify, stylize and "
        "more.",
        "serve",
        "serve",
    ),
    "faces": _Command("People", "Recognise people: a gallery of faces.", "tasks.faces.gallery_cli"),
    "visualize": _Command(
        "See inside",
        "See what networks are made of, and what convolutions do.",
        "tasks.visualize.cli",
        more=(
            ("units", "tasks.visualize.units_cli", "units"),
            ("activations", "tasks.visualize.views_cli", "activations"),
            ("filters", "tasks.visualize.views_cli", "filters"),
            ("maximize", "tasks.visualize.views_cli", "maximize"),
            ("gradcam", "tasks.visualize.views_cli", "gradcam"),
            ("occlusion", "tasks.visualize.views_cli", "occlusion"),
            ("words", "tasks.visualize.cli", "words"),
        ),
    ),
    "weights": _Command(
        "Set up", "See, fetch, import and check the weights of networks.", "weights"
    ),
    "train": _Command(
        "Train",
        "Train networks.",
        "train",
        more=(
            ("backbone", "tasks.stylize.cli", "backbone"),
            ("decoder", "tasks.stylize.cli", "decoder"),
            ("classify", "tasks.classify.cli", "train"),
            ("faces", "tasks.faces.cli", "train"),
            ("caption", "tasks.caption.cli", "train"),
            ("detect", "tasks.detect.cli", "train"),
            ("segment", "tasks.segment.cli", "train"),
            ("text", "tasks.text.cli", "train"),
        ),
    ),
    "evaluate": _Command(
        "Train",
        "Measure how good a model is.",
        "evaluate",
        more=(
            ("caption", "tasks.caption.cli", "evaluate"),
            ("detect", "tasks.detect.cli", "evaluate"),
            ("segment", "tasks.segment.cli", "evaluate"),
            ("classify", "tasks.classify.cli", "evaluate"),
            ("text", "tasks.text.cli", "evaluate"),
            ("faces", "tasks.faces.cli", "evaluate"),
        ),
    ),
}


# Their -o takes "-".
_WRITES_TO_STDOUT = ("stylize", "segment", "cutout")
# Options that name what is written.
_OUTPUT_OPTIONS = {
    "-o", "--txt", "--coco", "--crops", "--explain", "--plot", "--html", "--map",
    "--preview-augment",
}  # fmt: skip


def _refuse_stdout(command: Any) -> None:
    """Lets the options of a command, and of those in it, name no file or folder "-"."""
    for inner in getattr(command, "commands", {}).values():
        _refuse_stdout(inner)
    for option in command.params:
        if not _OUTPUT_OPTIONS & set(option.opts):
            continue
        before = option.callback

        def check(context: Any, option: Any, value: Any, before: Any = before) -> Any:
            if str(value) == "-":
                raise UsageError(f"{option.opts[-1]} - does not write to stdout; give a name")
            return value if before is None else before(context, option, value)

        option.callback = check


# Of disks and devices that take nothing more.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


class _Interrupted(Exception):
    """Ctrl-C, under a name that Typer leaves alone: its versions differ in what they make of it."""


# Whether help was asked for with `HELP_ALL`.
_shows_all = [False]


class _Commands(typer.core.TyperGroup):
    def resolve_command(self, context, arguments):
        name, command, rest = super().resolve_command(context, arguments)
        if name in _COMMANDS:
            command = _COMMANDS[name].build(name)
            if name not in _WRITES_TO_STDOUT:
                _refuse_stdout(command)
            prepare_command(command, name, lambda: _shows_all[0])
        return name, command, rest

    def format_help(self, context, formatter):
        drop_flag_types(self, context)
        if not format_narrow(self, context, formatter):
            super().format_help(context, formatter)

    def invoke(self, context):
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            raise _Interrupted from None


app = typer.Typer(
    name="cnnkit",
    cls=_Commands,
    help="Convolutional networks on your own pictures. Everything works offline.",
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 done · 1 the answer is no · 2 usage · 3 some or all inputs failed · "
        "4 nothing found · 5 weights missing · 70 a bug of ours · 130 Ctrl-C"
    ),
)
for _name, _one in sorted(_COMMANDS.items(), key=lambda item: _PANELS.index(item[1].panel)):
    _settings = {"help": _one.summary, "hidden": _one.hidden, "rich_help_panel": _one.panel}
    app.command(_name, **_settings)(_do_nothing)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"cnnkit {cnnkit.__version__}\n")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Convolutional networks on your own pictures. Everything works offline."""
    if context.invoked_subcommand is None:
        sys.stdout.write(START_PAGE)


def run(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Args:
        arguments: as in `sys.argv[1:]`, the default.

    Returns:
        An `ExitCode`. A `CnnkitError` becomes one line on stderr; any other exception is a bug
        and is raised.
    """
    open_closed_streams()
    _show_any_name()
    try:
        return _run(arguments)
    finally:
        leave_broken_streams()


def _run(arguments: list[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    _shows_all[0] = HELP_ALL in given
    arguments = ["--help" if one == HELP_ALL else one for one in given]
    try:
        # Help and usage go to the streams past our console.
        with recording_writes() as written:
            code = app(arguments, prog_name="cnnkit", standalone_mode=False)
        view_results(written)
        with reporting_stdout():
            sys.stdout.flush()
    except CnnkitError as error:
        Console().error(str(error))
        return int(error.exit_code)
    except (_Interrupted, KeyboardInterrupt, typer.Abort):
        Console().note("stopped by Ctrl-C")
        return int(ExitCode.INTERRUPTED)
    except (BrokenPipeError, SystemExit):
        # The reader of a pipe (`| head`) went away, so nobody is left to tell. Typer and Rich turn
        # it into an exit of their own; commands never do.
        return int(ExitCode.DONE)
    except Exception as error:
        # Usage errors show themselves; their class is private to Typer.
        if hasattr(error, "show"):
            with contextlib.suppress(OSError, ValueError):
                error.show()
            return int(ExitCode.USAGE)
        if isinstance(error, OSError) and error.errno in _FULL:
            # Help is printed by Typer, past our console; of files ours say themselves which it is.
            Console().error(
                f"what is written cannot be kept: {error.strerror}; make room, or send stdout "
                "elsewhere"
            )
            return int(ExitCode.INPUT_FAILED)
        raise
    return int(code or 0)


def _show_any_name() -> None:
    """Lets names of files be printed that are no valid text, or that the terminal cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
