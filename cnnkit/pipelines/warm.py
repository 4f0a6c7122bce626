"""Compiles the networks that come with cnnkit, and keeps them for later processes."""

from collections.abc import Callable, Mapping

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.errors import UsageError
from cnnkit.images import Picture, to_uint8
from cnnkit.options import WARMED
from cnnkit.tasks.caption.predict import Captioner
from cnnkit.tasks.classify.predict import Classifier
from cnnkit.tasks.detect.predict import Detector
from cnnkit.tasks.faces.recognition import FaceRecognizer
from cnnkit.tasks.segment.predict import Segmenter
from cnnkit.tasks.stylize.draft import draft_painter


def warm_networks(command: str) -> None:
    """Compiles the networks of a command for pictures of a usual shape, by running them on one.

    Args:
        command: one of `options.WARMED`.

    Raises:
        UsageError: another one.
        CnnkitError: a network is not there, or cannot be run.
    """
    if command not in WARMED:
        raise UsageError(f"command must be one of {', '.join(WARMED)}, not {command!r}")
    _RUNS[command](load_sample(find_sample("astronaut")))


def _detect(picture: Picture) -> None:
    Detector("coco80").detect([picture])


def _segment(picture: Picture) -> None:
    Segmenter().label(picture)


def _classify(picture: Picture) -> None:
    Classifier().classify([picture])


def _caption(picture: Picture) -> None:
    Captioner().caption([picture])


def _faces(picture: Picture) -> None:
    FaceRecognizer().analyzer.analyze([to_uint8(picture.pixels)])


def _stylize(picture: Picture) -> None:
    painter = draft_painter()
    # Its sides are multiples of 16, as they must be.
    painter.paint(picture.pixels, painter.measure(picture.pixels))


_RUNS: Mapping[str, Callable[[Picture], None]] = {
    "detect": _detect,
    "segment": _segment,
    "classify": _classify,
    "caption": _caption,
    "faces": _faces,
    "stylize": _stylize,
}
