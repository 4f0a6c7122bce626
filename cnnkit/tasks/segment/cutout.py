"""A picture's subject alone: without its background, or before another one."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageColor
from scipy import ndimage

from cnnkit.engine.predictor import PictureSource, collect, each_source, milliseconds_since
from cnnkit.errors import CnnkitError, UsageError
from cnnkit.images import Picture, fit_size, read_image, resize
from cnnkit.ops.matting import closed_form_alpha, enlarge_alpha, estimate_foreground
from cnnkit.tasks.segment.files import find_classes
from cnnkit.tasks.segment.predict import Segmenter, kept_segmenter
from cnnkit.tasks.segment.regions import resize_maps
from cnnkit.tasks.segment.results import Cutout, Segmentation
from cnnkit.tasks.segment.settings import DEFAULT_SEGMENTER, CutoutSettings, SegmentSettings

BLUR = "blur"
# Who is in a picture is its subject, unless what else is in it is so many times as large.
_PERSON, _MUCH_LARGER = "person", 5.0
# A subject has this share of the picture at least.
_LEAST_SUBJECT = 0.002
# Parts of the subject and holes in it are specks below this share of its largest part.
_CRUMB, _SPECK = 0.05, 0.01
# Alpha from which on a pixel belongs to a part.
_FAINT = 0.05
# The longest side at which edges are solved for, in pixels, and most pixels to solve for at once.
_LONGEST, _MOST_UNKNOWN = 1024, 60_000
# How far from the segmenter's edge the true one is looked for, in pixels of what the segmenter saw:
# always, and where it is in doubt, which is between these two probabilities.
_BAND, _WIDE_BAND, _DOUBT = 5.0, 12.0, (0.1, 0.9)
# Of a thin part's half thickness, what is edge.
_EDGE = 0.6
# How much the segmenter is believed where colours do not tell, for each of its pixels: little at
# its edge, most where it is sure.
_LEAST_TRUST, _MOST_TRUST = 2e-4, 0.01
# Alpha below is nothing, and above 1 less than that is all: a haze of it is seen before a plain
# background.
_HAZE = 0.12
# From where to where the segmenter's shares are the first guess of alpha from 0 to 1.
_FADE = 0.6
# Foreground colours come from at most so far, as a share of the longer side.
_COLOR_REACH = 0.04


def cutout(
    sources: Any,
    settings: CutoutSettings | None = None,
    *,
    background: "str | Sequence[float] | Picture | None" = None,
    model: str | Path = DEFAULT_SEGMENTER,
    **changes: Any,
) -> list[Cutout]:
    """Cuts the subject out of pictures, with soft edges and without the background's colours.

    Args:
        sources: paths of pictures, or pictures in memory, as for `segment`.
        settings: what to cut out, and how pictures are looked at; see `CutoutSettings`.
        background: what is behind it then: "blur" for the picture's own, blurred; a colour by name
            or as "#rrggbb", or three numbers in [0, 1]; the path of a picture, or a `Picture`.
            Nothing by default: the picture is transparent there.
        model: see `segment`.
        changes: of the settings, by name, such as `subject="person,dog"`.

    Returns:
        A `Cutout` for each, in order; its picture is None where there is no such subject.

    Raises:
        UsageError: no such segmenter or class, or settings that are not allowed.
        WeightsError: the segmenter's weights are not here.
        ImageError: a picture cannot be read.
        ValueError: an array is no picture.
    """
    settings = replace(settings or CutoutSettings(), **changes)
    behind = None if background is None else read_background(background)
    views = SegmentSettings(settings.size, settings.flip, settings.scales)
    segmenter = kept_segmenter(str(model), views)
    return collect(
        each_source(sources, keep_alpha=True),
        lambda given: cut_each(segmenter, given, settings.subject, behind),
        lambda cut: replace(cut, segmentation=replace(cut.segmentation, picture=None)),
    )


def cut_each(
    segmenter: Segmenter,
    sources: Iterable[PictureSource],
    subject: str | None = None,
    background: "str | Picture | None" = None,
    *,
    stdin: Callable[[], bytes] | None = None,
) -> Iterator[Cutout | CnnkitError]:
    """Cuts subjects out of pictures one after another; one that cannot be read gives its error.

    Args:
        segmenter: that finds them.
        sources: paths, "-", or pictures.
        subject: see `subject_classes`.
        background: of `read_background`; None leaves transparency.
        stdin: reads what "-" stands for.
    """
    for found in segmenter.segment_each(sources, stdin=stdin):
        if isinstance(found, CnnkitError):
            yield found
            continue
        begin = time.monotonic()
        class_ids = subject_classes(found, subject)
        cut = cut_out(found.read_picture(), found, class_ids, background) if class_ids else None
        post = found.ms.post + round(milliseconds_since(begin), 1)
        yield Cutout(
            source=found.source,
            picture=cut,
            labels=tuple(found.names[index] for index in class_ids),
            segmentation=replace(found, ms=replace(found.ms, post=post)),
            subject=subject,
        )


def subject_classes(segmentation: Segmentation, subject: str | None = None) -> tuple[int, ...]:
    """The classes of a picture's subject.

    Args:
        segmentation: of the picture.
        subject: classes that the user named; people by default, unless something else is five times
            as large, else what is largest.

    Returns:
        Those that are in the picture; none where it has no such subject.

    Raises:
        UsageError: there is no such class.
    """
    segments = segmentation.segments
    if subject is not None:
        wanted = find_classes(subject, segmentation.names, "--subject")
        return tuple(one.class_id for one in segments if one.class_id in wanted)
    large = [one for one in segments if one.share >= _LEAST_SUBJECT]
    if not large:
        return ()
    for one in large:
        if one.label == _PERSON and large[0].area < _MUCH_LARGER * one.area:
            return (one.class_id,)
    return (large[0].class_id,)


def read_background(background: "str | Sequence[float] | Picture") -> "str | Picture":
    """What is to be behind a subject, of what a user says.

    Args:
        background: see `cutout`.

    Returns:
        "blur", or a `Picture`, which has one pixel for a colour.

    Raises:
        UsageError: neither a colour nor a file.
        ImageError: the file cannot be read.
    """
    if isinstance(background, Picture) or background == BLUR:
        return background
    if not isinstance(background, str | Path):
        return Picture(np.array(background, np.float32).reshape(1, 1, 3))
    name = str(background)
    try:
        color = ImageColor.getrgb(name)
    except ValueError:
        if name.startswith("#") and not Path(name).exists():
            raise UsageError(
                f"{name} is no colour; give six digits such as #ffcc00, a name such as white, blur "
                "or a picture"
            ) from None
        return read_image(name)
    return Picture(np.array(color[:3], np.float32).reshape(1, 1, 3) / 255.0)


def cut_out(
    picture: Picture,
    segmentation: Segmentation,
    class_ids: Sequence[int],
    background: "str | Picture | None" = None,
    *,
    alpha: np.ndarray | None = None,
) -> Picture:
    """Some classes of a picture alone, or before another background.

    Args:
        picture: that was segmented.
        segmentation: of it.
        class_ids: what stays.
        background: of `read_background`; a picture is enlarged until it covers all. None leaves
            transparency.
        alpha: of `subject_alpha`, where it is known already.

    Returns:
        A `Picture` with alpha, of the foreground's own colours; or with a background, with the
        alpha that the picture had.
    """
    pixels = picture.pixels
    if alpha is None:
        alpha = subject_alpha(picture, segmentation, class_ids)
    reach = max(1, round(_COLOR_REACH * max(alpha.shape)))
    colors = estimate_foreground(pixels, alpha, reach)
    if background is None:
        if picture.alpha is not None:
            alpha = alpha * picture.alpha
        return Picture(colors, alpha, picture.source)
    share = alpha[..., None]
    if isinstance(background, Picture):
        behind = _covering(background.pixels, *pixels.shape[:2])
    else:
        behind = _blurred(pixels, 1.0 - share)
    mixed = share * colors + (1.0 - share) * behind
    return replace(picture, pixels=mixed.astype(np.float32))


def subject_alpha(
    picture: Picture, segmentation: Segmentation, class_ids: Sequence[int]
) -> np.ndarray:
    """How much of each pixel is of some classes, with the edges that the picture itself has.

    What the segmenter says is cleaned of specks and holes. Around its edge, and where it is in
    doubt, the colours decide: see `ops.matting.closed_form_alpha`.

    Args:
        picture: that was segmented.
        segmentation: of it.
        class_ids: of the classes.

    Returns:
        float32 `(height, width)` of the picture's own size.
    """
    height, width = segmentation.classes.shape
    alpha = np.zeros((height, width), np.float32)
    inside = share_of(segmentation.probabilities, class_ids)
    mask = clean_mask(inside >= 0.5, segmentation.probabilities[..., 0])
    if not mask.any():
        return alpha
    # Only what is around the subject, in pixels of what the segmenter saw and of the picture.
    reach = math.ceil(_WIDE_BAND) + 2
    rows, columns = np.nonzero(mask)
    top, bottom = max(0, rows.min() - reach), min(mask.shape[0], rows.max() + 1 + reach)
    left, right = max(0, columns.min() - reach), min(mask.shape[1], columns.max() + 1 + reach)
    scale = height / mask.shape[0], width / mask.shape[1]
    spans = (
        slice(round(top * scale[0]), max(1, round(bottom * scale[0]))),
        slice(round(left * scale[1]), max(1, round(right * scale[1]))),
    )
    part = picture.opaque().pixels[spans]
    seen = slice(top, bottom), slice(left, right)
    alpha[spans] = _without_crumbs(_solve(part, inside[seen], mask[seen]))
    return alpha


def share_of(probabilities: np.ndarray, class_ids: Sequence[int]) -> np.ndarray:
    """Of some classes and the most probable one of the others, the share of the former.

    Args:
        probabilities: `(h, w, C)`.
        class_ids: of the classes.

    Returns:
        float32 `(h, w)`: 1/2 where a class's edge is.
    """
    inside = probabilities[..., list(class_ids)].sum(axis=-1)
    others = np.delete(probabilities, list(class_ids), axis=-1)
    if not others.shape[-1]:
        return np.ones_like(inside)
    return inside / np.maximum(inside + others.max(axis=-1), 1e-12)


def clean_mask(mask: np.ndarray, background: np.ndarray) -> np.ndarray:
    """A mask without crumbs, and without holes that are none.

    A hole is filled where it is small, or where the segmenter takes it for another thing than the
    background: what is all around in a subject, such as a tie or a flag that is held, is of it.
    Others, such as between an arm and the body, stay.

    Args:
        mask: bool `(h, w)`.
        background: probability of the background `(h, w)`.

    Returns:
        bool `(h, w)`.
    """
    marks, _ = ndimage.label(mask)
    areas = np.bincount(marks.ravel())
    areas[0] = 0
    largest = areas.max()
    mask = ((areas >= _CRUMB * largest) & (areas > 0))[marks]
    marks, count = ndimage.label(~mask)
    border = np.unique(np.concatenate([marks[0], marks[-1], marks[:, 0], marks[:, -1]]))
    for number in set(range(1, count + 1)).difference(border.tolist()):
        hole = marks == number
        if hole.sum() < _SPECK * largest or background[hole].mean() < 0.5:
            mask |= hole
    return mask


def _solve(pixels: np.ndarray, inside: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Alpha of a part of a picture.

    Args:
        pixels: `(height, width, 3)`.
        inside: of `share_of`, `(h, w)`.
        mask: bool `(h, w)`.
    """
    # Filled holes count as the subject, dropped crumbs as the background.
    guess = np.where(mask, np.maximum(inside, 0.5), np.minimum(inside, 0.5))
    within, beyond = (ndimage.distance_transform_edt(one) for one in (mask, ~mask))
    depth = np.maximum(within, beyond)
    is_doubtful = (inside > _DOUBT[0]) & (inside < _DOUBT[1]) & (depth <= _WIDE_BAND)
    # The middle of thin parts is of the subject: with nothing that is, all would be background.
    thickness = ndimage.maximum_filter(within, 2 * round(_BAND) + 1)
    is_middle = mask & (within > np.minimum(_BAND, _EDGE * thickness))
    is_middle &= ~is_doubtful | (thickness <= _BAND)
    unknown = (((depth <= _BAND) | is_doubtful) & ~is_middle).astype(np.float32)
    height, width = pixels.shape[:2]
    size = fit_size(height, width, min(_LONGEST, max(height, width)))
    expected = unknown.mean() * size[0] * size[1]
    if expected > _MOST_UNKNOWN:
        size = fit_size(height, width, round(max(size) * math.sqrt(_MOST_UNKNOWN / expected)))
    size = max(3, size[0]), max(3, size[1])
    small = np.clip(resize(pixels, *size), 0.0, 1.0)
    is_unknown = resize_maps(unknown, *size) > 0.5
    guess = resize_maps(guess.astype(np.float32), *size)
    known = (guess >= 0.5).astype(np.float32)
    trust = np.maximum(_MOST_TRUST * (2.0 * guess - 1.0) ** 2, _LEAST_TRUST)
    # What is smooth costs as much at any size, what is far from the guess is counted in pixels.
    trust *= inside.size / guess.size
    alpha = np.where(is_unknown, np.clip((guess - 0.5) / _FADE + 0.5, 0.0, 1.0), known)
    alpha = closed_form_alpha(small, alpha, is_unknown, trust=trust)
    if size == (height, width):
        return _clear(alpha)
    fine = _clear(enlarge_alpha(alpha, small, pixels))
    edges = np.clip(resize_maps(is_unknown.astype(np.float32), height, width) * 2.0, 0.0, 1.0)
    return edges * fine + (1.0 - edges) * resize_maps(known, height, width)


