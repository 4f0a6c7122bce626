"""Train decoders: pictures in, networks that turn activations back into pictures out.

Each level is trained by itself against the frozen backbone, to give back pixels and, seen again by
the backbone, activations (Li et al. 2017): `|D(f) - I|^2 + a |E(D(f)) - f|^2 + b TV(D(f))`.

The activations are whitened first: their channels are so alike that Adam would hardly move
otherwise. Batch normalisation helps for the same reason, but is noise where pixels should be exact.
So both are folded away, the last convolution is solved by least squares, and the plain decoder is
polished with small steps, on pictures in the colours that they have. The first level, next to
linear, begins with the least squares.
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.engine.callbacks import Clock
from cnnkit.engine.run import STATE, finished_epochs
from cnnkit.engine.trainer import cosine_decay
from cnnkit.images import write_bytes
from cnnkit.models._decoder_levels import entrance
from cnnkit.models.decoder import build_decoder, load_decoder
from cnnkit.models.vgg import (
    COMPACT_WIDTHS,
    VGG19_CONVOLUTIONS,
    build_feature_network,
)
from cnnkit.ops.inference import compiles_training
from cnnkit.runtime import has_accelerator
from cnnkit.tasks.stylize.crops import (
    CropModel,
    RandomCrops,
    fit_crops,
    read_for_report,
    start_run,
)
from cnnkit.tasks.stylize.layer_statistics import LayerStatistics, mix_statistics
from cnnkit.tasks.stylize.loss import layer_statistics
from cnnkit.tasks.stylize.settings import DecoderSettings
from cnnkit.weights.convolutions import (
    Convolutions,
    convolution_weights,
    encode_convolutions,
    set_convolution_weights,
)

# Directions of the activations with less than this share of the largest variance are noise.
_LEAST_VARIANCE = 1e-4
# Filters of the blocks that the decoders end with: more than the backbone's in the first blocks,
# which weigh little.
_WIDTHS = (24, 48, 96, 128)
# And of the convolution that the first level has before its last.
_FIRST_EXTRA = (48,)
# In bfloat16 the first two levels could not be as exact as they can be, and they cost least. Most
# processors only imitate it, and take ten times as long.
_MIXED_FROM_LEVEL = 3


class DecoderTrainer(CropModel):
    """A decoder behind a frozen backbone, and the loss against the picture itself.

    Args:
        backbone: RGB `(batch, height, width, 3)` in [0, 1] -> dict with `layer`.
        layer: whose activations are decoded.
        decoder: see `build_decoder`.
        statistics: of the activations over many pictures.
        whiten: show the decoder whitened activations.
        feature_weight: a, of the activations' squared error over each channel's variance.
        tv_weight: b, of the total variation.
    """

    def __init__(
        self,
        backbone: keras.Model,
        layer: str,
        decoder: keras.Model,
        statistics: LayerStatistics,
        *,
        whiten: bool = True,
        feature_weight: float = 0.0,
        tv_weight: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.decoder = decoder
        self.layer = layer
        self._whitening = None
        if whiten:
            matrix = whitening_matrix(statistics.covariance)
            offset = -statistics.mean @ matrix
            self._whitening = matrix.astype(np.float32), offset.astype(np.float32)
        variance = np.diag(statistics.covariance)
        self._precision = (1.0 / np.maximum(variance, 1e-3 * variance.mean())).astype(np.float32)
        self._weights = feature_weight, tv_weight
        self.trackers = [keras.metrics.Mean(name=name) for name in ("loss", "pixels", "features")]
        self.build((None, None, None, 3))

    @property
    def metrics(self) -> list[keras.Metric]:
        return self.trackers

    def decoder_weights(self) -> Convolutions:
        """The decoder as plain convolutions that take the backbone's activations as they are."""
        weights = convolution_weights(self.decoder)
        return fold_input(weights, *self._whitening) if self._whitening else weights

    def call(self, images: Any, training: bool = False) -> dict[str, Any]:
        activations = self._activations(images)
        seen = activations
        if self._whitening:
            matrix, offset = self._whitening
            seen = keras.ops.matmul(activations, matrix) + offset
        return {"pixels": self.decoder(seen, training=training), "activations": activations}

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *rest: Any) -> Any:
        ops = keras.ops
        images, activations = y_pred["pixels"], y_pred["activations"]
        pixels = ops.mean(ops.square(images - x))
        seen = self._activations(images)
        features = ops.mean(ops.square(seen - activations) * self._precision)
        tv = ops.mean(ops.square(images[:, 1:] - images[:, :-1])) + ops.mean(
            ops.square(images[:, :, 1:] - images[:, :, :-1])
        )
        feature_weight, tv_weight = self._weights
        loss = pixels + feature_weight * features + tv_weight * tv
        for tracker, value in zip(self.trackers, (loss, pixels, features), strict=True):
            tracker.update_state(value)
        return loss

    def _activations(self, images: Any) -> Any:
        return keras.ops.cast(self.backbone(images, training=False)[self.layer], "float32")


