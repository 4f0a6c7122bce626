"""The state of an interrupted stylisation, in a file that it goes on from."""

import contextlib
import dataclasses
import io
import json
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit.errors import ImageError, UsageError
from cnnkit.images import write_bytes
from cnnkit.ops.schedule import Scale
from cnnkit.tasks.stylize.results import ScaleReport

if TYPE_CHECKING:
    from cnnkit.tasks.stylize.scale_optimizer import ScaleOptimizer

_SECONDS_BETWEEN = 5.0


class Checkpoint:
    """Writes the state of a run every few seconds, whole or not at all.

    Args:
        path: the file, or None to write nothing.
        fingerprint: identifies the run.
        plan: its scales.
        tile: side of the tiles that large scales are looked at in, or None.
        backbone: the networks that it looks with.
        on_note: told once, if the file cannot be written: the picture matters more.
    """

    def __init__(
        self,
        path: Path | None,
        fingerprint: str,
        plan: Sequence[Scale],
        tile: int | None,
        backbone: str,
        on_note: Callable[[str], None],
    ):
        self._path, self._fingerprint, self._plan, self._tile = path, fingerprint, plan, tile
        self._backbone = backbone
        self._note = on_note
        self._failed = False
        self._written = time.monotonic()

    def enter(self, index: int, image: np.ndarray | None, reports: Sequence[ScaleReport]) -> None:
        """Begins a scale that starts from `image`."""
        self._index, self._image = index, image
        self._reports = list(reports)

    def step(self, optimizer: "ScaleOptimizer") -> None:
        """After each step: writes, if it is time."""
        if time.monotonic() - self._written >= _SECONDS_BETWEEN:
            self.write(optimizer)

    def write(self, optimizer: "ScaleOptimizer | None" = None) -> None:
        """Writes the state now; without an optimizer that of the beginning of the scale."""
        if self._path is None:
            return
        arrays = {} if self._image is None else {"start": self._image}
        losses: Mapping[str, float] = {}
        if optimizer is not None and optimizer.is_resumable and optimizer.steps_done:
            arrays.update(optimizer.state())
            losses = optimizer.losses
        header = {
            "fingerprint": self._fingerprint,
            "plan": [[s.height, s.width, s.steps] for s in self._plan],
            "tile": self._tile,
            "backbone": self._backbone,
            "scale": self._index,
            "losses": losses,
            "reports": [dataclasses.asdict(report) for report in self._reports],
        }
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        try:
            write_bytes(self._path, buffer.getvalue())
        except ImageError as error:
            if not self._failed:
                self._note(f"the run goes on, but could not be resumed: {error}")
            self._failed = True
        self._written = time.monotonic()

    def remove(self) -> None:
        """The run is over."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)


def read_checkpoint(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state of an interrupted run, or None where there is none of this very run."""
    if not path.exists():
        return None
    state = read_state(path)
    if state["fingerprint"] != fingerprint:
        raise UsageError(
            f"{path} is of a run with other pictures or settings; give the same ones, "
            "or remove it to start anew"
        )
    return state


def read_state(path: Path) -> dict[str, Any]:
    """What `Checkpoint` wrote, its arrays under "arrays"."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop("header").tobytes())
        return {**header, "fingerprint": header["fingerprint"], "arrays": arrays}
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, EOFError,
        zipfile.BadZipFile, zlib.error,
    ):  # fmt: skip
        raise ImageError(f"{path} is damaged; remove it to start anew") from None
