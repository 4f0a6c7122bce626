"""Pictures that excite units, as the only trainable weights of a Keras model.

`fit` then is activation maximisation: the data of a step are how the pictures are moved in it.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cnnkit.ops.color import COLOR_ROOT
from cnnkit.ops.spectrum import (
    blur_spectrum,
    filter_planes,
    photograph_spectrum,
    spectrum_to_planes,
)

Tensor = Any
PARAMETERIZATIONS = ("fourier", "pixels")
TARGETS = ("mean", "centre")
# Of the numbers that the pictures start from: almost even grey.
_START_DEVIATION = 0.01
# Without a slope below zero a unit that the start does not excite would give no direction; with
# the full slope its pictures would mend the places it dislikes instead of making one it likes.
_SLOPE_BELOW_ZERO = 0.1


class MaximizedImage(keras.Model):
    """One picture for each of several units, optimised side by side.

    The pictures share the moves of a step but nothing else: each is what it would be alone.

    Args:
        network: pictures in [0, 1] -> activations before their ReLU, `(batch, height, width,
            channels)` or `(batch, channels)`; frozen.
        units: channels to excite.
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        parameterization: "fourier", spectra of photographs; or "pixels".
        target: "mean" of a unit over all places, or its "centre" place.
        blur: standard deviation of the blur that the pictures pass, in pixels.
        seed: of what the pictures start from.
    """

    def __init__(
        self,
        network: keras.Model,
        units: Sequence[int],
        height: int,
        width: int,
        *,
        parameterization: str = "fourier",
        target: str = "mean",
        blur: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        network.trainable = False
        self._network = network
        self._units = list(units)
        self._by_pixels = parameterization == "pixels"
        self._at_centre = target == "centre"
        self._scale = blur_spectrum(height, width, blur)
        if not self._by_pixels:
            self._scale = self._scale * photograph_spectrum(height, width)
        shape = (network.inputs[0].shape[-1], height, width)
        generators = [np.random.default_rng((seed, unit)) for unit in self._units]
        self._planes = [
            self._add_planes(name, shape, generators)
            for name in (("pixels",) if self._by_pixels else ("real", "imaginary"))
        ]
        self.built = True

    def _add_planes(
        self, name: str, shape: tuple[int, ...], generators: Sequence[np.random.Generator]
    ) -> Any:
        start = np.stack(
            [generator.normal(0.0, _START_DEVIATION, shape) for generator in generators]
        )
        return self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype=None: keras.ops.convert_to_tensor(start, dtype),
            name=name,
        )

    def images(self) -> Tensor:
        """The pictures as they are, `(units, height, width, channels)` in [0, 1]."""
        if self._by_pixels:
            planes = filter_planes(self._planes[0], self._scale)
        else:
            planes = spectrum_to_planes(*self._planes, self._scale)
        planes = keras.ops.transpose(planes, (0, 2, 3, 1))  # (N, H, W, C)
        if planes.shape[-1] == 3:
            planes = keras.ops.matmul(planes, COLOR_ROOT.T.astype(np.float32))
        return keras.ops.sigmoid(planes)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Activations of the pictures after one move, see `random_moves`: `(1, 8)` -> `(units,)`.

        What is returned is what `fit` raises: the mean or centre of each unit before its ReLU, a
        tenth of it below zero.
        """
        moves = keras.ops.repeat(inputs, len(self._units), axis=0)
        moved = keras.ops.image.affine_transform(
            self.images(), moves, interpolation="bilinear", fill_mode="reflect"
        )
        activations = self._network(moved)
        each = keras.ops.convert_to_tensor(
            np.eye(activations.shape[-1], dtype=np.float32)[self._units]
        )
        if len(activations.shape) == 2:
            own = keras.ops.sum(activations * each, axis=-1)
            return keras.ops.leaky_relu(own, _SLOPE_BELOW_ZERO)
        own = keras.ops.sum(activations * each[:, None, None], axis=-1)  # (N, H, W)
        own = keras.ops.leaky_relu(own, _SLOPE_BELOW_ZERO)
        if self._at_centre:
            rows, columns = keras.ops.shape(own)[1:]
            return own[:, rows // 2, columns // 2]
        return keras.ops.mean(own, axis=(1, 2))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return -keras.ops.sum(y_pred)


def random_moves(
    steps: int,
    height: int,
    width: int,
    *,
    jitter: float = 8.0,
    zoom: float = 0.1,
    rotation: float = 10.0,
    seed: int = 0,
) -> np.ndarray:
    """Small random moves of a picture about its centre, for `keras.ops.image.affine_transform`.

    What excites a unit only at the very place and angle does not survive them: fine noise.

    Args:
        steps: number of moves.
        height: in pixels.
        width: in pixels.
        jitter: largest shift along each axis, in pixels.
        zoom: largest change of scale, as a share.
        rotation: largest angle, in degrees.
        seed: of the moves.

    Returns:
        float32 `(steps, 8)`.

    >>> abs(random_moves(1, 9, 9, jitter=0, zoom=0, rotation=0)).tolist()
    [[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]]
    """
    generator = np.random.default_rng(seed)
    x, y = (width - 1) / 2, (height - 1) / 2
    moves = np.zeros((steps, 8), np.float32)
    for move in moves:
        angle = math.radians(generator.uniform(-rotation, rotation))
        scale = generator.uniform(1.0 - zoom, 1.0 + zoom)
        right, down = generator.uniform(-jitter, jitter, 2)
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        # Where a pixel of the result comes from: turned and scaled about the centre, then shifted.
        move[:3] = cosine, -sine, x - cosine * x + sine * y + right
        move[3:6] = sine, cosine, y - sine * x - cosine * y + down
    return moves
