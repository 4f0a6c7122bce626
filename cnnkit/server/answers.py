"""What each task answers: a record as the commands print it with --json, and a picture.

Functions here compute; a `ModelQueue` runs them one at a time. Pictures are sRGB `Picture`s, opaque
unless said otherwise; boxes are in pixels of the upright picture. Besides what is said, all raise
`WeightsError` where a model's weights are not here.
"""

import io
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.data.face_pictures import read_face_picture
from cnnkit.data.samples import find_sample, load_sample, style_names
from cnnkit.errors import UsageError
from cnnkit.images import DAMAGED, Picture, encode_image, read_image, to_uint8
from cnnkit.results import Milliseconds, Record
from cnnkit.server.guard import RefusedError
from cnnkit.server.models import Models
from cnnkit.tasks.caption.settings import CaptionSettings
from cnnkit.tasks.classify.settings import ClassifySettings
from cnnkit.tasks.stylize.settings import StylizeSettings

_COLOR = re.compile("#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Answer:
    """What a task answers.

    Attributes:
        record: for programs.
        draw: makes what there is to look at; None of a task that draws nothing.
        settings: what to make it again with, as JSON, which its file carries.
    """

    record: Record
    draw: Callable[[], Picture] | None = None
    settings: str | None = None

    def encode(self, suffix: str) -> bytes | None:
        """The picture as a file.

        Args:
            suffix: of its format, such as ".png".

        Returns:
            None of a task that draws nothing.
        """
        return None if self.draw is None else encode_image(self.draw(), suffix, self.settings)


def decode(content: bytes, name: str, max_megapixels: float, keep_alpha: bool = False) -> Picture:
    """A picture of a request.

    Args:
        content: of the file.
        name: what to call it in messages.
        max_megapixels: larger ones are refused, by their header, before they are decoded.
        keep_alpha: as in `images.read_image`.

    Raises:
        RefusedError: it is too large.
        ImageError: it cannot be read.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = image.width * image.height
    except (*DAMAGED, Image.DecompressionBombError):
        # `read_image` says what is wrong.
        pixels = 0
    if pixels > 1e6 * max_megapixels:
        raise RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"{name} has {pixels / 1e6:.0f} megapixels, and {max_megapixels:g} are taken",
        )
    return read_image(content, name, keep_alpha=keep_alpha)


def detect(
    models: Models,
    picture: Picture,
    conf: float = 0.25,
    max_det: int = 300,
    classes: Sequence[str] | None = None,
) -> Answer:
    """The objects, and the picture with their boxes.

    Args:
        models: the networks.
        picture: to look at.
        conf: least score, from `LEAST_CONFIDENCE` to 1.
        max_det: objects, at most.
        classes: names of those to look for; all by default.

    Raises:
        UsageError: a class that the detector does not know.
    """
    from cnnkit.tasks.detect.files import check_classes

    detector = models.detector()
    check_classes(classes, detector.facts.names, detector.facts.name)
    [found] = detector.detect(picture)
    # Boxes of lower scores take none away from those of higher ones.
    kept = [
        one
        for one in found.objects
        if one.score >= conf and (classes is None or one.label in classes)
    ]
    found = replace(found, objects=tuple(kept[:max_det]), threshold=conf)
    record = replace(found.to_record(), source=picture.source)
    return Answer(record, lambda: _picture(np.asarray(found.plot())))


def segment(models: Models, picture: Picture) -> Answer:
    """The classes of pixels, and the picture with them laid over it."""
    found = models.segmenter().label(picture)
    return Answer(found.to_record(), lambda: _picture(np.asarray(found.plot())))


def cut_out(
    models: Models, picture: Picture, subject: str | None = None, background: str | None = None
) -> Answer:
    """A subject alone, or before another background.

    Args:
        models: the networks.
        picture: that shows it; alpha is kept.
        subject: a class; by default people, or else what is largest.
        background: None for none, "white", "blur", or a colour such as "#ffcc00".

    Raises:
        RefusedError: there is no such thing in the picture.
        UsageError: no such class or background.
    """
    from cnnkit.tasks.segment.cutout import cut_out, read_background, subject_classes

    segmenter = models.segmenter()
    if subject is not None and subject not in segmenter.names[1:]:
        raise UsageError(f"{subject} is none of {', '.join(segmenter.names[1:])}")
    behind: str | Picture | None = None
    if background is not None:
        # No other name: it would be that of a file.
        if background not in ("white", "blur") and not _COLOR.fullmatch(background):
            raise UsageError(f"background must be white, blur or #rrggbb, not {background}")
        behind = read_background(background)
    opaque = picture.opaque()
    found = segmenter.label(opaque)
    keep = subject_classes(found, subject)
    chosen = [one for one in found.segments if one.class_id in keep]
    if not chosen:
        raise RefusedError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"no {subject or 'subject'} was found, only {found.shown_labels()}",
        )
    items = tuple(one.to_dict() for one in chosen)
    return Answer(
        _record(picture, items, found.model, found.ms),
        lambda: cut_out(picture if behind is None else opaque, found, keep, behind),
    )


def mask_of(models: Models, picture: Picture, is_background: bool = False) -> Picture:
    """White where people are, or where none are: what `stylize` takes as a mask."""
    from cnnkit.tasks.segment.regions import soft_mask

    segmenter = models.segmenter()
    found = segmenter.label(picture.opaque())
    inside = soft_mask(found, (segmenter.names.index("person"),))
    mask = 1.0 - inside if is_background else inside
    return Picture(np.repeat(mask[..., None], 3, axis=-1).astype(np.float32), None, "the mask")


def classify(models: Models, picture: Picture, top: int = 5, group: bool = False) -> Answer:
    """What the picture shows, the most probable classes."""
    [found] = models.classifier().classify(picture, ClassifySettings(top=top, group=group))
    return Answer(replace(found.to_record(), source=picture.source))


def caption(models: Models, picture: Picture, candidates: int = 1) -> Answer:
    """Sentences about the picture."""
    settings = CaptionSettings(beams=max(4, candidates), candidates=candidates)
    [found] = models.captioner().caption(picture, settings)
    return Answer(replace(found.to_record(), source=picture.source))


def embed(models: Models, picture: Picture) -> Answer:
    """The faces, each as a vector."""
    recognizer = models.verifier().recognizer
    begin = time.monotonic()
    [faces] = recognizer.faces([read_face_picture(picture)])
    items = tuple(
        {**face.to_dict(), "embedding": [float(value) for value in face.embedding]}
        for face in faces
    )
    return Answer(_record(picture, items, recognizer.model, _since(begin)))


def verify(models: Models, first: Picture, second: Picture) -> Answer:
    """Whether two pictures show one person, and why."""
    from cnnkit.plots import encode_figure

    verifier = models.verifier()
    begin = time.monotonic()
    pictures = [read_face_picture(first), read_face_picture(second)]
    result = verifier.run(*pictures)
    record = _record(
        first,
        tuple(
            {**face.to_dict(), "source": one.source}
            for one, face in zip((first, second), (result.first, result.second), strict=True)
        ),
        result.model,
        _since(begin),
        threshold=result.threshold,
    )
    details = {
        "other": second.source,
        "same": result.same,
        "distance": round(result.distance, 6),
        "confidence": round(result.confidence, 6),
        "false_accept_rate": result.false_accept_rate,
    }

    def draw() -> Picture:
        figure = verifier.explain(*pictures, result)
        return read_image(encode_figure(figure), "the explanation")

    return Answer(replace(record, details=details), draw)


def identify(models: Models, gallery: Any, picture: Picture, matches: int = 2) -> Answer:
    """Who the people of a gallery are in the picture; the picture with their names."""
    from cnnkit.plots import draw_labels
    from cnnkit.tasks.faces.predict import FaceBook

    book = FaceBook(gallery, recognizer=models.verifier().recognizer)
    begin = time.monotonic()
    [faces] = book.identify([read_face_picture(picture)], matches=matches)

    def draw() -> Picture:
        boxes_xyxy = [one.face.box_xyxy for one in faces]
        names = [one.name or "unknown" for one in faces]
        is_known = [one.name is not None for one in faces]
        return _picture(draw_labels(to_uint8(picture.pixels), boxes_xyxy, names, is_known))

    items = tuple(one.to_dict() for one in faces)
    recognizer = book.recognizer
    record = _record(
        picture, items, recognizer.model, _since(begin), threshold=recognizer.threshold
    )
    return Answer(record, draw)


def enroll(models: Models, gallery: Any, name: str, picture: Picture) -> Answer:
    """Puts the picture's main face into the gallery, under a name."""
    from cnnkit.tasks.faces.predict import FaceBook

    book = FaceBook(gallery, recognizer=models.verifier().recognizer)
    begin = time.monotonic()
    _, [face] = book.enroll(name, [picture])
    items = ({**face.to_dict(), "name": name},)
    return Answer(_record(picture, items, book.recognizer.model, _since(begin)))


def draft(
    content: Picture, style: Picture, options: StylizeSettings, mask: Picture | None = None
) -> Answer:
    """A picture in a style, without an optimizer."""
    from cnnkit.tasks.stylize.predict import Stylizer

    begin = time.monotonic()
    result = Stylizer(style, options).run(content, mask=mask)
    items = ({"style": style.source},)
    record = _record(content, items, result.backbone, _since(begin))
    return Answer(record, lambda: result.image, json.dumps(dict(result.settings)))


def find_style(name: str) -> Picture:
    """A painted style by name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in style_names():
        raise UsageError(f"style must be one of {', '.join(style_names())}, not {name}")
    return load_sample(find_sample(name))


def _record(
    picture: Picture,
    items: tuple[dict[str, Any], ...],
    model: str,
    ms: Milliseconds,
    threshold: float | None = None,
) -> Record:
    return Record(
        picture.source,
        picture.width,
        picture.height,
        items,
        model,
        threshold,
        ms,
    )


def _picture(pixels: np.ndarray) -> Picture:
    return Picture(pixels.astype(np.float32) / np.float32(255.0))


def _since(begin: float) -> Milliseconds:
    return Milliseconds(net=round(1e3 * (time.monotonic() - begin), 1))
