"""What all commands do alike at a terminal: short help, completion, showing what was written."""

import functools
import importlib.util
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main

from cnnkit.cli._examples import EXAMPLES
from cnnkit.engine.settings import OUTPUT_PANEL
from cnnkit.errors import UsageError

# Typed instead of --help, for what --help leaves out.
HELP_ALL = "--help-all"
# Of commands with many options, what a user does not need every day: headings in the help, and
# options under these that are shown all the same.
_RARE_PANELS = (
    *("Losses and network", "Optimizer", "Run", "Fit", "Network", "Faces", "Limits", "Polishing"),
    *("Augmentation (0 switches off)", "Scenes (0 switches off)", "Crops", "Several devices"),
)
_EVERYDAY = ("epochs", "resume", "recursive", "device")
_MANY = 18
_SHOWN_FILES = 4
# Beginnings of the names of sheets that trainings write, of what their network says of pictures.
_SHEETS = ("samples", "mistakes")
# Columns of a terminal from which on help stands in frames, and of names of options elsewhere.
_FRAMED_COLUMNS, _NAME_COLUMNS = 80, 16
# What --open is for beside pictures.
_PAGE_SUFFIXES = (".svg", ".pdf", ".html")

START_PAGE = """\
cnnkit paints, recognises, finds and explains your pictures.

  cnnkit samples samples           pictures to try it with
  cnnkit stylize photo.jpg waves   paint one in a style
  cnnkit detect photo.jpg          what is where
  cnnkit caption photo.jpg         what it shows, in words
  cnnkit verify a.jpg b.jpg        the same person?
  cnnkit visualize gradcam a.jpg   what networks look at
  cnnkit train classify pets/      teach one your pictures
  cnnkit studio                    a page for all of that

More: cnnkit --help, cnnkit COMMAND --help
"""


def prepare_command(command: Any, name: str, shows_all: Callable[[], bool]) -> None:
    """Gives a command, and those in it, short help, examples, completion, `--open` and `--show`.

    Args:
        command: that Typer built.
        name: as it is typed, such as "train classify".
        shows_all: whether help was asked for with `HELP_ALL`.
    """
    format_help = functools.partial(_format_help, command, command.format_help, name, shows_all)
    command.format_help = format_help
    inner = getattr(command, "commands", None)
    if inner is not None:
        for part, one in inner.items():
            prepare_command(one, f"{name} {part}", shows_all)
        return
    _add_examples(command, EXAMPLES.get(name, ()))
    names = {option for parameter in command.params for option in parameter.opts}
    if "-o" in names and "--open" not in names:
        view = _view_training if name.startswith("train ") else _view
        # `segment --show` says how to draw.
        command.params += [one for one in _viewing_options(view) if not names & set(one.opts)]
    for parameter in command.params:
        _complete(parameter, name)


def _add_examples(command: Any, more: Sequence[str]) -> None:
    """Puts examples below those that a command's own text has."""
    if not more:
        return
    text, mark = command.help or "", "Example: "
    if command.epilog is not None:
        text, command.epilog = f"{text}\n\n{command.epilog}", None
    text = text.replace(mark, "Examples:\n\n  ")
    lines = (one if "cnnkit " in one else f"cnnkit {one}" for one in more)
    command.help = "\n\n  ".join([text.rstrip(), *lines])


def drop_flag_types(command: Any, context: Any) -> None:
    """Has the help say of flags no type: they take none."""
    for one in command.get_params(context):
        if getattr(one, "is_flag", False):
            one.metavar = ""


def _format_help(
    command: Any,
    format_whole: Callable[..., Any],
    name: str,
    shows_all: Callable[[], bool],
    context: Any,
    formatter: Any,
) -> None:
    drop_flag_types(command, context)
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    rare = []
    if len(shown) > _MANY and not shows_all():
        rare = [
            one
            for one in shown
            if getattr(one, "rich_help_panel", None) in _RARE_PANELS and one.name not in _EVERYDAY
        ]
    for one in rare:
        one.hidden = True
    try:
        if not format_narrow(command, context, formatter):
            format_whole(context, formatter)
    finally:
        for one in rare:
            one.hidden = False
    if rare:
        more = f"{len(rare)} more options: cnnkit {name} {HELP_ALL}"
        if is_narrow():
            formatter.write_paragraph()
            formatter.write_text(more)
        else:
            typer.echo(f" {more}\n")


