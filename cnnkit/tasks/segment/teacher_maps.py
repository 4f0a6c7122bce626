"""What a teacher says of whole pictures, computed once and kept in files; crops are cut from it.

There it sees what a crop does not show, and it takes no time in the epochs.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from cnnkit.data.letterbox import fill_canvas
from cnnkit.engine.array_files import create_array_file
from cnnkit.errors import DataError, ImageError, UsageError
from cnnkit.images import read_pixels, write_bytes
from cnnkit.ops.boxes import Letterbox
from cnnkit.ops.inference import compile_inference
from cnnkit.runtime import reader_count

# Places along a side of the maps that are kept, at most: finer ones are averaged.
_MOST_PLACES = 40
# Numbers of the features that are kept of each place, at most.
_MOST_FEATURES = 64
# Pictures that these are chosen by, and places of each.
_SAMPLE, _SAMPLE_PLACES = 256, 200
# Pictures that the teacher sees at a time.
_BATCH = 8
_SCORES, _FEATURES, _FRAMES = "teacher-scores.npy", "teacher-features.npy", "teacher-frames.npy"
# Written last: files without it are those of a run that was stopped.
_RECORD = "teacher.json"


@dataclass(frozen=True, eq=False)
class TeacherMaps:
    """What a teacher says of each picture.

    Attributes:
        scores: float16 `(N, P, P, classes)`, of squares in whose middle the pictures lie.
        features: float16 `(N, Q, Q, K)`, what it makes them of, see `principal_features`; or None.
        frames: `(N, 4)`: top, left, height and width of the picture, as parts of its square.
        numbers: int64, which of the N each pair of pictures and masks has.
    """

    scores: np.ndarray
    features: np.ndarray | None
    frames: np.ndarray
    numbers: np.ndarray

    def cut(
        self, kind: str, row: int, placement: Sequence[float], step: int, canvas: np.ndarray
    ) -> tuple[slice, slice]:
        """Writes a picture's maps where it lies in a square of a training.

        Args:
            kind: "scores" or "features".
            row: of the pair.
            placement: whether it is mirrored, left, top, right and bottom of what is seen of the
                picture, and left, top, width and height of all of it, in pixels of the square; see
                `ops.sampling.sample_placements`.
            step: pixels from one place of the canvas to the next.
            canvas: float32 `(H / step, W / step, channels)`; what lies in the picture is changed.

        Returns:
            Where that is.
        """
        maps = getattr(self, kind)[self.numbers[row]]
        top, left, high, wide = self.frames[self.numbers[row]]
        mirrored, x0, y0, x1, y1, x, y, width, height = placement
        rows, down = _sampling(canvas.shape[0], step, (y0, y1), (y, height), (top, high), len(maps))
        columns, across = _sampling(
            canvas.shape[1], step, (x0, x1), (x, width), (left, wide), len(maps), bool(mirrored)
        )
        strip = np.tensordot(down, maps.astype(np.float32), 1)
        canvas[rows, columns] = np.matmul(across, strip)
        return rows, columns


def _sampling(
    count: int,
    step: int,
    seen: tuple[float, float],
    whole: tuple[float, float],
    frame: tuple[float, float],
    places: int,
    mirrored: bool = False,
) -> tuple[slice, np.ndarray]:
    """Along one axis: which places of a canvas lie in a picture, and how they are interpolated of
    those of its square, `(n, places)`."""
    middles = (np.arange(count) + 0.5) * step
    inside = np.flatnonzero((middles >= seen[0]) & (middles < seen[1]))
    if not len(inside):
        return slice(0, 0), np.zeros((0, places), np.float32)
    part = (middles[inside] - whole[0]) / whole[1]
    if mirrored:
        part = 1.0 - part
    at = np.clip((frame[0] + part * frame[1]) * places - 0.5, 0.0, places - 1.0)
    before = np.minimum(at.astype(int), max(places - 2, 0))
    weights = np.zeros((len(inside), places), np.float32)
    each = np.arange(len(inside))
    weights[each, before] = 1.0 - (at - before)
    weights[each, np.minimum(before + 1, places - 1)] += at - before
    return slice(inside[0], inside[-1] + 1), weights


def keep_teacher_maps(
    teacher: keras.Model,
    pictures: Sequence[str],
    folder: Path,
    side: int,
    with_features: bool,
    on_progress: Callable[[int, int], None] | None = None,
) -> TeacherMaps:
    """Shows a teacher all pictures once.

    Args:
        teacher: RGB in [0, 1] `(B, H, W, 3)` -> scores `(B, h, w, classes)`.
        pictures: files; links to one file are one picture.
        folder: for the maps, which are used again when they are there.
        side: of the squares that it sees, where it takes any.
        with_features: keep what its scores are made of too.
        on_progress: called with the number of pictures done, and of all.

    Raises:
        DataError: a picture cannot be read.
        UsageError: the teacher takes pictures that are no squares, or it makes its scores in a way
            that shows no features.
        ResourceError: there is no room for the maps.
    """
    height, width = teacher.inputs[0].shape[1:3]
    if height != width:
        raise UsageError(
            f"the teacher sees {height}x{width} pixels, and no squares; use --teacher-sees crops"
        )
    real = [os.path.realpath(picture) for picture in pictures]
    unique = list(dict.fromkeys(real))
    order = {picture: number for number, picture in enumerate(unique)}
    names = [_SCORES, _FEATURES, _FRAMES] if with_features else [_SCORES, _FRAMES]
    if not (folder / _RECORD).exists():
        folder.mkdir(parents=True, exist_ok=True)
        side = height or side
        outputs = {"scores": teacher.outputs[0]}
        if with_features:
            outputs["features"] = last_convolution(teacher).input
        see = compile_inference(keras.Model(teacher.inputs, outputs), "float32")
        project = None
        if with_features:
            sample = np.random.default_rng(0).permutation(len(unique))[:_SAMPLE]
            seen = _look(see, [unique[number] for number in sorted(sample)], side)
            project = principal_features([found["features"] for _, found in seen])
        files: dict[str, np.memmap] = {}
        done = 0
        for frames, found in _look(see, unique, side):
            values = {_FRAMES: frames, _SCORES: found["scores"]}
            if project is not None:
                values[_FEATURES] = project(found["features"])
            for name, one in values.items():
                if name not in files:
                    kind = np.float32 if name == _FRAMES else np.float16
                    shape = (len(unique), *one.shape[1:])
                    files[name] = create_array_file(folder / name, kind, shape)
                files[name][done : done + len(one)] = one
            done += len(frames)
            if on_progress is not None:
                on_progress(done, len(unique))
        for file in files.values():
            file.flush()
        write_bytes(folder / _RECORD, json.dumps({"pictures": len(unique)}).encode())
    maps = {name: np.load(folder / name, mmap_mode="r") for name in names}
    numbers = np.array([order[picture] for picture in real])
    return TeacherMaps(maps[_SCORES], maps.get(_FEATURES), maps[_FRAMES], numbers)


def last_convolution(model: keras.Model) -> keras.layers.Layer:
    """The last layer of a network that makes as many channels as it gives, of maps.

    Raises:
        UsageError: there is none.
    """
    channels = model.outputs[0].shape[-1]
    for layer in reversed(model.layers):
        if isinstance(layer, keras.layers.Conv2D) and layer.filters == channels:
            return layer
    raise UsageError(
        f"the teacher has no convolution that gives its {channels} scores; leave out "
        "--distill-features"
    )


def principal_features(samples: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    r"""Chooses what is kept of a teacher's maps: their principal components.

    .. math:: y_k = \lambda_k^{-1/4} v_k \cdot (x - \mu) / s

    with the eigenvalues and eigenvectors of their covariance, so that components of little variance
    count more than their share and less than all the same; s makes their mean variance 1.

    Args:
        samples: maps `(B, h, w, channels)`.

    Returns:
        Maps `(..., channels)` -> float32 `(..., K)`, K at most 64.

    Example:

    >>> maps = np.random.default_rng(0).normal(size=(2, 9, 9, 3)) * [4.0, 1.0, 0.0]
    >>> features = principal_features([maps])(maps)
    >>> features.shape, round(float(features.var(axis=(0, 1, 2)).mean()), 3)
    ((2, 9, 9, 2), 1.0)
    """
    random = np.random.default_rng(0)
    flat = []
    for maps in samples:
        rows = maps.reshape(len(maps), -1, maps.shape[-1])
        chosen = random.permutation(rows.shape[1])[:_SAMPLE_PLACES]
        flat.append(rows[:, chosen].reshape(-1, maps.shape[-1]))
    values = np.concatenate(flat).astype(np.float64)
    mean = values.mean(axis=0)
    variances, axes = np.linalg.eigh(
        np.cov((values - mean).T, bias=True).reshape(values.shape[1], -1)
    )
    order = np.argsort(-variances)[:_MOST_FEATURES]
    order = order[variances[order] > 1e-6 * variances.max()]
    axes = axes[:, order] * variances[order] ** -0.25
    axes = (axes / np.sqrt(np.mean(variances[order] ** 0.5))).astype(np.float32)
    mean = mean.astype(np.float32)
    return lambda maps: (maps.astype(np.float32) - mean) @ axes


def average_places(maps: np.ndarray, most: int = _MOST_PLACES) -> np.ndarray:
    """Maps of few places, averages of the finer ones that they cover.

    Args:
        maps: `(B, P, P, channels)`.
        most: places along a side, at most.

    Returns:
        float32, the same where there are no more.

    >>> average_places(np.arange(3.0).reshape(1, 3, 1, 1) * np.ones((1, 3, 3, 1)), 2)[0, :, 0, 0]
    array([0.33333334, 1.6666667 ], dtype=float32)
    """
    maps = np.asarray(maps, np.float32)
    fine = maps.shape[1]
    if fine <= most:
        return maps
    begins, ends = np.arange(fine), np.arange(most)[:, None] * fine / most
    shared = np.minimum(begins + 1, ends + fine / most) - np.maximum(begins, ends)
    shares = (np.maximum(shared, 0.0) * most / fine).astype(np.float32)
    return np.einsum("pi,bijc,qj->bpqc", shares, maps, shares, optimize=True)


def _look(
    see: Callable[..., dict[str, np.ndarray]], pictures: Sequence[str], side: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """What a network sees of pictures in squares, a few at a time: where they lie, and its maps."""

    def read(path: str) -> tuple[np.ndarray, tuple[float, ...]]:
        try:
            pixels = read_pixels(path)
        except ImageError as error:
            raise DataError(f"{error}, or leave it out with --skip-bad") from None
        height, width = pixels.shape[:2]
        box = Letterbox.fit(height, width, side)
        frame = box.top, box.left, box.scaled_height, box.scaled_width
        return fill_canvas(pixels, box), tuple(one / side for one in frame)

    with ThreadPoolExecutor(reader_count()) as pool:
        for begin in range(0, len(pictures), _BATCH):
            squares, frames = zip(*pool.map(read, pictures[begin : begin + _BATCH]), strict=True)
            x = np.stack(squares)
            # As many each time, for backends that compile each size.
            missing = min(_BATCH, len(pictures)) - len(x)
            x = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
            found = see(x.astype(np.float32) / 255.0)
            maps = {name: average_places(one[: len(frames)]) for name, one in found.items()}
            yield np.array(frames), maps
