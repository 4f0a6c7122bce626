"""Convolutional networks on your own pictures: neural style transfer first.

The public names load what they need when they are first used, so that importing the package, and
``cnnkit --help``, cost nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnkit.data.gallery import Gallery
    from cnnkit.engine.classification import Classification
    from cnnkit.tasks.caption.predict import Captioner, caption
    from cnnkit.tasks.caption.results import Caption
    from cnnkit.tasks.caption.settings import CaptionSettings
    from cnnkit.tasks.classify.predict import Classifier, classify
    from cnnkit.tasks.classify.settings import ClassifySettings
    from cnnkit.tasks.detect.predict import Detector, detect
    from cnnkit.tasks.detect.results import Detection
    from cnnkit.tasks.detect.settings import DetectOptions, DetectSettings
    from cnnkit.tasks.faces.predict import FaceBook
    from cnnkit.tasks.faces.results import IdentifiedFace, VerifyResult
    from cnnkit.tasks.faces.settings import FaceOptions, FaceSettings
    from cnnkit.tasks.faces.verify import Verifier, verify
    from cnnkit.tasks.segment.cutout import cutout
    from cnnkit.tasks.segment.predict import Segmenter, segment
    from cnnkit.tasks.segment.results import Cutout, Segmentation
    from cnnkit.tasks.segment.settings import CutoutSettings, SegmentSettings
    from cnnkit.tasks.stylize.predict import Stylizer, stylize
    from cnnkit.tasks.stylize.results import StylizeProgress, StylizeResult
    from cnnkit.tasks.stylize.settings import StylizeOptions, StylizeSettings
    from cnnkit.tasks.text.predict import TextClassifier, classify_text
    from cnnkit.tasks.text.settings import TextSettings

__version__ = "0.2.0"

_HOMES = {
    "Caption": "cnnkit.tasks.caption.results",
    "CaptionSettings": "cnnkit.tasks.caption.settings",
    "Captioner": "cnnkit.tasks.caption.predict",
    "Classification": "cnnkit.engine.classification",
    "Classifier": "cnnkit.tasks.classify.predict",
    "ClassifySettings": "cnnkit.tasks.classify.settings",
    "Cutout": "cnnkit.tasks.segment.results",
    "CutoutSettings": "cnnkit.tasks.segment.settings",
    "DetectOptions": "cnnkit.tasks.detect.settings",
    "DetectSettings": "cnnkit.tasks.detect.settings",
    "Detection": "cnnkit.tasks.detect.results",
    "Detector": "cnnkit.tasks.detect.predict",
    "FaceBook": "cnnkit.tasks.faces.predict",
    "FaceOptions": "cnnkit.tasks.faces.settings",
    "FaceSettings": "cnnkit.tasks.faces.settings",
    "Gallery": "cnnkit.data.gallery",
    "IdentifiedFace": "cnnkit.tasks.faces.results",
    "SegmentSettings": "cnnkit.tasks.segment.settings",
    "Segmentation": "cnnkit.tasks.segment.results",
    "Segmenter": "cnnkit.tasks.segment.predict",
    "StylizeOptions": "cnnkit.tasks.stylize.settings",
    "StylizeProgress": "cnnkit.tasks.stylize.results",
    "StylizeResult": "cnnkit.tasks.stylize.results",
    "StylizeSettings": "cnnkit.tasks.stylize.settings",
    "Stylizer": "cnnkit.tasks.stylize.predict",
    "TextClassifier": "cnnkit.tasks.text.predict",
    "TextSettings": "cnnkit.tasks.text.settings",
    "Verifier": "cnnkit.tasks.faces.verify",
    "VerifyResult": "cnnkit.tasks.faces.results",
    "caption": "cnnkit.tasks.caption.predict",
    "classify": "cnnkit.tasks.classify.predict",
    "classify_text": "cnnkit.tasks.text.predict",
    "cutout": "cnnkit.tasks.segment.cutout",
    "detect": "cnnkit.tasks.detect.predict",
    "segment": "cnnkit.tasks.segment.predict",
    "stylize": "cnnkit.tasks.stylize.predict",
    "verify": "cnnkit.tasks.faces.verify",
}

__all__ = [
    "Caption",
    "CaptionSettings",
    "Captioner",
    "Classification",
    "Classifier",
    "ClassifySettings",
    "Cutout",
    "CutoutSettings",
    "DetectOptions",
    "DetectSettings",
    "Detection",
    "Detector",
    "FaceBook",
    "FaceOptions",
    "FaceSettings",
    "Gallery",
    "IdentifiedFace",
    "SegmentSettings",
    "Segmentation",
    "Segmenter",
    "StylizeOptions",
    "StylizeProgress",
    "StylizeResult",
    "StylizeSettings",
    "Stylizer",
    "TextClassifier",
    "TextSettings",
    "Verifier",
    "VerifyResult",
    "caption",
    "classify",
    "classify_text",
    "cutout",
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
