"""What units respond to, against brute force on small random networks."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import ImageError, UsageError
from cnnkit.images import Picture, read_image
from cnnkit.tasks.visualize import units as module
from cnnkit.tasks.visualize.network import view_model
from cnnkit.tasks.visualize.settings import UnitsSettings
from cnnkit.tasks.visualize.unit_search import PictureReader, least_side
from cnnkit.tasks.visualize.units import OUTSIDE, visualize_units

layers = keras.layers


@pytest.fixture(scope="module")
def network():
    """Units of "top" see 8 x 8 pixels, every other pixel, from -1 on."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="bottom")(inputs)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = layers.Conv2D(5, 3, activation="relu", name="top")(x)
    return view_model(keras.Model(inputs, x), "tiny", "hash")


def write_pictures(folder, count, size=(20, 26), seed=0):
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        height, width = size if index % 3 else size[::-1]
        # Blurred noise: neighbouring patches are not equally good.
        pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    return [str(folder)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), 45)


OPTIONS = UnitsSettings(units=(0, 1, 2, 3, 4), size=26)


def outputs_of(network, layer, path):
    pixels = np.asarray(Image.open(path))
    found = network.submodel([layer])(pixels[None].astype(np.float32) / 255.0)[layer]
    return pixels, keras.ops.convert_to_numpy(found)[0]


def assert_same(one, other):
    """Two results are equal, number by number and pixel by pixel."""
    plain = [dataclasses.asdict(result) for result in (one, other)]
    np.testing.assert_equal(*plain)


def test_the_nine_patches_are_those_of_brute_force(network, pictures):
    result = visualize_units("top", pictures, OPTIONS, network=network)
    paths = sorted(Path(pictures[0]).iterdir())
    seen = [outputs_of(network, "top", path) for path in paths]
    assert (result.pictures, result.failed) == (45, 0)
    found = result.layers[0]
    assert (found.layer, found.total_units, found.receptive_field) == ("top", 5, (8, 8))
    assert [unit.unit for unit in found.units] == [0, 1, 2, 3, 4]
    for unit in found.units:
        best = [maps[..., unit.unit].max() for _, maps in seen]
        order = np.argsort([-value for value in best], kind="stable")[:9]
        assert [patch.source for patch in unit.patches] == [str(paths[i]) for i in order]
        np.testing.assert_allclose(
            [p.value for p in unit.patches], np.array(best)[order], rtol=1e-5
        )
        assert unit.mean == pytest.approx(np.mean(best), rel=1e-5)
        assert unit.silent == sum(value == 0 for value in best)
        assert sum(unit.histogram_counts) == 45 - unit.silent
        for patch, index in zip(unit.patches, order, strict=True):
            pixels, maps = seen[index]
            plane = maps[..., unit.unit]
            assert (patch.row, patch.column) == np.unravel_index(plane.argmax(), plane.shape)
            top, left = 2 * patch.row - 1, 2 * patch.column - 1
            assert patch.box_xyxy == (left, top, left + 8, top + 8)
            wide = np.pad(pixels, ((9, 9), (9, 9), (0, 0)), constant_values=OUTSIDE)
            expected = wide[top + 9 : top + 17, left + 9 : left + 17]
            np.testing.assert_array_equal(patch.pixels, expected)


def test_a_unit_sees_its_patch_and_nothing_else(network, pictures):
    patch = visualize_units("top", pictures, OPTIONS, network=network).layers[0].units[2].patches[0]
    pixels, maps = outputs_of(network, "top", patch.source)
    left, top, right, bottom = (int(edge) for edge in patch.box_xyxy)
    inside = np.zeros(pixels.shape[:2], bool)
    inside[max(0, top) : bottom, max(0, left) : right] = True
    for where, is_same in ((~inside, True), (inside, False)):
        changed = np.where(where[..., None], 255 - pixels, pixels)
        again = network.submodel(["top"])(changed[None].astype(np.float32) / 255.0)["top"]
        value = keras.ops.convert_to_numpy(again)[0, patch.row, patch.column, 2]
        before = maps[patch.row, patch.column, 2]
        assert (abs(value - before) <= 1e-6 * abs(before)) == is_same


