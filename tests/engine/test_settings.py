"""Settings that are written once."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from cnnkit.engine.settings import AugmentSettings, Option, Settings
from cnnkit.errors import UsageError
from cnnkit.tasks.classify.settings import TrainSettings as ClassifyTrainSettings
from cnnkit.tasks.detect.settings import TrainSettings as DetectTrainSettings
from cnnkit.tasks.segment.settings import TrainSettings as SegmentTrainSettings


@dataclass(frozen=True)
class Brush(Settings):
    """How a brush paints."""

    width: Annotated[int, Option("Bristles.", min=1, max=9)] = 3
    length: Annotated[int | None, Option("Of a stroke.", min=8, unit="pixels")] = None
    pressure: Annotated[float, Option("On the paper.", min=0.0, max=1.0)] = 0.5
    speed: Annotated[float, Option("Of the hand.", above=0.0)] = 1.0
    share: Annotated[float, Option("Of the paint.", above=0.0, below=1.0)] = 0.5
    angle: Annotated[float, Option("Of the hand.", min=-90.0)] = 0.0
    hair: Annotated[str, Option("What it is made of.", choices=("hog", "squirrel"))] = "hog"
    colors: Annotated[tuple[str, ...] | None, Option("Names.")] = None
    palette: str | None = None
    depth: Annotated[float, Option("Of the relief.", max=2.0)] = 0.0
    tilt: Annotated[float, Option("Of the handle.", min=0.0, below=1.0)] = 0.0
    size: Annotated[int | str, Option("Pixels, or 'whole'.")] = "whole"

    def check(self) -> None:
        if self.hair == "squirrel" and self.pressure > 0.9:
            raise UsageError("squirrel hair is too soft for a pressure over 0.9")


@dataclass(frozen=True)
class WideBrush(Brush):
    """A brush for walls."""

    width: int = 9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 0}, "width must be between 1 and 9, not 0"),
        ({"width": 2.5}, "width must be between 1 and 9, not 2.5"),
        ({"width": True}, "width must be a number, not True"),
        ({"length": 7}, "length must be at least 8 pixels, not 7"),
        ({"pressure": 1.5}, "pressure must be between 0 and 1, not 1.5"),
        ({"pressure": math.nan}, "pressure must be between 0 and 1, not nan"),
        ({"speed": 0}, "speed must be more than 0, not 0"),
        ({"speed": math.inf}, "speed must be more than 0, not inf"),
        ({"share": 1.0}, "share must be between 0 and 1, not 1.0"),
        ({"depth": 3.0}, "depth must be at most 2, not 3.0"),
        ({"tilt": 1.0}, "tilt must be at least 0 and less than 1, not 1.0"),
        ({"size": True}, "size must be a number or a text, not True"),
        ({"angle": -91}, "angle must be at least -90, not -91"),
        ({"hair": "horse"}, "hair must be one of hog, squirrel, not 'horse'"),
        ({"hair": None}, "hair must be a text, not None"),
        ({"colors": "red"}, "colors must be several values in brackets or None, not 'red'"),
        ({"hair": "squirrel", "pressure": 1.0}, "squirrel hair is too soft"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_in_one_line(values, message):
    with pytest.raises(UsageError, match=message):
        Brush(**values)


def test_a_whole_number_without_a_limit_may_be_negative_but_not_a_fraction():
    @dataclass(frozen=True)
    class Shift(Settings):
        """By how much."""

        steps: Annotated[int, Option("To the right.")] = 0

    assert Shift(-3).steps == -3
    with pytest.raises(UsageError, match=r"steps must be a whole number, not 0\.5"):
        Shift(0.5)


def test_the_limits_themselves_are_allowed():
    assert Brush(width=9, pressure=0.0, angle=-90.0, length=8).width == 9


def test_a_path_stands_for_its_text():
    assert Brush(palette=Path("a") / "b").palette == str(Path("a") / "b")


def test_a_field_that_is_declared_anew_keeps_its_option():
    assert WideBrush().width == 9
    assert WideBrush.options["width"].help == "Bristles."
    with pytest.raises(UsageError, match="width must be between 1 and 9"):
        WideBrush(width=10)


def test_the_docstring_says_what_the_options_say():
    assert "    width: Bristles.\n" in Brush.__doc__
    assert Brush.__doc__.startswith("How a brush paints.")
    assert WideBrush.__doc__ == "A brush for walls."


def test_runs_of_before_have_other_names_of_settings():
    detect = DetectTrainSettings.of_run({"mirror": 0.25, "teacher": "a.keras", "imitation": 2.0})
    assert (detect.horizontal_flip, detect.distillation) == (0.25, 2.0)
    assert SegmentTrainSettings.of_run({"hints": 0.0}).distill_features == 0.0
    changes = {"mirror": 0.0, "rotation": 3.0}
    classify = ClassifyTrainSettings.of_run({"epochs": 2, "augment": changes})
    assert (classify.epochs, classify.horizontal_flip, classify.rotation) == (2, 0.0, 3.0)
    assert classify.augment
    with pytest.raises(TypeError, match="beams"):
        ClassifyTrainSettings.of_run({"beams": 4})


def test_settings_of_several_classes_have_the_options_of_all():
    assert {"learning_rate", "mixup", "head_epochs"} <= set(ClassifyTrainSettings.options)
    off = ClassifyTrainSettings(augment=False, mixup=0.5).changes
    assert off == AugmentSettings.off()
    assert ClassifyTrainSettings(mixup=0.5).changes == AugmentSettings(mixup=0.5)
