"""The picture as the only weight of a model that `fit` trains."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from cnnkit.models.generated_image import GeneratedImage, Latest, composite, soften_chroma
from cnnkit.ops.color import LUMA

TARGET = np.array([0.9, 0.5, 0.1], "float32")


def towards_target(image):
    """Mean squared distance to one colour, as a loss of three parts."""
    distance = keras.ops.mean(keras.ops.square(keras.ops.subtract(image, TARGET)))
    zero = 0.0 * distance
    return distance, {"content": distance, "style": zero, "tv": zero}


def away(image):
    """Drives every pixel towards infinity."""
    total = -keras.ops.sum(image)
    return total, {"content": total, "style": total, "tv": total}


def noise(*shape):
    return np.random.default_rng(0).random((*shape, 3)).astype("float32")


def fitted(model, steps=20, learning_rate=0.05, callbacks=()):
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), jit_compile=False)
    return model.fit(
        np.zeros((steps, 1), "float32"), batch_size=1, verbose=0, callbacks=list(callbacks)
    )


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses, self.lows, self.highs = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])
        image = keras.ops.convert_to_numpy(self.model.image())
        self.lows.append(image.min())
        self.highs.append(image.max())


def test_it_begins_with_the_picture_it_was_given():
    initial = noise(12, 20)
    model = GeneratedImage(initial, towards_target)
    np.testing.assert_array_equal(model.result(), initial)
    assert model.result().dtype == np.float32


def softened(image, amount=1.0):
    return keras.ops.convert_to_numpy(soften_chroma(image, amount))


def test_softening_colours_keeps_the_luma():
    image = noise(12, 20)
    np.testing.assert_allclose(softened(image) @ LUMA, image @ LUMA, atol=1e-6)
    np.testing.assert_array_equal(softened(image, 0.0), image)


def test_softening_colours_takes_what_repeats_every_two_pixels_and_leaves_what_is_even():
    even = np.broadcast_to(TARGET, (8, 8, 3))
    np.testing.assert_allclose(softened(even), even, atol=1e-6)
    # Red and green by turns, of equal luma: nothing but their mean is left away from the edges.
    sign = np.where(np.indices((8, 8)).sum(axis=0) % 2, 1.0, -1.0)[..., None]
    direction = 0.2 * np.array([LUMA[1], -LUMA[0], 0.0])
    speckled = (0.5 + sign * direction).astype("float32")
    np.testing.assert_allclose(softened(speckled)[2:-2, 2:-2], 0.5, atol=1e-6)
    # Half of the detail, half of the specks.
    half = softened(speckled, 0.5)[2:-2, 2:-2]
    np.testing.assert_allclose(half, (0.5 + 0.5 * sign * direction)[2:-2, 2:-2], atol=1e-6)


def test_one_pixel_spreads_as_the_binomial_filter_has_it():
    image = np.zeros((9, 9, 3), "float32")
    image[4, 4] = (1.0, 0.0, 0.0)
    row = np.array([1, 4, 6, 4, 1]) / 16.0
    # Blue differs from the luma by -0.2126 at that pixel, and by nothing elsewhere.
    spread = np.zeros((9, 9))
    spread[2:7, 2:7] = -0.2126 * np.outer(row, row)
    spread[4, 4] += 0.2126
    np.testing.assert_allclose(softened(image)[..., 2], spread, atol=1e-6)


def test_what_a_mask_keeps_is_not_softened():
    image, kept = noise(8, 8), noise(8, 8)[::-1].copy()
    mask = np.zeros((8, 8, 1), "float32")
    mask[:, 4:] = 1.0
    found = keras.ops.convert_to_numpy(composite(image, (kept, mask), 1.0))
    np.testing.assert_array_equal(found[:, :4], kept[:, :4])
    np.testing.assert_allclose(found[:, 4:], softened(image)[:, 4:], atol=1e-6)


def test_only_the_picture_is_trainable():
    model = GeneratedImage(noise(16, 16), towards_target, levels=3, ema=0.5)
    shapes = sorted(tuple(weight.shape) for weight in model.trainable_variables)
    assert shapes == [(4, 4, 3), (8, 8, 3), (16, 16, 3)]


@pytest.mark.parametrize("levels", [1, 5])
def test_fit_decreases_the_loss(levels):
    model = GeneratedImage(noise(32, 48), towards_target, levels=levels)
    recorder = Recorder()
    fitted(model, steps=30, callbacks=[recorder])
    assert recorder.losses[-1] < 0.1 * recorder.losses[0]
    assert recorder.losses[0] == pytest.approx(float(np.mean((noise(32, 48) - TARGET) ** 2)), 1e-4)


@pytest.mark.parametrize("levels", [1, 2, 5])
def test_pixels_stay_between_black_and_white(levels):
    model = GeneratedImage(noise(32, 32), away, levels=levels)
    recorder = Recorder()
    fitted(model, steps=15, learning_rate=0.2, callbacks=[recorder])
    # The sum over levels is rounded after clipping.
    assert min(recorder.lows) >= -1e-6
    assert max(recorder.highs) <= 1.0 + 1e-6
    np.testing.assert_allclose(model.result(), 1.0, atol=1e-5)
    assert model.result().max() <= 1.0


def test_the_average_is_that_of_the_steps():
    images = []

    def loss(image):
        return towards_target(image)

    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            images.append(keras.ops.convert_to_numpy(self.model.image()))

    initial = noise(8, 8)
    model = GeneratedImage(initial, loss, levels=1, ema=0.75)
    fitted(model, steps=4, callbacks=[Watch()])
    # a <- 3/4 a + 1/4 x over the pictures that the steps began with
    average = initial
    for image in images:
        average = 0.75 * average + 0.25 * image
    np.testing.assert_allclose(model.result(), average, atol=1e-5)


def test_outside_of_the_mask_the_picture_is_kept():
    initial, mask = noise(16, 16), np.zeros((16, 16), "float32")
    mask[:, 8:] = 1.0
    model = GeneratedImage(initial, towards_target, keep=(initial, mask))
    fitted(model)
    result = model.result()
    np.testing.assert_array_equal(result[:, :8], initial[:, :8])
    assert np.abs(result[:, 8:] - TARGET).mean() < 0.5 * np.abs(initial[:, 8:] - TARGET).mean()


def test_a_grey_mask_mixes():
    picture = np.zeros((8, 8, 3), "float32")
    quarter = np.full((8, 8), 0.25, "float32")
    model = GeneratedImage(np.ones((8, 8, 3), "float32"), towards_target, keep=(picture, quarter))
    np.testing.assert_allclose(model.result(), 0.25)


def test_the_losses_are_those_of_the_last_step_and_not_a_mean():
    metric = Latest("loss")
    for value in (1.0, 5.0, 3.0):
        metric.update_state(value)
    assert float(metric.result()) == 3.0


def test_the_caller_keeps_its_picture():
    initial = noise(8, 8)
    before = initial.copy()
    fitted(GeneratedImage(initial, towards_target), steps=2)
    np.testing.assert_array_equal(initial, before)


BACKEND_RUN = """
import os, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "__array__ implementation")  # Keras on PyTorch with NumPy 2
import keras, numpy as np
from cnnkit.tasks.stylize.loss import StylizeLoss, layer_statistics
from cnnkit.models.generated_image import GeneratedImage, composite
from cnnkit.models.vgg import build_vgg
from cnnkit.ops.gradients import value_and_gradient
from cnnkit.tasks.stylize.settings import StylizeSettings
from cnnkit.tasks.stylize.scale_optimizer import ScaleOptimizer