def whitening_matrix(covariance: np.ndarray) -> np.ndarray:
    """The symmetric `W` with `W S W = I`, but for directions in which S has next to nothing.

    >>> whitening_matrix(np.diag([4.0, 1.0]))
    array([[0.5, 0. ],
           [0. , 1. ]])
    """
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, _LEAST_VARIANCE * values.max())
    return (vectors / np.sqrt(values)) @ vectors.T


def fold_input(weights: Convolutions, matrix: np.ndarray, offset: np.ndarray) -> Convolutions:
    """Puts an affine map of the input into the first of a chain of convolutions.

    `w * (f M + o) + b = (w M) * f + (b + sum w o)`: exact with a padding that repeats values.

    Args:
        weights: layer -> `(kernel (3, 3, in, out), bias (out,))`, the first layer first.
        matrix: M, `(in, in)`.
        offset: o, `(in,)`.

    Returns:
        New weights, float32.
    """
    first = next(iter(weights))
    kernel, bias = (array.astype(np.float64) for array in weights[first])
    bias = bias + np.einsum("hwio,i->o", kernel, offset)
    kernel = np.einsum("ij,hwjo->hwio", matrix, kernel)
    return {**weights, first: (kernel.astype(np.float32), bias.astype(np.float32))}


def measure_statistics(
    backbone: keras.Model, layer: str, batches: Iterable[np.ndarray]
) -> LayerStatistics:
    """Moments of a layer's activations over batches of pictures `(batch, height, width, 3)`."""
    parts = []
    for images in batches:
        maps = np.asarray(backbone.predict_on_batch(images)[layer], np.float32)
        parts.append(layer_statistics(maps.reshape(1, -1, maps.shape[-1])))
    return mix_statistics(parts, [1.0] * len(parts))


def reconstruction_psnr(
    backbone: keras.Model, layer: str, decoder: keras.Model, images: Iterable[np.ndarray]
) -> float:
    """Mean peak signal-to-noise ratio of decoded pictures, in dB.

    `PSNR = -10 log10 mean((D(E(I)) - I)^2)` of each picture in [0, 1], then the mean.

    Args:
        backbone: RGB in [0, 1] -> dict with `layer`.
        layer: whose activations are decoded.
        decoder: activations -> RGB.
        images: `(height, width, 3)`, sides multiples of 16.
    """
    ratios = []
    for image in images:
        decoded = decoder.predict_on_batch(backbone.predict_on_batch(image[None])[layer])[0]
        error = np.mean((np.clip(decoded, 0.0, 1.0) - image) ** 2, dtype=np.float64)
        ratios.append(-10.0 * math.log10(max(error, 1e-12)))
    return float(np.mean(ratios))


