"""Distil a compact VGG-19 from a teacher: pictures in, a small feature network out.

The student has the layers and names of VGG-19 at a quarter of its width. It learns to predict the
teacher's activations (FitNets, Romero et al. 2014): each compared layer through a 1x1 convolution
with ReLU to the teacher's channels, or directly where teacher and student are equally wide. The
error of each channel is divided by that channel's variance, so that every layer and every channel
counts the same whatever its scale.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnkit.engine.trainer import cosine_decay
from cnnkit.errors import WeightsError
from cnnkit.images import write_bytes
from cnnkit.models.vgg import (
    COMPACT_LAST_LAYER,
    COMPACT_WIDTHS,
    build_vgg,
    layer_names,
    unit_preprocessing,
)
from cnnkit.ops.inference import compiles_training
from cnnkit.tasks.stylize.crops import (
    CropModel,
    RandomCrops,
    fit_crops,
    read_for_report,
    start_run,
)
from cnnkit.tasks.stylize.settings import BackboneSettings
from cnnkit.weights.convolutions import (
    convolution_weights,
    encode_convolutions,
    set_convolution_weights,
)

STUDENT_LAYERS = tuple(layer_names()[: layer_names().index(COMPACT_LAST_LAYER) + 1])
REPORTED_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
_HEAD_SUFFIX = "_to_vgg19"


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

    def first(images: Any) -> Any:
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


class Distiller(CropModel):
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
        **kwargs: Any,
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

    @property
    def metrics(self) -> list[keras.Metric]:
        return [self.loss_tracker, *self.trackers.values()]

    def compact_weights(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The student as plain convolutions whose activations are what was compared."""
        return rescale_channels(convolution_weights(self.student), self.scales)

    def call(self, images: Any, training: bool = False) -> dict[str, Any]:
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

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *rest: Any) -> Any:
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


def teacher_heads(teacher: keras.Model) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of the 1x1 heads of a compressed teacher, by target name."""
    return {
        layer.name: tuple(layer.get_weights())
        for layer in teacher.layers
        if layer.name.endswith(_HEAD_SUFFIX)
    }


def train_backbone(
    data: Sequence[str | Path],
    teacher: str | Path,
    output: str | Path,
    settings: BackboneSettings | None = None,
    held_out: Sequence[str] = (),
    on_epoch: Callable[[int, dict[str, Any]], None] | None = None,
) -> dict[str, float]:
    """Distils a compact VGG-19 and writes it, resuming where an earlier run stopped.

    Args:
        data: folders with pictures, searched recursively.
        teacher: see `build_teacher`.
        output: run folder: `compact.npz` (float16, batch normalisation folded away),
            `last.npz` (after the latest epoch), `results.csv`, `args.json`, `report.json` and the
            state to resume from.
        settings: see `BackboneSettings`.
        held_out: patterns of pictures that are kept for the report, see `find_pictures`.
        on_epoch: called with the epoch's index and its losses.

    Returns:
        Explained variance of each target on the held-out pictures (empty without any).

    Raises:
        CnnkitError: no pictures, no teacher, or a folder that holds a run with other settings.
    """
    settings = settings or BackboneSettings()
    folder = Path(output)
    kept = {**asdict(settings), "teacher": str(teacher)}
    # More or fewer make the same crops.
    del kept["workers"]
    training, held = start_run(folder, data, held_out, kept)
    keras.utils.set_random_seed(settings.seed)

    teacher_model = build_teacher(teacher)
    calibration = RandomCrops(training, settings, epoch=settings.steps)
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
    schedule = cosine_decay(settings.learning_rate, settings.steps, settings.warmup_steps)
    optimizer = keras.optimizers.Adam(schedule)
    distiller.compile(optimizer=optimizer, jit_compile=compiles_training())

    def write(name: str) -> None:
        write_bytes(folder / name, encode_convolutions(distiller.compact_weights()))

    fit_crops(
        distiller,
        lambda begin: RandomCrops(training, settings, begin),
        folder,
        math.ceil(settings.steps / settings.steps_per_epoch),
        lambda: write("last.npz"),
        on_epoch,
    )
    write("compact.npz")
    report = {}
    if held:
        report = explained_variance(distiller, (read_for_report(path) for path in held))
        write_bytes(folder / "report.json", json.dumps(report, indent=1).encode())
    return report