def test_of_few_pictures_some_give_several_patches(network, tmp_path):
    names = write_pictures(tmp_path / "few", 2)
    unit = visualize_units("top", names, OPTIONS, network=network).layers[0].units[0]
    assert len(unit.patches) == 9
    values = [patch.value for patch in unit.patches]
    assert values == sorted(values, reverse=True)
    assert {patch.source for patch in unit.patches} == {f"{names[0]}/00{i}.png" for i in (0, 1)}
    places = {(patch.source, patch.row, patch.column) for patch in unit.patches}
    assert len(places) == 9
    for patch in unit.patches:
        maps = outputs_of(network, "top", patch.source)[1]
        assert patch.value == pytest.approx(maps[patch.row, patch.column, 0], rel=1e-5)


def test_all_layers_in_one_pass_are_those_of_single_runs(network, pictures):
    at_once = visualize_units(None, pictures, UnitsSettings(size=26, count=2), network=network)
    assert [layer.layer for layer in at_once.layers] == ["bottom", "top"]
    for found in at_once.layers:
        options = UnitsSettings(size=26, count=2)
        alone = visualize_units(found.layer, pictures, options, network=network).layers[0]
        np.testing.assert_equal(dataclasses.asdict(found), dataclasses.asdict(alone))


# Going on -------------------------------------------------------------------------------------


def interrupt(network, pictures, state, **options):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        visualize_units(
            "top", pictures, OPTIONS, network=network, checkpoint=state, on_progress=stop, **options
        )
    assert state.exists()


def test_a_resumed_run_gives_the_same_as_one_without_interruption(network, pictures, tmp_path):
    state = tmp_path / "state"
    interrupt(network, pictures, state)
    notes = []
    resumed = visualize_units(
        "top", pictures, OPTIONS, network=network, checkpoint=state, resume=True,
        on_note=notes.append,
    )  # fmt: skip
    assert notes[0] == "going on after 32 of 45 pictures"
    assert_same(resumed, visualize_units("top", pictures, OPTIONS, network=network))
    assert not state.exists()


def test_failures_before_the_interruption_are_remembered(network, tmp_path):
    names = write_pictures(tmp_path / "some", 40)
    (tmp_path / "some" / "003.png").write_bytes(b"no picture")
    state = tmp_path / "state"
    interrupt(network, names, state)
    resumed = visualize_units("top", names, OPTIONS, network=network, checkpoint=state, resume=True)
    assert (resumed.pictures, resumed.failed) == (39, 1)
    assert "003.png is not a picture" in resumed.failures[0][1].message


def test_a_state_of_another_run_is_refused(network, pictures, tmp_path):
    state = tmp_path / "state"
    interrupt(network, pictures, state)
    other = write_pictures(tmp_path / "other", 3)
    for layer, names, options in (
        ("bottom", pictures, UnitsSettings(size=26)),
        ("top", other, OPTIONS),
        ("top", pictures, UnitsSettings(size=30)),
    ):
        with pytest.raises(UsageError, match="is of a run with another model, layer, size or"):
            visualize_units(layer, names, options, network=network, checkpoint=state, resume=True)
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(ImageError, match="is damaged; remove it to start anew"):
        visualize_units("top", pictures, OPTIONS, network=network, checkpoint=state, resume=True)


def test_a_run_that_cannot_write_its_state_goes_on_and_says_so(network, pictures, tmp_path):
    (tmp_path / "file").touch()
    notes = []
    visualize_units(
        "top", pictures, OPTIONS, network=network, checkpoint=tmp_path / "file" / "state",
        on_note=notes.append,
    )  # fmt: skip
    assert [note for note in notes if "could not be resumed" in note] == notes


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(tiny_backbone, pictures, tmp_path):
    state = tmp_path / "state"
    code = f"""
import os, signal, sys
from cnnkit.tasks.visualize.settings import UnitsSettings
from cnnkit.tasks.visualize import unit_search
from cnnkit.tasks.visualize.units import visualize_units
unit_search._CHECKPOINT_SECONDS = 0.0
visualize_units("second", {pictures!r}, UnitsSettings({tiny_backbone!r}, size=26),
                checkpoint={str(state)!r},
                on_progress=lambda found: os.kill(os.getpid(), signal.SIGKILL))
"""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    killed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    options = UnitsSettings(tiny_backbone, size=26)
    resumed = visualize_units("second", pictures, options, checkpoint=state, resume=True)
    assert_same(resumed, visualize_units("second", pictures, options))


