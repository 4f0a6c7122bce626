"""What the commands about faces share: options, the recogniser, and records."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnkit.cli._options import RUN_PANEL
from cnnkit.console import Console
from cnnkit.engine.batch import Outcome
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.options import FACE_CHOICES, FaceOptions
from cnnkit.results import Milliseconds

if TYPE_CHECKING:
    from cnnkit.data.face_pictures import FacePicture
    from cnnkit.data.sources import Source
    from cnnkit.results import Face

FACE_PANEL = "Faces"
GALLERY_PANEL = "Gallery"
_DEFAULTS = FaceOptions()

Model = Annotated[
    str,
    typer.Option(
        metavar="dlib|FILE",
        help="dlib's network, or a .keras file of 'cnnkit train faces'.",
        rich_help_panel=FACE_PANEL,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        help="Faces nearer than this are of one person.",
        show_default="the model's own",
        rich_help_panel=FACE_PANEL,
    ),
]
CalibrationFile = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="FILE",
        help="Threshold and odds of 'cnnkit faces calibrate'.",
        rich_help_panel=FACE_PANEL,
    ),
]
MaxSide = Annotated[
    int,
    typer.Option(
        help="Search larger pictures at this long side, in pixels.", rich_help_panel=FACE_PANEL
    ),
]
Upsample = Annotated[
    int,
    typer.Option(
        help="Double the picture this often before the search, 0 to 2: finds smaller faces.",
        rich_help_panel=FACE_PANEL,
    ),
]
GalleryPath = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        metavar="FILE",
        help="The gallery of known people.",
        show_default="in the user's data folder",
        rich_help_panel=GALLERY_PANEL,
    ),
]


def _check_choice(choose: str) -> str:
    if choose not in FACE_CHOICES:
        raise UsageError(f"--choose must be {' or '.join(FACE_CHOICES)}, not {choose}")
    return choose


Choose = Annotated[
    str,
    typer.Option(
        callback=_check_choice,
        help="The face of a picture that counts: a large one near to the middle, or the largest.",
        metavar="|".join(FACE_CHOICES),
        rich_help_panel=FACE_PANEL,
    ),
]
FailIfEmpty = Annotated[
    bool,
    typer.Option(
        "--fail-if-empty", help="Exit with 4 when no face was found.", rich_help_panel=RUN_PANEL
    ),
]


def place(face: "Face") -> str:
    """Where a face is, for people: `face 120x120 at 35,60`."""
    left, top, right, bottom = face.box_xyxy
    return f"face {right - left:.0f}x{bottom - top:.0f} at {left:.0f},{top:.0f}"


def read_pictures(
    sources: "Sequence[Source]", outcome: Outcome
) -> "Iterator[tuple[Source, FacePicture]]":
    """The pictures that can be read; the others are failures of `outcome`."""
    from cnnkit.data.face_pictures import read_face_picture

    for source in sources:
        begin = time.monotonic()
        try:
            picture = read_face_picture(source.path)
        except CnnkitError as error:
            outcome.fail(source.path, error)
        else:
            outcome.load_ms[source.path] = 1e3 * (time.monotonic() - begin)
            yield source, picture


def batches(pictures: Iterator[Any], size: int = 16) -> Iterator[list[Any]]:
    """Groups of neighbours: networks are faster on many faces at a time."""
    while batch := list(itertools.islice(pictures, size)):
        yield batch


class Stopwatch:
    """Shares out the time since the last batch of pictures among them."""

    def __init__(self, outcome: Outcome):
        self._outcome = outcome

    def start(self) -> None:
        """Before the networks look at a batch."""
        self._begin = time.monotonic()

    def stop(self, pictures: int) -> None:
        """After they have looked at so many pictures."""
        self._net = 1e3 * (time.monotonic() - self._begin) / max(1, pictures)

    def times(self, source: "Source") -> Milliseconds:
        """Of one picture of the batch."""
        load = self._outcome.load_ms.pop(source.path, 0.0)
        return Milliseconds(load=round(load, 1), net=round(self._net, 1))


@contextlib.contextmanager
def counted(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for a function that tells how many pictures are done, and of how many."""
    with console.progress() as bar:
        task = bar.add_task("faces", total=None, status="")

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show