def train_decoder(
    data: Sequence[str | Path],
    output: str | Path,
    settings: DecoderSettings | None = None,
    held_out: Sequence[str] = (),
    on_epoch: Callable[[int, int, dict[str, Any]], None] | None = None,
    start: str | Path | None = None,
) -> dict[int, float]:
    """Trains a decoder for each level and writes them, resuming where an earlier run stopped.

    Args:
        data: folders with pictures, searched recursively.
        output: run folder: `decoder.npz` (float16, all levels, see `models.decoder`), and for each
            level a folder with its weights so far, and for training and polishing `results.csv`
            and the state to resume from.
        settings: see `DecoderSettings`.
        held_out: patterns of pictures that are kept for the report, see `find_pictures`.
        on_epoch: called with the level, the epoch's index and its losses.
        start: file of decoders to polish, of any widths, instead of training new ones first.

    Returns:
        PSNR of each level on the held-out pictures, in dB (empty without any); also in
        `report.json`.

    Raises:
        CnnkitError: no pictures, or a folder that holds a run with other settings.
        WeightsError: `start` is damaged, or lacks a level.
    """
    settings = settings or DecoderSettings()
    folder = Path(output)
    kept = asdict(settings)
    if start is not None:
        kept["start"] = str(start)
    for changing in ("levels", "workers", "time_budget"):
        del kept[changing]
    training, held = start_run(folder, data, held_out, kept)
    weights: Convolutions = {}
    report = {}
    for level in settings.levels:
        plain = _train_level(
            level, training, folder / f"level{level}", settings,
            start,
            None if on_epoch is None else lambda *told, level=level: on_epoch(level, *told),
        )  # fmt: skip
        weights.update({f"decoder{level}/{layer}": arrays for layer, arrays in plain.items()})
        write_bytes(folder / "decoder.npz", encode_convolutions(weights))
        if held:
            # As it was written, whatever its shape.
            decoder = load_decoder(level, folder / "decoder.npz")
            backbone = build_feature_network("compact", [entrance(level)], settings.pooling).model
            images = (read_for_report(path) for path in held)
            report[level] = reconstruction_psnr(backbone, entrance(level), decoder, images)
            write_bytes(folder / "report.json", json.dumps(report, indent=1).encode())
    return report


def _train_level(
    level: int,
    pictures: Sequence[Path],
    folder: Path,
    settings: DecoderSettings,
    start: str | Path | None,
    on_epoch: Callable[[int, dict[str, Any]], None] | None,
) -> Convolutions:
    """Trains and polishes one decoder, or polishes a given one; returns its plain weights."""
    folder.mkdir(exist_ok=True)
    layer = entrance(level)
    keras.utils.set_random_seed(settings.seed)
    backbone = build_feature_network("compact", [layer], settings.pooling).model
    steps = settings.steps_of(level) if start is None else 0
    calibration = RandomCrops(pictures, settings, epoch=max(steps, settings.polish_steps))
    statistics = measure_statistics(backbone, layer, (calibration[index][0] for index in range(32)))

    def trainer(*, plain: bool) -> DecoderTrainer:
        is_mixed = level >= _MIXED_FROM_LEVEL and has_accelerator()
        with _policy("mixed_bfloat16" if is_mixed else "float32"):
            if start is None:
                decoder = _build(level, batch_normalization=not plain)
            else:
                decoder = load_decoder(level, start)
                decoder.trainable = True
            return DecoderTrainer(
                build_feature_network("compact", [layer], settings.pooling).model,
                layer,
                decoder,
                statistics,
                whiten=not plain,
                feature_weight=settings.feature_weight,
                tv_weight=settings.tv_weight,
                dtype="float32",
            )

    def fit(model: DecoderTrainer, name: str, rate: float, count: int, first: int) -> None:
        run = folder / name
        run.mkdir(exist_ok=True)
        epochs = math.ceil(count / settings.steps_per_epoch)
        schedule = cosine_decay(rate, count, min(settings.warmup_steps, count))
        clocks = []
        if settings.time_budget is not None:
            budget = settings.time_budget * count / (steps + settings.polish_steps)
            # A run that goes on has as much of it left as of its steps.
            clocks.append(
                Clock(schedule, count, budget, budget * finished_epochs(run / STATE) / epochs)
            )
        optimizer = keras.optimizers.Adam(rate if clocks else schedule, beta_2=0.99)
        model.compile(optimizer=optimizer, jit_compile=compiles_training())

        def write() -> None:
            write_bytes(folder / "decoder.npz", encode_convolutions(model.decoder_weights()))

        def report(epoch: int, row: dict[str, Any]) -> None:
            if on_epoch is not None:
                on_epoch(first + epoch, row)

        def crops(begin: int) -> RandomCrops:
            return RandomCrops(pictures, settings, first + begin, recolor=model is not polished)

        fit_crops(model, crops, run, epochs, write, report, clocks)

    polished = trainer(plain=True)
    epochs = 0
    if level == 1 and start is None:
        start_linear(polished.decoder)
    elif start is None:
        trained = trainer(plain=False)
        fit(trained, "trained", settings.learning_rate, steps, 0)
        epochs = math.ceil(steps / settings.steps_per_epoch)
        set_convolution_weights(polished.decoder, trained.decoder_weights())
    if start is None:
        solve_last(polished, (calibration[index][0] for index in range(32, 64)))
    fit(polished, "polished", settings.polish_learning_rate, settings.polish_steps, epochs)
    return polished.decoder_weights()


