"""A trained segmenter on pictures."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnnkit.engine.networks import NetworkSource, open_networks
from cnnkit.engine.predictor import (
    Loaded,
    PictureSource,
    collect,
    each_source,
    keep_last,
    load_picture,
    milliseconds_since,
    predict_each,
)
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.images import Picture, fit_size, resize
from cnnkit.results import Milliseconds
from cnnkit.tasks.segment.files import DEEPLAB_SUFFIX, find_segmenter_file
from cnnkit.tasks.segment.regions import find_segments, label_pixels, resize_maps
from cnnkit.tasks.segment.results import Segmentation
from cnnkit.tasks.segment.settings import DEFAULT_SEGMENTER, SMALLEST_SIDE, SegmentSettings


class Segmenter:
    """A trained segmenter, compiled; several threads may use it.

    Args:
        model: see `segment`.
        settings: how pictures are looked at.

    Attributes:
        settings: the same.
        names: of the classes.
        name: of the model.

    Raises:
        UsageError: no such segmenter.
        WeightsError: its weights are not here.
        DataError: what its file says of itself cannot be read.

    Example:

    >>> from skimage.data import chelsea
    >>> Segmenter().segment(chelsea())
    [Segmentation(picture 1: cat ... %...)]
    """

    def __init__(
        self, model: str | Path = DEFAULT_SEGMENTER, settings: SegmentSettings | None = None
    ):
        self.settings = settings or SegmentSettings()
        file = find_segmenter_file(str(model))
        is_deeplab = file.path.suffix == DEEPLAB_SUFFIX
        # They learned pictures of about the usual size; of smaller ones they know much less.
        self._enlarges = is_deeplab or file.name == DEFAULT_SEGMENTER
        builder = "build_deeplab_network" if is_deeplab else "build"
        networks = open_networks(
            NetworkSource(
                f"segmenter {file.name}", f"cnnkit.tasks.segment.network:{builder}", (file.path,)
            )
        )
        classes = networks.facts["classes"]
        if classes != len(file.classes):
            raise UsageError(f"{file.path} has {classes} classes but {len(file.classes)} names")
        self.name, self.names = file.name, file.classes
        self._run = networks["segmenter"]

    def segment(self, sources: Any) -> list[Segmentation]:
        """Labels pictures; for arguments and errors see `cnnkit.segment`."""
        return collect(
            each_source(sources, keep_alpha=True),
            self.segment_each,
            lambda found: replace(found, picture=None),
        )

    def segment_each(
        self, sources: Iterable[PictureSource], *, stdin: Callable[[], bytes] | None = None
    ) -> Iterator[Segmentation | CnnkitError]:
        """Labels pictures one after another; one that cannot be read gives its error.

        The next one is read while the network looks at one; no more are in memory.

        Args:
            sources: paths, "-", or pictures.
            stdin: reads what "-" stands for.

        Yields:
            For each a `Segmentation` with the picture, or why there is none.
        """
        return predict_each(
            sources, lambda source: load_picture(source, stdin), self._describe, batch=1
        )

    def _describe(self, pictures: Sequence[Loaded[Picture]]) -> Iterator[Segmentation]:
        for one in pictures:
            found = self.label(one.value)
            yield replace(found, source=one.source, ms=replace(found.ms, load=round(one.ms, 1)))

    def label(
        self,
        picture: Picture,
        steady: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]] | None = None,
    ) -> Segmentation:
        """Labels one picture, sRGB; what alpha hides is white.

        Args:
            picture: to be labelled.
            steady: what the network says, `(h, w, C)` -> what counts, such as with what it said of
                the frames before.
        """
        begin = time.monotonic()
        small = self._fit(picture.opaque().pixels)
        pre, begin = milliseconds_since(begin), time.monotonic()
        probabilities = self.probabilities(small)
        if steady is not None:
            probabilities = steady(probabilities)
        net, begin = milliseconds_since(begin), time.monotonic()
        classes, certain = label_pixels(probabilities, picture.height, picture.width)
        segments = find_segments(classes, certain, self.names)
        times = (round(one, 1) for one in (pre, net, milliseconds_since(begin)))
        return Segmentation(
            *(picture.source, classes, probabilities, self.names, segments, self.name),
            ms=Milliseconds(0.0, *times),
            picture=picture,
        )

    def _fit(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        height, width = pixels.shape[:2]
        largest = self.settings.size
        if not self._enlarges:
            largest = min(largest, max(height, width))
        return _resize(pixels, *fit_size(height, width, largest))

    def probabilities(self, pixels: npt.NDArray[np.float32]) -> np.ndarray:
        """The probability of each class at each pixel, averaged over sizes and mirror images.

        Args:
            pixels: float32 `(height, width, 3)` in [0, 1].

        Returns:
            float32 `(height, width, classes)`.
        """
        height, width = pixels.shape[:2]
        total = np.zeros((height, width, len(self.names)), np.float32)
        for scale in self.settings.scales:
            scaled = _resize(pixels, round(height * scale), round(width * scale))
            found = self._run(scaled[None])[0]
            if self.settings.flip:
                found = 0.5 * (found + self._run(scaled[None, :, ::-1])[0][:, ::-1])
            total += found if found.shape == total.shape else resize_maps(found, height, width)
        return total / len(self.settings.scales)


def _resize(pixels: npt.NDArray[np.float32], height: int, width: int) -> npt.NDArray[np.float32]:
    return np.clip(resize(pixels, max(SMALLEST_SIDE, height), max(SMALLEST_SIDE, width)), 0.0, 1.0)


# Stays loaded for the next call with the same settings.
kept_segmenter = keep_last(Segmenter)


def segment(
    sources: Any,
    settings: SegmentSettings | None = None,
    *,
    model: str | Path = DEFAULT_SEGMENTER,
    **changes: Any,
) -> list[Segmentation]:
    """Tells the class of every pixel of pictures.

    The segmenter stays loaded for the next call with the same settings.

    Args:
        sources: paths of pictures, or pictures in memory: arrays `(height, width)` or `(height,
            width, 1, 3 or 4)` of uint8 or of floats in [0, 1], `PIL.Image`, `Picture`; one or an
            iterable of them.
        settings: size, mirror images and scales; see `SegmentSettings`.
        model: "voc21" (shipped: the 20 classes of Pascal VOC and the background), "deeplab" (the
            same classes, once its weights were fetched), the folder of a run of `cnnkit train
            segment`, or its `.keras` file.
        changes: of the settings, by name, such as `flip=True`.

    Returns:
        A `Segmentation` for each, in order.

    Raises:
        UsageError: no such segmenter, or settings that are not allowed.
        WeightsError: its weights are not here.
        ImageError: a picture cannot be read.
        ValueError: an array is no picture.
    """
    settings = replace(settings or SegmentSettings(), **changes)
    return kept_segmenter(str(model), settings).segment(sources)
