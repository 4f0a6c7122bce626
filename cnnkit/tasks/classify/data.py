"""Labelled examples for a training: checked, and brought to one shape."""

import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from cnnkit.data.labelled import DataReport, LabelledData, check_labelled, without_bad
from cnnkit.engine.distribution import Team
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import require_mostly_good
from cnnkit.errors import DataError, UsageError
from cnnkit.images import write_bytes
from cnnkit.tasks.classify.settings import PRETRAINED, TrainSettings
from cnnkit.tasks.classify.trainable import default_shape
from cnnkit.weights.keras_file import load_keras_file


def data_hash(data: LabelledData) -> str:
    """Of classes, names and labels; the same where the data was moved."""
    digest = hashlib.sha256("\n".join(data.classes).encode("utf-8", "surrogateescape"))
    for split in (data.train, data.val, data.test):
        if split is not None:
            # Names below the folder of the class: the data may be moved.
            names = "\n".join("/".join(Path(path).parts[-2:]) for path in split.paths)
            digest.update(names.encode("utf-8", "surrogateescape"))
            digest.update(split.labels.tobytes())
    return digest.hexdigest()


def check_data(
    source: str | Path,
    data: LabelledData,
    folder: Path,
    skip_bad: bool,
    observer: Observer,
    team: Team,
) -> LabelledData:
    """The data without what is bad, or an error that says what is."""
    path = folder / "check.json"

    def check() -> DataReport:
        known = json.loads(path.read_text()) if path.exists() else None
        return check_labelled(
            data, known=known, on_progress=functools.partial(observer.on_progress, "check")
        )

    # The others do not read what is in the report of process 0.
    team.first(lambda: write_bytes(path, json.dumps(check().files).encode()))
    report = check()
    for line in report.lines():
        observer.on_note(line)
    require_mostly_good(source, report.unreadable, len(report.files), skip_bad)
    return without_bad(data, report, keeps_repeats=not skip_bad)


def example_shape(data: LabelledData, settings: TrainSettings) -> tuple[int, ...]:
    """What all examples are brought to, channels last."""
    if data.kind == "arrays":
        takes_pictures = settings.model == "compact" or (
            settings.model in PRETRAINED and settings.regime != "scratch"
        )
        if takes_pictures or settings.size is not None:
            raise UsageError(
                f"{settings.model} takes pictures, and --size is for pictures; for arrays use "
                "--model convnet1d (signals) or convnet3d (volumes)"
            )
        first = np.load(data.train.paths[0], mmap_mode="r", allow_pickle=False)
        axes = {"convnet1d": 1, "convnet3d": 3}.get(settings.model, 2)
        shape = tuple(first.shape)
        return (*shape, 1) if len(shape) == axes else shape
    if settings.model in ("convnet1d", "convnet3d"):
        raise UsageError(f"{settings.model} takes arrays (.npy), not pictures; leave out --model")
    if settings.model.endswith(".keras"):
        shape = tuple(load_keras_file(settings.model, "--model").inputs[0].shape[1:])
    else:
        shape = default_shape(settings.model)
    if settings.size is not None:
        shape = (settings.size, settings.size, shape[-1])
    if None in shape:
        raise UsageError(f"{settings.model} takes pictures of any size; say which with --size")
    return shape


def channel_statistics(sample: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of examples `(N, ..., channels)`."""
    flat = sample.reshape(-1, sample.shape[-1]).astype(np.float64)
    if not np.isfinite(flat).all():
        raise DataError("the training data has values that are no numbers; check it for NaN")
    deviation = np.maximum(flat.std(axis=0), 1e-6)
    return flat.mean(axis=0).tolist(), deviation.tolist()
