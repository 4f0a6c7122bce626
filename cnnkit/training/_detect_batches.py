"""Batches of scenes with boxes, put together while the network computes."""

import math
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from cnnkit.data.augmentation import augment
from cnnkit.data.boxes import BoxedPictures
from cnnkit.errors import DataError, ImageError
from cnnkit.images import read_pixels
from cnnkit.options import AugmentOptions, DetectTrainOptions
from cnnkit.training._batches import CountedEpochs
from cnnkit.training._scenes import Boxed, compose_scene, fit_scene
from cnnkit.training._workers import Workers

_AHEAD = 2


class SceneBatches(CountedEpochs):
    """Batches of `(x, y)` from pictures with boxes, the same whatever the number of workers.

    `x` is float32 `(B, side, side, 3)` in [0, 1] and `y` what `encode` makes of the boxes, float32.
    An epoch has as many scenes as there are pictures. Each is drawn from the seed, the epoch and
    its place; the first picture of each scene goes through all pictures in an order drawn for the
    epoch, the others of a mosaic are drawn from all. A run that is resumed with `epoch=k` sees what
    it would have seen.

    Args:
        pictures: to train on.
        options: of the training.
        encode: boxes in pixels `(n, 4)` and `(n, 2)` rows of class and weight -> target of a scene.
        epoch: to begin with.
        random_changes: whether scenes are composed; otherwise each is one whole picture.
    """

    def __init__(
        self,
        pictures: BoxedPictures,
        options: DetectTrainOptions,
        encode: Callable[[np.ndarray, np.ndarray], np.ndarray],
        epoch: int = 0,
        random_changes: bool = True,
    ):
        super().__init__(epoch)
        self._pictures, self._options, self._encode = pictures, options, encode
        self._random_changes = random_changes
        composer = _Composer(pictures, options, random_changes)
        # Whole pictures are few, and are asked for by batches of their own each time.
        processes = options.workers if random_changes else 0
        self._makers = Workers(composer.compose, processes, "cnnkit-scenes")
        self._pending: dict[tuple[int, int], list[Future]] = {}
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, int))

    def __len__(self) -> int:
        return math.ceil(len(self._pictures) / self._options.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches, no batch {index}")
        with self._lock:
            wanted = []
            for ahead in range(_AHEAD + 1):
                further, at = divmod(index + ahead, len(self))
                wanted.append((self.epoch + further, at))
            for step in set(self._pending) - set(wanted):
                for future in self._pending.pop(step):
                    future.cancel()
            for step in wanted:
                if step not in self._pending:
                    self._pending[step] = self._begin(*step)
            futures = self._pending.pop(wanted[0])
            try:
                pixels, *objects = zip(*(future.result() for future in futures), strict=True)
            except Exception as error:
                self.failure = error
                raise
            self._took(index)
            x = np.stack(pixels).astype(np.float32)
            x /= 255.0
            return x, np.stack([self._encode(*one) for one in zip(*objects, strict=True)])

    def _begin(self, epoch: int, index: int) -> list[Future]:
        if self._order[0] != epoch:
            rows = np.arange(len(self._pictures))
            if self._random_changes:
                rows = np.random.default_rng([self._options.seed, epoch]).permutation(rows)
            self._order = epoch, rows
        size = self._options.batch_size
        places = np.arange(index * size, (index + 1) * size)
        if not self._random_changes:
            places = places[places < len(self._pictures)]
        rows = self._order[1][places % len(self._pictures)]
        return [
            self._makers.submit(int(row), epoch, int(place))
            for row, place in zip(rows, places, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class _Composer:
    """Makes scenes, in whatever thread or process."""

    pictures: BoxedPictures
    options: DetectTrainOptions
    random_changes: bool

    def compose(self, row: int, epoch: int, place: int) -> Boxed:
        """The scene at a place of an epoch, beginning with one picture: pixels of 8 bits, boxes in
        pixels, and the class and weight of each.
        """
        options = self.options
        if not self.random_changes:
            return fit_scene(self._read(row), options.seen_side)
        random = np.random.default_rng([options.seed, epoch, place])
        rows = iter([row])

        def take() -> Boxed:
            drawn = next(rows, None)
            return self._read(int(random.integers(len(self.pictures))) if drawn is None else drawn)

        pixels, boxes, more = compose_scene(
            take,
            options.side,
            random,
            mosaic=options.mosaic,
            scale=options.scale,
            mirror=options.mirror,
        )
        color = AugmentOptions(
            **{**vars(AugmentOptions.off()), "color": options.color, "pca_color": 0.0}
        )
        x = augment(pixels, pixels.shape[:2], color, random)
        return (x * 255.0 + 0.5).astype(np.uint8), boxes, more

    def _read(self, row: int) -> Boxed:
        pictures, options = self.pictures, self.options
        try:
            pixels = read_pixels(pictures.paths[row], max(options.side, options.seen_side))
        except ImageError as error:
            raise DataError(f"{error}, or leave it out with --skip-bad") from None
        good = ~pictures.ignored[row]
        more = np.stack([pictures.class_ids[row], pictures.weights[row]], axis=-1)
        return pixels, pictures.boxes_xyxy_normalized[row][good], more[good].astype(np.float64)


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
