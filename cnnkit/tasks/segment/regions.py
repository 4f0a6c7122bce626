"""From the probabilities of classes to the classes of pixels, and the regions that these form."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cnnkit.tasks.segment.results import Region, Segment, Segmentation

# Regions with fewer of the picture's pixels are specks.
_SPECK = 5e-4
# How fast a cutout fades: from nothing to all while a class goes from this much less probable
# than all others together to this much more.
_FADE = 0.4


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

    Pixels are connected where they have an edge in common. Regions of less than 0.05 % of the
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