def is_narrow() -> bool:
    """Whether the terminal has no room for help in frames: Rich would cut what must be copied."""
    return shutil.get_terminal_size().columns < _FRAMED_COLUMNS


def format_narrow(command: Any, context: Any, formatter: Any) -> bool:
    """Writes help without frames, where the terminal is narrow.

    Args:
        command: that Typer built.
        context: of Click.
        formatter: of Click, which is written to.

    Returns:
        Whether it did.
    """
    if not is_narrow():
        return False
    command.format_usage(context, formatter)
    for paragraph in (command.help or "").split("\n\n"):
        formatter.write_paragraph()
        formatter.write_text(paragraph)
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
        record = parameter.get_help_record(context)
        if record is not None and not getattr(parameter, "hidden", False):
            panel = getattr(parameter, "rich_help_panel", None) or kind
            panels.setdefault(panel, []).append((record[0], record[1] or "-"))
    for name, inner in (getattr(command, "commands", None) or {}).items():
        if not inner.hidden:
            panel = getattr(inner, "rich_help_panel", None) or "Commands"
            panels.setdefault(str(panel), []).append((name, inner.get_short_help_str(200)))
    for panel, rows in panels.items():
        with formatter.section(panel):
            formatter.write_dl(rows, col_max=_NAME_COLUMNS)
    if command.epilog:
        formatter.write_paragraph()
        formatter.write_text(command.epilog)
    return True


class _Viewing:
    """What is to be done with the files that a command writes."""

    def __init__(self) -> None:
        self.opens = self.shows = self.sheets = False

    def take_open(self, value: bool) -> None:
        self.opens = value

    def take_show(self, value: bool) -> None:
        if value and not _can_draw():
            raise UsageError('--show needs more: pip install ".[show]"')
        self.shows = value

    def take_sheets(self, value: bool) -> None:
        self.sheets = value


def _can_draw() -> bool:
    """Whether what draws pictures into terminals is there."""
    return importlib.util.find_spec("textual_image") is not None


_viewing = _Viewing()
_Open = Annotated[
    bool,
    typer.Option(
        "--open",
        help="Open what was written.",
        rich_help_panel=OUTPUT_PANEL,
        callback=_viewing.take_open,
    ),
]
_Show = Annotated[
    bool,
    typer.Option(
        "--show",
        help="Draw what was written into the terminal.",
        rich_help_panel=OUTPUT_PANEL,
        callback=_viewing.take_show,
    ),
]
_Sheets = Annotated[
    bool,
    typer.Option(
        "--show-results",
        help="Draw the sheets of what the network says of pictures into the terminal, or open "
        "them where nothing is there to draw with.",
        rich_help_panel=OUTPUT_PANEL,
        callback=_viewing.take_sheets,
    ),
]


def _view(open_results: _Open = False, show: _Show = False) -> None:
    """Only to have its options."""


def _view_training(
    open_results: _Open = False, show: _Show = False, show_results: _Sheets = False
) -> None:
    """Only to have its options."""


@functools.cache
def _viewing_options(view: Callable[..., None]) -> list[Any]:
    """`--open` and `--show` as Typer builds them, shared by all commands."""
    parent = typer.Typer(add_completion=False)
    parent.command()(view)
    options = [one for one in typer.main.get_command(parent).params if one.name != "help"]
    for option in options:
        option.expose_value = False
    return options


def view_results(written: Iterable[Path]) -> None:
    """Opens or draws the pictures and pages among the files that were written, if that is wanted.

    Args:
        written: files, in order.
    """
    opens, shows, sheets = _viewing.opens, _viewing.shows, _viewing.sheets
    _viewing.opens = _viewing.shows = _viewing.sheets = False
    if sheets and not opens and not shows:
        written = [path for path in written if path.stem.startswith(_SHEETS)]
        shows = _can_draw()
        opens = not shows
    if not opens and not shows:
        return
    from cnnkit.images import READABLE_SUFFIXES

    suffixes = (*READABLE_SUFFIXES, *_PAGE_SUFFIXES)
    files = [path for path in written if path.suffix.lower() in suffixes]
    if shows:
        from rich.console import Console
        from textual_image.renderable import Image

        # Stdout is for the results, which may be JSON or a picture.
        console = Console(stderr=True)
        with warnings.catch_warnings():
            # It uses names that Pillow is about to give up.
            warnings.simplefilter("ignore", DeprecationWarning)
            for path in files[:_SHOWN_FILES]:
                if path.suffix.lower() in READABLE_SUFFIXES:
                    console.print(Image(path, width="80%", height="auto"))
    if opens and files:
        # Of many files the folder is opened.
        typer.launch(str(files[0] if len(files) <= _SHOWN_FILES else files[0].parent))


