"""Which part of a picture is stylised: what a mask shows, or what a segmenter finds."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from cnnkit.engine.settings import Option, Settings
from cnnkit.errors import ImageError, UsageError
from cnnkit.tasks.segment.settings import DEFAULT_SEGMENTER
from cnnkit.tasks.stylize.settings import LOOK_PANEL

if TYPE_CHECKING:
    from cnnkit.images import Picture
    from cnnkit.tasks.segment.predict import Segmenter

_SEGMENT = "segment:"
# A class that is there reaches this probability somewhere.
_SURE = 0.5


@dataclass(frozen=True)
class MaskSettings(Settings):
    """Which part of each picture is stylised."""

    mask: Annotated[
        str | None,
        Option(
            "White is stylised, black is kept; or what is found, such as segment:person.",
            LOOK_PANEL,
            metavar="FILE|segment:LABEL,...",
        ),
    ] = None
    invert_mask: Annotated[
        bool, Option("Keep what the mask would stylise, and stylise the rest.", LOOK_PANEL)
    ] = False
    segmenter: Annotated[
        str,
        Option(
            "What finds the labels of --mask segment:LABEL.",
            LOOK_PANEL,
            metavar="RUN|FILE.keras|NAME",
        ),
    ] = DEFAULT_SEGMENTER

    @property
    def labels(self) -> str | None:
        """The classes that are to be found, between commas; None for a file."""
        if self.mask is None or not self.mask.startswith(_SEGMENT):
            return None
        return self.mask.removeprefix(_SEGMENT)

    def check(self) -> None:
        """Refuses what would be ignored."""
        if self.mask is None and self.invert_mask:
            raise UsageError("--invert-mask is for --mask; give both")
        if self.labels is None and self.segmenter != DEFAULT_SEGMENTER:
            raise UsageError("--segmenter is for --mask segment:LABEL; give both")


class Mask:
    """The masks of all pictures of a command.

    Args:
        settings: where they come from.

    Attributes:
        path: of the file that shows the mask, or None.

    Raises:
        UsageError: no such segmenter, or a class that it does not know.
        WeightsError: the segmenter's weights are not here.
    """

    def __init__(self, settings: MaskSettings):
        self._settings = settings
        self.path = settings.mask if settings.labels is None else None
        self._class_ids: tuple[int, ...] = ()
        self._picture: Picture | None = None
        self._segmenter: Segmenter | None = None
        if settings.labels is not None:
            from cnnkit.tasks.segment.files import find_classes, find_segmenter_file

            file = find_segmenter_file(settings.segmenter, "--segmenter")
            self._class_ids = find_classes(settings.labels, file.classes, "--mask")

    def take(self, picture: "Picture") -> None:
        """Takes what the file shows; what is transparent there is black."""
        picture = picture.opaque(0.0)
        if self._settings.invert_mask:
            picture = replace(picture, pixels=1.0 - picture.pixels)
        self._picture = picture

    @property
    def name(self) -> str:
        """What the masks depend on, to know a stopped run of a video again by."""
        one = self._settings
        inverted = " inverted" * one.invert_mask
        segmenter = "" if one.labels is None else one.segmenter
        return f"{self.path or one.labels or ''}{inverted} {segmenter}".strip()

    def of_frame(self, pixels: Any) -> Any:
        """The mask of a frame of a video, in which the classes to be found may come and go."""
        if not self._class_ids:
            return self._picture
        from cnnkit.images import as_picture

        plane = self._find(as_picture(pixels, "the frame"))
        return 1.0 - plane if self._settings.invert_mask else plane

    def of(self, content: "Picture") -> Any:
        """The mask of a picture; None for all of it.

        Raises:
            ImageError: no class that is to be found is there.
        """
        if not self._class_ids:
            return self._picture
        plane = self._find(content)
        if plane.max() < _SURE:
            raise ImageError(
                f"{content.source or 'the picture'} shows no {self._settings.labels} that could be "
                "found; give --mask a picture that is white where to stylise"
            )
        return 1.0 - plane if self._settings.invert_mask else plane

    def _find(self, content: "Picture") -> Any:
        from cnnkit.tasks.segment.predict import Segmenter
        from cnnkit.tasks.segment.regions import soft_mask

        if self._segmenter is None:
            self._segmenter = Segmenter(self._settings.segmenter)
        return soft_mask(self._segmenter.label(content), self._class_ids)
