"""Distil a compact VGG-19 from a teacher: pictures in, a small feature network out.

The student has the layers and names of VGG-19 at a quarter of its width. It learns to predict the
teacher's activations (FitNets, Romero et al. 2014): each compared layer through a 1x1 convolution
with ReLU to the teacher's channels, or directly where teacher and student are equally wide. The
error of each channel is divided by that channel's variance, so that every layer and every channel
counts the same whatever its scale.
"""

import csv
import fnmatch
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from cnnkit.errors import CnnkitError, ImageError, WeightsError
from cnnkit.images import read_image, resize, write_bytes
from cnnkit.models.vgg import (
    COMPACT_LAST_LAYER,
    COMPACT_WIDTHS,
    build_vgg,
    layer_names,
    unit_preprocessing,
)
from cnnkit.options import BackboneOptions
from cnnkit.weights.convolutions import (
    convolution_weights,
    encode_convolutions,
    set_convolution_weights,
)

STUDENT_LAYERS = tuple(layer_names()[: layer_names().index(COMPACT_LAST_LAYER) + 1])
REPORTED_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
_HEAD_SUFFIX = "_to_vgg19"


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
    training, kept_out = [], []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png") and path.is_file():
                matches = any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in held_out)
                (kept_out if matches else training).append(path)
    return training, kept_out


def _random_crop(path: Path, size: int, random: np.random.Generator) -> np.ndarray:
    """One augmented `(size, size, 3)` crop in [0, 1]: random scale, place, mirror and colours."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        short = min(image.size)
        side = (
            short
            if short <= size
            else int(math.exp(random.uniform(math.log(size), math.log(short))))
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
    if random.random() < 0.5:
        gain = random.uniform(0.7, 1.3, size=3).astype(np.float32)
        shift = random.uniform(-0.1, 0.1, size=3).astype(np.float32)
        gamma = np.float32(math.exp(random.uniform(-0.4, 0.4)))
        pixels = np.clip(pixels**gamma * gain + shift, 0.0, 1.0)
    if random.random() < 0.1:
        pixels = np.clip(pixels + random.normal(0, 0.05, pixels.shape).astype(np.float32), 0, 1)
    return np.ascontiguousarray(pixels)


class RandomCrops(keras.utils.PyDataset):
    """Batches of augmented crops; batch `i` is the same in every run with the same seed."""

    def __init__(self, paths: Sequence[Path], options: BackboneOptions, epoch: int = 0):
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self._paths = list(paths)
        self._options = options
        self._epoch = epoch

    def __len__(self) -> int:
        return self._options.steps_per_epoch

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        options = self._options
        step = self._epoch * options.steps_per_epoch + index
        random = np.random.default_rng([options.seed, step])
        chosen = random.integers(0, len(self._paths), size=options.batch_size)
        return (np.stack([_random_crop(self._paths[i], options.crop, random) for i in chosen]),)

    def on_epoch_end(self) -> None:
        self._epoch += 1


def build_teacher(teacher: str | Path, layers: Sequence[str] = STUDENT_LAYERS) -> keras.Model:
    """Loads a teacher: RGB in [0, 1] -> dict of target name to activations.

    Args:
        teacher: "vgg19" weights in Keras' own file format (`.h5`), a `.keras` model whose layers
            have VGG-19's names, or an `.npz` of a compressed VGG-19 with arrays
            `block1_conv1/kernel`, `block1_conv1/bias`, ..., an `input/kernel` 1x1 convolution in
            front and `block1_conv1_to_vgg19/...` 1x1 heads.
        layers: layers to return. A head's output is named "<layer>_to_vgg19" and comes beside
            the compact activation.

    Returns:
        A frozen `keras.Model`.

    Raises:
        WeightsError: the file is missing or not one of these.
    """
    path = Path(teacher)
    if not path.is_file():
        raise WeightsError(f"{path} does not exist; give --teacher an .npz, .h5 or .keras file")
    if path.suffix == ".npz":
        model = _build_npz_teacher(path, layers)
    elif path.suffix == ".h5":
        source = keras.applications.VGG19(include_top=False, weights=str(path))
        model = build_vgg(outputs=layers, padding="same", name="teacher")
        set_convolution_weights(model, convolution_weights(source))
    elif path.suffix == ".keras":
        source = keras.models.load_model(path)
        model = keras.Model(
            source.inputs[0], {name: source.get_layer(name).output for name in layers}
        )
    else:
        raise WeightsError(f"{path} is no teacher; give --teacher an .npz, .h5 or .keras file")
    model.trainable = False
    return model


def _build_npz_teacher(path: Path, layers: Sequence[str]) -> keras.Model:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}

    def first(images):
        return keras.layers.Conv2D(3, 1, name="input")(images)

    widths = [arrays[f"block{block}_conv1/bias"].shape[0] for block in range(1, 6)]
    trunk = build_vgg(
        widths=widths, outputs=layers, preprocessing=first, padding="reflect", name="teacher"
    )
    outputs = dict(trunk.output)
    for layer in layers:
        head = f"{layer}{_HEAD_SUFFIX}"
        if f"{head}/kernel" in arrays:
            channels = arrays[f"{head}/bias"].shape[0]
            outputs[head] = keras.layers.Conv2D(channels, 1, activation="relu", name=head)(
                trunk.output[layer]
            )
    model = keras.Model(trunk.inputs[0], outputs, name="teacher")
    weights = {
        name: (arrays[f"{name}/kernel"], arrays[f"{name}/bias"])
        for name in {key.split("/")[0] for key in arrays}
    }
    set_convolution_weights(model, weights)
    return model


def channel_variances(teacher: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Variance of every target channel over `images` `(n, h, w, 3)`; target -> `(channels,)`."""
    targets = teacher.predict(images, batch_size=16, verbose=0)
    return {name: value.var(axis=(0, 1, 2)) for name, value in targets.items()}