def _without_crumbs(alpha: np.ndarray) -> np.ndarray:
    """Alpha without small parts, which are left where colours decided against what was around."""
    marks, count = ndimage.label(alpha > _FAINT)
    if count < 2:
        return alpha
    weights = ndimage.sum_labels(alpha, marks, np.arange(count + 1))
    weights[0] = 0.0
    return np.where((weights >= _CRUMB * weights.max())[marks], alpha, 0.0).astype(np.float32)


def _clear(alpha: np.ndarray) -> np.ndarray:
    """Alpha without haze."""
    return np.clip((alpha - _HAZE) / (1.0 - 2.0 * _HAZE), 0.0, 1.0)


def _blurred(pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The background blurred without what stands before it, which would shine around itself."""
    height, width = pixels.shape[:2]
    scale = min(1.0, 400 / max(height, width))
    small = max(1, round(height * scale)), max(1, round(width * scale))
    deviation = 0.025 * max(small)
    weight = np.maximum(resize_maps(weights[..., 0], *small), 1e-3)[..., None]
    colors = resize_maps(pixels, *small) * weight
    sums = ndimage.gaussian_filter(
        np.concatenate([colors, weight], axis=-1), (deviation,) * 2 + (0,)
    )
    return resize_maps(sums[..., :3] / sums[..., 3:], height, width)


def _covering(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    tall = max(height, round(pixels.shape[0] * scale))
    wide = max(width, round(pixels.shape[1] * scale))
    top, left = (tall - height) // 2, (wide - width) // 2
    resized = np.clip(resize(pixels, tall, wide), 0.0, 1.0)
    return resized[top : top + height, left : left + width]
