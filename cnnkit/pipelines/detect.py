"""What is where in pictures."""

from pathlib import Path
from typing import Any

from cnnkit.errors import CnnkitError
from cnnkit.options import DEFAULT_DETECTOR, DetectOptions
from cnnkit.pipelines._detector import Detector
from cnnkit.pipelines._keep_last import keep_last
from cnnkit.pipelines._sources import each_source
from cnnkit.results import Detection

_detector = keep_last(Detector)


def detect(
    sources: Any,
    *,
    model: str | Path = DEFAULT_DETECTOR,
    options: DetectOptions | None = None,
) -> list[Detection]:
    """Finds the objects in pictures.

    The detector stays loaded for the next call with the same settings.

    Args:
        sources: paths of pictures, or pictures in memory: arrays `(height, width)` or `(height,
            width, 1, 3 or 4)` of uint8 or of floats in [0, 1], `PIL.Image`, `Picture`; one or an
            iterable of them.
        model: "coco80" (shipped: COCO's 80 classes), the folder of a run of `cnnkit train detect`,
            its `.keras` file, or "yolo-fastest-xl" once its weights were fetched.
        options: least score, overlap, classes and size; see `DetectOptions`.

    Returns:
        A `Detection` for each picture, in order; boxes in pixels of the upright picture.

    Raises:
        UsageError: no such detector, or a class that it does not know.
        WeightsError: its file is not here.
        ImageError: a picture cannot be read.
        ValueError: an array is no picture.
    """
    found = []
    for _, result in _detector(str(model), options).detect(each_source(sources)):
        if isinstance(result, CnnkitError):
            raise result
        found.append(result)
    return found