def channel_scales(student: keras.Model, variances: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Standard deviation of the teacher's channel for every student channel compared with it.

    Returns:
        layer -> `(channels,)`; ones where student and teacher differ in width.
    """
    scales = {}
    for layer, output in student.output.items():
        variance = variances.get(layer)
        if variance is not None and variance.shape[0] == output.shape[-1]:
            scales[layer] = np.sqrt(np.maximum(variance, 1e-3 * variance.mean())).astype(np.float32)
        else:
            scales[layer] = np.ones(output.shape[-1], np.float32)
    return scales


def rescale_channels(
    weights: dict[str, tuple[np.ndarray, np.ndarray]], scales: dict[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Multiplies the activations of a chain of convolutions by a constant per channel.

    ReLU and pooling commute with a positive factor, so layer k gets `kernel * s_k / s_(k-1)` and
    `bias * s_k`, and what follows sees the same function as before.

    Args:
        weights: layer -> `(kernel (3, 3, in, out), bias (out,))`, in the order of the chain.
        scales: layer -> `(out,)`, positive.

    Returns:
        New weights, float32.
    """
    rescaled, before = {}, np.ones(1, np.float32)
    for layer, (kernel, bias) in weights.items():
        scale = scales[layer]
        rescaled[layer] = (kernel * scale / before[:, None], bias * scale)
        before = scale
    return rescaled


class Distiller(keras.Model):
    """Student, the heads it is compared through, and the loss against a frozen teacher.

    loss = mean over targets of mean over channels of  mean((t - s)^2) / var(t).

    Batch normalisation keeps the student's own activations near unit scale, which Adam likes. What
    is compared is the activation times a constant per channel (`channel_scales`): the scale of the
    teacher's channel where they are compared directly. `rescale_channels` folds it away at the end.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        variances: dict[str, np.ndarray],
        frozen_heads: dict[str, tuple[np.ndarray, np.ndarray]] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.student = student
        self.teacher = teacher
        self.scales = channel_scales(student, variances)
        self.heads = {}
        self._precision = {}
        for name, variance in variances.items():
            layer = name.removesuffix(_HEAD_SUFFIX)
            student_channels = student.output[layer].shape[-1]
            # The floor keeps a nearly constant channel from outweighing all others.
            precision = 1.0 / np.maximum(variance, 1e-3 * variance.mean())
            self._precision[name] = (precision / variance.shape[0]).astype(np.float32)
            if name.endswith(_HEAD_SUFFIX) or student_channels != variance.shape[0]:
                head = keras.layers.Conv2D(
                    variance.shape[0], 1, activation="relu", name=f"head_{name}"
                )
                head.build((None, None, None, student_channels))
                if frozen_heads and name in frozen_heads:
                    head.set_weights(list(frozen_heads[name]))
                self.heads[name] = head
        self.trackers = {name: keras.metrics.Mean(name=name) for name in variances}
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.build((None, None, None, 3))

    def build(self, input_shape) -> None:
        self.built = True

    @property
    def metrics(self) -> list:
        return [self.loss_tracker, *self.trackers.values()]

    def compact_weights(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The student as plain convolutions whose activations are what was compared."""
        return rescale_channels(convolution_weights(self.student), self.scales)

    def call(self, images, training=False):
        activations = {
            layer: value * self.scales[layer]
            for layer, value in self.student(images, training=training).items()
        }
        predictions = {}
        for name in self._precision:
            layer = name.removesuffix(_HEAD_SUFFIX)
            head = self.heads.get(name)
            predictions[name] = head(activations[layer]) if head else activations[layer]
        return predictions

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        targets = self.teacher(x, training=False)
        errors = []
        for name, precision in self._precision.items():
            squared = keras.ops.mean(
                keras.ops.square(keras.ops.stop_gradient(targets[name]) - y_pred[name]),
                axis=(0, 1, 2),
            )
            error = keras.ops.sum(squared * precision)
            self.trackers[name].update_state(error)
            errors.append(error)
        loss = keras.ops.mean(keras.ops.stack(errors))
        self.loss_tracker.update_state(loss)
        return loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {metric.name: metric.result() for metric in self.metrics}


def explained_variance(distiller: Distiller, images: Iterable[np.ndarray]) -> dict[str, float]:
    """Share of each target's variance that the student predicts, mean over live channels.

    `EV = mean_c (1 - mean((t_c - s_c)^2) / var(t_c))`, variance taken over the given pictures.

    Args:
        distiller: student, heads and teacher.
        images: pictures `(height, width, 3)` in [0, 1], all of one size.

    Returns:
        target name -> explained variance, at most 1.
    """
    sums: dict[str, np.ndarray] = {}
    for image in images:
        targets = distiller.teacher.predict_on_batch(image[None])
        predictions = distiller.predict_on_batch(image[None])
        for name in predictions:
            target = targets[name].astype(np.float64).reshape(-1, targets[name].shape[-1])
            error = (target - predictions[name].reshape(target.shape)) ** 2
            moments = [np.full(target.shape[1], len(target)), target.sum(0), (target**2).sum(0)]
            sums[name] = sums.get(name, 0.0) + np.stack([*moments, error.sum(0)])
    result = {}
    for name, (count, total, squares, error) in sums.items():
        variance = squares / count - (total / count) ** 2
        live = variance > 1e-4 * variance.mean()
        result[name] = float(np.mean(1.0 - (error / count)[live] / variance[live]))
    return result


class _Record(keras.callbacks.Callback):
    """Appends a row to `results.csv`, saves the folded student, and reports each epoch."""

    def __init__(self, folder: Path, on_epoch: Callable[[int, dict], None] | None):
        super().__init__()
        self._folder = folder
        self._on_epoch = on_epoch

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        row = {"epoch": epoch, **{key: float(value) for key, value in (logs or {}).items()}}
        path = self._folder / "results.csv"
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        write_bytes(self._folder / "last.npz", encode_convolutions(self.model.compact_weights()))
        if self._on_epoch:
            self._on_epoch(epoch, row)


def _check_same_run(folder: Path, settings: dict) -> None:
    """Refuses to resume a run in `folder` that was started with other settings."""
    path = folder / "args.json"
    if path.exists():
        before = json.loads(path.read_text())
        changed = sorted(key for key in settings if before.get(key) != settings[key])
        if changed:
            raise CnnkitError(
                f"{folder} holds a run with other settings ({', '.join(changed)}); "
                "give another --output, or the same settings to resume it"
            )
    write_bytes(path, json.dumps(settings, indent=1).encode())


def _finished_epochs(state: Path) -> int:
    """The epoch that a run whose state lies in `state` goes on with."""
    metadata = state / "training_metadata.json"
    return json.loads(metadata.read_text())["epoch"] if metadata.exists() else 0


def teacher_heads(teacher: keras.Model) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of the 1x1 heads of a compressed teacher, by target name."""
    return {
        layer.name: tuple(layer.get_weights())
        for layer in teacher.layers
        if layer.name.endswith(_HEAD_SUFFIX)
    }


def read_for_report(path: Path, size: int = 256) -> np.ndarray:
    """The middle `(size, size, 3)` of a picture, made larger first where it is too small."""
    pixels = read_image(path).pixels
    scale = max(1.0, size / min(pixels.shape[:2]))
    height, width = (max(size, round(side * scale)) for side in pixels.shape[:2])
    pixels = np.clip(resize(pixels, height, width), 0.0, 1.0)
    top, left = (height - size) // 2, (width - size) // 2
    return pixels[top : top + size, left : left + size]


def train_backbone(
    data: Sequence[str | Path],
    teacher: str | Path,
    output: str | Path,
    options: BackboneOptions | None = None,
    held_out: Sequence[str] = (),
    on_epoch: Callable[[int, dict], None] | None = None,
) -> dict[str, float]:
    """Distils a compact VGG-19 and writes it, resuming where an earlier run stopped.

    Args:
        data: folders with pictures, searched recursively.
        teacher: see `build_teacher`.
        output: run folder: `compact.npz` (float16, batch normalisation folded away),
            `last.npz` (after the latest epoch), `results.csv`, `args.json`, `report.json` and the
            state to resume from.
        options: see `BackboneOptions`.
        held_out: patterns of pictures that are kept for the report, see `find_pictures`.
        on_epoch: called with the epoch's index and its losses.

    Returns:
        Explained variance of each target on the held-out pictures (empty without any).

    Raises:
        CnnkitError: no pictures, no teacher, or a folder that holds a run with other settings.
    """
    options = options or BackboneOptions()
    folder = Path(output)
    training, held = find_pictures([Path(part) for part in data], held_out)
    if not training:
        raise ImageError(f"no JPEG or PNG pictures below {', '.join(map(str, data))}; check --data")
    folder.mkdir(parents=True, exist_ok=True)
    _check_same_run(folder, {**asdict(options), "teacher": str(teacher)})
    keras.utils.set_random_seed(options.seed)

    teacher_model = build_teacher(teacher)
    calibration = RandomCrops(training, options, epoch=options.steps)
    variances = channel_variances(
        teacher_model, np.concatenate([calibration[index][0] for index in range(16)])
    )
    student = build_vgg(
        widths=COMPACT_WIDTHS,
        outputs=STUDENT_LAYERS,
        preprocessing=unit_preprocessing,
        padding="reflect",
        batch_normalization=True,
        name="compact",
    )
    distiller = Distiller(student, teacher_model, variances, teacher_heads(teacher_model))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=options.learning_rate / 100,
        decay_steps=max(1, options.steps - options.warmup_steps),
        warmup_target=options.learning_rate,
        warmup_steps=options.warmup_steps,
    )
    distiller.compile(optimizer=keras.optimizers.Adam(schedule))
    state = folder / "state"
    distiller.fit(
        RandomCrops(training, options, epoch=_finished_epochs(state)),
        epochs=math.ceil(options.steps / options.steps_per_epoch),
        shuffle=False,
        callbacks=[
            keras.callbacks.BackupAndRestore(state, delete_checkpoint=False),
            _Record(folder, on_epoch),
        ],
        verbose=0,
    )
    write_bytes(folder / "compact.npz", encode_convolutions(distiller.compact_weights()))
    report = {}
    if held:
        report = explained_variance(distiller, (read_for_report(path) for path in held))
        write_bytes(folder / "report.json", json.dumps(report, indent=1).encode())
    return report
