"""A trained segmenter on pictures."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.engine.networks import Networks, NetworkSource
from cnnkit.engine.predictor import each_source, keep_last, loaded, name_of
from cnnkit.engine.settings import check_scales
from cnnkit.errors import UsageError
from cnnkit.images import Picture, fit_size, read_image, resize
from cnnkit.options import DEFAULT_SEGMENTER, SEGMENT_SIZE
from cnnkit.results import Milliseconds, Region, Segment, Segmentation
from cnnkit.tasks.segment.files import find_segmenter_file

_SMALLEST_SIDE = 32
# How fast a cutout fades: from nothing to all while a class goes from this much less probable
# than all others together to this much more.
_FADE = 0.4
# Regions with fewer of the picture's pixels are specks.
_SPECK = 5e-4
# Of DeepLab's file, in TensorFlow Lite's format.
_DEEPLAB_SUFFIX = ".tflite"


class Segmenter:
    """A trained segmenter, compiled.

    Args:
        model: see `segment`.
        size: see `segment`.
        flip: see `segment`.
        scales: see `segment`.

    Attributes:
        names: of the classes.
        name: of the model.

    Raises:
        UsageError: no such segmenter, or sizes that make no sense.
        WeightsError: its weights are not here.
        DataError: what its file says of itself cannot be read.
    """

    def __init__(
        self,
        model: str = DEFAULT_SEGMENTER,
        *,
        size: int = SEGMENT_SIZE,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
    ):
        if size < _SMALLEST_SIDE:
            raise UsageError(f"size must be at least {_SMALLEST_SIDE} pixels, not {size}")
        check_scales(scales)
        file = find_segmenter_file(model)
        is_deeplab = file.path.suffix == _DEEPLAB_SUFFIX
        # They learned pictures of about the usual size; of smaller ones they know much less.
        self._enlarges = is_deeplab or file.name == DEFAULT_SEGMENTER
        networks = Networks(
            NetworkSource(
                f"segmenter {file.name}",
                "cnnkit.tasks.segment.network:"
                + ("build_deeplab_network" if is_deeplab else "build"),
                (file.path,),
            )
        )
        classes = networks.facts["classes"]
        if classes != len(file.classes):
            raise UsageError(f"{file.path} has {classes} classes but {len(file.classes)} names")
        self.name, self.names = file.name, file.classes
        self._size, self._flip, self._scales = size, flip, tuple(scales)
        self._run = networks["segmenter"]

    def segment(self, picture: Picture) -> Segmentation:
        """Labels one picture.

        Args:
            picture: sRGB.

        Returns:
            The `Segmentation`.
        """
        begin = time.monotonic()
        small = self._fitted(picture.opaque().pixels)
        seen = time.monotonic()
        probabilities = self.probabilities(small)
        known = time.monotonic()
        height, width = picture.pixels.shape[:2]
        classes, certain = label_pixels(probabilities, height, width)
        segments = find_segments(classes, certain, self.names)
        end = time.monotonic()
        return Segmentation(
            source=picture.source,
            classes=classes,
            probabilities=probabilities,
            names=self.names,
            segments=segments,
            model=self.name,
            ms=Milliseconds(
                pre=round(1e3 * (seen - begin), 1),
                net=round(1e3 * (known - seen), 1),
                post=round(1e3 * (end - known), 1),
            ),
        )

    def _fitted(self, pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        largest = self._size if self._enlarges else min(self._size, max(height, width))
        size = fit_size(height, width, largest)
        return np.clip(resize(pixels, *(max(_SMALLEST_SIDE, side) for side in size)), 0.0, 1.0)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """The probability of each class at each pixel, averaged over sizes and mirror images.

        Args:
            pixels: float32 `(height, width, 3)` in [0, 1].

        Returns:
            float32 `(height, width, classes)`.
        """
        height, width = pixels.shape[:2]
        total = np.zeros((height, width, len(self.names)), np.float32)
        for scale in self._scales:
            sides = [max(_SMALLEST_SIDE, round(side * scale)) for side in (height, width)]
            scaled = np.clip(resize(pixels, *sides), 0.0, 1.0)
            found = self._run(scaled[None])[0]
            if self._flip:
                found = 0.5 * (found + self._run(scaled[None, :, ::-1])[0][:, ::-1])
            total += found if found.shape == total.shape else resize_maps(found, height, width)
        return total / len(self._scales)


# Stays loaded for the next call with the same settings.
kept_segmenter = keep_last(Segmenter)


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
        segmenter.segment(loaded(source) or read_image(name_of(source)))
        for source in each_source(sources)
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


def resize_maps(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes maps bilinearly.

    Args:
        maps: float32 `(h, w)` or `(h, w, C)`.
        height: new height.
        width: new width.

    Returns:
        float32 of the new size.
    """
    if maps.ndim == 2:
        image = Image.fromarray(np.ascontiguousarray(maps, np.float32))
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    planes = [resize_maps(maps[..., index], height, width) for index in range(maps.shape[-1])]
    return np.stack(planes, axis=-1)


