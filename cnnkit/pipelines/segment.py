"""The class of every pixel of a picture, and what can be made of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.engine.predictor import each_source, loaded
from cnnkit.images import read_image
from cnnkit.options import DEFAULT_SEGMENTER, SEGMENT_SIZE
from cnnkit.pipelines._segmenter import kept_segmenter, resize_maps
from cnnkit.results import Segmentation

# How fast a cutout fades: from nothing to all while a class goes from this much less probable
# than all others together to this much more.
_FADE = 0.4


def segment(
    sources: Any,
    *,
    model: str | Path = DEFAULT_SEGMENTER,
    size: int = SEGMENT_SIZE,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
) -> list[Segmentation]:
    """Tells the class of every pixel of pictures.

    The segmenter stays loaded for the next call with the same settings.

    Args:
        sources: paths of pictures, or pictures in memory: arrays `(height, width)` or `(height,
            width, 1, 3 or 4)` of uint8 or of floats in [0, 1], `PIL.Image`, `Picture`; one or an
            iterable of them.
        model: "voc21" (shipped: the 20 classes of Pascal VOC and the background), "deeplab" (the
            same classes, once its weights were fetched), the folder of a run of `cnnkit train
            segment`, or its `.keras` file.
        size: pictures are seen at this long side, in pixels; with a model of your own smaller ones
            as they are.
        flip: average with what is seen of the mirror image.
        scales: average over pictures of these sizes, of that long side.

    Returns:
        A `Segmentation` for each, in order.

    Raises:
        UsageError: no such segmenter.
        WeightsError: its weights are not here.
        ImageError: a picture cannot be read.
        ValueError: an array is no picture.
    """
    segmenter = kept_segmenter(str(model), size=size, flip=flip, scales=tuple(scales))
    return [
        segmenter.segment(loaded(source) or read_image(source)) for source in each_source(sources)
    ]


def soft_mask(segmentation: Segmentation, class_ids: Sequence[int]) -> np.ndarray:
    """How much of each pixel belongs to some classes: 0 to 1, with soft edges.

    Where the probability of these classes together is as large as that of all others, it is 1/2.

    Args:
        segmentation: of the picture.
        class_ids: of the classes.

    Returns:
        float32 `(height, width)` of the picture's own size.
    """
    height, width = segmentation.classes.shape
    inside = segmentation.probabilities[..., list(class_ids)].sum(axis=-1)
    plane = resize_maps(inside, height, width)
    ramp = np.clip((plane - 0.5) / _FADE + 0.5, 0.0, 1.0)
    return ramp * ramp * (3.0 - 2.0 * ramp)
