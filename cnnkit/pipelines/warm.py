"""Compiles the networks that come with cnnkit, and keeps them for later processes."""

from collections.abc import Callable, Iterable, Mapping

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.images import Picture, to_uint8
from cnnkit.options import WARMED
from cnnkit.pipelines._face_recognition import FaceRecognizer
from cnnkit.pipelines._predictor import Predictor
from cnnkit.pipelines._stylize_fast import fast_stylizer
from cnnkit.tasks.caption.predict import Captioner
from cnnkit.tasks.detect.predict import Detector
from cnnkit.tasks.segment.predict import Segmenter


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
    _raise(one.error for one in Predictor().predict([picture]))


def _caption(picture: Picture) -> None:
    Captioner().caption([picture])


def _faces(picture: Picture) -> None:
    FaceRecognizer().analyzer.analyze([to_uint8(picture.pixels)])


def _stylize(picture: Picture) -> None:
    painter = fast_stylizer()
    # Its sides are multiples of 16, as they must be.
    painter.paint(picture.pixels, painter.measure(picture.pixels))


def _raise(results: Iterable[object]) -> None:
    """Raises the first error among results."""
    for one in results:
        if isinstance(one, CnnkitError):
            raise one


_RUNS: Mapping[str, Callable[[Picture], None]] = {
    "detect": _detect,
    "segment": _segment,
    "classify": _classify,
    "caption": _caption,
    "faces": _faces,
    "stylize": _stylize,
}
