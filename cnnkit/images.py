"""Read, write and resize pictures: upright sRGB, float32 in [0, 1].

Every reader of the project goes through `read_image`, so orientation, colour profile, depth and
transparency are handled in one place.
"""

import io
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from cnnkit.errors import ImageError

# A 200-megapixel picture is 2.4 GB as float32; more is a decompression bomb or a mistake.
MAX_PIXELS = 200_000_000

READABLE_SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm",
)  # fmt: skip

# Suffix -> Pillow's format name and the options that keep the picture as it was computed.
WRITABLE_FORMATS = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95, "method": 4}),
    ".tif": ("TIFF", {"compression": "tiff_lzw"}),
    ".tiff": ("TIFF", {"compression": "tiff_lzw"}),
}

_EXIF_IMAGE_DESCRIPTION = 0x010E
_RECORD_KEY = "cnnkit"


@dataclass(frozen=True)
class Picture:
    """A picture in memory.

    Attributes:
        pixels: float32 array `(height, width, 3)`, sRGB in [0, 1], upright.
        alpha: float32 array `(height, width)` in [0, 1], or None when the picture is opaque.
        source: where it came from, for messages.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    source: str = ""

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]


def read_image(source: str | os.PathLike | bytes | BinaryIO, name: str | None = None) -> Picture:
    """Reads a picture of any common format as upright sRGB.

    The EXIF orientation is applied, an embedded colour profile is converted to sRGB, grey,
    palette, CMYK and 16-bit pictures become RGB, and transparency is kept apart. Of an animation
    the first frame is read.

    Args:
        source: a path, the bytes of a file, or an open binary file.
        name: what to call the picture in messages; the path by default.

    Returns:
        A `Picture`.

    Raises:
        ImageError: the file is missing, unreadable, empty, truncated, no picture, or larger than
            `MAX_PIXELS`. The message names the file and the remedy.

    Example:

    >>> import io
    >>> from PIL import Image
    >>> buffer = io.BytesIO()
    >>> Image.new("L", (4, 3), 255).save(buffer, "PNG")
    >>> read_image(buffer.getvalue()).pixels.shape
    (3, 4, 3)
    """
    if name is None:
        name = str(source) if isinstance(source, (str, os.PathLike)) else "the picture on stdin"
    data = _read_bytes(source, name)
    if not data:
        raise ImageError(f"{name} is empty (0 bytes); copy or download it again")
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"{name} claims {width}x{height} pixels, more than the limit of "
                    f"{MAX_PIXELS // 10**6} megapixels; make it smaller first"
                )
            image.load()
            return _to_picture(image, name)
    except UnidentifiedImageError:
        kind = ", ".join(sorted({suffix.lstrip(".") for suffix in READABLE_SUFFIXES}))
        raise ImageError(f"{name} is not a picture that can be read; use one of: {kind}") from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"{name} claims more than {MAX_PIXELS // 10**6} megapixels; make it smaller first"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(
            f"{name} is damaged or cut off ({error}); copy or download it again"
        ) from None


def _read_bytes(source: str | os.PathLike | bytes | BinaryIO, name: str) -> bytes:
    if isinstance(source, bytes):
        return source
    if not isinstance(source, (str, os.PathLike)):
        return source.read()
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{name} does not exist; check the path") from None
    except IsADirectoryError:
        raise ImageError(f"{name} is a directory, not a picture") from None
    except PermissionError:
        raise ImageError(f"{name} cannot be read: permission denied") from None
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror or error}") from None


def _to_picture(image: Image.Image, name: str) -> Picture:
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        # 16- and 32-bit grey: Pillow's own convert("RGB") would clip everything above 255.
        grey = np.asarray(image).astype(np.float32)
        scale = 65535.0 if image.mode.startswith("I") else max(1.0, float(np.nanmax(grey)))
        grey = np.clip(np.nan_to_num(grey) / scale, 0.0, 1.0)
        return Picture(np.repeat(grey[..., None], 3, axis=-1), None, name)
    alpha = None
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"), dtype=np.float32) / 255.0
        if alpha.min() == 1.0:
            alpha = None
    if profile:
        image = _convert_profile(image, profile)
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0
    return Picture(pixels, alpha, name)


def _convert_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Converts to sRGB through the embedded profile; a broken profile is taken for sRGB."""
    base = image if image.mode in ("RGB", "L", "CMYK") else image.convert("RGB")
    try:
        return ImageCms.profileToProfile(
            base,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return base


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Rounds `(..., channels)` floats in [0, 1] to uint8, clipping what lies outside.

    >>> to_uint8(np.array([-0.1, 0.5, 2.0]))
    array([  0, 128, 255], dtype=uint8)
    """
    return (np.clip(pixels, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def to_pil(picture: Picture) -> Image.Image:
    """The picture as an 8-bit `PIL.Image` in RGB, or RGBA where it has alpha."""
    image = Image.fromarray(to_uint8(picture.pixels))
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(to_uint8(picture.alpha)))
    return image


def resize(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes a float picture with an antialiased Lanczos filter.

    Args:
        array: `(height, width)` or `(height, width, channels)` floats.
        height: new height in pixels.
        width: new width in pixels.

    Returns:
        float32 array of the new size. Values may overshoot the input's range by a little, as
        Lanczos does; pictures in [0, 1] are clipped back by the caller or by `to_uint8`.
    """
    array = np.asarray(array, dtype=np.float32)
    if array.shape[:2] == (height, width):
        return array.copy()
    planes = array[..., None] if array.ndim == 2 else array
    resized = np.stack(
        [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(planes[..., channel])).resize(
                    (width, height), Image.Resampling.LANCZOS
                )
            )
            for channel in range(planes.shape[-1])
        ],
        axis=-1,
    )
    return resized[..., 0] if array.ndim == 2 else resized