def _complete(parameter: Any, command: str) -> None:
    """Has the shell complete a parameter's values, where they are known."""
    values = _VALUES.get((command, parameter.name)) or _VALUES.get(("", parameter.name))
    if values is None:
        return

    def complete(context: Any, parameter: Any, incomplete: str) -> list[str]:
        found = [one for one in values(context) if one.startswith(incomplete)]
        return found + (_files(incomplete) if parameter.name in _ALSO_FILES else [])

    # Typer takes it where an option is declared; these are built already. A test would notice.
    parameter._custom_shell_complete = complete


def _files(beginning: str) -> list[str]:
    """Files and folders that a name may go on to."""
    path = Path(beginning)
    folder = path if beginning.endswith("/") else path.parent
    prefix = "" if str(folder) == "." and not beginning.startswith("./") else f"{folder}/"
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []
    names = [f"{prefix}{one.name}{'/' if one.is_dir() else ''}" for one in found]
    return [
        one for one in names if one.startswith(beginning) and not Path(one).name.startswith(".")
    ]


def _runs() -> list[str]:
    """Folders of finished trainings."""
    return sorted(str(path.parent) for path in Path("runs").glob("*/model.keras"))


def _models(*names: str) -> Callable[[Any], list[str]]:
    return lambda context: [*names, *_runs()]


def _styles(context: Any) -> list[str]:
    from cnnkit.data.samples import style_names

    return list(style_names())


def _detected_classes(context: Any) -> list[str]:
    from cnnkit.errors import CnnkitError
    from cnnkit.tasks.detect.files import class_names

    try:
        return list(class_names(context.params.get("model") or "coco80"))
    except CnnkitError:
        return []


def _segmented_classes(context: Any) -> list[str]:
    from cnnkit.data._class_names import VOC_CLASSES

    return list(VOC_CLASSES[1:])


def _people(context: Any) -> list[str]:
    from cnnkit.data.gallery import Gallery
    from cnnkit.errors import CnnkitError

    try:
        with Gallery(context.params.get("gallery"), create=False, read_only=True) as opened:
            return [one.name for one in opened.people()]
    except CnnkitError:
        return []


def _layers(context: Any) -> list[str]:
    blocks = ((1, 2), (2, 2), (3, 4), (4, 4), (5, 4))
    convolutions = [f"block{block}_conv{n}" for block, count in blocks for n in range(1, count + 1)]
    return [*(f"layer{block}" for block, _ in blocks), *convolutions]


def _weights(context: Any) -> list[str]:
    from cnnkit.weights import entries

    return [one.name for one in entries()]


# Parameters that take files beside names.
_ALSO_FILES = ("pictures", "style", "model")
_VALUES: dict[tuple[str, str], Callable[[Any], list[str]]] = {
    ("stylize", "pictures"): _styles,
    ("stylize", "style"): _styles,
    ("detect", "model"): _models("coco80", "yolo-fastest-xl"),
    ("detect", "classes"): _detected_classes,
    ("segment", "model"): _models("voc21", "deeplab"),
    ("segment", "cutout"): _segmented_classes,
    ("cutout", "model"): _models("voc21", "deeplab"),
    ("cutout", "subject"): _segmented_classes,
    ("classify", "model"): _models("imagenet", "caltech101"),
    ("caption", "model"): _models("captions"),
    ("visualize units", "layer"): _layers,
    ("visualize-units", "layer"): _layers,
    ("visualize activations", "layer"): _layers,
    ("visualize maximize", "layer"): _layers,
    ("faces enroll", "name"): _people,
    ("faces rename", "name"): _people,
    ("faces remove", "names"): _people,
    ("weights fetch", "name"): _weights,
    ("weights card", "name"): _weights,
    ("weights path", "name"): _weights,
    ("weights check", "name"): _weights,
    ("", "model"): _models(),
}
