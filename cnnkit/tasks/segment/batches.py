"""Batches of crops with their masks, cut, scaled and recoloured at random."""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.data._class_names import IGNORE
from cnnkit.data.augmentation import augment, draw_color_change
from cnnkit.data.labelled import LabelledFiles
from cnnkit.data.scenes import MOST_PLACED, Drawn, Placed, paint, plan_scene
from cnnkit.engine.device_pictures import (
    DevicePictures,
    change_numbers,
    empty_changes,
    empty_placements,
)
from cnnkit.engine.labelled_batches import LabelledBatches
from cnnkit.engine.settings import AugmentSettings
from cnnkit.errors import DataError, ImageError
from cnnkit.images import fit_size, read_pixels
from cnnkit.runtime import reader_count
from cnnkit.tasks.segment.data import MaskCoding, MaskPairs, read_mask
from cnnkit.tasks.segment.settings import TrainSettings
from cnnkit.tasks.segment.teacher_maps import TeacherMaps

# Every fourth pixel of a mask is learned: scores are 8 apart or more, and on all pixels the loss
# would take as long as the network.
COARSE = 4
# Of a teacher's features.
FEATURE_STEP = 8
# Where a crop reaches beyond its picture.
GREY = 124
# A picture shows a class from this share of its pixels on, and is drawn so many times as often as
# others at most: few pictures of a class, seen again and again, would be learned by heart.
_SHOWN = 0.005
_MOST_REPEATS = 10.0
# Share of the mosaics that have several pictures; others show one, about as large as the square.
_SEVERAL = 0.5
# By how much the sizes of their pictures differ, as a natural logarithm each way.
_SCALE = 0.25
# Tells the draws of an epoch's pictures from others of the same seed.
_DRAW = 2


