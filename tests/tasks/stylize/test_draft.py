"""Drafts: style without an optimizer."""

import numpy as np
import pytest

from cnnkit import Stylizer, StylizeSettings, stylize
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.errors import UsageError
from cnnkit.tasks.stylize.draft import DraftPainter, draft_painter
from cnnkit.tasks.stylize.layer_statistics import LayerStatistics

DRAFT = StylizeSettings(size=96, quality="draft")


def scene(height=96, width=96):
    """A photograph of sorts: a gradient with a disc and a thin line."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype("float32")
    disc = (np.hypot(rows - 0.5, columns - 0.4) < 0.25).astype("float32")
    picture = np.stack([rows, columns, 0.2 + 0.6 * disc], axis=-1)
    picture[:, width // 8] = 0.0
    return picture


def strokes(height=96, width=96):
    """A painting of sorts: red and yellow waves."""
    rows, columns = np.mgrid[0:height, 0:width].astype("float32")
    wave = 0.5 + 0.5 * np.sin(rows * 0.9 + 3.0 * np.sin(columns * 0.3))
    return np.stack([0.9 * np.ones_like(wave), wave, 0.1 * wave], axis=-1).astype("float32")


def is_picture(pixels):
    return bool(np.isfinite(pixels).all() and pixels.min() >= 0.0 and pixels.max() <= 1.0)


def gap(picture, style):
    """How far a picture's statistics are from a style's, over all levels, relative."""
    found, wanted = (draft_painter().measure(pixels) for pixels in (picture, style))
    return float(
        np.mean(
            [
                np.sum((found[level].gram - wanted[level].gram) ** 2)
                / np.sum(wanted[level].gram ** 2)
                for level in wanted
            ]
        )
    )


def test_a_draft_takes_on_the_style():
    result = stylize(scene(), strokes(), DRAFT)
    assert result.image.shape == (96, 96, 3)
    assert is_picture(result.image)
    assert (result.backbone, result.losses, result.finished) == ("compact", {}, True)
    assert gap(result.image, strokes()) < 0.5 * gap(scene(), strokes())


def test_a_draft_is_the_same_every_time():
    first, second = (stylize(scene(), strokes(), DRAFT).image for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_another_seed_makes_another_grain():
    first, second = (
        stylize(scene(), strokes(), StylizeSettings(size=96, quality="draft", seed=seed)).image
        for seed in (0, 1)
    )
    assert 0.0 < np.abs(first - second).mean() < 0.2


def on_the_axes(pixels):
    """Of the fine texture of a square picture, the energy that is in horizontals and verticals."""
    grey = pixels.mean(axis=-1)
    window = np.hanning(len(grey))
    spectrum = np.abs(np.fft.fft2((grey - grey.mean()) * window * window[:, None])) ** 2
    waves = np.abs(np.fft.fftfreq(len(grey), 1.0 / len(grey)))
    fine = np.hypot(waves, waves[:, None]) > len(grey) / 24
    straight = np.minimum(waves, waves[:, None]) <= 1.5
    return float(spectrum[fine & straight].sum() / spectrum[fine].sum())


@pytest.mark.parametrize("style", ["mosaic", "woodcut"])
def test_the_texture_on_a_clear_sky_is_no_lattice(style, monkeypatch):
    # As a photograph has it: eight bits, getting lighter to the horizon.
    rows = np.round(np.linspace(0.2, 0.5, 192) * 255.0).astype(np.float32) / 255.0
    sky = np.broadcast_to(rows[:, None, None] * np.float32([0.5, 0.8, 1.2]), (192, 192, 3))
    painter = draft_painter()
    target = painter.measure(load_sample(find_sample(style)).pixels[:256, :256])
    drawn = painter.paint(sky, target)[32:160, 32:160]
    assert drawn.std() > 0.1
    # Noise without any direction has 4 % there; without the grain next to all of it is.
    assert on_the_axes(drawn) < 0.3
    monkeypatch.setattr("cnnkit.tasks.stylize.draft._GRAIN", 0.0)
    assert on_the_axes(painter.paint(sky, target)[32:160, 32:160]) > 0.9


@pytest.mark.parametrize("transform", ["wct", "adain"])
def test_more_strength_brings_a_draft_nearer_to_the_style(transform):
    distances = [
        gap(
            stylize(
                scene(),
                strokes(),
                StylizeSettings(size=96, quality="draft", strength=strength, transform=transform),
            ).image,
            strokes(),
        )
        for strength in (0.0, 0.3, 0.6, 1.0)
    ]
    assert distances == sorted(distances, reverse=True)


def test_no_strength_gives_the_picture_back():
    options = StylizeSettings(size=96, quality="draft", strength=0.0)
    found = stylize(scene(), strokes(), options).image
    np.testing.assert_allclose(found, scene(), atol=2e-3)


def test_a_canvas_in_tiles_is_the_canvas_as_a_whole():
    # Tiles of 64 see up to 80 pixels more on each side: none of them sees all of this canvas.
    canvas = np.concatenate([scene(64, 480), strokes(64, 96)], axis=1)
    style = draft_painter().measure(strokes(64, 64))
    whole = draft_painter().paint(canvas, style)
    tiles = DraftPainter(tile=64)
    tiled = tiles.paint(canvas, style)
    assert len(list(tiles._tiles(canvas, 4))) == 7
    assert np.abs(tiled - whole).max() < 2e-3
    for level, statistics in tiles.measure(canvas).items():
        expected = draft_painter().measure(canvas)[level]
        np.testing.assert_allclose(statistics.mean, expected.mean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["content", "style"])
def test_a_picture_of_one_colour_gives_no_noise(level, kind):
    flat = np.full((64, 64, 3), level, np.float32)
    pictures = (flat, strokes(64, 64)) if kind == "content" else (scene(64, 64), flat)
    found = stylize(*pictures, DRAFT).image
    assert is_picture(found)
    # Neighbours differ no more than they do in what was given.
    noise = np.abs(np.diff(found, axis=0)).mean()
    assert noise <= 1.2 * max(np.abs(np.diff(part, axis=0)).mean() for part in pictures) + 0.02


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 5)])
def test_tiny_pictures_are_styles_and_contents(shape):
    tiny = np.random.default_rng(0).random((*shape, 3)).astype(np.float32)
    assert is_picture(stylize(scene(), tiny, DRAFT).image)
    found = stylize(tiny, strokes(), DRAFT).image
    assert found.shape == tiny.shape
    assert is_picture(found)


def test_a_grey_style_gives_a_grey_picture():
    grey = np.repeat(strokes()[..., 1:2], 3, axis=-1)
    found = stylize(scene(), grey, DRAFT).image
    assert np.abs(found - found.mean(axis=-1, keepdims=True)).mean() < 0.05


def test_outside_of_the_mask_a_draft_is_the_content():
    mask = np.zeros((96, 96), np.float32)
    mask[:, 48:] = 1.0
    found = stylize(scene(), strokes(), DRAFT, mask=mask).image
    np.testing.assert_allclose(found[:, :40], scene()[:, :40], atol=1e-3)
    assert np.abs(found[:, 56:] - scene()[:, 56:]).mean() > 0.05


def test_a_masked_region_is_measured_by_itself():
    # The right half alone takes on the style: what lies left of it makes no difference.
    mask = np.zeros((96, 192), np.float32)
    mask[:, 96:] = 1.0
    dark, light = scene(96, 192), scene(96, 192)
    dark[:, :32], light[:, :32] = 0.0, 1.0
    style = draft_painter().measure(strokes())
    found = [draft_painter().paint(canvas, style, mask=mask) for canvas in (dark, light)]
    # Deep in the half: near the border the network sees over it.
    np.testing.assert_allclose(found[0][:, 184:], found[1][:, 184:], atol=0.05)


def test_several_styles_have_their_shares():
    blue = strokes()[..., ::-1].copy()
    found = [
        stylize(scene(), [(strokes(), share), (blue, 1.0)], DRAFT).image for share in (9.0, 0.1)
    ]
    red = [picture[..., 0].mean() - picture[..., 2].mean() for picture in found]
    assert red[0] > red[1] + 0.1


@pytest.mark.parametrize("mode", ["luminance", "chroma"])
def test_a_draft_can_keep_the_contents_colours(mode):
    options = StylizeSettings(size=96, quality="draft", preserve_color=mode)
    found = stylize(scene(), strokes(), options).image
    plain = stylize(scene(), strokes(), DRAFT).image

    def tint(picture):
        return picture - picture.mean(axis=-1, keepdims=True)

    kept, lost = (np.abs(tint(picture) - tint(scene())).mean() for picture in (found, plain))
    assert kept < 0.5 * lost


def test_levels_without_weight_are_left_out():
    stylizer = Stylizer(
        strokes(),
        StylizeSettings(
            size=96, quality="draft", style_layers={"block1_conv1": 1.0, "block3_conv1": 1.0}
        ),
    )
    assert set(stylizer.style.draft_statistics(96, scene())) == {1, 3}


def test_a_draft_reports_its_levels_and_can_be_stopped():
    seen = []

    def stop(progress):
        seen.append((progress.step, progress.steps, progress.image().shape))
        if progress.step == 2:
            raise KeyboardInterrupt

    result = stylize(scene(), strokes(), DRAFT, on_progress=stop)
    assert seen == [(1, 4, (96, 96, 3)), (2, 4, (96, 96, 3))]
    assert not result.finished
    assert is_picture(result.image)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 9}, "steps is of the optimizer, which a draft goes without"),
        ({"budget": 9.0}, "budget is of the optimizer"),
        ({"init": "noise"}, "init is of the optimizer"),
        ({"content_weight": 1.0}, "content-weight is of the optimizer"),
        ({"backbone": "vgg19"}, "painted with the compact backbone, not vgg19"),
        (
            {"style_layers": {"block4_conv2": 1.0}},
            "style-layers of a draft are among block1",
        ),
        ({"style_layers": {"block5_conv1": 1.0}}, "style-layers of a draft are among block1"),
        ({"style_layers": {"block1_conv1": 2.0, "block2_conv1": 1.0}}, "all count the same"),
    ],
)
def test_a_draft_refuses_what_it_would_ignore(changes, message):
    with pytest.raises(UsageError, match=message):
        StylizeSettings(quality="draft", **changes)


def test_a_transform_without_a_draft_is_refused():
    with pytest.raises(UsageError, match="transform is of the draft, which --init content goes"):
        StylizeSettings(init="content", transform="adain")


def test_the_optimizer_starts_from_the_draft():
    losses = {}
    for init in ("fast", "content"):
        options = StylizeSettings(size=96, smallest_scale=96, steps=1, init=init)
        first = []
        stylize(scene(), strokes(), options, on_progress=lambda p, f=first: f.append(p.losses))
        losses[init] = first[0]["loss"]
    assert losses["fast"] < 0.6 * losses["content"]


def test_statistics_are_moments_of_activations():
    fast = draft_painter()
    canvas = scene(64, 48)
    [maps] = fast._encode[2](canvas[None])
    flat = maps.reshape(-1, maps.shape[-1]).astype(np.float64)
    found = fast.measure(canvas)[2]
    assert isinstance(found, LayerStatistics)
    np.testing.assert_allclose(found.mean, flat.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.covariance, np.cov(flat.T, bias=True), rtol=1e-3, atol=1e-4)
