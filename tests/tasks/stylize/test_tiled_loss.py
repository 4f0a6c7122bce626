"""The loss of style transfer tile by tile, against the loss of the whole picture."""

import dataclasses

import keras
import numpy as np
import pytest

from cnnkit import Stylizer, StylizeSettings, stylize
from cnnkit.errors import ResourceError, UsageError
from cnnkit.models.vgg import build_feature_network
from cnnkit.runtime import Memory
from cnnkit.tasks.stylize import plan as planning
from cnnkit.tasks.stylize.loss import StylizeLoss, layer_statistics
from cnnkit.tasks.stylize.scale_optimizer import compile_loss
from cnnkit.tasks.stylize.settings import DEFAULT_STYLE_LAYERS
from cnnkit.tasks.stylize.style import Style
from cnnkit.tasks.stylize.tiled_loss import TiledLoss, Tiling, find_tiling

# Nine tiles of 64 pixels with the compact network, which looks 80 pixels around each: none of them
# sees all of it.
HEIGHT, WIDTH = 64, 576


def picture(seed, height=HEIGHT, width=WIDTH):
    """Coloured waves with noise on them."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype("float32")
    wave = 0.5 + 0.4 * np.sin(rows * random.uniform(0.1, 0.9) + 3 * np.sin(columns * 0.05))
    pixels = np.stack([wave, wave[:, ::-1], 1 - wave], axis=-1)
    return np.clip(pixels + random.normal(0, 0.05, pixels.shape), 0, 1).astype("float32")


@pytest.fixture(scope="module")
def network():
    layers = [*DEFAULT_STYLE_LAYERS, "block4_conv2"]
    return build_feature_network("compact", layers, "average").model


def whole_and_tiled(network, options, mask=None):
    """Both losses of one pair of pictures, the second in tiles, and their common targets."""
    content, style = picture(0), network(picture(1, 64, 96)[None])
    statistics = {layer: layer_statistics(style[layer][0]) for layer in options.style_layers}
    weights = {
        "style_loss": options.style_loss,
        "alpha": options.content_weight,
        "beta": options.style_weight,
        "gamma": options.tv_weight * options.strength,
    }
    loss = StylizeLoss(
        network,
        content,
        options.content_layer,
        statistics,
        options.style_layers,
        mask=mask,
        **weights,
    )
    tiling = find_tiling(network, 64)
    return loss, TiledLoss(network, tiling, options, options.content_layer, options.style_layers)


@pytest.mark.parametrize(
    ("changes", "is_masked", "is_held"),
    [
        ({}, False, True),
        ({"style_loss": "gram", "strength": 0.4}, False, False),
        ({"style_layers": {"block1_conv1": 1.0, "block3_conv1": 3.0}}, True, False),
    ],
)
def test_value_and_gradient_are_those_of_the_whole_picture(network, changes, is_masked, is_held):
    options = StylizeSettings(style_weight=2.0, **changes)
    mask, keep = None, ()
    if is_masked:
        # Some tiles lie outside of it altogether.
        mask = np.clip(np.linspace(-1, 1, WIDTH, dtype="float32"), 0, 1) * np.ones((HEIGHT, 1), "f")
        keep = (picture(3), mask[..., None])
    loss, tiled = whole_and_tiled(network, options, mask)
    assert len(tiled.tiling.tiles(HEIGHT, WIDTH)) == 7
    image = picture(2)
    if is_held:
        loss.hold(picture(4), 10.0 * picture(5)[..., 0])
    (value, parts), gradient = compile_loss(loss, options.strength)(image, keep, loss.targets)
    (tiled_value, tiled_parts), tiled_gradient = tiled.evaluate(image, keep, loss.targets)
    assert tiled_value == pytest.approx(value, rel=1e-4)
    for name in ("content", "style", "tv"):
        assert tiled_parts[name] == pytest.approx(float(parts[name]), rel=1e-4)
    assert tiled_gradient.shape == image.shape
    assert np.abs(tiled_gradient - gradient).max() < 1e-3 * np.abs(gradient).max()


def test_maps_and_moments_are_those_of_the_whole_picture(network):
    _, tiled = whole_and_tiled(network, StylizeSettings())
    image = picture(2)
    weights = np.linspace(0, 1, WIDTH, dtype="float32") * np.ones((HEIGHT, 1), "f")
    seen = network(image[None])
    maps = keras.ops.convert_to_numpy(seen["block4_conv2"])[0]
    np.testing.assert_allclose(tiled.maps(image), maps, atol=1e-4 * np.abs(maps).max())
    found = tiled.statistics(image, weights)
    step = WIDTH // seen["block5_conv1"].shape[2]
    small = weights[:, : step * (WIDTH // step)].reshape(HEIGHT // step, step, -1, step)
    expected = layer_statistics(seen["block5_conv1"][0], small.mean(axis=(1, 3)))
    np.testing.assert_allclose(found["block5_conv1"].mean, expected.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["block5_conv1"].gram, expected.gram, rtol=1e-3, atol=1e-4)


def test_a_tile_sees_as_far_as_the_network_does(network):
    tiling = find_tiling(network, 100)
    # Around its own 16 pixels a position of block5_conv1 sees (1 + 1) + 2 (1 + 1) + 4 * 4 + 8 * 4
    # + 16 = 70 more to each side, which is less than 5 * 16.
    assert (tiling.side, tiling.overlap) == (96, 80)
    assert tiling.strides["block1_conv1"] == 1
    assert tiling.strides["block5_conv1"] == 16
    assert tiling.is_whole(256, 256)
    assert tiling.work(256, 256) == 1.0
    # Two tiles of 240 pixels in a row; looking takes a third of a step, and is done twice.
    assert tiling.work(96, 304) == pytest.approx(4 / 3 * (240 + 240) / 304)


def test_where_it_is_not_known_what_a_layer_sees_there_are_no_tiles():
    inputs = keras.Input((None, None, 3))
    wider = keras.layers.Conv2DTranspose(4, 3, 2, padding="same")(inputs)
    layer = keras.layers.Conv2D(4, 3, padding="same", name="behind")(wider)
    assert find_tiling(keras.Model(inputs, {"behind": layer}), 64) is None


def test_layers_without_positions_at_the_edges_have_no_tiles():
    inputs = keras.Input((None, None, 3))
    layers = {
        padding: keras.Model(
            inputs, {"layer": keras.layers.Conv2D(4, 3, padding=padding, name="layer")(inputs)}
        )
        for padding in ("same", "valid")
    }
    assert find_tiling(layers["same"], 64) == Tiling(64, 1, {"layer": 1})
    assert find_tiling(layers["valid"], 64) is None


# Whole runs ----------------------------------------------------------------------------------


@pytest.fixture
def options(tiny_backbone):
    plain = StylizeSettings(
        size="original",
        init="content",
        optimizer="lbfgs",
        backbone=tiny_backbone,
        content_layer="second",
        style_layers={"first": 1.0, "second": 1.0},
        smallest_scale=60,
        scale_steps=(3, 3),
    )
    return lambda **changes: dataclasses.replace(plain, **changes)


@pytest.mark.parametrize("changes", [{}, {"strength": 0.5, "preserve_color": "luminance"}])
def test_a_picture_in_tiles_is_the_picture_as_a_whole(options, changes):
    content, style = picture(0, 120, 150), picture(1, 100, 140)
    whole = stylize(content, style, options(**changes))
    tiled = stylize(content, style, options(tile=64, **changes))
    assert [scale.steps for scale in tiled.scales] == [3, 3]
    assert tiled.losses["loss"] == pytest.approx(whole.losses["loss"], rel=1e-3)
    assert np.abs(tiled.image - whole.image).max() < 0.01
    assert np.abs(tiled.image - content).max() > 0.1


def test_a_masked_picture_in_tiles_is_that_as_a_whole(options):
    content, style = picture(0, 120, 150), picture(1, 100, 140)
    mask = np.zeros((120, 150), "float32")
    mask[:, 40:90] = 1.0
    whole = stylize(content, style, options(), mask=mask)
    tiled = stylize(content, style, options(tile=64), mask=mask)
    assert np.abs(tiled.image - whole.image).max() < 0.01
    np.testing.assert_array_equal(tiled.image[:, :40], content[:, :40])


def free_memory(monkeypatch, available):
    class Process:
        def memory_info(self):
            return type("Info", (), {"rss": 0})

    monkeypatch.setattr(planning, "measure_memory", lambda: Memory(0, int(available)))
    monkeypatch.setattr(planning.psutil, "Process", Process)


def test_where_memory_is_short_tiles_are_looked_at_and_that_is_said(options, monkeypatch):
    # Above the process itself 4.5 MB as a whole, with these; 5.5 MB in tiles of 128, which see
    # 136 x 136 pixels, and 2.2 MB in tiles of 64, which see 72 x 72.
    monkeypatch.setattr(planning, "_TILES", (128, 64))
    base = 1e9
    monkeypatch.setitem(planning._MEMORY, "vgg19", (base, 250))
    monkeypatch.setattr(planning, "_TILED_BASE_BYTES", 0)
    monkeypatch.setattr(planning, "_TILED_BYTES_PER_PIXEL", 50)
    free_memory(monkeypatch, base + 3e6)
    content, style, notes = picture(0, 120, 150), picture(1, 100, 140), []
    whole = stylize(content, style, options(tile=64))
    found = stylize(content, style, options(), on_note=notes.append)
    np.testing.assert_array_equal(found.image, whole.image)
    [note] = notes
    assert found.settings["tile"] == 64
    assert note.startswith("looked at in tiles of 64 pixels for want of memory")


def test_what_would_not_fit_in_tiles_either_is_refused(options, monkeypatch):
    free_memory(monkeypatch, 700e6)
    with pytest.raises(ResourceError, match=r"150x120 needs about .* GB .*--size \d+ would fit"):
        stylize(picture(0, 120, 150), picture(1, 64, 64), options(tile=64))


def test_a_run_is_resumed_with_the_tiles_that_it_had(options, tmp_path, monkeypatch):
    monkeypatch.setattr("cnnkit.tasks.stylize.checkpoint._SECONDS_BETWEEN", 0.0)
    content, style = picture(0, 120, 150), picture(1, 100, 140)

    def stop(progress):
        if progress.total_step == 5:
            raise KeyboardInterrupt

    state = tmp_path / "state"
    sides = []
    used = Style.use_tiles
    monkeypatch.setattr(
        Style, "use_tiles", lambda self, tiling: (sides.append(tiling), used(self, tiling))
    )
    stylizer = Stylizer(style, options(tile=64))
    unbroken = stylizer.run(content)
    stylizer.run(content, checkpoint=state, on_progress=stop)
    resumed = stylizer.run(content, checkpoint=state, resume=True)
    np.testing.assert_array_equal(resumed.image, unbroken.image)
    assert sides[-1].side == 64


def test_tiles_are_of_lbfgs(options):
    with pytest.raises(UsageError, match="tile is for lbfgs alone"):
        options(tile=64, optimizer="adam")
    with pytest.raises(UsageError, match="tile must be at least 64 pixels, not 10"):
        options(tile=10)
