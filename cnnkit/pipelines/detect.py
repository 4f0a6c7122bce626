"""What is where in pictures."""

from collections.abc import Iterable
from pathlib import Path

from cnnkit.errors import CnnkitError
from cnnkit.options import DEFAULT_DETECTOR, DetectOptions
from cnnkit.pipelines._detector import Detector
from cnnkit.results import Detection


def detect(
    sources: str | Path | Iterable[str | Path],
    *,
    model: str | Path = DEFAULT_DETECTOR,
    options: DetectOptions | None = None,
) -> list[Detection]:
    """Finds the objects in pictures.

    Args:
        sources: paths of pictures of any size and shape.
        model: "coco80" (shipped: COCO's 80 classes), the folder of a run of `cnnkit train detect`,
            its `.keras` file, or "yolo-fastest-xl" once its weights were fetched.
        options: least score, overlap, classes and size; see `DetectOptions`.

    Returns:
        A `Detection` for each picture, in order; boxes in pixels of the upright picture.

    Raises:
        UsageError: no such detector, or a class that it does not know.
        WeightsError: its file is not here.
        ImageError: a picture cannot be read.
    """
    one = isinstance(sources, (str, Path))
    paths = [str(path) for path in ([sources] if one else sources)]
    found = []
    for _, result in Detector(str(model), options).detect(paths):
        if isinstance(result, CnnkitError):
            raise result
        found.append(result)
    return found
