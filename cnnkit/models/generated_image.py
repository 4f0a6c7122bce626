"""The generated image as the only trainable weight of a Keras model.

`fit` then is neural style transfer: each step is one gradient step on the picture, and Keras'
optimizers, schedules and callbacks serve as they are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from cnnkit.ops.color import LUMA
from cnnkit.ops.pyramid import collapse_pyramid, pyramid_shapes

Tensor = Any
LOSS_PARTS = ("content", "style", "tv")


class Latest(keras.metrics.Metric):
    """The most recent value of a scalar."""

    def __init__(self, name: str):
        super().__init__(name=name)
        self.value = self.add_variable((), "zeros", name="value")

    def update_state(self, value: Tensor) -> None:
        self.value.assign(value)

    def result(self) -> Tensor:
        return keras.ops.convert_to_tensor(self.value)


class _KeepInRange(keras.constraints.Constraint):
    """Clips the picture, not the level: the finest level takes what the sum had too much."""

    def __init__(self, coarser: list):
        self._coarser = coarser

    def __call__(self, finest: Tensor) -> Tensor:
        if not self._coarser:
            return keras.ops.clip(finest, 0.0, 1.0)
        size = (finest.shape[0], finest.shape[1])
        rest = keras.ops.image.resize(
            collapse_pyramid(self._coarser), size, interpolation="bilinear"
        )
        return keras.ops.clip(finest + rest, 0.0, 1.0) - rest


def soften_chroma(image: Tensor, amount: float = 1.0) -> Tensor:
    """The image with the finest detail of its colours taken away, as JPEG has them.

    Luma (ITU-R BT.709) stays as it is; what a colour differs from its luma by passes the binomial
    filter [1 4 6 4 1] / 16 along both axes, which halves what repeats every six pixels and leaves
    nothing of what repeats every two. Eyes do not see it, and style pictures mostly come without
    it, but networks do see it, and an optimiser fills it with coloured specks.

    Args:
        image: `(height, width, 3)`, RGB; at least 2 x 2 pixels.
        amount: share of that detail that is taken away.

    Returns:
        `(height, width, 3)`.

    Example: a grey picture has no such detail.

    >>> grey = np.random.default_rng(0).random((4, 4, 1)).astype("float32").repeat(3, axis=2)
    >>> float(np.abs(keras.ops.convert_to_numpy(soften_chroma(grey)) - grey).max()) < 1e-6
    True
    """
    ops = keras.ops
    image = ops.convert_to_tensor(image)
    if not amount:
        return image
    # Each channel less the luma.
    difference = np.eye(3) - np.outer(LUMA, np.ones(3))
    chroma = ops.matmul(image, ops.cast(difference.astype(np.float32), image.dtype))
    kernel = np.outer(_BINOMIAL, _BINOMIAL).astype(np.float32)
    kernel = np.repeat(kernel[..., None, None], 3, axis=2)  # (5, 5, 3, 1)
    padded = ops.pad(chroma[None], ((0, 0), (2, 2), (2, 2), (0, 0)), "symmetric")
    smooth = ops.depthwise_conv(padded, ops.cast(kernel, image.dtype), padding="valid")[0]
    return image + amount * (smooth - chroma)


_BINOMIAL = np.array((1.0, 4.0, 6.0, 4.0, 1.0)) / 16.0


def composite(image: Tensor, keep: Sequence[Tensor], softening: float = 0.0) -> Tensor:
    """The image inside of a mask, with softened colours, and a picture that is kept outside.

    Args:
        image: `(height, width, 3)`.
        keep: the picture, of the same shape, and the mask `(height, width, 1)` in [0, 1]; empty
            for the image all over.
        softening: see `soften_chroma`.
    """
    image = soften_chroma(image, softening)
    if not keep:
        return image
    picture, mask = (keras.ops.convert_to_tensor(one) for one in keep)
    return picture + mask * (image - picture)


class GeneratedImage(keras.Model):
    """A picture that is optimised.

    Args:
        initial: `(height, width, 3)` in [0, 1], where to start.
        loss: image `(height, width, 3)` -> `(total, {"content", "style", "tv"})`.
        levels: number of pyramid levels that add up to the picture; 1 optimises plain pixels.
        ema: decay of the moving average over steps; 0 keeps none.
        keep: `(picture, mask)`: outside of the mask `(height, width)` the picture is this one.
        softening: see `composite`.
    """

    def __init__(
        self,
        initial: np.ndarray,
        loss: Callable[[Tensor], tuple[Tensor, dict[str, Tensor]]],
        levels: int = 5,
        ema: float = 0.0,
        keep: tuple[np.ndarray, np.ndarray] | None = None,
        softening: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._loss = loss
        self._ema = ema
        self._softening = softening
        self.keep = () if keep is None else (keep[0], keep[1][..., None])
        height, width = initial.shape[:2]
        shapes = pyramid_shapes(height, width, levels)
        coarser = [
            self.add_weight(shape=(*shape, 3), initializer="zeros", name=f"level{index}")
            for index, shape in enumerate(shapes[1:], start=1)
        ]
        finest = self.add_weight(
            shape=(height, width, 3),
            initializer=lambda shape, dtype=None: keras.ops.convert_to_tensor(initial, dtype),
            constraint=_KeepInRange(coarser),
            name="level0",
        )
        self.levels = [finest, *coarser]
        if ema:
            self.average = self.add_weight(
                shape=(height, width, 3),
                initializer=lambda shape, dtype=None: keras.ops.convert_to_tensor(initial, dtype),
                trainable=False,
                name="average",
            )
        self.trackers = [Latest("loss"), *(Latest(part) for part in LOSS_PARTS)]
        self.built = True

    @property
    def metrics(self) -> list:
        return list(self.trackers)

    def image(self) -> Tensor:
        """The picture `(height, width, 3)` in [0, 1] as a tensor."""
        return composite(collapse_pyramid(self.levels), self.keep, self._softening)

    def result(self) -> np.ndarray:
        """The picture as float32 `(height, width, 3)` in [0, 1]: the average, where one is kept."""
        image = self.average.value if self._ema else self.image()
        return np.clip(keras.ops.convert_to_numpy(image), 0.0, 1.0)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        return self.image()

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        total, parts = self._loss(y_pred)
        for tracker, value in zip(
            self.trackers, (total, *(parts[part] for part in LOSS_PARTS)), strict=True
        ):
            tracker.update_state(keras.ops.stop_gradient(value))
        if self._ema:
            self.average.assign(
                self._ema * self.average + (1.0 - self._ema) * keras.ops.stop_gradient(y_pred)
            )
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {tracker.name: tracker.result() for tracker in self.trackers}
