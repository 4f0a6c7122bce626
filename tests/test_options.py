"""The settings of a stylisation refuse what makes no sense."""

import dataclasses
import inspect
import math
from pathlib import Path

import numpy as np
import pytest

from cnnkit import options as every_option
from cnnkit.errors import UsageError
from cnnkit.tasks.faces.settings import FaceSettings
from cnnkit.tasks.stylize.settings import BackboneSettings, DecoderSettings, StylizeSettings

OF_STYLIZE = (StylizeSettings, BackboneSettings, DecoderSettings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, "size must be a number of pixels or 'original', not 0"),
        ({"size": 2.5}, "size must be a number of pixels"),
        ({"size": "large"}, "size must be a number of pixels or 'original', not 'large'"),
        ({"quality": "best"}, "quality must be one of draft, standard, fine, not 'best'"),
        ({"style_loss": "l2"}, "style-loss must be one of wasserstein, gram"),
        ({"init": "black"}, "init must be one of fast, content, noise, style"),
        ({"optimizer": "adamw"}, "optimizer must be one of auto, adam, sgd, lbfgs"),
        ({"pooling": "min"}, "pooling must be one of max, average"),
        ({"parameterization": "fourier"}, "parameterization must be one of pyramid, pixels"),
        ({"preserve_color": "yes"}, "preserve-color must be one of none, luminance"),
        ({"strength": -0.1}, "strength must be between 0 and 1, not -0.1"),
        ({"strength": math.nan}, "strength must be between 0 and 1, not nan"),
        ({"content_weight": -1.0}, "content-weight must be at least 0, not -1.0"),
        ({"style_weight": math.inf}, "style-weight must be at least 0, not inf"),
        ({"tv_weight": math.nan}, "tv-weight must be at least 0, not nan"),
        ({"steps": 0}, "steps must be a whole number from 1, not 0"),
        ({"steps": 1.5}, "steps must be a whole number from 1, not 1.5"),
        ({"budget": 0.0}, "budget must be more than 0, not 0.0"),
        ({"learning_rate": math.inf}, "learning-rate must be more than 0, not inf"),
        ({"style_scale": 0.0}, "style-scale must be between 0 and 8, not 0.0"),
        ({"style_scale": 9.0}, "style-scale must be between 0 and 8, not 9.0"),
        ({"ema": 1.0}, "ema must be at least 0 and less than 1, not 1.0"),
        ({"style_layers": {}}, "style-layers needs a layer of positive weight"),
        ({"style_layers": {"a": 0.0}}, "style-layers needs a layer of positive weight"),
        ({"style_layers": {"a": 1.0, "b": -1.0}}, "and none below 0"),
        ({"style_layers": {"a": math.nan}}, "style-layers needs a layer of positive weight"),
        ({"smallest_scale": 0}, "smallest-scale must be a whole number from 1, not 0"),
        ({"scale_factor": 1.0}, "scale-factor must be more than 1, not 1.0"),
        ({"scale_steps": ()}, "scale-steps must be whole numbers from 1"),
        ({"scale_steps": (3, 0)}, r"scale-steps must be whole numbers from 1, not \(3, 0\)"),
        (
            {"optimizer": "lbfgs", "ema": 0.9},
            "lbfgs has no ema; leave it out, or use --optimizer a",
        ),
        ({"optimizer": "lbfgs", "learning_rate": 1.0}, "lbfgs has no learning-rate; leave it out"),
        ({"seed": -1}, "seed must be a whole number from 0, not -1"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        StylizeSettings(**changes)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (BackboneSettings, {"steps": -1}, "steps must be a whole number from 1, not -1"),
        (BackboneSettings, {"batch_size": 0}, "batch-size must be a whole number from 1, not 0"),
        (BackboneSettings, {"learning_rate": -3}, "learning-rate must be more than 0, not -3"),
        (BackboneSettings, {"learning_rate": "fast"}, "learning-rate must be a number, not 'fast'"),
        (BackboneSettings, {"crop": 8}, "crop must be a whole number from 32, not 8"),
        (
            DecoderSettings,
            {"learning_rate": math.nan},
            "learning-rate must be more than 0",
        ),
        (DecoderSettings, {"pooling": "min"}, "pooling must be one of max, average, not 'min'"),
        (DecoderSettings, {"crop": 0}, "crop must be a whole number from 32, not 0"),
        (DecoderSettings, {"tv_weight": -1.0}, "tv-weight must be between 0 and 1e"),
        (StylizeSettings, {"budget": "10s"}, "budget must be a number or None, not '10s'"),
        (StylizeSettings, {"size": True}, "size must be a number or a text, not True"),
        (StylizeSettings, {"scale_steps": 3}, "several values in brackets or None, not 3"),
        (
            StylizeSettings,
            {"style_layers": ["a"]},
            "style-layers must be a mapping of names",
        ),
    ],
)
def test_what_would_end_a_training_later_is_refused_at_once(kind, changes, message):
    with pytest.raises(UsageError, match=message):
        kind(**changes)