# What goes wrong ------------------------------------------------------------------------------


def test_what_cannot_be_read_is_told_of_once_and_the_rest_goes_on(network, tmp_path):
    names = write_pictures(tmp_path / "some", 12)
    (tmp_path / "some" / "005.png").write_bytes(b"")
    failures = []
    result = visualize_units(
        "top", names, OPTIONS, network=network,
        on_failure=lambda name, error: failures.append((name, str(error))),
    )  # fmt: skip
    assert (result.pictures, result.failed) == (11, 1)
    (failure,) = failures
    assert failure[0].endswith("005.png")
    assert "is empty" in failure[1]
    with pytest.raises(ImageError, match="none of the pictures can be read"):
        visualize_units("top", [str(tmp_path / "none.png")], OPTIONS, network=network)


@pytest.mark.parametrize(
    "change", [Path.unlink, lambda path: Image.new("RGB", (26, 20)).save(path)]
)
def test_a_winner_that_is_gone_or_changed_is_told_of(network, tmp_path, change):
    names = write_pictures(tmp_path / "some", 12)
    best = visualize_units("top", names, OPTIONS, network=network).layers[0].units[0].patches[0]
    failures = []

    def looked(progress):
        if progress.stage == "looking":
            change(Path(best.source))

    result = visualize_units(
        "top", names, OPTIONS, network=network, on_progress=looked,
        on_failure=lambda name, error: failures.append(name),
    )  # fmt: skip
    assert failures == [best.source]
    assert result.failed == 1
    unit = result.layers[0].units[0]
    assert best.source not in [patch.source for patch in unit.patches]
    assert len(unit.patches) == 8


def test_no_such_layer_or_unit_is_refused_before_the_run(network):
    with pytest.raises(UsageError, match=r"tiny has no layer 'tpo'; it has: top"):
        visualize_units("tpo", ["none"], network=network)
    with pytest.raises(UsageError, match=r"top has no unit 5; its 5 units are 0 to 4"):
        visualize_units("top", ["none"], UnitsSettings(units=(1, 5)), network=network)
    with pytest.raises(UsageError, match="stdin cannot be"):
        visualize_units("top", ["-"], network=network)


def test_without_pictures_the_samples_are_used_and_named(network):
    notes = []
    result = visualize_units(
        "top", None, UnitsSettings(size=32, count=1), network=network, on_note=notes.append
    )
    assert "the 5 sample photographs are used" in notes[0]
    assert {patch.source for patch in result.layers[0].units[0].patches} <= set(result.sizes)
    assert result.sizes["chelsea"] == (300, 451)


def test_a_picture_too_narrow_for_the_layer_is_a_failure_of_its_own(network, tmp_path):
    names = write_pictures(tmp_path / "some", 10)
    Image.new("RGB", (200, 2), "red").save(tmp_path / "some" / "thin.png")
    failures = []
    result = visualize_units(
        "top", names, OPTIONS, network=network,
        on_failure=lambda name, error: failures.append(str(error)),
    )  # fmt: skip
    assert result.failed == 1
    # A pooling by 2 and then a window of 3 need 6 pixels.
    assert "thin.png is 200x2, as seen 26x1, too narrow" in failures[0]
    assert "needs 6 pixels" in failures[0]