def label_pixels(
    probabilities: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class of each pixel of a picture of another size.

    Classes that are the most probable one nowhere in the maps are left out, so that memory does
    not grow with their number.

    Args:
        probabilities: float32 `(h, w, C)`.
        height: of the picture.
        width: of the picture.

    Returns:
        uint8 `(height, width)`, and its probability, float32 of the same shape.

    Example:

    >>> maps = np.zeros((1, 2, 3), np.float32)
    >>> maps[0, 0, 1] = maps[0, 1, 2] = 1.0
    >>> label_pixels(maps, 2, 4)[0].tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    coarse = probabilities.argmax(axis=-1)
    if coarse.shape == (height, width):
        certain = np.take_along_axis(probabilities, coarse[..., None], axis=-1)[..., 0]
        return coarse.astype(np.uint8), certain
    best = np.full((height, width), -1.0, np.float32)
    classes = np.zeros((height, width), np.uint8)
    for index in np.unique(coarse).tolist():
        plane = resize_maps(probabilities[..., index], height, width)
        is_better = plane > best
        best[is_better] = plane[is_better]
        classes[is_better] = index
    return classes, best


def find_segments(
    classes: np.ndarray, certain: np.ndarray, names: Sequence[str]
) -> tuple[Segment, ...]:
    """The classes of a picture, without the first one, and their connected regions.

    Pixels hang together where they have an edge in common. Regions of less than 0.05 % of the
    picture are left out, as long as there is a larger one.

    Args:
        classes: uint8 `(height, width)`.
        certain: probability of each pixel's class.
        names: of the classes.

    Returns:
        Largest first.

    Example:

    >>> classes = np.array([[1, 1, 0, 1]], np.uint8)
    >>> [one] = find_segments(classes, np.ones((1, 4)), ("background", "cat"))
    >>> one.label, one.area, one.box_xyxy, [region.area for region in one.regions]
    ('cat', 3, (0, 0, 4, 1), [2, 1])
    """
    # Imported here: SciPy takes as long as all the rest of a picture.
    from scipy import ndimage

    found = []
    for index in np.unique(classes).tolist():
        if index == 0:
            continue
        mask = classes == index
        marks, _ = ndimage.label(mask)
        areas = np.bincount(marks.ravel())[1:]
        regions = []
        for number, place in enumerate(ndimage.find_objects(marks), start=1):
            rows, columns = place
            regions.append(
                Region(
                    int(areas[number - 1]),
                    (columns.start, rows.start, columns.stop, rows.stop),
                    marks[place] == number,
                )
            )
        regions.sort(key=lambda region: -region.area)
        large = [region for region in regions if region.area >= _SPECK * classes.size]
        boxes = np.array([region.box_xyxy for region in regions])
        area = int(areas.sum())
        found.append(
            Segment(
                label=names[index],
                class_id=index,
                area=area,
                share=area / classes.size,
                score=float(certain[mask].mean()),
                box_xyxy=(
                    *boxes[:, :2].min(axis=0).tolist(),
                    *boxes[:, 2:].max(axis=0).tolist(),
                ),
                regions=tuple(large or regions[:1]),
            )
        )
    return tuple(sorted(found, key=lambda one: -one.area))