def _build(level: int, batch_normalization: bool = False) -> keras.Model:
    """A decoder of the shape that is shipped, with random weights."""
    widths = (*_WIDTHS[: level - 1], COMPACT_WIDTHS[level - 1])
    extra = _FIRST_EXTRA if level == 1 else _WIDTHS[:1]
    return build_decoder(
        level, widths, VGG19_CONVOLUTIONS, extra=extra, batch_normalization=batch_normalization
    )


def start_linear(decoder: keras.Model) -> None:
    """Makes the first level hand its activations on: they are not negative, so ReLU keeps them.

    Filters that there are beside stay as they are.
    """
    for layer in decoder.layers:
        if isinstance(layer, keras.layers.Conv2D) and layer.name.startswith("extra"):
            kernel, bias = layer.get_weights()
            count = min(kernel.shape[2:])
            kernel[..., :count] = 0.0
            kernel[1, 1, :count, :count] = np.eye(count, dtype=np.float32)
            layer.set_weights([kernel, bias])


def solve_last(trainer: DecoderTrainer, batches: Iterable[np.ndarray]) -> None:
    """Sets the last convolution to what gives the least squared error in pixels.

    Args:
        trainer: without whitening.
        batches: of pictures `(batch, height, width, 3)`.
    """
    decoder = trainer.decoder
    last = decoder.layers[-1]
    before = keras.Model(decoder.inputs[0], last.input)
    # Arrays from the first batch on.
    products: Any = 0.0
    targets: Any = 0.0
    for images in batches:
        activations = trainer.backbone.predict_on_batch(images)[trainer.layer]
        maps = np.asarray(before.predict_on_batch(activations), np.float64)  # padded by one
        height, width = images.shape[1:3]
        windows = [
            maps[:, row : row + height, column : column + width]
            for row in range(3)
            for column in range(3)
        ]
        flat = np.concatenate([*windows, np.ones((*images.shape[:3], 1))], axis=-1)
        flat = flat.reshape(-1, flat.shape[-1])
        products = products + flat.T @ flat
        targets = targets + flat.T @ images.reshape(-1, 3)
    ridge = 1e-9 * np.trace(products) / len(products) * np.eye(len(products))
    solution = np.linalg.solve(products + ridge, targets).astype(np.float32)
    last.set_weights([solution[:-1].reshape(last.kernel.shape), solution[-1]])


@contextlib.contextmanager
def _policy(name: str) -> Iterator[None]:
    """Keras' dtype policy while layers are made; weights stay float32 with any of them."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
