"""Pictures on their way to faces: read in groups, with what fails, what it took, and progress."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from cnnkit.console import Console
from cnnkit.engine.batch import Outcome
from cnnkit.errors import CnnkitError
from cnnkit.results import Milliseconds

if TYPE_CHECKING:
    from cnnkit.data.face_pictures import FacePicture
    from cnnkit.data.sources import Source
    from cnnkit.tasks.faces.results import Face

_Item = TypeVar("_Item")


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


def batches(pictures: Iterator[_Item], size: int = 16) -> Iterator[list[_Item]]:
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
