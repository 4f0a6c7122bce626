"""The command line as a whole: commands, global options, and the one boundary for errors."""

import os
import sys

import typer
import typer.core

import cnnkit
from cnnkit.cli import (
    caption,
    classify,
    classify_text,
    detect,
    doctor,
    embed,
    evaluate,
    evaluate_caption,
    evaluate_detect,
    evaluate_segment,
    evaluate_text,
    export,
    faces,
    samples,
    segment,
    stylize,
    train,
    train_caption,
    train_classify,
    train_detect,
    train_segment,
    train_text,
    verify,
    visualize,
    visualize_units,
    visualize_views,
    visualize_words,
    weights,
)
from cnnkit.console import Console
from cnnkit.errors import CnnkitError, ExitCode


class _Interrupted(Exception):
    """Ctrl-C, under a name that Typer leaves alone: its versions differ in what they make of it."""


class _Commands(typer.core.TyperGroup):
    def invoke(self, context):
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            raise _Interrupted from None


app = typer.Typer(
    name="cnnkit",
    cls=_Commands,
    help="Convolutional networks on your own pictures. Everything works offline.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 done · 1 the answer is no · 2 usage · 3 some or all inputs failed · "
        "4 nothing found · 5 weights missing · 70 a bug of ours · 130 Ctrl-C"
    ),
)
app.command("stylize")(stylize.stylize)
app.command("verify")(verify.verify)
app.add_typer(faces.app, name="faces")
app.command("embed")(embed.embed)
app.command("caption")(caption.caption)
app.command("classify")(classify.classify)
app.command("classify-text")(classify_text.classify_text)
app.command("detect")(detect.detect)
app.command("segment")(segment.segment)
visualize.app.command("units")(visualize_units.units)
visualize.app.command("activations")(visualize_views.activations)
visualize.app.command("filters")(visualize_views.filters)
visualize.app.command("maximize")(visualize_views.maximize)
visualize.app.command("gradcam")(visualize_views.gradcam)
visualize.app.command("occlusion")(visualize_views.occlusion)
visualize.app.command("words")(visualize_words.words)
app.add_typer(visualize.app, name="visualize")
app.command("visualize-units", hidden=True)(visualize_units.units)
app.command("samples")(samples.samples)
app.add_typer(weights.app, name="weights")
train.app.command("classify")(train_classify.classify)
train.app.command("caption")(train_caption.caption)
train.app.command("detect")(train_detect.detect)
train.app.command("segment")(train_segment.segment)
train.app.command("text")(train_text.text)
app.add_typer(train.app, name="train")
evaluate.app.command("caption")(evaluate_caption.caption)
evaluate.app.command("detect")(evaluate_detect.detect)
evaluate.app.command("segment")(evaluate_segment.segment)
evaluate.app.command("text")(evaluate_text.text)
app.add_typer(evaluate.app, name="evaluate")
app.command("export")(export.export)
app.command("doctor", epilog="Example: cnnkit doctor --json")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"cnnkit {cnnkit.__version__}\n")
        raise typer.Exit


@app.callback()
def main(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Convolutional networks on your own pictures. Everything works offline."""


def run(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Args:
        arguments: as in `sys.argv[1:]`, the default.

    Returns:
        An `ExitCode`. A `CnnkitError` becomes one line on stderr; any other exception is a bug
        and is raised.
    """
    _show_any_name()
    try:
        code = app(arguments, prog_name="cnnkit", standalone_mode=False)
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
        _forget_stdout()
        return int(ExitCode.DONE)
    except Exception as error:
        # Usage errors show themselves; their class is private to Typer.
        if not hasattr(error, "show"):
            raise
        error.show()
        return int(ExitCode.USAGE)
    return int(code or 0)


def _show_any_name() -> None:
    """Lets names of files be printed that are no valid text, or that the terminal cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _forget_stdout() -> None:
    """Keeps Python from flushing into a closed pipe when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
