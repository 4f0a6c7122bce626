"""Batches of scenes with boxes, put together while the network computes."""

import math
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnkit.data.augmentation import augment, draw_color_change
from cnnkit.data.scenes import (
    MOST_PLACED,
    Boxed,
    Drawn,
    compose_scene,
    fit_scene,
    plan_scene,
)
from cnnkit.engine.dataset import BatchesAhead
from cnnkit.engine.device_pictures import (
    DevicePictures,
    change_numbers,
    empty_changes,
    empty_placements,
)
from cnnkit.engine.settings import AugmentSettings
from cnnkit.engine.workers import Workers
from cnnkit.errors import DataError, ImageError
from cnnkit.images import read_pixels
from cnnkit.tasks.detect.data import BoxedPictures
from cnnkit.tasks.detect.settings import TrainSettings


class SceneBatches(BatchesAhead):
    """Batches of `(x, y)` from pictures with boxes, the same whatever the number of workers.

    `x` is float32 `(B, side, side, 3)` in [0, 1] and `y` what `encode` makes of the boxes, float32.
    An epoch has as many scenes as there are pictures. Each is drawn from the seed, the epoch and
    its place; the first picture of each scene goes through all pictures in an order drawn for the
    epoch, the others of a mosaic are drawn from all. A run that is resumed with `epoch=k` sees what
    it would have seen.

    Args:
        pictures: to train on.
        settings: of the training.
        encode: boxes in pixels `(n, 4)` and `(n, 2)` rows of class and weight -> target of a scene.
        epoch: to begin with.
        random_changes: whether scenes are composed; otherwise each is one whole picture.
        on_device: the same pictures on the device that trains, which composes the scenes then;
            `x` is what `DevicePictures.compose` gives.
        shard: `(rank, count)` of this process among those that share each batch.
    """

    def __init__(
        self,
        pictures: BoxedPictures,
        settings: TrainSettings,
        encode: Callable[[np.ndarray, np.ndarray], np.ndarray],
        epoch: int = 0,
        random_changes: bool = True,
        on_device: DevicePictures | None = None,
        shard: tuple[int, int] = (0, 1),
    ):
        super().__init__(epoch)
        self._shard = shard
        self._pictures, self._settings, self._encode = pictures, settings, encode
        self._random_changes, self._device = random_changes, on_device
        # Whole pictures are few, and are asked for by batches of their own each time.
        processes = settings.workers if random_changes else 0
        make: Callable[..., Any]
        if on_device is None:
            make = _Composer(pictures, settings, random_changes).compose
        else:
            make = _Planner(pictures, settings, on_device.numbers, on_device.sizes).plan
            # A batch is made by one of them.
            self._ahead = max(self._ahead, processes)
        self._makers = Workers(make, processes, "cnnkit-scenes")
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, int))

    def __len__(self) -> int:
        return math.ceil(len(self._pictures) / self._settings.batch_size)

    def _begin(self, epoch: int, index: int) -> tuple[None, list[Future[Any]]]:
        if self._order[0] != epoch:
            rows = np.arange(len(self._pictures))
            if self._random_changes:
                rows = np.random.default_rng([self._settings.seed, epoch]).permutation(rows)
            self._order = epoch, rows
        size = self._settings.batch_size
        places = np.arange(index * size, (index + 1) * size)
        if not self._random_changes:
            places = places[places < len(self._pictures)]
        rank, count = self._shard
        places = np.array_split(places, count)[rank]
        rows = self._order[1][places % len(self._pictures)]
        if self._device is not None:
            return None, [self._makers.submit(rows, epoch, places)]
        return None, [
            self._makers.submit(int(row), epoch, int(place))
            for row, place in zip(rows, places, strict=True)
        ]

    def _finish(
        self, batch: None, made: list[Any], epoch: int, index: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._device is not None:
            placements, changes, objects = made[0]
            x = self._device.compose(placements, changes)
        else:
            x = np.stack([pixels for pixels, *_ in made]).astype(np.float32)
            x /= 255.0
            objects = [one for _, *one in made]
        return x, np.stack([self._encode(*one) for one in objects])


@dataclass(frozen=True, eq=False)
class _Composer:
    """Makes scenes, in whatever thread or process."""

    pictures: BoxedPictures
    settings: TrainSettings
    random_changes: bool

    def compose(self, row: int, epoch: int, place: int) -> Boxed:
        """The scene at a place of an epoch, beginning with one picture: pixels of 8 bits, boxes in
        pixels, and the class and weight of each.
        """
        settings = self.settings
        if not self.random_changes:
            return fit_scene(self._read(row), settings.seen_side)
        random = np.random.default_rng([settings.seed, epoch, place])
        take = _drawing(self._read, row, len(self.pictures), random)
        pixels, boxes, more = compose_scene(take, settings.side, random, **_shares(settings))
        x = augment(pixels, pixels.shape[:2], _color_only(settings), random)
        return (x * 255.0 + 0.5).astype(np.uint8), boxes, more

    def _read(self, row: int) -> Boxed:
        pixels = read_for_scenes(self.pictures.paths[row], self.settings)
        return pixels, *_objects(self.pictures, row)


@dataclass(frozen=True, eq=False)
class _Planner:
    """Draws the same scenes for pictures that are elsewhere.

    Attributes:
        pictures: of whose objects the scenes are.
        settings: of the training.
        numbers: `(N,)`, of the pictures there.
        sizes: `(N, 2)`, height and width of each.
    """

    pictures: BoxedPictures
    settings: TrainSettings
    numbers: np.ndarray
    sizes: np.ndarray

    def plan(
        self, rows: np.ndarray, epoch: int, places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """A batch of scenes: where pictures lie on each, how its colours change, and the boxes and
        the classes and weights of each.
        """
        settings = self.settings
        placements, changes = empty_placements(len(rows), MOST_PLACED), empty_changes(len(rows))
        objects = []
        for index, (row, place) in enumerate(zip(rows.tolist(), places.tolist(), strict=True)):
            random = np.random.default_rng([settings.seed, epoch, place])
            draw = _drawing(self._measure, row, len(self.pictures), random)
            placed, boxes, more = plan_scene(draw, settings.side, random, **_shares(settings))
            for number, one in enumerate(placed):
                placements[index, number] = (one.picture, one.mirrored, *one.seen, *one.whole)
            changes[index] = change_numbers(draw_color_change(_color_only(settings), random))
            objects.append((boxes, more))
        return placements, changes, objects

    def _measure(self, row: int) -> Drawn:
        return self.numbers[row], tuple(self.sizes[row]), *_objects(self.pictures, row)


def _drawing(
    read: Callable[[int], Any], row: int, count: int, random: np.random.Generator
) -> Callable[[], Any]:
    """Draws pictures for a scene: first one of its own, then any."""
    rows = iter([row])

    def draw() -> Any:
        drawn = next(rows, None)
        return read(int(random.integers(count)) if drawn is None else drawn)

    return draw


def _shares(settings: TrainSettings) -> dict[str, float]:
    return {name: getattr(settings, name) for name in ("mosaic", "scale", "horizontal_flip")}


def _color_only(settings: TrainSettings) -> AugmentSettings:
    return AugmentSettings(
        **{**vars(AugmentSettings.off()), "color": settings.color, "pca_color": 0.0}
    )


def _objects(pictures: BoxedPictures, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of a picture as parts of it, and rows of class and weight."""
    good = ~pictures.ignored[row]
    more = np.stack([pictures.class_ids[row], pictures.weights[row]], axis=-1)
    return pictures.boxes_xyxy_normalized[row][good], more[good].astype(np.float64)


def read_for_scenes(path: str, settings: TrainSettings) -> np.ndarray:
    """A picture, as large as scenes need it, uint8 `(H, W, 3)`.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return read_pixels(path, max(settings.side, settings.seen_side))
    except ImageError as error:
        raise DataError(f"{error}, or leave it out with --skip-bad") from None


def encode_objects(most: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Targets of `AlignedDetectionLoss`: `(most, 6)` of box, class and weight, filled with zeros.

    Of more objects the largest are kept.
    """

    def encode(boxes_xyxy: np.ndarray, more: np.ndarray) -> np.ndarray:
        target = np.zeros((most, 6), np.float32)
        rows = np.concatenate([boxes_xyxy, more], axis=-1)
        if len(rows) > most:
            sides = rows[:, 2:4] - rows[:, :2]
            rows = rows[np.argsort(-sides.prod(axis=-1), kind="stable")[:most]]
        target[: len(rows)] = rows
        return target

    return encode
