"""How a long job goes on, shown in a notebook: one text that changes."""

import contextlib
import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from cnnkit.engine.observer import Observer, Step, TrainingView
from cnnkit.errors import CnnkitError

# Seconds between two changes: a browser draws no more.
_PAUSE = 0.3
_BAR = 30


@contextlib.contextmanager
def watching(
    score: tuple[str, str] = ("", ""),
    budget: float | None = None,
    display: Callable[[str, bool], None] | None = None,
) -> Iterator[Observer]:
    """Shows a training, or another long job, below the cell of a notebook.

    Args:
        score: column of `results.csv` that tells good epochs from bad ones, and its name, such as
            `("val_ap50", "AP50")`.
        budget: seconds that a training may take; None for any.
        display: takes the text, and whether it is the first one; IPython's by default.

    Yields:
        To be given to a training as `observer`.

    Raises:
        CnnkitError: there is no IPython.
    """
    page = _Page(TrainingView(score, budget), display or _display())
    try:
        yield Observer(page.note, page.error, page.progress, page.step, page.epoch)
    finally:
        page.draw(is_last=True)


def _display() -> Callable[[str, bool], None]:
    try:
        page = importlib.import_module("IPython.display")
    except ImportError:
        raise CnnkitError("watching a job needs a notebook; IPython is not here") from None
    name = f"cnnkit-{time.monotonic_ns()}"

    def show(text: str, is_first: bool) -> None:
        bundle = {"text/plain": text}
        if is_first:
            page.display(bundle, raw=True, display_id=name)
        else:
            page.update_display(bundle, raw=True, display_id=name)

    return show


class _Page:
    """The text: notes, what is being done, and what there is to say of a training."""

    def __init__(self, view: TrainingView, display: Callable[[str, bool], None]):
        self._view, self._display = view, display
        self._notes: list[str] = []
        self._bars: dict[str, tuple[float, float]] = {}
        self._drawn: float | None = None

    def note(self, text: str) -> None:
        self._notes.append(text)
        self.draw()

    def error(self, error: CnnkitError) -> None:
        self.note(f"error: {error}")

    def progress(self, what: str, done: int, total: int) -> None:
        self._bars[what] = done, total
        if done >= total:
            del self._bars[what]
        self.draw()

    def step(self, step: Step) -> None:
        self._view.step(step)
        self._bars = {f"epoch {step.epoch} of {step.epochs}": (step.step, step.steps)}
        self.draw()

    def epoch(self, epoch: int, row: dict[str, Any]) -> None:
        self._view.epoch(epoch, row)
        self.draw()

    def draw(self, is_last: bool = False) -> None:
        now = time.monotonic()
        if self._drawn is not None and now - self._drawn < _PAUSE and not is_last:
            return
        lines = list(self._notes)
        for what, (done, total) in self._bars.items():
            full = round(_BAR * done / max(total, 1))
            lines.append(f"{what}  {'█' * full}{'░' * (_BAR - full)}  {done:,} of {total:,}")
        self._display("\n".join([*lines, *self._view.lines()]), self._drawn is None)
        self._drawn = now
