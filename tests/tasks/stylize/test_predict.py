"""Style transfer as a library, mostly on a network of two random layers."""

import dataclasses
import math
import threading
import time

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit import StylizeOptions, Stylizer, StylizeSettings, stylize
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.errors import DivergenceError, ImageError, ResourceError, UsageError
from cnnkit.images import Picture, as_picture, read_image, resize, to_uint8, write_image
from cnnkit.models.generated_image import GeneratedImage
from cnnkit.ops.color import grey
from cnnkit.ops.schedule import Scale
from cnnkit.runtime import Memory
from cnnkit.tasks.stylize import plan as planning
from cnnkit.tasks.stylize import predict, scales
from cnnkit.tasks.stylize import scale_optimizer as scale_module
from cnnkit.tasks.stylize.loss import StylizeLoss
from cnnkit.tasks.stylize.painting import Painting
from cnnkit.tasks.stylize.style import Style


class Stop(Exception):
    """What a test raises in the middle of a run."""


@pytest.fixture
def eager(monkeypatch):
    """For runs of a few steps: tracing and compiling them would take longer than they do."""
    compiled = GeneratedImage.compile
    monkeypatch.setattr(
        GeneratedImage, "compile", lambda *args, **kw: compiled(*args, **kw, run_eagerly=True)
    )


@pytest.fixture
def tiny(long, eager):
    """Options of a run of three steps; keyword arguments change them."""
    return long


@pytest.fixture
def long(tiny_backbone):
    """The same for runs that are long enough to be compiled, as they are in earnest."""
    plain = StylizeSettings(
        size=32,
        steps=3,
        backbone=tiny_backbone,
        content_layer="second",
        style_layers={"first": 1.0, "second": 1.0},
    )
    return lambda **changes: dataclasses.replace(plain, **changes)


ONE_COLOUR = "the style picture is of one colour"


