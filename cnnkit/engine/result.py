"""Results that show themselves: as a picture, in a notebook, in a file."""

import abc
import io
import os

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