def fit_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """The `(height, width)` of the same shape whose longer side is `long_side` pixels.

    >>> fit_size(300, 600, 100)
    (50, 100)
    """
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def check_writable_format(path: str | os.PathLike) -> None:
    """Raises `ImageError` unless the suffix of `path` names a format that can be written."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITABLE_FORMATS:
        kinds = ", ".join(sorted(WRITABLE_FORMATS))
        raise ImageError(f"{path}: cannot write pictures as '{suffix}'; use one of: {kinds}")


def encode_image(picture: Picture, suffix: str, record: str | None = None) -> bytes:
    """Encodes a picture in the format that the suffix names.

    Args:
        picture: what to encode. JPEG has no transparency: alpha is laid over white there.
        suffix: such as ".png".
        record: text to carry in the file (PNG text chunk, JPEG comment, EXIF image description of
            WebP and TIFF), for example the settings that made it.

    Returns:
        The bytes of the file.
    """
    check_writable_format(f"picture{suffix}")
    pillow_format, options = WRITABLE_FORMATS[suffix.lower()]
    options = dict(options)
    image = to_pil(picture)
    if pillow_format == "JPEG" and image.mode == "RGBA":
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        image = white
    if record is not None:
        if pillow_format == "PNG":
            text = PngInfo()
            text.add_itxt(_RECORD_KEY, record)
            options["pnginfo"] = text
        elif pillow_format == "JPEG":
            options["comment"] = record.encode()
        else:
            exif = Image.Exif()
            exif[_EXIF_IMAGE_DESCRIPTION] = record
            options["exif"] = exif
    buffer = io.BytesIO()
    image.save(buffer, pillow_format, **options)
    return buffer.getvalue()


def read_record(path: str | os.PathLike) -> str | None:
    """The text that `encode_image` stored in a file, or None."""
    with Image.open(path) as image:
        image.load()
        if _RECORD_KEY in getattr(image, "text", {}):
            return str(image.text[_RECORD_KEY])
        comment = image.info.get("comment")
        if comment:
            return comment.decode() if isinstance(comment, bytes) else comment
        return image.getexif().get(_EXIF_IMAGE_DESCRIPTION)


def write_image(path: str | os.PathLike, picture: Picture, record: str | None = None) -> None:
    """Writes a picture atomically: the file is whole or not there at all.

    Args:
        path: where to; the suffix chooses the format and missing folders are made.
        picture: what to write.
        record: text to carry in the file, see `encode_image`.

    Raises:
        ImageError: unknown suffix, no permission, or a full disk; an existing file is untouched.
    """
    check_writable_format(path)
    write_bytes(path, encode_image(picture, Path(path).suffix, record))


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file atomically through a temporary neighbour.

    Raises:
        ImageError: the folder or the disk does not take it; an existing file is untouched.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise ImageError(
            f"{path} cannot be written: {error.strerror or error}; "
            "choose another folder with -o or make room"
        ) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
