"""Convolutional networks on your own pictures: neural style transfer first.

The public names load what they need when they are first used, so that importing the package, and
``cnnkit --help``, cost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnkit.options import StylizeOptions
    from cnnkit.pipelines.stylize import Stylizer, stylize
    from cnnkit.results import StylizeProgress, StylizeResult

__version__ = "0.1.0"

_HOMES = {
    "StylizeOptions": "cnnkit.options",
    "StylizeProgress": "cnnkit.results",
    "StylizeResult": "cnnkit.results",
    "Stylizer": "cnnkit.pipelines.stylize",
    "stylize": "cnnkit.pipelines.stylize",
}

__all__ = ["StylizeOptions", "StylizeProgress", "StylizeResult", "Stylizer", "stylize"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cnnkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
