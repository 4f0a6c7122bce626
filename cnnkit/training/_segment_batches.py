"""Batches of crops with their masks, cut, scaled and recoloured at random."""

import math
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from PIL import Image

from cnnkit.data.augmentation import augment
from cnnkit.data.labelled import LabelledFiles
from cnnkit.data.masks import MaskCoding, MaskPairs, read_mask
from cnnkit.errors import DataError, ImageError
from cnnkit.images import fit_size, read_pixels
from cnnkit.options import IGNORE, AugmentOptions, SegmentTrainOptions
from cnnkit.training._batches import LabelledBatches

# Where a crop reaches beyond its picture.
_GREY = 124


class MaskBatches(LabelledBatches):
    """Batches of `(x, y)`: x float32 `(B, crop, crop, 3)` in [0, 1], y uint8 `(B, crop, crop)`.

    The same with any number of workers, and again for a run that is resumed; see
    `LabelledBatches`.

    Args:
        pairs: pictures and masks.
        coding: of the masks.
        options: of the training.
        epoch: to begin with.
    """

    def __init__(
        self, pairs: MaskPairs, coding: MaskCoding, options: SegmentTrainOptions, epoch: int = 0
    ):
        side = options.crop
        files = LabelledFiles(pairs.pictures, np.zeros(len(pairs), np.int64))
        super().__init__(
            files,
            1,
            (side, side, 3),
            min(options.batch_size, len(pairs)),
            shuffle=True,
            seed=options.seed,
            epoch=epoch,
        )
        self._masks, self._coding, self._options = pairs.masks, coding, options
        self._colors = colors_only(options)

    def _begin(self, epoch: int, index: int) -> tuple[tuple[np.ndarray, np.ndarray], list[Future]]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers_here, "cnnkit-batches")
        places = self._places(index)
        order = self._order(epoch)
        rows = order[places % len(order)]
        x = np.empty((len(rows), *self._shape), np.float32)
        y = np.empty(x.shape[:3], np.uint8)
        futures = [
            self._pool.submit(self._fill_pairs, x, y, rows, places, epoch, part)
            for part in np.array_split(np.arange(len(rows)), self._workers_here)
        ]
        return (x, y), futures

    def _fill_pairs(
        self,
        x: np.ndarray,
        y: np.ndarray,
        rows: np.ndarray,
        places: np.ndarray,
        epoch: int,
        part: np.ndarray,
    ) -> None:
        for i in part.tolist():
            random = np.random.default_rng([self._seed, epoch, int(places[i])])
            picture, mask = self._files.paths[rows[i]], self._masks[rows[i]]
            try:
                pixels, classes = read_pixels(picture), read_mask(mask, self._coding)
            except (ImageError, DataError) as error:
                raise DataError(f"{error}, or leave it out with --skip-bad") from None
            pixels, y[i] = crop_pair(pixels, classes, self._options, random)
            x[i] = augment(pixels, self._shape[:2], self._colors, random)

    def _finish(self, batch, epoch, index):
        return batch


def colors_only(options: SegmentTrainOptions) -> AugmentOptions:
    """The changes that move nothing."""
    return AugmentOptions(
        **{
            **dict.fromkeys(("mirror", "rotation", "shear", "crop", "stretch"), 0.0),
            "color": options.color,
            "pca_color": 0.1 if options.color else 0.0,
        }
    )


def crop_pair(
    pixels: np.ndarray,
    classes: np.ndarray,
    options: SegmentTrainOptions,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the same square out of a picture and its mask, at a random scale and place.

    Args:
        pixels: uint8 `(H, W, 3)`.
        classes: uint8 `(H, W)`.
        options: `crop`, scales and `mirror` of the training.
        random: where the draws come from.

    Returns:
        uint8 `(crop, crop, 3)` and `(crop, crop)`. Where a small picture does not fill the
        square, it is grey there and the label is to be ignored.
    """
    zoom, top, left, mirror = random.random(4).tolist()
    side = options.crop
    low, high = options.least_scale, options.most_scale
    scale = low * (high / low) ** zoom
    x = np.full((side, side, 3), _GREY, np.uint8)
    y = np.full((side, side), IGNORE, np.uint8)
    spans = []
    for size, draw in zip(classes.shape, (top, left), strict=True):
        # Pixels of the scaled picture, and where the square begins in it: before it, for a
        # picture that is smaller.
        scaled = max(1, round(size * scale))
        begin = math.floor(draw * (scaled - side + 1)) if scaled >= side else 0
        count = min(side, scaled)
        place = 0 if scaled >= side else math.floor(draw * (side - scaled + 1))
        spans.append((begin * size / scaled, (begin + count) * size / scaled, place, count))
    (y0, y1, row, rows), (x0, x1, column, columns) = spans
    box, size = (x0, y0, x1, y1), (columns, rows)
    target = slice(row, row + rows), slice(column, column + columns)
    image = Image.fromarray(pixels)
    x[target] = np.asarray(image.resize(size, Image.Resampling.BICUBIC, box, 3.0))
    y[target] = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST, box))
    if mirror < options.mirror:
        x, y = x[:, ::-1], y[:, ::-1]
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


def read_pair(
    picture: str, mask: str, coding: MaskCoding, long_side: int
) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its mask, made smaller where they are larger than that.

    Returns:
        uint8 `(H, W, 3)` and `(H, W)`.
    """
    pixels, classes = read_pixels(picture), read_mask(mask, coding)
    if max(classes.shape) <= long_side:
        return pixels, classes
    height, width = fit_size(*classes.shape, long_side)
    size = (width, height)
    return (
        np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)),
        np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST)),
    )