def scene(height=32, width=32):
    """A photograph of sorts: a gradient with a disc."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype("float32")
    disc = (np.hypot(rows - 0.5, columns - 0.4) < 0.25).astype("float32")
    return np.stack([rows, columns, 0.2 + 0.6 * disc], axis=-1)


def strokes(height=32, width=32):
    """A painting of sorts: red and yellow waves."""
    rows, columns = np.mgrid[0:height, 0:width].astype("float32")
    wave = 0.5 + 0.5 * np.sin(rows * 0.9 + 3.0 * np.sin(columns * 0.3))
    return np.stack([0.9 * np.ones_like(wave), wave, 0.1 * wave], axis=-1).astype("float32")


def sensible(image):
    pixels = np.asarray(image)
    if pixels.dtype == np.uint8:
        return True
    return bool(np.isfinite(pixels).all() and pixels.min() >= 0.0 and pixels.max() <= 1.0)


# Kinds and shapes ----------------------------------------------------------------------------


def test_a_float_array_gives_a_float_array(tiny):
    result = stylize(scene(24, 32), strokes(), tiny())
    assert result.image.shape == (24, 32, 3)
    assert result.image.dtype == np.float32
    assert sensible(result.image)
    assert not np.allclose(result.image, scene(24, 32), atol=0.01)
    assert result.finished


def test_a_uint8_array_gives_a_uint8_array(tiny):
    result = stylize(to_uint8(scene()), to_uint8(strokes()), tiny())
    assert result.image.dtype == np.uint8
    assert result.image.shape == (32, 32, 3)


def test_uint8_and_float_are_the_same_picture(tiny):
    exact = to_uint8(scene())
    a = stylize(exact, strokes(), tiny()).image
    b = stylize(exact.astype("float64") / 255.0, strokes(), tiny()).image
    assert np.abs(a.astype(int) - to_uint8(b).astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "expected"), [("RGB", "RGB"), ("L", "RGB"), ("RGBA", "RGBA"), ("P", "RGB")]
)
def test_a_pil_image_gives_a_pil_image(tiny, mode, expected):
    content = Image.fromarray(to_uint8(scene(20, 30)))
    if mode == "RGBA":
        content.putalpha(Image.linear_gradient("L").resize((30, 20)))
    else:
        content = content.convert(mode)
    result = stylize(content, Image.fromarray(to_uint8(strokes())), tiny())
    assert result.image.mode == expected
    assert result.image.size == (30, 20)


@pytest.mark.parametrize(
    "mode", ["1", "LA", "La", "PA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"]
)
def test_a_pil_image_of_any_mode_is_understood(mode):
    image = Image.new(mode, (5, 4))
    picture = as_picture(image, "the picture", keep_alpha=True)
    assert picture.pixels.shape == (4, 5, 3)
    assert picture.pixels.max() < 0.05 or mode in ("CMYK", "YCbCr")


def test_a_pil_image_lying_on_its_side_is_turned_upright(tmp_path):
    image = Image.fromarray(to_uint8(scene(10, 20)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    image.save(tmp_path / "lying.png", exif=exif)
    with Image.open(tmp_path / "lying.png") as opened:
        picture = as_picture(opened, "the picture")
    assert picture.pixels.shape == (20, 10, 3)
    np.testing.assert_array_equal(picture.pixels, read_image(tmp_path / "lying.png").pixels)


def test_a_path_gives_a_pil_image_and_its_name_is_kept(tiny, tmp_path):
    path = tmp_path / "übung.png"
    write_image(path, Picture(scene(16, 24)))
    result = stylize(path, str(path), tiny())
    assert isinstance(result.image, Image.Image)
    assert result.settings["content"] == str(path)
    assert result.settings["styles"][0]["source"] == str(path)


def test_grey_arrays_are_pictures_too(tiny):
    grey_one, grey_two = scene()[..., :1], strokes()[..., 1]
    assert stylize(grey_one, grey_two, tiny()).image.shape == (32, 32, 3)


def test_alpha_is_kept(tiny):
    alpha = np.linspace(0, 1, 32 * 32, dtype="float32").reshape(32, 32, 1)
    result = stylize(np.concatenate([scene(), alpha], axis=-1), strokes(), tiny())
    np.testing.assert_array_equal(result.image[..., 3:], alpha)


def test_a_tuple_of_styles_is_several(tiny):
    of_tuple = stylize(scene(), (strokes(), scene()), tiny())
    of_list = stylize(scene(), [strokes(), scene()], tiny())
    np.testing.assert_array_equal(of_tuple.image, of_list.image)
    [style] = stylize(scene(), (strokes(), 2.0), tiny()).settings["styles"]
    assert style["weight"] == 2.0


@pytest.mark.parametrize("place", ["content", "style"])
def test_colours_under_transparency_do_not_change_the_painting(tiny, place):
    results = []
    for hidden in (0.0, 1.0, np.random.default_rng(1).random((32, 12, 3))):
        content, style = scene(), strokes()
        picture = content if place == "content" else style
        alpha = np.ones((32, 32, 1), "float32")
        alpha[:, :12] = 0.0
        picture[:, :12] = hidden
        picture = np.concatenate([picture, alpha], axis=-1)
        both = (picture, style) if place == "content" else (content, picture)
        results.append(stylize(*both, tiny()).image)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_alpha_is_resized_with_the_picture(tiny):
    alpha = np.linspace(0, 1, 64 * 64, dtype="float32").reshape(64, 64, 1)
    result = stylize(np.concatenate([scene(64, 64), alpha], axis=-1), strokes(), tiny())
    expected = np.clip(resize(alpha[..., 0], 32, 32), 0, 1)
    np.testing.assert_allclose(result.image[..., 3], expected)


def test_nothing_that_is_given_is_changed(tiny):
    content, style, mask = scene(), strokes(), grey(scene())
    before = [array.copy() for array in (content, style, mask)]
    stylize(content, [(style, 0.5), (scene(), 0.5)], tiny(preserve_color="luminance"), mask=mask)
    for array, kept in zip((content, style, mask), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((4, 4, 2), "float32"), r"content picture must be an array .*\(4, 4, 2\)"),
        (np.zeros((0, 4, 3), "uint8"), r"Received: shape \(0, 4, 3\)"),
        (np.full((4, 4, 3), 2.0), "finite floats in"),
        (np.full((4, 4, 3), np.nan), "finite floats in"),
        (np.zeros((4, 4, 3), "int32"), "uint8 or float. Received: int32"),
    ],
)
def test_what_is_no_picture_is_refused(tiny, content, message):
    with pytest.raises(ValueError, match=message):
        stylize(content, strokes(), tiny())


def test_a_missing_style_is_named(tiny):
    with pytest.raises(ImageError, match=r"nowhere\.png does not exist"):
        stylize(scene(), "nowhere.png", tiny())


# Sizes ---------------------------------------------------------------------------------------


def test_the_long_side_becomes_the_size(tiny):
    assert stylize(scene(50, 100), strokes(), tiny()).image.shape == (16, 32, 3)


def test_a_small_picture_is_not_enlarged_and_that_is_said(tiny):
    notes = []
    result = stylize(scene(20, 16), strokes(), tiny(), on_note=notes.append)
    assert result.image.shape == (20, 16, 3)
    assert notes == ["the content picture is 20 pixels long and is not enlarged to 32"]


def test_a_picture_that_is_made_too_small_for_a_style_is_noted():
    notes = []
    options = StylizeSettings(size=20, quality="draft")
    result = stylize(scene(40, 60), strokes(), options, on_note=notes.append)
    assert result.image.shape == (13, 20, 3)
    assert notes == [
        "the picture is made 20x13 pixels small, which leaves no room for a style: the size is its "
        "long side, 64 or better more"
    ]


def test_size_original_keeps_the_size(tiny):
    notes = []
    result = stylize(scene(21, 43), strokes(), tiny(size="original"), on_note=notes.append)
    assert result.image.shape == (21, 43, 3)
    assert notes == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (20, 1), (16, 16), (17, 31), (2, 200)])
def test_pictures_of_every_shape_are_painted(tiny, shape):
    result = stylize(scene(*shape), strokes(*shape), tiny(size="original"))
    assert result.image.shape == (*shape, 3)
    assert sensible(result.image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 20), (17, 31)])
def test_the_shipped_network_paints_the_smallest_pictures(shape):
    options = StylizeSettings(backbone="compact", size=32, steps=3)
    result = stylize(scene(*shape), strokes(*shape), options)
    assert result.image.shape == (*shape, 3)
    assert sensible(result.image)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("flat", ["content", "style", "both"])
def test_pictures_of_one_colour_give_a_sensible_picture(long, flat, level):
    notes = []
    plain = np.full((32, 32, 3), level, "float32")
    content = scene() if flat == "style" else plain
    style = strokes() if flat == "content" else plain
    result = stylize(content, style, long(steps=12), on_note=notes.append)
    assert sensible(result.image)
    assert all(math.isfinite(value) for value in result.losses.values())
    assert [ONE_COLOUR in note for note in notes] == ([] if flat == "content" else [True])
    if flat == "both":
        # Not quite: at its edges this network sees zeros, which are no part of the picture.
        np.testing.assert_allclose(result.image, content, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("style_loss", ["wasserstein", "gram"])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_one_colour_style_on_the_shipped_network_is_no_black_picture(level, style_loss):
    notes = []
    options = StylizeSettings(size=64, steps=40, backbone="compact", style_loss=style_loss)
    plain = np.full((64, 64, 3), level, "float32")
    result = stylize(scene(64, 64), plain, options, on_note=notes.append)
    assert sensible(result.image)
    [note] = notes
    assert ONE_COLOUR in note
    assert note.endswith("strength 0.7 is taken")
    assert result.settings["strength"] == 0.7
    # Somewhere on the way from the content's mean to the style's.
    assert 0.05 < result.image.mean() < 0.95


def test_a_style_of_one_colour_at_little_strength_needs_no_word(tiny):
    notes = []
    plain = np.full((64, 64, 3), 0.5, "float32")
    stylize(scene(), plain, tiny(strength=0.5), on_note=notes.append)
    assert notes == []


@pytest.mark.slow
def test_a_style_of_nearly_one_colour_starts_from_the_content():
    plain = np.full((64, 64, 3), 1.0, "float32")
    plain[::2] -= 0.05
    content = scene(64, 64)
    common = {"size": 64, "steps": 3, "backbone": "compact", "optimizer": "adam"}
    fast = stylize(content, plain, StylizeSettings(init="fast", **common))
    from_content = stylize(content, plain, StylizeSettings(init="content", **common))
    np.testing.assert_array_equal(fast.image, from_content.image)


def test_too_little_memory_says_what_size_would_fit(tiny, monkeypatch):
    class Memory:
        available = 700e6

    class Process:
        def memory_info(self):
            return type("Info", (), {"rss": 0})

    monkeypatch.setattr(planning, "measure_memory", Memory)
    monkeypatch.setattr(planning.psutil, "Process", Process)
    message = r"200x100 needs about .* GB .*--size \d+ would fit"
    with pytest.raises(ResourceError, match=message):
        stylize(scene(100, 200), strokes(), tiny(size="original"))
    with pytest.raises(ResourceError, match=f"{message}; --optimizer lbfgs takes less, in tiles"):
        stylize(scene(100, 200), strokes(), tiny(size="original", optimizer="adam"))


def test_the_names_of_before_still_work(tiny):
    assert StylizeOptions is StylizeSettings
    assert Stylizer(strokes(), options=tiny(seed=3)).settings.seed == 3


def test_a_long_run_is_predicted(tiny, monkeypatch):
    monkeypatch.setattr(planning, "_LONG_RUN_COST", 1.0)
    notes = []
    stylize(scene(), strokes(), tiny(), on_note=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("predicted: about ")
    assert notes[0].endswith(" GB")


# Strength, styles, colours, masks ------------------------------------------------------------


def test_strength_zero_gives_the_content_back(long):
    result = stylize(scene(), strokes(), long(strength=0.0, steps=30))
    np.testing.assert_array_equal(result.image, scene())


def test_a_little_strength_is_a_little_change(long):
    # Half of it is half as far: no dead range at the beginning, and no jump.
    options = long(optimizer="adam", steps=20)
    near, far = changes_at((0.02, 0.04), scene(), strokes(), options)
    assert near > 0.001
    assert 1.6 < far / near < 2.4


@pytest.mark.slow
def test_a_little_strength_is_a_little_change_with_the_defaults():
    photo, waves = (load_sample(find_sample(name)).pixels for name in ("chelsea", "waves"))
    photo = np.clip(resize(photo, 64, 96), 0.0, 1.0)
    near, middle, far = changes_at((0.02, 0.04, 0.16), photo, waves, StylizeSettings(size=96))
    assert near > 0.001
    assert 1.6 < middle / near < 2.4
    assert 3.2 < far / middle < 4.8


def changes_at(strengths, content, style, options):
    """How far the picture goes from the content at each strength, as a mean over the pixels."""
    return [
        np.abs(
            stylize(content, style, dataclasses.replace(options, strength=strength)).image - content
        ).mean()
        for strength in strengths
    ]


def test_more_strength_brings_the_picture_nearer_to_the_style(long):
    def distance(image):
        style = Style(strokes(), long())
        loss = StylizeLoss(
            style.network.model,
            scene(),
            "second",
            style.style_statistics(32, scene()),
            {"first": 1.0, "second": 1.0},
        )
        return float(loss(image)[1]["style"])

    images = [
        stylize(scene(), strokes(), long(strength=strength, steps=60)).image
        for strength in (0.0, 0.3, 0.6, 1.0)
    ]
    distances = [distance(image) for image in images]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 0.3 * distances[0]


def test_the_shares_of_several_styles_move_the_picture(long):
    red, blue = strokes(), strokes()[..., ::-1].copy()
    options = long(steps=30)
    reds = [
        stylize(scene(), [(red, share), (blue, 1.0 - share)], options).image[..., 0].mean()
        for share in (0.1, 0.9)
    ]
    assert reds[0] < reds[1]


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_a_style_needs_a_positive_weight(tiny, weight):
    with pytest.raises(UsageError, match="weight of a style must be more than 0"):
        Stylizer([(strokes(), weight)], tiny())


def test_no_style_is_refused(tiny):
    with pytest.raises(UsageError, match="no style picture given"):
        Stylizer([], tiny())


def test_a_transparent_style_is_refused(tiny):
    clear = np.concatenate([strokes(), np.zeros((32, 32, 1), "float32")], axis=-1)
    with pytest.raises(ImageError, match="the style picture is transparent all over"):
        Stylizer(clear, tiny())


def test_what_is_transparent_in_a_style_does_not_count(tiny):
    half = np.concatenate([strokes(32, 32), np.ones((32, 32, 1), "float32")], axis=-1)
    half[:, 16:, 3] = 0.0
    other = half.copy()
    # Two pixels from the edge no filter of the first layer sees what is hidden.
    other[:, 18:, :3] = 0.0
    a, b = (Style(style, tiny()).style_statistics(32, scene()) for style in (half, other))
    np.testing.assert_allclose(a["first"].gram, b["first"].gram, rtol=1e-5)


def test_style_scale_makes_the_style_picture_larger(tiny, monkeypatch):
    sizes = []
    measure = Style._measure

    def spy(self, canvas, weights):
        sizes.append(canvas.shape[:2])
        return measure(self, canvas, weights)

    monkeypatch.setattr(Style, "_measure", spy)
    for factor in (0.5, 1.0, 2.0):
        Style(strokes(64, 64), tiny(style_scale=factor)).style_statistics(64, scene())
    assert sizes == [(32, 32), (64, 64), (128, 128)]


def test_luminance_keeps_the_contents_colours(long):
    from skimage.color import rgb2lab

    content = 0.3 + 0.3 * scene()
    result = stylize(content, strokes(), long(preserve_color="luminance", steps=20))
    lab, expected = rgb2lab(result.image), rgb2lab(content)
    assert np.median(np.abs(lab[..., 1:] - expected[..., 1:])) < 1.0
    assert np.abs(lab[..., 0] - expected[..., 0]).mean() > 0.1


@pytest.mark.parametrize("mode", ["histogram", "chroma"])
def test_colours_stay_nearer_to_the_contents(long, mode):
    blue = strokes()[..., 1:2] ** np.array([4.0, 4.0, 0.5], "float32")

    def drift(mode):
        image = stylize(scene(), blue, long(preserve_color=mode, steps=30)).image
        return np.abs(image.mean(axis=(0, 1)) - scene().mean(axis=(0, 1))).max()

    assert drift(mode) < 0.85 * drift("none")


def test_outside_of_the_mask_the_content_is_untouched(long):
    content = scene(64, 64)
    mask = np.zeros((64, 64), "float32")
    mask[:, 40:] = 1.0
    result = stylize(content, strokes(), long(steps=20), mask=mask)
    kept = np.clip(resize(content, 32, 32), 0, 1)
    np.testing.assert_array_equal(result.image[:, :15], kept[:, :15])
    assert np.abs(result.image[:, 22:] - kept[:, 22:]).mean() > 0.02


def test_a_white_mask_is_no_mask_but_for_rounding(tiny):
    white = np.full((32, 32, 3), 255, "uint8")
    masked = stylize(scene(), strokes(), tiny(), mask=white).image
    np.testing.assert_allclose(masked, stylize(scene(), strokes(), tiny()).image, atol=0.02)


def test_a_mask_may_be_boolean(tiny):
    mask = np.zeros((32, 32), bool)
    mask[:16] = True
    result = stylize(scene(), strokes(), tiny(), mask=mask)
    np.testing.assert_array_equal(result.image[16:], scene()[16:])


def test_a_mask_of_another_size_is_scaled_to_the_content(tiny):
    mask = np.zeros((8, 16), "float32")
    mask[:, 8:] = 1.0
    result = stylize(scene(16, 32), strokes(), tiny(), mask=mask)
    np.testing.assert_array_equal(result.image[:, :10], scene(16, 32)[:, :10])


def test_a_mask_of_another_shape_is_refused(tiny):
    with pytest.raises(UsageError, match="the mask is 16x8, which is not the shape of the content"):
        stylize(scene(), strokes(), tiny(), mask=np.ones((8, 16), "float32"))


def test_a_black_mask_is_refused(tiny):
    with pytest.raises(UsageError, match="the mask is black: nothing would be stylised"):
        stylize(scene(), strokes(), tiny(), mask=np.zeros((32, 32), "float32"))


# Optimisation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adam"},
        {"optimizer": "adam", "parameterization": "pixels"},
        {"optimizer": "adam", "ema": 0.8},
        {"optimizer": "sgd", "learning_rate": 0.01},
        {"optimizer": "lbfgs"},
        {"style_loss": "gram"},
        {"init": "noise"},
        {"init": "style"},
    ],
    ids=lambda changes: "-".join(str(value) for value in changes.values()),
)
def test_every_way_of_optimising_decreases_the_loss(long, changes):
    losses = []
    result = stylize(
        scene(),
        strokes(),
        # From a draft, not as much is left to gain.
        long(**{"steps": 25, "init": "content", **changes}),
        on_progress=lambda progress: losses.append(progress.losses["loss"]),
    )
    assert losses[-1] < 0.7 * losses[0]
    assert set(result.losses) == {"loss", "content", "style", "tv"}
    assert sensible(result.image)


def test_the_default_options_work_as_they_are():
    result = stylize(scene(), strokes(), StylizeSettings(steps=2))
    assert result.image.shape == (32, 32, 3)


def test_the_same_seed_gives_the_same_picture(tiny):
    def image(seed):
        return stylize(scene(), strokes(), tiny(init="noise", seed=seed)).image

    np.testing.assert_array_equal(image(1), image(1))
    assert np.abs(image(1) - image(2)).max() > 0.05


def test_scales_go_from_coarse_to_fine(tiny):
    seen = []
    options = tiny(size=64, steps=None, smallest_scale=16, scale_steps=(3, 2, 1))

    def on_progress(progress):
        seen.append((progress.width, progress.step, progress.total_step))
        assert (progress.scales, progress.total_steps) == (3, 6)
        assert progress.image().shape == (48, 64, 3)

    result = stylize(scene(48, 64), strokes(), options, on_progress=on_progress)
    assert seen == [(16, 1, 1), (16, 2, 2), (16, 3, 3), (32, 1, 4), (32, 2, 5), (64, 1, 6)]
    assert [(s.height, s.width, s.steps) for s in result.scales] == [
        (12, 16, 3),
        (24, 32, 2),
        (48, 64, 1),
    ]


def test_the_settings_say_how_to_do_it_again(tiny):
    result = stylize(scene(), strokes(), tiny(strength=0.5))
    assert result.settings["strength"] == 0.5
    assert result.settings["style_layers"] == {"first": 1.0, "second": 1.0}
    assert result.settings["backbone"] == result.backbone == "tiny.keras"
    assert len(result.settings["backbone_sha256"]) == 64
    assert len(result.settings["styles"][0]["sha256"]) == 64
    assert result.seconds > 0.0


def test_a_style_is_measured_once_for_all_contents(tiny, monkeypatch):
    calls = []
    measure = Style._measure

    def spy(self, canvas, weights):
        calls.append(canvas.shape)
        return measure(self, canvas, weights)

    monkeypatch.setattr(Style, "_measure", spy)
    stylizer = Stylizer(strokes(), tiny())
    for content in (scene(), scene() ** 2, scene(24, 32)):
        stylizer.run(content)
    assert len(calls) == 1


# Budget --------------------------------------------------------------------------------------


def test_a_budget_bounds_a_run_of_any_number_of_steps(long):
    result = Stylizer(strokes(), long(init="content", steps=10**6, budget=4.0)).run(scene())
    # A million steps take minutes on any machine; how many seconds there are of it is measured by
    # benchmarks/stylize_budget.py.
    assert sum(scale.steps for scale in result.scales) < 10**6
    assert result.finished
    assert 1 <= sum(scale.steps for scale in result.scales) < 10**6


def test_a_budget_never_takes_more_steps_than_asked_for(tiny):
    notes = []
    options = tiny(steps=5, budget=60.0)
    result = stylize(scene(), strokes(), options, on_note=notes.append)
    assert [scale.steps for scale in result.scales] == [5]
    assert notes == ["budget 60 s: 5 steps at 32x32"]


def test_a_run_that_is_slower_than_planned_stops_in_time(long, monkeypatch):
    clock = [0.0]

    class Time:
        """A clock on which each step takes 0.1 s at first, and 1 s once the run is planned."""

        @staticmethod
        def monotonic():
            return clock[0]

    pace = [0.1]
    for module in (planning, scales, predict):
        monkeypatch.setattr(module, "time", Time)
    step_end = scale_module._Watch.on_train_batch_end

    def slow(self, batch, logs=None):
        clock[0] += pace[0]
        step_end(self, batch, logs)

    monkeypatch.setattr(scale_module._Watch, "on_train_batch_end", slow)

    def on_note(text):
        pace[0] = 1.0

    result = stylize(
        scene(), strokes(), long(optimizer="adam", steps=None, budget=20.0), on_note=on_note
    )
    assert clock[0] <= 20.0
    assert result.finished
    # 0.6 s of timing, 0.3 s of reserve, and a step a second.
    assert 15 <= result.scales[0].steps <= 20


def test_a_budget_that_is_over_before_it_begins_takes_one_step(tiny):
    options = tiny(init="content", size=64, steps=None, smallest_scale=16, budget=5.0)
    stylizer = Stylizer(strokes(), options)
    notes = []
    stylizer.style.note = notes.append
    result = stylizer.run(scene(64, 64), started=-1e6)
    assert [(s.height, s.steps) for s in result.scales] == [(16, 1)]
    assert result.image.shape == (64, 64, 3)
    assert "does not reach 64x64: the picture is painted at 16x16 and enlarged" in notes[1]


def test_a_budget_that_is_over_before_it_begins_leaves_the_draft(tiny):
    options = tiny(size=64, steps=None, smallest_scale=16)
    notes = []
    stylizer = Stylizer(strokes(), dataclasses.replace(options, budget=5.0), on_note=notes.append)
    result = stylizer.run(scene(64, 64), started=-1e6)
    assert [(s.height, s.steps) for s in result.scales] == [(64, 0)]
    assert notes == ["budget 5 s: there is no time for a step; the picture is a draft"]
    assert result.finished
    draft = stylize(scene(64, 64), strokes(), StylizeSettings(size=64, quality="draft"))
    np.testing.assert_array_equal(result.image, draft.image)
    assert result.backbone_hash == draft.backbone_hash


def test_what_a_budget_has_room_for_is_told_by_how_long_the_start_took(tiny, monkeypatch):
    now = 1000.0
    monkeypatch.setattr("cnnkit.tasks.stylize.plan.time.monotonic", lambda: now)
    painting = Painting(Style(strokes(), tiny(budget=50.0)), as_picture(scene(), "it"))
    reserve = 0.3 + 2e-6 * 32 * 32

    def planner(seconds):
        return planning.Planner(painting, deadline=now + seconds + reserve, started=now - 10.0)

    # Ten seconds of start: a step needs fifteen more.
    assert not planner(15.001).is_late()
    assert planner(14.999).is_late()
    scale = Scale(32, 32, 1)
    assert not planner(0.0).is_too_late(scale, None)
    # The scale before took a second to begin, and this one has four times its pixels.
    before = 16 * 16, 1.0
    assert not planner(4.001).is_too_late(scale, before)
    assert planner(3.999).is_too_late(scale, before)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        # All steps, with half a second for each of three scales: 1.5 + 10 * 1 + 8 * 4 + 4 * 16.
        (107.5, [(16, 10), (32, 8), (64, 4)]),
        # The finest would get (53 - 1.5) / 106 * 4 = 1.9 of its 4 steps; without the coarsest
        # scale (53 - 1) / 96 * 4 = 2.2.
        (53.0, [(32, 4), (64, 2)]),
        # (40 - 1) / 96 * 4 = 1.6; alone (40 - 0.5) / 16 = 2.5.
        (40.0, [(64, 2)]),
        (17.0, [(64, 1)]),
        (16.0, []),
    ],
)
def test_with_little_time_a_draft_keeps_its_size(seconds, expected):
    sizes = [(16, 16), (32, 32), (64, 64)]
    plan = planning.fit_to_draft(sizes, (10, 8, 4), seconds, 1 / 256, 0.5)
    assert [(scale.height, scale.steps) for scale in plan] == expected


# Trouble -------------------------------------------------------------------------------------


def spoil(monkeypatch, when):
    """Makes the loss NaN at the steps for which `when(step)` holds, counted over the whole run."""
    counter = keras.Variable(0, dtype="int32", trainable=False)
    plain = StylizeLoss.__call__

    def call(self, *arguments):
        total, parts = plain(self, *arguments)
        counter.assign_add(1)
        bad = when(counter.value)
        return keras.ops.where(bad, np.float32(np.nan), np.float32(1.0)) * total, parts

    monkeypatch.setattr(StylizeLoss, "__call__", call)


def test_a_loss_that_is_nan_once_is_recovered_from(long, monkeypatch):
    spoil(monkeypatch, lambda step: step == 30)
    notes = []
    result = stylize(scene(), strokes(), long(optimizer="adam", steps=60), on_note=notes.append)
    assert notes == [
        "the loss was not finite at step 30; going on from step 0 with 0.5 times the step size"
    ]
    assert result.scales[0].steps == 60
    assert sensible(result.image)
    assert result.losses["loss"] > 0.0


def test_recovery_goes_back_to_a_step_that_a_later_loss_has_confirmed(long, monkeypatch):
    spoil(monkeypatch, lambda step: step == 55)
    notes = []
    stylize(scene(), strokes(), long(optimizer="adam", steps=60), on_note=notes.append)
    assert "not finite at step 55; going on from step 25 with 0.5 times" in notes[0]


def test_a_last_step_that_goes_wrong_is_noticed(tiny, monkeypatch):
    import keras

    plain = StylizeLoss.__call__
    counter = keras.Variable(0, dtype="int32", trainable=False)

    def call(self, image, *targets):
        total, parts = plain(self, image, *targets)
        counter.assign_add(1)
        # The value stays finite, its slope does not: sqrt(0 * x) has none.
        bad = keras.ops.where(counter.value == 4, 1.0, 0.0)
        return total + keras.ops.sqrt((1.0 - bad) + 0.0 * keras.ops.sum(image)) * bad, parts

    monkeypatch.setattr(StylizeLoss, "__call__", call)
    notes = []
    result = stylize(scene(), strokes(), tiny(optimizer="adam", steps=4), on_note=notes.append)
    assert sensible(result.image)
    assert len(notes) == 1


def test_a_loss_that_stays_nan_is_one_clear_error(tiny, monkeypatch):
    spoil(monkeypatch, lambda step: step > 0)
    notes = []
    with pytest.raises(DivergenceError, match="stays non-finite after 4 smaller step sizes; try"):
        stylize(scene(), strokes(), tiny(optimizer="adam"), on_note=notes.append)
    assert [note.split(" with ")[1] for note in notes] == [
        f"{caution:g} times the step size" for caution in (0.5, 0.25, 0.125)
    ]


def test_lbfgs_backs_off_from_a_loss_that_is_nan(long, monkeypatch):
    spoil(monkeypatch, lambda step: step == 3)
    result = stylize(scene(), strokes(), long(optimizer="lbfgs", steps=20))
    assert sensible(result.image)
    assert math.isfinite(result.losses["loss"])


def test_lbfgs_without_any_finite_loss_is_one_clear_error(tiny, monkeypatch):
    spoil(monkeypatch, lambda step: step > 0)
    with pytest.raises(DivergenceError, match="not finite at the start"):
        stylize(scene(), strokes(), tiny(optimizer="lbfgs"))


def test_what_on_progress_raises_stops_the_run(tiny):
    def on_progress(progress):
        raise Stop

    with pytest.raises(Stop):
        stylize(scene(), strokes(), tiny(), on_progress=on_progress)


def colourless(height=32, width=32):
    return grey(strokes(height, width))


@pytest.mark.parametrize("quality", ["draft", "standard"])
def test_a_style_without_colour_gives_a_picture_without_colour(long, quality):
    options = StylizeSettings(size=32, quality="draft")
    if quality == "standard":
        options = long(optimizer="lbfgs")
    image = stylize(scene(), colourless(), options).image
    assert np.ptp(image, axis=-1).max() < 2e-3
    assert image.std() > 0.01


def test_at_half_strength_a_style_without_colour_leaves_half_of_the_colours(long):
    def colourfulness(image):
        lightness = image.mean(axis=-1, keepdims=True)
        return np.abs(image - lightness).mean()

    image = stylize(scene(), colourless(), long(optimizer="lbfgs", strength=0.5)).image
    assert 0.3 < colourfulness(image) / colourfulness(scene()) < 0.7


def test_a_style_without_colour_beside_one_with_colours_gives_colours(long):
    image = stylize(scene(), [strokes(), colourless()], long(optimizer="lbfgs")).image
    assert np.ptp(image, axis=-1).max() > 0.1


# Which networks look ---------------------------------------------------------------------------


def test_where_time_is_short_the_compact_network_alone_looks():
    notes = []
    result = stylize(scene(), strokes(), StylizeSettings(budget=1.0), on_note=notes.append)
    assert result.backbone == "compact"
    assert any(note.startswith("backbone: compact: with the larger networks") for note in notes)


def test_a_backbone_that_was_named_is_kept_however_short_the_time(tiny_backbone, long):
    result = stylize(scene(), strokes(), long(steps=None, budget=0.5))
    assert result.backbone == "tiny.keras"


def test_a_resumed_run_goes_on_with_the_networks_that_it_began_with(tmp_path, monkeypatch):
    """At first there is memory for the compact network alone; later for all."""
    available = planning._MEMORY["compact"][0] + 0.5e9

    class Process:
        def memory_info(self):
            return type("Info", (), {"rss": 0})

    def interrupt(progress):
        if progress.scale == 2:
            raise KeyboardInterrupt

    # The larger networks have no tiles that would fit.
    monkeypatch.setattr(planning, "_TILED_BASE_BYTES", 2 * available)
    options = StylizeSettings(smallest_scale=32, scale_steps=(1, 2))
    state, notes = tmp_path / "state", []
    stylizer = Stylizer(strokes(64, 64), options, on_note=notes.append)
    with monkeypatch.context() as context:
        context.setattr(planning, "measure_memory", lambda: Memory(0, int(available)))
        context.setattr(planning.psutil, "Process", Process)
        broken = stylizer.run(scene(64, 64), checkpoint=state, on_progress=interrupt)
    assert (broken.finished, broken.backbone) == (False, "compact")
    assert any("for want of memory" in note for note in notes)
    resumed = Stylizer(strokes(64, 64), options).run(scene(64, 64), checkpoint=state, resume=True)
    assert (resumed.finished, resumed.backbone) == (True, "compact")


# Interruption and resume ---------------------------------------------------------------------


SCALES = {"size": 64, "steps": None, "smallest_scale": 32, "scale_steps": (4, 3)}


@pytest.fixture
def eager_checkpoints(monkeypatch):
    monkeypatch.setattr("cnnkit.tasks.stylize.checkpoint._SECONDS_BETWEEN", 0.0)


def stop_at(step, error=Stop):
    def on_progress(progress):
        if progress.total_step == step:
            raise error

    return on_progress


@pytest.mark.usefixtures("eager_checkpoints")
@pytest.mark.parametrize(
    "changes",
    [{"optimizer": "adam"}, {"optimizer": "sgd", "learning_rate": 0.01, "ema": 0.5}],
)
def test_a_resumed_run_ends_with_the_same_picture(tiny, tmp_path, changes):
    state = tmp_path / "state"
    stylizer = Stylizer(strokes(), tiny(**SCALES, **changes))
    unbroken = stylizer.run(scene(48, 64))
    # At the very end of the first scale, and in the second scale.
    for step in (4, 6):
        with pytest.raises(Stop):
            stylizer.run(scene(48, 64), checkpoint=state, on_progress=stop_at(step))
        assert state.exists()
        seen = []
        resumed = stylizer.run(
            scene(48, 64),
            checkpoint=state,
            resume=True,
            on_progress=lambda progress, seen=seen: seen.append(progress.total_step),
        )
        np.testing.assert_array_equal(resumed.image, unbroken.image)
        assert seen == list(range(step + 1, 8))
        assert [dict(s.losses) for s in resumed.scales] == [dict(s.losses) for s in unbroken.scales]
        assert [s.steps for s in resumed.scales] == [4, 3]
        assert not state.exists()


@pytest.mark.usefixtures("eager_checkpoints")
def test_lbfgs_resumes_at_the_beginning_of_its_scale(tiny, tmp_path):
    state = tmp_path / "state"
    options = tiny(optimizer="lbfgs", **SCALES)
    unbroken = stylize(scene(64, 64), strokes(), options)
    stylizer = Stylizer(strokes(), options)
    with pytest.raises(Stop):
        stylizer.run(scene(64, 64), checkpoint=state, on_progress=stop_at(6))
    resumed = stylizer.run(scene(64, 64), checkpoint=state, resume=True)
    np.testing.assert_array_equal(resumed.image, unbroken.image)


def test_ctrl_c_gives_the_picture_so_far_and_can_be_resumed(long, tmp_path):
    state = tmp_path / "state"
    stylizer = Stylizer(strokes(), long(**SCALES))
    unbroken = stylizer.run(scene(64, 64))
    stopped = stylizer.run(
        scene(64, 64), checkpoint=state, on_progress=stop_at(5, KeyboardInterrupt)
    )
    assert not stopped.finished
    assert [scale.steps for scale in stopped.scales] == [4, 1]
    assert stopped.image.shape == (64, 64, 3)
    assert sensible(stopped.image)
    resumed = stylizer.run(scene(64, 64), checkpoint=state, resume=True)
    assert resumed.finished
    np.testing.assert_array_equal(resumed.image, unbroken.image)


def test_ctrl_c_between_a_step_and_its_counting_loses_nothing(tiny, tmp_path):
    state = tmp_path / "state"
    stylizer = Stylizer(strokes(), tiny(optimizer="adam", **SCALES))
    unbroken = stylizer.run(scene(64, 64))
    step_end = scale_module._Watch.on_train_batch_end

    def interrupted(self, batch, logs=None):
        if batch == 2:
            raise KeyboardInterrupt
        step_end(self, batch, logs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale_module._Watch, "on_train_batch_end", interrupted)
        stopped = stylizer.run(scene(64, 64), checkpoint=state)
    assert [scale.steps for scale in stopped.scales] == [3]
    resumed = stylizer.run(scene(64, 64), checkpoint=state, resume=True)
    np.testing.assert_array_equal(resumed.image, unbroken.image)


def test_ctrl_c_while_the_second_scale_begins_gives_the_first(tiny, tmp_path):
    state = tmp_path / "state"
    stylizer = Stylizer(strokes(), tiny(**SCALES))
    unbroken = stylizer.run(scene(64, 64))
    prepare = Painting.prepare

    def interrupted(self, scale, image):
        if image is not None:
            raise KeyboardInterrupt
        return prepare(self, scale, image)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Painting, "prepare", interrupted)
        stopped = stylizer.run(scene(64, 64), checkpoint=state)
    assert not stopped.finished
    assert [scale.steps for scale in stopped.scales] == [4]
    assert stopped.image.shape == (64, 64, 3)
    resumed = stylizer.run(scene(64, 64), checkpoint=state, resume=True)
    np.testing.assert_array_equal(resumed.image, unbroken.image)


def test_ctrl_c_before_anything_is_painted_is_a_keyboard_interrupt(tiny, monkeypatch):
    def interrupted(self, scale, image):
        raise KeyboardInterrupt

    monkeypatch.setattr(Painting, "prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stylize(scene(), strokes(), tiny())


def test_there_is_nothing_to_resume_without_a_state(tiny, tmp_path):
    notes = []
    stylizer = Stylizer(strokes(), tiny(), on_note=notes.append)
    stylizer.run(scene(), checkpoint=tmp_path / "none", resume=True)
    assert notes == ["there is no interrupted run of this picture; starting anew"]


@pytest.mark.usefixtures("eager_checkpoints")
def test_the_state_of_another_run_is_refused(tiny, tmp_path):
    state = tmp_path / "state"
    with pytest.raises(Stop):
        Stylizer(strokes(), tiny()).run(scene(), checkpoint=state, on_progress=stop_at(2))
    for style, content, options in (
        (scene(), scene(), tiny()),
        (strokes(), scene() ** 2, tiny()),
        (strokes(), scene(), tiny(strength=0.5)),
    ):
        with pytest.raises(UsageError, match="state is of a run with other pictures or settings"):
            Stylizer(style, options).run(content, checkpoint=state, resume=True)
    assert state.exists()


@pytest.mark.usefixtures("eager_checkpoints")
@pytest.mark.parametrize("damage", ["empty", "text", "cut off", "flipped", "other array"])
def test_a_damaged_state_is_one_line(tiny, tmp_path, damage):
    state = tmp_path / "state"
    stylizer = Stylizer(strokes(), tiny())
    with pytest.raises(Stop):
        stylizer.run(scene(), checkpoint=state, on_progress=stop_at(2))
    data = bytearray(state.read_bytes())
    if damage == "other array":
        with state.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        data[len(data) // 2] ^= 255
        damaged = {"empty": b"", "text": b"hello", "cut off": data[:1000], "flipped": data}
        state.write_bytes(damaged[damage])
    with pytest.raises(ImageError, match="state is damaged; remove it to start anew"):
        stylizer.run(scene(), checkpoint=state, resume=True)


@pytest.mark.usefixtures("eager_checkpoints")
def test_a_state_that_cannot_be_written_is_noted_once_and_the_run_goes_on(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    notes = []
    stylizer = Stylizer(strokes(), tiny(), on_note=notes.append)
    result = stylizer.run(scene(), checkpoint=tmp_path / "file" / "state")
    assert result.finished
    assert len(notes) == 1
    assert notes[0].startswith("the run goes on, but could not be resumed: ")


@pytest.mark.usefixtures("eager_checkpoints")
def test_no_state_is_left_behind_by_a_finished_run(tiny, tmp_path):
    Stylizer(strokes(), tiny()).run(scene(), checkpoint=tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


# Compiling while the draft is painted --------------------------------------------------------


def compilers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("compile")]


@pytest.mark.parametrize("mask", [None, np.tri(64, dtype="float32")])
def test_the_picture_is_the_same_whether_a_thread_compiles_or_not(long, monkeypatch, mask):
    options = long(size=64, smallest_scale=32)
    assert options.chosen_optimizer == "lbfgs"
    ahead = stylize(scene(64, 64), strokes(64, 64), options, mask=mask)
    monkeypatch.setattr("cnnkit.ops.inference.compiles_each_size", lambda: True)
    inline = stylize(scene(64, 64), strokes(64, 64), options, mask=mask)
    np.testing.assert_array_equal(ahead.image, inline.image)
    assert ahead.losses == inline.losses


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it compiles for all sizes")
@pytest.mark.parametrize("mask", [None, np.tri(64, dtype="float32")])
def test_what_the_thread_compiles_serves_all_scales(long, monkeypatch, mask):
    traces = []
    judge = StylizeLoss.__call__

    def count(self, *arguments):
        traces.append(threading.current_thread().name)
        return judge(self, *arguments)

    monkeypatch.setattr(StylizeLoss, "__call__", count)
    options = long(size=64, smallest_scale=32)
    result = stylize(scene(64, 64), strokes(64, 64), options, mask=mask)
    assert len(result.scales) == 2
    assert [name.startswith("compile") for name in traces] == [True]
    assert not compilers()


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="no thread compiles there")
@pytest.mark.parametrize("budget", [None, 1e-3])
def test_what_fails_in_the_thread_ends_the_run(long, monkeypatch, budget):
    def fail(self, *arguments):
        raise Stop("in the thread")

    monkeypatch.setattr(Style, "_compile", fail)
    with pytest.raises(Stop, match="in the thread"):
        stylize(scene(), strokes(), long(budget=budget))
    assert not compilers()


def test_a_draft_compiles_no_loss(monkeypatch):
    def fail(self, *arguments):
        raise Stop("compiled for nothing")

    monkeypatch.setattr(Style, "_compile", fail)
    assert stylize(scene(), strokes(), StylizeSettings(size=32, quality="draft")).finished


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_no_thread_is_left_where_the_draft_fails(long, monkeypatch, error):
    compiled = []

    def slow(self, *arguments):
        time.sleep(0.2)
        compiled.append(arguments)

    def fail(self, *size):
        raise error

    monkeypatch.setattr(Style, "_compile", slow)
    monkeypatch.setattr(Painting, "paint_draft", fail)
    with pytest.raises(error):
        stylize(scene(), strokes(), long())
    assert compiled or keras.backend.backend() == "jax"
    assert not compilers()