@pytest.mark.parametrize(
    "kind",
    [
        one
        for one in (
            *vars(every_option).values(),
            StylizeSettings,
            BackboneSettings,
            DecoderSettings,
        )
        if dataclasses.is_dataclass(one) and not inspect.isabstract(one)
    ],
)
def test_no_value_of_any_setting_ends_in_a_traceback(kind):
    values = (-1, 0, math.nan, math.inf, "x", "", None, (), (1, "a"), b"a", True, {}, object())
    for item in dataclasses.fields(kind):
        accepted = []
        for value in values:
            try:
                kind(**{item.name: value})
            except UsageError:
                continue
            accepted.append(value)
        assert not any(type(value) in (object, bytes, dict) for value in accepted), item.name


def test_a_path_stands_for_its_text():
    assert FaceSettings(model=Path("faces.keras")).model == "faces.keras"


def test_numpys_whole_numbers_are_numbers():
    options = StylizeSettings(size=np.int64(64), steps=np.int32(3), seed=np.uint8(1))
    assert options.size == 64


def test_two_options_do_not_share_their_layers():
    assert StylizeSettings().style_layers is not StylizeSettings().style_layers


def test_standard_begins_at_twice_the_size_from_a_draft():
    assert StylizeSettings().coarsest_scale == 256
    # 20 steps each of 256 x 256 and 512 x 512 are 6.55 million pixels: 51.76 times 487 x 260.
    assert StylizeSettings().steps_for([(260, 487)]) == (51,)
    assert StylizeSettings().steps_for([(256, 200)]) == (32,)
    assert StylizeSettings().steps_for([(64, 96)]) == (20,)
    assert StylizeSettings().steps_for([(508, 508)]) == (25,)
    assert StylizeSettings(scale_steps=(5,)).steps_for([(260, 487)]) == (5,)
    assert StylizeSettings(optimizer="adam").steps_for([(260, 487)])[0] == 40
    assert StylizeSettings(init="content").coarsest_scale == 128
    assert StylizeSettings(quality="fine").coarsest_scale == 128
    assert StylizeSettings(smallest_scale=64).coarsest_scale == 64


@pytest.mark.parametrize(
    ("changes", "optimizer", "steps"),
    [
        ({}, "lbfgs", 20),
        ({"optimizer": "adam"}, "adam", 40),
        ({"ema": 0.9}, "adam", 40),
        ({"learning_rate": 0.01}, "adam", 40),
        ({"parameterization": "pixels"}, "adam", 40),
        ({"quality": "fine"}, "lbfgs", 100),
        ({"quality": "fine", "optimizer": "adam"}, "adam", 300),
        ({"init": "content"}, "adam", 100),
        ({"optimizer": "sgd"}, "sgd", 40),
    ],
)
def test_steps_from_a_draft_are_those_of_lbfgs(changes, optimizer, steps):
    options = StylizeSettings(**changes)
    assert options.chosen_optimizer == optimizer
    assert options.steps_by_scale()[0] == steps
