"""Options of the commands whose networks may look at a picture in several views."""

from cnnkit.engine import settings
from cnnkit.engine.command import option_type, read_value
from cnnkit.engine.settings import NETWORK_PANEL

__all__ = ["NETWORK_PANEL", "Flip", "Scales", "read_scales"]

Flip = option_type("flip", settings.Flip, False)
Scales = option_type("scales", settings.Scales, (1.0,))


def read_scales(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    return read_value("scales", settings.Scales, text)
