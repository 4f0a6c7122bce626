"""What the commands that train into a run folder share."""

from dataclasses import fields
from typing import Any

import typer

from cnnkit.cli._options import setting_option
from cnnkit.engine import settings
from cnnkit.engine.command import option_type, typed_names
from cnnkit.engine.settings import FIT_PANEL, FitSettings


def fit_option(**settings: Any) -> Any:
    """An option of how a network is fitted."""
    return typer.Option(rich_help_panel=FIT_PANEL, **settings)


Optimizer = setting_option(FitSettings, "optimizer")
Schedule = setting_option(FitSettings, "schedule")
Warmup = setting_option(FitSettings, "warmup")
WeightDecay = setting_option(FitSettings, "weight_decay")
LabelSmoothing = option_type("label_smoothing", settings.LabelSmoothing, 0.0)
Ema = option_type("ema", settings.Ema, 0.0)
ClipNorm = setting_option(FitSettings, "clip_norm")
Patience = setting_option(FitSettings, "patience")
TimeBudget = setting_option(FitSettings, "time_budget")
Workers = option_type("workers", settings.Workers, 0)
OnDevice = option_type("on_device", settings.OnDevice, False)
MixedPrecision = option_type("mixed_precision", settings.MixedPrecision, "off")

# Options that are called otherwise than the settings they stand for.
_NAMES = {"batch": "batch_size"}


def typed_settings(context: typer.Context, options: Any) -> dict[str, Any]:
    """Of a dataclass of settings, those that the user typed.

    A run that goes on has the others as they were; what must not change is refused later.
    """
    typed = {_NAMES.get(name, name) for name in typed_names(context)}
    return {one.name: getattr(options, one.name) for one in fields(options) if one.name in typed}
