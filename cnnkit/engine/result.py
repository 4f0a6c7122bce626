"""Results that show themselves: as a picture, in a notebook, in a file."""

import abc
import base64
import html
import io
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from cnnkit.images import as_picture, write_image


class PlottedResult(abc.ABC):
    """A result that can be drawn."""

    @abc.abstractmethod
    def plot(self) -> Image.Image:
        """The picture with what was found drawn into it."""

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Writes `plot()` into a file.

        Args:
            path: the suffix chooses the format; missing folders are made.
            overwrite: replace a file that is there.

        Raises:
            ImageError: the file cannot be written, or is there and must not be replaced.
        """
        write_image(
            path, as_picture(self.plot(), os.fspath(path), keep_alpha=True), overwrite=overwrite
        )

    def show(self) -> None:
        """Opens `plot()` in the system's viewer of pictures."""
        self.plot().show()

    def _repr_png_(self) -> bytes:
        """`plot()` as PNG, for notebooks."""
        buffer = io.BytesIO()
        self.plot().save(buffer, "PNG")
        return buffer.getvalue()


# What a run's folder may hold of pictures, the most telling first.
_RUN_PICTURES = ("samples.png", "mistakes.png", "curves.png")


@dataclass(frozen=True, kw_only=True)
class RunResult(abc.ABC):
    """What a training gave, which notebooks show with a picture of its run.

    Attributes:
        model: the `.keras` file, with the weights of the best epoch.
        epochs: passes over the data that were made, in all runs together.
        best: the epoch whose weights were kept, from 1.
        seconds: that the epochs took.
        weights: number of weights that were trained, and of all.
        reason: why the training ended: "epochs", "patience" or "time budget".
    """

    model: Path
    epochs: int
    best: int
    seconds: float
    weights: tuple[int, int]
    reason: str

    @abc.abstractmethod
    def lines(self) -> list[str]:
        """For people."""

    def warnings(self) -> list[str]:
        """What is wrong with the model, if anything is."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """All of it by name."""
        return asdict(self)

    def _model_line(self, knows: str) -> str:
        """The file, what the network knows, and how long that took."""
        return (
            f"{self.model}: {knows}, epoch {self.best} of {self.epochs} was best, "
            f"{self.seconds:.0f} s"
        )

    def _repr_html_(self) -> str:
        """The lines, and a sheet of what the network says of pictures, for notebooks."""
        shown = f"<pre>{html.escape(chr(10).join(self.lines()))}</pre>"
        for name in _RUN_PICTURES:
            path = Path(self.model).parent / name
            if path.is_file():
                content = base64.b64encode(path.read_bytes()).decode()
                return f'{shown}<img alt="{name}" src="data:image/png;base64,{content}">'
        return shown