assert keras.backend.backend() == os.environ["KERAS_BACKEND"]
keras.utils.set_random_seed(0)
network = build_vgg((1, 1), (4, 6), outputs=["block1_conv1", "block2_conv1"])
network.trainable = False
pictures = np.random.default_rng(0).random((2, 32, 32, 3)).astype("float32")
style = network(pictures[1][None] ** 3)
target = {name: layer_statistics(maps[0]) for name, maps in style.items()}
weights = {"block1_conv1": 1.0, "block2_conv1": 1.0}
loss = StylizeLoss(network, pictures[0], "block2_conv1", target, weights, alpha=0.01)

# As it is shown to the networks, the noise has no fine colours.
value, gradient = value_and_gradient(lambda image: loss(composite(image, (), 1.0))[0])(pictures[0])
assert np.isfinite(gradient).all() and gradient.any()

def run(optimizer, stop=None, state=None):
    rate = 0.01 if optimizer == "adam" else None
    options = StylizeSettings(optimizer=optimizer, learning_rate=rate)
    scale = ScaleOptimizer(pictures[0], loss, 8, options, None, print)
    if state is not None:
        scale.restore(*state)
    kept, losses = [], []
    def on_step(step, values):
        losses.append(values["loss"])
        if step == 4:
            kept.append((scale.state(), dict(values)))
    scale.run(on_step)
    return scale.image(), losses, kept

for optimizer in ("adam", "lbfgs"):
    image, losses, kept = run(optimizer)
    assert losses[-1] < losses[0] <= value * 1.001, (optimizer, losses)
    assert np.isfinite(image).all() and image.min() >= 0.0 and image.max() <= 1.0
    if optimizer != "lbfgs":
        again, rest, _ = run(optimizer, state=kept[0])
        assert len(rest) == 4 and np.array_equal(again, image), optimizer
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_same_code_optimises_and_resumes_on_other_backends(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    run = subprocess.run(
        [sys.executable, "-c", BACKEND_RUN],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "done\n", run.stderr
