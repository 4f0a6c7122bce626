"""Pictures on their way into style transfer and out of it: styles, masks, canvases."""

import dataclasses
import hashlib
import math
import numbers
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnnkit.errors import ImageError, UsageError
from cnnkit.images import Picture, as_picture, fit_size, resize, to_pil, to_uint8

# The five blocks halve the picture four times, and reflection needs two positions at the deepest.
_MULTIPLE = 16
_SMALLEST_CANVAS = 32


def read_styles(style_image: Any) -> list[tuple[Picture, float]]:
    """Style pictures with their weights.

    Args:
        style_image: a picture, or a list or tuple of pictures or of `(picture, weight)`.

    Raises:
        UsageError: there is none, or a weight is not more than 0.
        ImageError: a picture cannot be read, or is transparent all over.
    """
    is_weighted = (
        isinstance(style_image, tuple)
        and len(style_image) == 2
        and isinstance(style_image[1], numbers.Real)
    )
    is_several = isinstance(style_image, (list, tuple)) and not is_weighted
    items = list(style_image) if is_several else [style_image]
    if not items:
        raise UsageError("no style picture given")
    styles = []
    for item in items:
        picture, weight = item if isinstance(item, tuple) else (item, 1.0)
        if not (math.isfinite(weight) and weight > 0):
            raise UsageError(f"the weight of a style must be more than 0, not {weight}")
        style = read_opaque(picture, "the style picture")
        if style.alpha is not None and float(style.alpha.max()) < 0.01:
            raise ImageError(
                f"{style.source or 'the style picture'} is transparent all over: there is no style "
                "in it; choose another"
            )
        styles.append((style, float(weight)))
    return styles


def read_opaque(image: Any, name: str) -> Picture:
    """A picture with the colours that one sees before white, and its transparency beside them."""
    picture = as_picture(image, name, keep_alpha=True)
    return dataclasses.replace(picture.opaque(), alpha=picture.alpha)


def in_kind_of(original: Any, picture: Picture) -> Any:
    """A result as the same kind of object as the picture that it was made of."""
    if isinstance(original, Picture):
        return picture
    if isinstance(original, (str, Path, Image.Image)):
        return to_pil(picture)
    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = np.concatenate([pixels, picture.alpha[..., None]], axis=-1)
    return to_uint8(pixels) if np.asarray(original).dtype == np.uint8 else pixels


def read_mask(mask: Any, height: int, width: int) -> np.ndarray:
    """Lightness of a mask, float32 `(height, width)` in [0, 1].

    Raises:
        UsageError: it is of another shape, or black.
        ImageError: it cannot be read.
    """
    if np.asarray(mask).dtype == bool:
        mask = np.asarray(mask, np.float32)
    # What is transparent in a mask is not marked.
    picture = as_picture(mask, "the mask", keep_alpha=True).opaque(0.0)
    shape = (picture.height / picture.width) / (height / width)
    if not 0.95 < shape < 1.05:
        raise UsageError(
            f"{picture.source or 'the mask'} is {picture.width}x{picture.height}, which is not the "
            f"shape of the content ({width}x{height}); give a mask of the content's shape"
        )
    lightness = resize(picture.pixels.mean(axis=-1), height, width)
    if float(lightness.max()) < 0.02:
        raise UsageError(f"{picture.source or 'the mask'} is black: nothing would be stylised")
    return np.clip(lightness, 0.0, 1.0)


def fit_long_side(array: np.ndarray, long_side: int) -> np.ndarray:
    """A picture, resized to a long side in pixels."""
    height, width = fit_size(array.shape[0], array.shape[1], max(1, long_side))
    return np.clip(resize(array, height, width), 0.0, 1.0)


def cover_size(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture, scaled to fill `(height, width)`."""
    scale = max(height / array.shape[0], width / array.shape[1])
    grown = (math.ceil(array.shape[0] * scale), math.ceil(array.shape[1] * scale))
    pixels = np.clip(resize(array, *grown), 0.0, 1.0)
    top, left = (grown[0] - height) // 2, (grown[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def on_canvas(array: np.ndarray, margin: int = 0) -> np.ndarray:
    """Mirrors a picture over its edges: a margin all around, then up to multiples of 16.

    Every pooling then divides evenly, and the smallest picture survives five blocks.
    """
    padding = []
    for side in array.shape[:2]:
        whole = max(_SMALLEST_CANVAS, math.ceil((side + 2 * margin) / _MULTIPLE) * _MULTIPLE)
        padding.append((margin, whole - side - margin))
    padding += [(0, 0)] * (array.ndim - 2)
    return np.pad(array, padding, mode="symmetric")


def digest_of(picture: Picture | np.ndarray) -> str:
    """SHA-256 of a picture with its transparency, or of an array."""
    arrays = [picture] if isinstance(picture, np.ndarray) else [picture.pixels, picture.alpha]
    digest = hashlib.sha256()
    for array in arrays:
        if array is not None:
            digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
