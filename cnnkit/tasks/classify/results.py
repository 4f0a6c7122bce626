"""What is told of pictures."""

from dataclasses import dataclass, field

from PIL import Image

from cnnkit.engine.classification import Classification
from cnnkit.engine.result import PlottedResult
from cnnkit.errors import UsageError
from cnnkit.images import Picture, read_image, to_uint8


@dataclass(frozen=True, repr=False)
class PictureClassification(Classification, PlottedResult):
    """What a picture shows, or what an array is.

    Attributes:
        picture: that is meant; None of a file, which is read again where it is drawn.
    """

    picture: Picture | None = field(default=None, compare=False)

    def plot(self) -> Image.Image:
        """The picture with its classes below it.

        Raises:
            UsageError: it is an array.
            ImageError: the picture is a file that cannot be read any more.
        """
        from cnnkit.plots import draw_captioned

        if self.size is None:
            raise UsageError(f"{self.source} is no picture that could be drawn")
        picture = read_image(self.source) if self.picture is None else self.picture
        return Image.fromarray(draw_captioned(to_uint8(picture.pixels), self.class_lines()))

    def lines(self) -> list[str]:
        """For people: the picture, and a line for each class where there are several."""
        shown = self.class_lines()
        if max(len(self.best), len(self.groups)) <= 1:
            return [f"{self.source}: {shown[0].strip()}"]
        return [self.source, *(f"  {line}" for line in shown)]
