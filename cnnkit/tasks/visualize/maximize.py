"""Pictures that excite units of a network, made from noise."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from cnnkit.engine.network_input import linear_output
from cnnkit.errors import UsageError
from cnnkit.models.maximized_image import MaximizedImage, random_moves
from cnnkit.ops.color import COLOR_ROOT
from cnnkit.ops.inference import compiles_training
from cnnkit.ops.spectrum import photograph_spectrum
from cnnkit.tasks.visualize.network import ViewedNetwork, load_viewed_network
from cnnkit.tasks.visualize.results import MaximizedUnit, MaximizedUnits
from cnnkit.tasks.visualize.settings import MaximizeSettings

DEFAULT_SIZE = 256
# Pictures that are made side by side: their activations must fit into the memory.
_TOGETHER = 4
# A unit is dead whose peak is below this share of what excited units of its layer reach.
_DEAD_SHARE = 0.01
# Of the values before the sigmoid: noise with the contrast of a photograph.
_NOISE_DEVIATION = 1.0

# What is called after each step: (steps done, steps).
OnStep = Callable[[int, int], None]


def visualize_maximize(
    layer: str,
    units: Sequence[int],
    settings: MaximizeSettings | None = None,
    *,
    model: ViewedNetwork | str = "compact",
    pixels: str = "unit",
    on_step: OnStep | None = None,
) -> MaximizedUnits:
    """Makes, from noise, the picture that excites each of some units most.

    Gradient ascent with Adam on the unit's activation before its ReLU, averaged over the picture.
    The picture is a spectrum with the amplitudes of photographs and decorrelated colours, and is
    moved a little at random in each step (Olah, Mordvintsev & Schubert, "Feature Visualization",
    2017). Departures: below zero the objective has a tenth of the slope, so that units that the
    start does not excite are found too; the spectrum passes a slight blur, which takes the dots
    that max-pooling invites.

    Args:
        layer: name of a layer, see `ViewedNetwork.resolve`.
        units: channels of the layer, from 0.
        settings: how the pictures are made.
        model: see `load_viewed_network`.
        pixels: what a file's network expects, see `load_viewed_network`.
        on_step: called after each step.

    Returns:
        A `MaximizedUnits`.

    Raises:
        UsageError: no such layer or unit, or a size that the network does not take.
        WeightsError: the network's weights are not here.
    """
    settings = settings or MaximizeSettings()
    network = load_viewed_network(model, pixels)
    layer = network.resolve(layer)
    output = network.outputs[layer]
    if len(output.shape) not in (2, 4):
        raise UsageError(f"{layer} has outputs of shape {output.shape[1:]}, no maps and no vector")
    _check_units(units, output.shape[-1], layer)
    height, width = _size(network, settings)
    before = keras.Model(network.model.inputs[0], linear_output(output))
    after = network.submodel([layer])
    noise = keras.ops.convert_to_numpy(
        after(_noise(height, width, network.channels, settings.seed))[layer]
    )
    moves = random_moves(
        settings.steps,
        height,
        width,
        jitter=settings.jitter,
        zoom=settings.zoom,
        rotation=settings.rotation,
        seed=settings.seed,
    )
    images, activations = [], []
    groups = [units[first : first + _TOGETHER] for first in range(0, len(units), _TOGETHER)]
    for index, group in enumerate(groups):
        maximized = MaximizedImage(
            before,
            group,
            height,
            width,
            parameterization=settings.parameterization,
            target=settings.target,
            blur=settings.blur_deviation,
            seed=settings.seed,
        )
        _fit(maximized, moves, settings.step_size, _counted(on_step, index, len(groups)))
        made = keras.ops.convert_to_numpy(maximized.images())
        images += list(made)
        activations += list(keras.ops.convert_to_numpy(after(made)[layer]))
    places = tuple(range(activations[0].ndim - 1))
    peaks = np.stack([one.max(places) for one in [*activations, *noise]])  # (pictures, channels)
    excited = np.percentile(peaks.max(0), 90)
    found = tuple(
        MaximizedUnit(
            unit,
            np.clip(image, 0.0, 1.0),
            float(one[..., unit].mean()),
            float(one[..., unit].max()),
            float(noise[..., unit].mean()),
            bool(one[..., unit].max() <= _DEAD_SHARE * excited),
        )
        for unit, image, one in zip(units, images, activations, strict=True)
    )
    return MaximizedUnits(network.name, layer, found, settings)


def _check_units(units: Sequence[int], count: int, layer: str) -> None:
    if not units:
        raise UsageError("give a unit of the layer: --unit 0")
    wrong = [unit for unit in units if not 0 <= unit < count]
    if wrong:
        raise UsageError(f"{layer} has the units 0 to {count - 1}, not {wrong[0]}")


def _size(network: ViewedNetwork, settings: MaximizeSettings) -> tuple[int, int]:
    if network.input_size is None:
        return (settings.size or DEFAULT_SIZE,) * 2
    if settings.size is not None and (settings.size, settings.size) != network.input_size:
        height, width = network.input_size
        raise UsageError(f"{network.name} takes {width}x{height} pixels only; leave out --size")
    return network.input_size


def _noise(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """A picture that shows nothing, with the spectrum, colours and contrast of a photograph."""
    generator = np.random.default_rng(seed)
    white = np.fft.fft2(generator.normal(size=(channels, height, width)))
    planes = np.fft.ifft2(white * photograph_spectrum(height, width)).real
    planes *= _NOISE_DEVIATION / planes.std()
    values = np.moveaxis(planes, 0, -1)
    if channels == 3:
        values = values @ COLOR_ROOT.T
    return (1.0 / (1.0 + np.exp(-values))).astype(np.float32)[None]


def _fit(maximized: MaximizedImage, moves: np.ndarray, rate: float, on_step: OnStep | None) -> None:
    optimizer = keras.optimizers.Adam(rate)
    if hasattr(optimizer, "_all_reduce_sum_gradients"):
        # As in style transfer: the sum over one replica would keep every traced step alive.
        optimizer._all_reduce_sum_gradients = list
    optimizer.build(maximized.trainable_variables)
    maximized.compile(optimizer=optimizer, jit_compile=compiles_training())
    callbacks = [_Report(on_step, len(moves))] if on_step else []
    maximized.fit(moves, batch_size=1, shuffle=False, verbose=0, callbacks=callbacks)


def _counted(on_step: OnStep | None, group: int, groups: int) -> OnStep | None:
    """Counts the steps of all groups on."""
    if on_step is None:
        return None
    return lambda done, steps: on_step(group * steps + done, groups * steps)


class _Report(keras.callbacks.Callback):
    def __init__(self, on_step: OnStep, steps: int):
        super().__init__()
        self._on_step = on_step
        self._steps = steps

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._on_step(batch + 1, self._steps)
