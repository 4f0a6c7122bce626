"""What trainings on plain pictures share: crops, runs that can be resumed, and their records."""

import fnmatch
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from cnnkit.engine.callbacks import Backup
from cnnkit.engine.run import (
    STATE,
    check_same_run,
    finished_epochs,
    read_results,
    restore,
    write_results,
)
from cnnkit.engine.workers import Workers
from cnnkit.errors import ImageError
from cnnkit.images import read_image, read_pixels, resize
from cnnkit.tasks.stylize.settings import CropSettings


def find_pictures(
    folders: Sequence[Path], held_out: Sequence[str] = ()
) -> tuple[list[Path], list[Path]]:
    """All JPEG and PNG files below some folders, split into training and held-out pictures.

    Args:
        folders: folders to search recursively.
        held_out: shell patterns such as "*/bsds/*"; a path that matches one is never trained on.

    Returns:
        `(training, held_out)` paths, each sorted.
    """
    training: list[Path] = []
    kept_out: list[Path] = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png") and path.is_file():
                matches = any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in held_out)
                (kept_out if matches else training).append(path)
    return training, kept_out


def random_crop(
    path: Path, size: int, random: np.random.Generator, recolor: bool = True
) -> np.ndarray:
    """One augmented `(size, size, 3)` crop in [0, 1]: random scale, place and mirror, and, where it
    is to be recoloured, colours and now and then noise.
    """
    image = Image.fromarray(read_pixels(str(path)))
    short = min(image.size)
    side = (
        short if short <= size else int(math.exp(random.uniform(math.log(size), math.log(short))))
    )
    left = int(random.integers(0, image.width - side + 1))
    top = int(random.integers(0, image.height - side + 1))
    box = (left, top, left + side, top + side)
    crop = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(crop, dtype=np.float32) / 255.0
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    if random.random() < 0.2:
        pixels = pixels[::-1].transpose(1, 0, 2)
    if not recolor:
        return np.ascontiguousarray(pixels)
    if random.random() < 0.5:
        gain = random.uniform(0.7, 1.3, size=3).astype(np.float32)
        shift = random.uniform(-0.1, 0.1, size=3).astype(np.float32)
        gamma = np.float32(math.exp(random.uniform(-0.4, 0.4)))
        pixels = np.clip(pixels**gamma * gain + shift, 0.0, 1.0)
    if random.random() < 0.1:
        pixels = np.clip(pixels + random.normal(0, 0.05, pixels.shape).astype(np.float32), 0, 1)
    return np.ascontiguousarray(pixels)


class RandomCrops(keras.utils.PyDataset):
    """Batches of augmented crops; batch `i` is the same in every run with the same seed.

    Args:
        paths: of pictures.
        settings: of the training.
        epoch: to begin with.
        recolor: change colours too.
    """

    def __init__(
        self, paths: Sequence[Path], settings: CropSettings, epoch: int = 0, recolor: bool = True
    ):
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self._settings, self._epoch = settings, epoch
        self._cropper = _Cropper(
            tuple(paths), settings.batch_size, settings.crop, settings.seed, recolor
        )
        self._makers = Workers(self._cropper.crop, settings.workers, "cnnkit-crops")
        self._pending: dict[int, Future[np.ndarray]] = {}

    def __len__(self) -> int:
        return self._settings.steps_per_epoch

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        step = self._epoch * self._settings.steps_per_epoch + index
        if not self._settings.workers:
            return (self._cropper.crop(step),)
        for ahead in range(step, step + 1 + self._settings.workers):
            if ahead not in self._pending:
                self._pending[ahead] = self._makers.submit(ahead)
        for passed in [one for one in self._pending if one < step]:
            self._pending.pop(passed).cancel()
        return (self._pending.pop(step).result(),)

    def on_epoch_end(self) -> None:
        self._epoch += 1


@dataclass(frozen=True)
class _Cropper:
    """Makes batches of crops, in whatever process."""

    paths: tuple[Path, ...]
    batch_size: int
    side: int
    seed: int
    recolor: bool

    def crop(self, step: int) -> np.ndarray:
        """The batch of a step of a run, float32 `(batch, side, side, 3)`."""
        random = np.random.default_rng([self.seed, step])
        chosen = random.integers(0, len(self.paths), size=self.batch_size)
        return np.stack(
            [random_crop(self.paths[i], self.side, random, self.recolor) for i in chosen]
        )


class CropModel(keras.Model):
    """A model that is trained on crops alone, and counts its losses itself."""

    def build(self, input_shape: Any) -> None:
        self.built = True

    def compute_metrics(self, *batch: Any, **rest: Any) -> dict[str, Any]:
        return {metric.name: metric.result() for metric in self.metrics}


class Record(keras.callbacks.Callback):
    """After each epoch: appends a row to `results.csv`, writes the weights so far, and reports.

    Args:
        folder: of the run.
        write: called before the report.
        on_epoch: called with the epoch's index and its losses.
    """

    def __init__(
        self,
        folder: Path,
        write: Callable[[], None],
        on_epoch: Callable[[int, dict[str, Any]], None] | None,
    ):
        super().__init__()
        self._folder = folder
        self._write = write
        self._on_epoch = on_epoch

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        row = {"epoch": epoch, **{key: float(value) for key, value in (logs or {}).items()}}
        # A row of an epoch that was not backed up is written again.
        before = [old for old in read_results(self._folder) if old["epoch"] < epoch]
        write_results(self._folder, [*before, row])
        self._write()
        if self._on_epoch:
            self._on_epoch(epoch, row)


def fit_crops(
    model: CropModel,
    crops: Callable[[int], RandomCrops],
    folder: Path,
    epochs: int,
    write: Callable[[], None],
    on_epoch: Callable[[int, dict[str, Any]], None] | None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains a compiled model, from where the run in a folder stands.

    Args:
        model: to be trained.
        crops: epoch that the run goes on with -> the batches from there on.
        folder: of the run.
        epochs: that there are to be.
        write: see `Record`.
        on_epoch: see `Record`.
        callbacks: that come before the rows are written.
    """
    state = folder / STATE
    begin = finished_epochs(state)
    restore(state, model)
    model.fit(
        crops(begin),
        epochs=epochs,
        initial_epoch=begin,
        shuffle=False,
        callbacks=[*callbacks, Record(folder, write, on_epoch), Backup(state)],
        verbose=0,
    )


def start_run(
    folder: Path, data: Sequence[str | Path], held_out: Sequence[str], settings: dict[str, Any]
) -> tuple[list[Path], list[Path]]:
    """Makes the folder of a run, or goes on with the one that is there.

    Returns:
        `(training, held_out)` pictures, see `find_pictures`.

    Raises:
        ImageError: there are no pictures.
        CnnkitError: the folder holds a run with other settings.
    """
    training, held = find_pictures([Path(part) for part in data], held_out)
    if not training:
        raise ImageError(f"no JPEG or PNG pictures below {', '.join(map(str, data))}; check --data")
    folder.mkdir(parents=True, exist_ok=True)
    check_same_run(folder, settings)
    return training, held


def read_for_report(path: Path, size: int = 256) -> np.ndarray:
    """The middle `(size, size, 3)` of a picture, made larger first where it is too small."""
    pixels = read_image(path).pixels
    scale = max(1.0, size / min(pixels.shape[:2]))
    height, width = (max(size, round(side * scale)) for side in pixels.shape[:2])
    pixels = np.clip(resize(pixels, height, width), 0.0, 1.0)
    top, left = (height - size) // 2, (width - size) // 2
    return pixels[top : top + size, left : left + size]