class MaskBatches(LabelledBatches):
    """Batches of `(x, y)`: x float32 `(B, crop, crop, 3)` in [0, 1], and the class of every fourth
    pixel, y uint8 `(B, crop / 4, crop / 4)`.

    The same with any number of workers, and again for a run that is resumed; see
    `LabelledBatches`.

    Args:
        pairs: pictures and masks.
        coding: of the masks.
        settings: of the training.
        epoch: to begin with.
        repeats: `(N,)`, how often each pair is drawn, against each other; all alike by default. An
            epoch has as many crops as there are pairs nevertheless.
        on_device: the same pairs on the device that trains, which cuts the crops then; see
            `put_on_device`.
        teacher: what a teacher says of the same pairs.
        shard: see `LabelledBatches`.
    """

    def __init__(
        self,
        pairs: MaskPairs,
        coding: MaskCoding,
        settings: TrainSettings,
        epoch: int = 0,
        repeats: np.ndarray | None = None,
        on_device: DevicePictures | None = None,
        teacher: TeacherMaps | None = None,
        shard: tuple[int, int] = (0, 1),
    ):
        side = settings.crop
        files = LabelledFiles(pairs.pictures, np.zeros(len(pairs), np.int64))
        super().__init__(
            files,
            1,
            (side, side, 3),
            min(settings.batch_size, len(pairs)),
            shuffle=True,
            seed=settings.seed,
            epoch=epoch,
            shard=shard,
        )
        self._masks, self._coding, self._settings = pairs.masks, coding, settings
        self._colors = colors_only(settings)
        self._repeats, self._device, self._teacher = repeats, on_device, teacher

    def _order(self, epoch: int) -> np.ndarray:
        rows = super()._order(epoch)
        if self._repeats is None:
            return rows
        random = np.random.default_rng([self._seed, epoch, _DRAW])
        return random.permutation(draw_repeated(rows, self._repeats[rows], random.random()))

    def _begin(self, epoch: int, index: int) -> tuple[tuple[Any, np.ndarray], list[Future[Any]]]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers_here, "cnnkit-batches")
        places = self._places(index)
        order = self._order(epoch)
        rows = order[places % len(order)]
        if self._device is not None:
            fill: Callable[..., None] = self._fill_plans
            most = MOST_PLACED if self._settings.mosaic else 1
            x: Any = empty_placements(len(rows), most)
            y = empty_changes(len(rows))
        else:
            fill = self._fill_pairs
            x = (np.empty((len(rows), *self._shape), np.float32), *self._empty_maps(len(rows)))
            y = np.empty(x[0].shape[:3], np.uint8)
        futures = [
            self._pool.submit(fill, x, y, rows, places, order, epoch, part)
            for part in np.array_split(np.arange(len(rows)), self._workers_here)
        ]
        return (x, y), futures

    def _empty_maps(self, count: int) -> list[np.ndarray]:
        """Of crops that show nothing, what a teacher says."""
        if self._teacher is None:
            return []
        found = []
        for maps, step in ((self._teacher.scores, COARSE), (self._teacher.features, FEATURE_STEP)):
            if maps is not None:
                shape = count, self._settings.crop // step, self._settings.crop // step
                found += [np.zeros((*shape, maps.shape[-1]), np.float32)]
                found += [np.zeros(shape, np.float32)]
        return found

    def _fill_pairs(
        self,
        x: tuple[np.ndarray, ...],
        y: np.ndarray,
        rows: np.ndarray,
        places: np.ndarray,
        order: np.ndarray,
        epoch: int,
        part: np.ndarray,
    ) -> None:
        for i in part.tolist():
            random = np.random.default_rng([self._seed, epoch, int(places[i])])
            if _is_mosaic(self._settings, random):
                pixels, y[i], places_of = self._paint_mosaic(int(rows[i]), order, random)
            else:
                pixels, classes = self._read_row(rows[i])
                crop = plan_crop(classes.shape, self._settings, random)
                pixels, y[i] = crop_pair(pixels, classes, crop)
                places_of = [(int(rows[i]), crop.placement)]
            side = self._settings.crop
            x[0][i] = augment(pixels, (side, side), self._colors, random)
            if self._teacher is not None:
                self._cut_maps(self._teacher, [one[i] for one in x[1:]], places_of)

    def _cut_maps(
        self,
        teacher: TeacherMaps,
        maps: Sequence[np.ndarray],
        places: Sequence[tuple[int, Sequence[float]]],
    ) -> None:
        """Fills a crop's maps with what a teacher says of the pictures in it."""
        kinds = ("scores", COARSE), ("features", FEATURE_STEP)
        for number, (kind, step) in enumerate(kinds[: len(maps) // 2]):
            canvas, seen = maps[2 * number : 2 * number + 2]
            for row, placement in places:
                where = teacher.cut(kind, row, placement, step, canvas)
                seen[where] = 1.0

    def _fill_plans(
        self,
        placements: np.ndarray,
        changes: np.ndarray,
        rows: np.ndarray,
        places: np.ndarray,
        order: np.ndarray,
        epoch: int,
        part: np.ndarray,
    ) -> None:
        for i in part.tolist():
            random = np.random.default_rng([self._seed, epoch, int(places[i])])
            if _is_mosaic(self._settings, random):
                placed = self._plan_mosaic(int(rows[i]), order, random, self._measure_row)
                for number, one in enumerate(placed):
                    placements[i, number] = one.picture, *_placement(one)
            else:
                number, size = self._measure_row(rows[i])
                crop = plan_crop(size, self._settings, random)
                placements[i, 0] = number, *crop.placement
            changes[i] = change_numbers(draw_color_change(self._colors, random))

    def _plan_mosaic(
        self,
        row: int,
        order: np.ndarray,
        random: np.random.Generator,
        look: Callable[[int], tuple[Any, tuple[int, int]]],
    ) -> list[Placed]:
        """Where pictures lie on a mosaic: that of the row, and others as often as in an order.

        `look` gives a row's picture, or what stands for it, and its height and width.
        """
        first = iter([row])

        def draw() -> Drawn:
            drawn = next(first, None)
            if drawn is None:
                drawn = int(order[random.integers(len(order))])
            return *look(drawn), np.zeros((0, 4)), np.zeros((0, 0))

        placed, *_ = plan_scene(
            draw,
            self._settings.crop,
            random,
            mosaic=_SEVERAL,
            scale=_SCALE,
            horizontal_flip=self._settings.horizontal_flip,
        )
        return placed

    def _paint_mosaic(
        self, row: int, order: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, list[tuple[int, Sequence[float]]]]:
        """The pixels and classes of a mosaic, and which rows' pictures lie where."""
        side = self._settings.crop
        x = np.full((side, side, 3), GREY, np.uint8)
        y = np.full((side, side), IGNORE, np.uint8)
        places: list[tuple[int, Sequence[float]]] = []

        def look(row: int) -> tuple[Any, tuple[int, int]]:
            pixels, classes = self._read_row(row)
            return (row, pixels, classes), classes.shape

        for one in self._plan_mosaic(row, order, random, look):
            drawn, pixels, classes = one.picture
            paint(x, replace(one, picture=pixels))
            paint(y, replace(one, picture=classes), Image.Resampling.NEAREST)
            places.append((drawn, _placement(one)))
        return x, y, places

    def _measure_row(self, row: int) -> tuple[int, tuple[int, int]]:
        """A picture on the device."""
        assert self._device is not None
        height, width = self._device.sizes[row].tolist()
        return int(self._device.numbers[row]), (height, width)

    def _read_row(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        return _read_whole(self._files.paths[row], self._masks[row], self._coding)

    def _finish(self, batch: Any, made: list[Any], epoch: int, index: int) -> tuple[Any, ...]:
        if self._device is not None:
            return self._device.compose(*batch)
        x, y = batch
        return x if len(x) > 1 else x[0], y[:, COARSE // 2 :: COARSE, COARSE // 2 :: COARSE]


def _placement(placed: Placed) -> tuple[float, ...]:
    """Of a picture on a mosaic, what `Crop.placement` is of one in a crop."""
    return placed.mirrored, *placed.seen, *placed.whole


def _is_mosaic(settings: TrainSettings, random: np.random.Generator) -> bool:
    """Whether the next crop is one; draws nothing where none is wanted."""
    return settings.mosaic > 0 and random.random() < settings.mosaic


def put_on_device(
    pairs: MaskPairs,
    coding: MaskCoding,
    settings: TrainSettings,
    on_progress: Callable[[int, int], None] | None = None,
) -> DevicePictures:
    """Pairs for `MaskBatches`.

    Raises:
        DataError: a file cannot be read, or they are too many.
    """
    # Links to one file are one picture.
    files = [
        (os.path.realpath(picture), os.path.realpath(mask))
        for picture, mask in zip(pairs.pictures, pairs.masks, strict=True)
    ]

    def read(pair: tuple[str, str]) -> np.ndarray:
        pixels, classes = _read_whole(*pair, coding)
        return np.concatenate([pixels, classes[..., None]], axis=-1)

    return DevicePictures(files, read, settings.crop, GREY, COARSE, on_progress)


def _read_whole(picture: str, mask: str, coding: MaskCoding) -> tuple[np.ndarray, np.ndarray]:
    try:
        return read_pixels(picture), read_mask(mask, coding)
    except (ImageError, DataError) as error:
        raise DataError(f"{error}, or leave it out with --skip-bad") from None


def repeat_factors(pairs: MaskPairs, coding: MaskCoding, threshold: float) -> np.ndarray:
    r"""How often to draw each picture, so that rare classes are seen (Gupta et al., LVIS, 2019).

    .. math:: r_i = \max_{c \in i} \max(1, \sqrt{t / f_c})

    with the share f of the pictures that show class c, and at most 10.

    Args:
        pairs: pictures and masks; the masks are read.
        coding: of the masks.
        threshold: t, the share from which on a class is not rare.

    Returns:
        float64 `(N,)`, 1 or more.

    Raises:
        DataError: a mask cannot be read.
    """

    def look(mask: str) -> np.ndarray:
        counts = np.bincount(read_mask(mask, coding).reshape(-1), minlength=256)
        return counts[:IGNORE] > _SHOWN * counts.sum()

    with ThreadPoolExecutor(reader_count()) as pool:
        shows = np.stack(list(pool.map(look, pairs.masks)))
    shares = shows.mean(axis=0)
    factors = np.sqrt(threshold / np.maximum(shares, 1e-12))
    return np.where(shows, factors, 1.0).max(axis=1).clip(1.0, _MOST_REPEATS)


def draw_repeated(rows: np.ndarray, repeats: np.ndarray, offset: float) -> np.ndarray:
    """Draws as many rows as there are, each as often as it is to be repeated, give or take one.

    Args:
        rows: `(N,)`.
        repeats: `(N,)`, how often each is drawn, against each other.
        offset: from 0 to below 1, a draw.

    Returns:
        `(N,)`, the same row beside itself.

    >>> draw_repeated(np.array([7, 8, 9]), np.array([1.0, 4.0, 1.0]), 0.25).tolist()
    [7, 8, 8]
    """
    ends = np.cumsum(repeats) * (len(rows) / np.sum(repeats))
    places = np.searchsorted(ends, np.arange(len(rows)) + offset, side="right")
    # The sum may end a rounding error before the last place.
    return rows[np.minimum(places, len(rows) - 1)]


def colors_only(settings: TrainSettings) -> AugmentSettings:
    """The changes that move nothing."""
    return AugmentSettings(
        **{
            **dict.fromkeys(("horizontal_flip", "rotation", "shear", "crop", "stretch"), 0.0),
            "color": settings.color,
            "pca_color": 0.1 if settings.color else 0.0,
        }
    )


def crop_pair(
    pixels: np.ndarray,
    classes: np.ndarray,
    crop: "Crop",
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the same square out of a picture and its mask.

    Args:
        pixels: uint8 `(H, W, 3)`.
        classes: uint8 `(H, W)`.
        crop: of such a picture.

    Returns:
        uint8 `(side, side, 3)` and `(side, side)`. Where a small picture does not fill the
        square, it is grey there and the label is to be ignored.
    """
    side = crop.side
    x = np.full((side, side, 3), GREY, np.uint8)
    y = np.full((side, side), IGNORE, np.uint8)
    (y0, y1, row, rows), (x0, x1, column, columns) = crop.spans
    box, size = (x0, y0, x1, y1), (columns, rows)
    target = slice(row, row + rows), slice(column, column + columns)
    image = Image.fromarray(pixels)
    x[target] = np.asarray(image.resize(size, Image.Resampling.BICUBIC, box, 3.0))
    y[target] = np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST, box))
    if crop.mirrored:
        x, y = x[:, ::-1], y[:, ::-1]
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


@dataclass(frozen=True)
class Crop:
    """A square of a picture.

    Attributes:
        side: of the square, in pixels.
        scaled: height and width of the whole picture there.
        spans: for rows and columns: begin and end of what is seen, in the picture's pixels, and
            first and number of the pixels of the square that it fills.
        mirrored: all of the square, left for right.
    """

    side: int
    scaled: tuple[int, int]
    spans: tuple[tuple[float, float, int, int], tuple[float, float, int, int]]
    mirrored: bool

    @property
    def placement(self) -> tuple[float, ...]:
        """What `ops.sampling.sample_placements` takes, but for the picture's number."""
        (y0, y1, row, rows), (x0, x1, column, columns) = self.spans
        high, wide = self.scaled
        top, left = row - y0 * rows / (y1 - y0), column - x0 * columns / (x1 - x0)
        if self.mirrored:
            column, left = self.side - column - columns, self.side - left - wide
        return self.mirrored, column, row, column + columns, row + rows, left, top, wide, high


def plan_crop(size: Sequence[int], settings: TrainSettings, random: np.random.Generator) -> Crop:
    """Draws a crop, at a random scale and place.

    Args:
        size: height and width of the picture.
        settings: `crop`, scales and `horizontal_flip` of the training.
        random: where the draws come from.
    """
    zoom, top, left, flip = random.random(4).tolist()
    side = settings.crop
    low, high = settings.scale
    scale = low * (high / low) ** zoom
    spans: list[tuple[float, float, int, int]] = []
    whole: list[int] = []
    for length, draw in zip(size, (top, left), strict=True):
        # Pixels of the scaled picture, and where the square begins in it: before it, for a
        # picture that is smaller.
        scaled = max(1, round(length * scale))
        begin = math.floor(draw * (scaled - side + 1)) if scaled >= side else 0
        count = min(side, scaled)
        place = 0 if scaled >= side else math.floor(draw * (side - scaled + 1))
        spans.append((begin * length / scaled, (begin + count) * length / scaled, place, count))
        whole.append(scaled)
    (high, wide), (rows, columns) = whole, spans
    return Crop(side, (high, wide), (rows, columns), flip < settings.horizontal_flip)


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
    height, width = fit_size(classes.shape[0], classes.shape[1], long_side)
    size = (width, height)
    return (
        np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)),
        np.asarray(Image.fromarray(classes).resize(size, Image.Resampling.NEAREST)),
    )
