"""What the frozen backbone sees of crops, computed once and kept in files."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.engine.array_files import create_array_file
from cnnkit.engine.dataset import CountedEpochs
from cnnkit.images import write_bytes
from cnnkit.models.feature_pyramid import SEGMENTER_STRIDES
from cnnkit.models.transfer import backbone_layers
from cnnkit.ops.inference import compile_inference
from cnnkit.tasks.segment.batches import MaskBatches
from cnnkit.tasks.segment.settings import TrainSettings
from cnnkit.tasks.segment.trainable import MAP, build_coarse


def cache_maps(
    model: keras.Model,
    layers: Mapping[int, keras.layers.Layer],
    batches: MaskBatches,
    views: int,
    folder: Path,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Passes the crops of some epochs through the backbone once.

    Args:
        model: that knows the statistics of its backbone.
        layers: of it, see `map_layers`.
        batches: of crops.
        views: epochs of them.
        folder: for the files, which are used again when they are there.
        on_progress: called with the number of crops done, and of all.

    Returns:
        Stride -> float16 `(N, crop / stride, crop / stride, channels)`, and classes uint8
        `(N, crop / 4, crop / 4)`, mapped from files.
    """
    paths = {str(stride): folder / f"maps-{stride}.npy" for stride in layers}
    paths["labels"] = folder / "labels.npy"
    record = folder / "maps.json"
    per_batch = len(batches[0][0])
    per_view = len(batches) * per_batch
    count = views * per_view
    if not record.exists():
        folder.mkdir(parents=True, exist_ok=True)
        taps = {
            str(stride): keras.ops.cast(layer.output, "float32") for stride, layer in layers.items()
        }
        see = compile_inference(keras.Model(model.inputs[0], taps), "float32")
        files: dict[str, np.memmap] = {}
        done = 0
        for view in range(views):
            batches.epoch = view
            for index in range(len(batches)):
                x, y = batches[index]
                found = {**see(x), "labels": y}
                rows = slice(done, done + len(x))
                for name, values in found.items():
                    if name not in files:
                        kind = np.uint8 if name == "labels" else np.float16
                        shape = (count, *values.shape[1:])
                        files[name] = create_array_file(paths[name], kind, shape)
                    files[name][rows] = values
                done += len(x)
                if on_progress is not None:
                    on_progress(done, count)
        for values in files.values():
            values.flush()
        # Written last: maps without it are those of a run that was stopped.
        write_bytes(record, json.dumps({"crops": count}).encode())
    maps = {stride: np.load(paths[str(stride)], mmap_mode="r") for stride in layers}
    return maps, np.load(paths["labels"], mmap_mode="r")


def map_layers(model: keras.Model) -> dict[int, keras.layers.Layer]:
    """The layers whose maps the rest of a segmenter is made of, by stride, largest first.

    Where the backbone's last layers are trained, what they make of the map before them is no map
    to be kept.

    Args:
        model: of `build_segmenter`, on one of `settings.VIEWED_BACKBONES`, with the layers frozen
            that are not trained.
    """
    is_trained = any(layer.trainable_variables for layer in backbone_layers(model))
    found = {}
    for stride in reversed(SEGMENTER_STRIDES[:-1] if is_trained else SEGMENTER_STRIDES):
        for layer in model.layers:
            if layer.name in (f"scale_{stride}", f"{MAP}{stride}"):
                found[stride] = layer
    return found


def build_head(model: keras.Model, variant: str) -> keras.Model:
    """What follows the backbone, up to scores four pixels apart; the layers are the model's.

    Args:
        model: see `map_layers`.
        variant: of it.

    Returns:
        Maps of the strides that the variant has, largest stride first -> scores.
    """
    # What is trained behind a map takes it before the layer that only names it.
    inputs = [
        layer.input if layer.name.startswith(MAP) else layer.output
        for layer in map_layers(model).values()
    ]
    return build_coarse(model, variant, inputs)


class MapBatches(CountedEpochs):
    """Batches of kept maps and classes; an epoch has as many crops as there are pictures.

    Args:
        maps: of `cache_maps`.
        labels: the same.
        strides: of the maps that a batch has, in their order.
        settings: of the training.
        epoch: to begin with.
        shard: `(rank, count)` of this process among those that share each batch.
    """

    def __init__(
        self,
        maps: dict[int, np.ndarray],
        labels: np.ndarray,
        strides: Iterable[int],
        settings: TrainSettings,
        epoch: int = 0,
        shard: tuple[int, int] = (0, 1),
    ):
        super().__init__(epoch)
        self._shard = shard
        self._maps, self._labels = [maps[stride] for stride in strides], labels
        self._settings = settings
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        views, size = self._settings.views, self._settings.batch_size
        return max(1, len(self._labels) // views // size)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        views, size = self._settings.views, self._settings.batch_size
        with self._lock:
            # All crops are seen once in as many epochs as there are views.
            turn, part = divmod(self.epoch, views)
            if self._order is None or self._order[0] != turn:
                random = np.random.default_rng([self._settings.seed, turn])
                self._order = turn, random.permutation(len(self._labels))
            begin = part * (len(self._labels) // views) + index * size
            rows = np.sort(self._order[1][begin : begin + size])
        rank, count = self._shard
        rows = np.array_split(rows, count)[rank]
        self._took(index)
        x = [one[rows].astype(np.float32) for one in self._maps]
        return (x[0] if len(x) == 1 else tuple(x)), self._labels[rows]
