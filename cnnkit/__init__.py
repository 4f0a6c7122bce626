"""Convolutional networks on your own pictures: neural style transfer first.

The public names load what they need when they are first used, so that importing the package, and
``cnnkit --help``, cost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnkit.data.gallery import Gallery
    from cnnkit.options import DetectOptions, FaceOptions, StylizeOptions
    from cnnkit.pipelines.caption import caption
    from cnnkit.pipelines.classify import classify
    from cnnkit.pipelines.classify_text import classify_text
    from cnnkit.pipelines.detect import detect
    from cnnkit.pipelines.faces import FaceBook
    from cnnkit.pipelines.segment import segment
    from cnnkit.pipelines.stylize import Stylizer, stylize
    from cnnkit.pipelines.verify import Verifier, verify
    from cnnkit.results import (
        Caption,
        Classification,
        Detection,
        IdentifiedFace,
        Segmentation,
        StylizeProgress,
        StylizeResult,
        VerifyResult,
    )

__version__ = "0.1.0"

_HOMES = {
    "Caption": "cnnkit.results",
    "Classification": "cnnkit.results",
    "DetectOptions": "cnnkit.options",
    "Detection": "cnnkit.results",
    "FaceBook": "cnnkit.pipelines.faces",
    "FaceOptions": "cnnkit.options",
    "Gallery": "cnnkit.data.gallery",
    "IdentifiedFace": "cnnkit.results",
    "Segmentation": "cnnkit.results",
    "StylizeOptions": "cnnkit.options",
    "StylizeProgress": "cnnkit.results",
    "StylizeResult": "cnnkit.results",
    "Stylizer": "cnnkit.pipelines.stylize",
    "Verifier": "cnnkit.pipelines.verify",
    "VerifyResult": "cnnkit.results",
    "caption": "cnnkit.pipelines.caption",
    "classify": "cnnkit.pipelines.classify",
    "classify_text": "cnnkit.pipelines.classify_text",
    "detect": "cnnkit.pipelines.detect",
    "segment": "cnnkit.pipelines.segment",
    "stylize": "cnnkit.pipelines.stylize",
    "verify": "cnnkit.pipelines.verify",
}

__all__ = [
    "Caption",
    "Classification",
    "DetectOptions",
    "Detection",
    "FaceBook",
    "FaceOptions",
    "Gallery",
    "IdentifiedFace",
    "Segmentation",
    "StylizeOptions",
    "StylizeProgress",
    "StylizeResult",
    "Stylizer",
    "Verifier",
    "VerifyResult",
    "caption",
    "classify",
    "classify_text",
    "detect",
    "segment",
    "stylize",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cnnkit' has no attribute {name!r}")
    # Before TensorFlow is imported.
    import_module("cnnkit.runtime").choose_kernels()
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