def test_the_smallest_side_of_reflected_networks_is_found():
    inputs = keras.Input((None, None, 3))
    x = keras.ops.pad(inputs, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    network = view_model(keras.Model(inputs, layers.Conv2D(2, 5, name="c")(x)), "own")
    assert least_side(network, ["c"]) == 3


# Other networks -------------------------------------------------------------------------------


def test_memory_for_winners_does_not_grow_with_the_pictures(network, tmp_path, monkeypatch):
    names = write_pictures(tmp_path / "many", 150, (8, 8))
    sizes = []
    original = module.Checkpoint.group_done
    monkeypatch.setattr(
        module.Checkpoint,
        "group_done",
        lambda self, search: (sizes.append(len(search.winners)), original(self, search)),
    )
    visualize_units("top", names, UnitsSettings(units=(0,), size=8), network=network)
    assert len(sizes) == 5
    assert max(sizes) <= 5 * 9


def test_a_classifier_of_grey_pictures_of_one_size_sees_them_whole(tmp_path):
    keras.utils.set_random_seed(0)
    body = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(3, 3, activation="relu", name="c")], name="body"
    )
    inputs = keras.Input((8, 8, 1))
    x = layers.Flatten(name="flat")(body(inputs))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax", name="says")(x))
    network = view_model(model, "own", pixels="byte")
    names = write_pictures(tmp_path / "some", 12)
    notes = []
    options = UnitsSettings(units=(2,), deconv=True)
    result = visualize_units("says", names, options, network=network, on_note=notes.append)
    assert notes[0] == "own takes 8x8; pictures are squeezed to that"
    patch = result.layers[0].units[0].patches[0]
    assert patch.pixels.shape == patch.reconstruction.shape == (8, 8, 3)
    height, width = result.sizes[patch.source]
    assert patch.box_xyxy == (0, 0, width, height)
    pixels, _ = PictureReader(read_image, network, 256, 1)(patch.source)
    assert pixels.shape == (8, 8, 1)
    probabilities = keras.ops.convert_to_numpy(model(pixels[None].astype(np.float32)))
    assert patch.value == pytest.approx(float(probabilities[0, 2]), rel=1e-4)
    inner = visualize_units("body/c", names, options, network=network).layers[0]
    assert inner.receptive_field == (3, 3)


def test_where_padding_depends_on_the_size_so_does_the_field(tmp_path):
    # 3 x 3 with stride 2 on 20 pixels pads 0 before, on 21 pixels 1: (ceil(n / 2) - 1) 2 + 3 - n.
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(2, 3, strides=2, padding="same", activation="relu", name="c")(inputs)
    network = view_model(keras.Model(inputs, x), "own")
    write_pictures(tmp_path / "some", 6, (20, 20))
    write_pictures(tmp_path / "some" / "odd", 6, (21, 21))
    for size, start in ((20, 0), (21, -1)):
        folder = str(tmp_path / "some" / ("odd" if size == 21 else ""))
        result = visualize_units("c", [folder], UnitsSettings(size=size), network=network)
        assert result.layers[0].receptive_field == (3, 3)
        patch = result.layers[0].units[0].patches[0]
        assert patch.box_xyxy[1] == start + 2 * patch.row


def test_silent_units_are_told_of_and_not_shown(tmp_path):
    inputs = keras.Input((None, None, 3))
    layer = layers.Conv2D(3, 1, activation="relu", name="c")
    network = view_model(keras.Model(inputs, layer(inputs)), "own")
    layer.set_weights(
        [np.array([[1, 1, 1], [-1, -1, -1], [0, 1, 0]], "f4").T[None, None], np.zeros(3)]
    )
    names = write_pictures(tmp_path / "some", 10)
    notes = []
    result = visualize_units("c", names, UnitsSettings(), network=network, on_note=notes.append)
    assert notes == ["c: 1 of 3 units respond to no picture: 1"]
    assert result.layers[0].silent_units == (1,)
    assert sorted(unit.unit for unit in result.layers[0].units) == [0, 2]


def test_transparent_pixels_are_white(network):
    picture = Picture(np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.float32))
    pixels, _ = PictureReader(lambda name: picture, network, 8, 1)("clear.png")
    assert (pixels == 255).all()
