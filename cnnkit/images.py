"""Read, write and resize pictures: upright sRGB, float32 in [0, 1].

Every reader of the project goes through `read_image`, so orientation, colour profile, depth and
transparency are handled in one place. Colours that transparency hides come from `read_image` only
for those who ask for them: no network sees any.
"""

import contextlib
import functools
import io
import math
import os
import re
import shutil
import struct
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from cnnkit.errors import ImageError, ResourceError
from cnnkit.written_files import record_write

# A 175-megapixel picture is 2.1 GB as float32; more is a decompression bomb or a mistake. Pillow's
# own limit lies just above.
MAX_PIXELS = 175_000_000

READABLE_SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm",
    ".avif", ".heic", ".heif",
)  # fmt: skip
HEIF_REMEDY = "HEIC is read after: pip install 'cnnkit[heif]'"

# Suffix -> Pillow's format name and the options that keep the picture as it was computed.
WRITABLE_FORMATS = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"quality": 95, "method": 4}),
    ".tif": ("TIFF", {"compression": "tiff_lzw"}),
    ".tiff": ("TIFF", {"compression": "tiff_lzw"}),
}

# Pillow knows more formats, but some run other programs (EPS) or hold no photograph.
_READABLE_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "AVIF")
_HEIF_SUFFIXES = (".heic", ".heif")
# Brands of what HEVC packs, beside "mif1", which says nothing of the packing.
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")

_TIFF_BITS, _TIFF_COMPRESSION, _TIFF_PHOTOMETRIC = 258, 259, 262
_TIFF_PLANES, _TIFF_SAMPLE_FORMAT = 284, 339
_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*")
# What Pillow raises for files that are damaged or cut off.
DAMAGED = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error),
    *(TypeError, LookupError, ArithmeticError),
)
# Formats that are read faster where nothing is special about the picture.
_PLAIN_FORMATS = ("JPEG", "PNG")
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

    def opaque(self, background: float = 1.0) -> "Picture":
        """The picture as it looks before a background, without alpha.

        Args:
            background: grey from 0 to 1; white by default, as browsers and viewers show it.

        Example:

        >>> hidden = Picture(np.zeros((1, 2, 3), np.float32), np.array([[0.0, 0.75]], np.float32))
        >>> hidden.opaque().pixels[..., 0]
        array([[1.  , 0.25]], dtype=float32)
        """
        if self.alpha is None:
            return self
        alpha = self.alpha[..., None]
        # Numbers that are not finite may lie under transparency; zero times them would not be zero.
        pixels = np.where(alpha > 0, self.pixels, 0.0) * alpha + background * (1.0 - alpha)
        return Picture(pixels.astype(np.float32), None, self.source)

    def with_alpha(self, alpha: np.ndarray | None) -> "Picture":
        """The picture with a transparency that looks the same before white; undoes `opaque`.

        Args:
            alpha: float32 `(height, width)` in [0, 1]; None leaves it opaque.

        Example:

        >>> seen = Picture(np.full((1, 1, 3), 0.75, np.float32))
        >>> seen.with_alpha(np.array([[0.5]], np.float32)).pixels[0, 0]
        array([0.5, 0.5, 0.5], dtype=float32)
        """
        if alpha is None:
            return self
        share = alpha[..., None]
        colors = (self.pixels - (1.0 - share)) / np.maximum(share, 1e-3)
        pixels = np.where(share > 0, np.clip(colors, 0.0, 1.0), self.pixels)
        return Picture(pixels.astype(np.float32), alpha, self.source)


def read_image(
    source: str | os.PathLike | bytes | BinaryIO,
    name: str | None = None,
    *,
    keep_alpha: bool = False,
) -> Picture:
    """Reads a picture of any common format as upright sRGB.

    The EXIF orientation is applied, an embedded colour profile is converted to sRGB, grey,
    palette, CMYK and 16-bit pictures become RGB, and what is transparent becomes white. Of an
    animation the first frame is read. Grey keeps its 16 bits; colours come down to 8 bits a
    channel, which is all that Pillow reads. Float grey above 1 is scaled so that its brightest
    pixel is white.

    Args:
        source: a path, the bytes of a file, or an open binary file.
        name: what to call the picture in messages; the path by default.
        keep_alpha: give the colours as they are stored, and transparency apart. Before a network
            sees them, `Picture.opaque` must take away the colours that nobody can see.

    Returns:
        A `Picture`.

    Raises:
        ImageError: the file is missing, unreadable, empty, truncated, no picture, or larger than
            `MAX_PIXELS`. The message names the file and the remedy.
        ResourceError: the picture does not fit into the memory.

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
        with warnings.catch_warnings():
            # Pillow warns of large pictures below our limit and of tags that nobody needs.
            warnings.simplefilter("ignore")
            picture = _decode(data, name)
        return picture if keep_alpha else picture.opaque()
    except UnidentifiedImageError:
        if data[:4] in _TIFF_BEGINNINGS:
            raise _unreadable_tiff(name) from None
        if _is_heic(data[:64]) and not _reads_heif():
            raise ImageError(f"{name} is a HEIC picture; {HEIF_REMEDY}") from None
        kind = ", ".join(sorted({suffix.lstrip(".") for suffix in READABLE_SUFFIXES}))
        raise ImageError(f"{name} is not a picture that can be read; use one of: {kind}") from None
    except Image.DecompressionBombError:
        raise ImageError(
            f"{name} claims more than {MAX_PIXELS // 10**6} megapixels; make it smaller first"
        ) from None
    except MemoryError:
        raise ResourceError(
            f"{name} does not fit into the memory; make it smaller first, or close other programs"
        ) from None
    except DAMAGED as error:
        raise ImageError(
            f"{name} is damaged or cut off ({error}); copy or download it again"
        ) from None


def is_address(name: str) -> bool:
    """Whether a name is a URL, and no file.

    >>> is_address("https://example.org/a.jpg"), is_address("photos/a.jpg")
    (True, False)
    """
    # A path keeps one of two slashes; one letter alone is a drive of Windows.
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name) is not None and not os.path.lexists(name)


def explain_missing(name: str) -> str:
    """What is wrong with a file or folder that is not there, and what to do."""
    if is_address(name):
        # A path has lost one of two strokes.
        name = re.sub("^([A-Za-z]+:)/(?=[^/])", r"\1//", name)
        return f"{name}: URLs are not read; download it first, and give what you have then"
    return f"{name} does not exist; check the path"


def is_unreadable_heif(path: str | os.PathLike) -> bool:
    """Whether a file is a HEIC picture, by its name and first bytes, and nothing reads such here.

    Of an AVIF that is called .heic, Pillow reads what it is.
    """
    if not os.fspath(path).lower().endswith(_HEIF_SUFFIXES) or _reads_heif():
        return False
    try:
        with Path(path).open("rb") as file:
            return _is_heic(file.read(64))
    except OSError:
        return False


def _is_heic(beginning: bytes) -> bool:
    """Whether a file that begins so is a HEIC picture: by the brands in its first box."""
    if beginning[4:8] != b"ftyp":
        return False
    length = min(int.from_bytes(beginning[:4], "big"), len(beginning))
    brands = [beginning[8:12], *(beginning[at : at + 4] for at in range(16, length, 4))]
    return b"avif" not in brands and any(brand in _HEIC_BRANDS for brand in brands)


def _formats() -> tuple[str, ...]:
    return (*_READABLE_FORMATS, *(("HEIF",) if "HEIF" in Image.OPEN else ()))


@functools.cache
def _reads_heif() -> bool:
    """Whether the extra for HEIC is installed; then Pillow reads it from now on."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def as_picture(image: Any, name: str, *, keep_alpha: bool = False) -> Picture:
    """Anything that is a picture as a `Picture`; the caller's array is never changed.

    Args:
        image: a path, a `Picture`, a `PIL.Image`, or an array `(height, width)` or `(height, width,
            1, 3 or 4)`, uint8 or float in [0, 1].
        name: what to call it in messages, where it is no path.
        keep_alpha: as in `read_image`.

    Raises:
        ImageError: a file cannot be read.
        ValueError: an array of another kind.

    Example:

    >>> as_picture(np.full((2, 3), 255, np.uint8), "the mask").pixels.shape
    (2, 3, 3)
    """
    if isinstance(image, Picture):
        return image if keep_alpha else image.opaque()
    if isinstance(image, (str, Path)):
        return read_image(image, keep_alpha=keep_alpha)
    if isinstance(image, Image.Image):
        return read_image(_encode_pil(image), name, keep_alpha=keep_alpha)
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(
            f"{name} must be an array (height, width, 1, 3 or 4). Received: shape {array.shape}"
        )
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255.0
    elif np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32)
        if not np.isfinite(array).all() or array.min() < 0.0 or array.max() > 1.0:
            raise ValueError(f"{name} must have finite floats in [0, 1] or be uint8")
    else:
        raise ValueError(f"{name} must be uint8 or float. Received: {array.dtype}")
    alpha = array[..., 3] if array.shape[-1] == 4 else None
    pixels = np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array[..., :3]
    picture = Picture(np.ascontiguousarray(pixels), alpha)
    return picture if keep_alpha else picture.opaque()


def _encode_pil(image: Image.Image) -> bytes:
    """A `PIL.Image` as a file, which carries orientation and colour profile to `read_image`."""
    plain = {
        "HSV": "RGB", "YCbCr": "RGB", "RGBX": "RGB", "La": "LA", "RGBa": "RGBA", "PA": "RGBA",
    }  # fmt: skip
    exif = image.getexif()
    if image.mode in plain:
        image = image.convert(plain[image.mode])
    elif image.mode == "I":
        image = Image.fromarray(np.clip(np.asarray(image), 0, 65535).astype(np.uint16))
    in_tiff = image.mode in ("CMYK", "F", "LAB")
    buffer = io.BytesIO()
    # Packed, it would take three times as long: for nothing, since it is read at once.
    packing = {} if in_tiff else {"compress_level": 0}
    image.save(buffer, "TIFF" if in_tiff else "PNG", exif=exif, **packing)
    return buffer.getvalue()


def read_pixels(path: str, least: int | None = None) -> np.ndarray:
    """Reads a picture as `read_image` does, as bytes, and large JPEGs faster.

    Args:
        path: of the picture.
        least: pixels that suffice for either side: a JPEG of twice that and more is decoded at a
            half, a quarter or an eighth of its size.

    Returns:
        uint8 `(height, width, 3)`, upright sRGB.

    Raises:
        ImageError: it cannot be read.
    """
    pixels = _read_plain(path, least)
    return to_uint8(read_image(path).pixels) if pixels is None else pixels


def measure_image(content: bytes, name: str) -> tuple[int, int]:
    """Height and width of a picture, upright, that can be decoded to its end.

    Args:
        content: of the file.
        name: what to call the picture in messages.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_PLAIN_FORMATS) as image:
            size = _upright_size(image)
            if math.prod(size) <= MAX_PIXELS:
                image.draft("L", (1, 1))
                image.load()
                return size
    except (*DAMAGED, Image.DecompressionBombError):
        # `read_image` says what is wrong, or knows the format.
        pass
    picture = read_image(content, name)
    return picture.height, picture.width


def header_size(path: str | Path) -> tuple[int, int] | None:
    """Height and width of a picture, upright, by its header; None where that cannot be read."""
    frame = header_frame(path)
    return None if frame is None else _turned(*frame)


def header_frame(path: str | Path) -> tuple[int, int, int] | None:
    """Height and width as they are stored, and the EXIF orientation from 1 to 8, by the header.

    None where it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if os.fspath(path).lower().endswith(_HEIF_SUFFIXES):
                _reads_heif()
            with Image.open(path, formats=_formats()) as image:
                return _stored_frame(image)
    except (*DAMAGED, Image.DecompressionBombError):
        return None


def _upright_size(image: Image.Image) -> tuple[int, int]:
    return _turned(*_stored_frame(image))


def _turned(height: int, width: int, orientation: int) -> tuple[int, int]:
    return (width, height) if orientation >= 5 else (height, width)


def _stored_frame(image: Image.Image) -> tuple[int, int, int]:
    """Height, width and orientation of a picture that was opened and not loaded."""
    width, height = image.size
    orientation = image.getexif().get(ExifTags.Base.Orientation)
    if image.format == "TIFF":
        # Pillow turns the size of a TIFF when it opens it; the tags have what is stored.
        width = image.tag_v2.get(ExifTags.Base.ImageWidth, width)
        height = image.tag_v2.get(ExifTags.Base.ImageLength, height)
    is_known = isinstance(orientation, int) and 1 <= orientation <= 8
    return height, width, orientation if is_known else 1


def _read_plain(path: str, least: int | None) -> np.ndarray | None:
    """An opaque 8-bit JPEG or PNG; None where `read_image` must look at it."""
    try:
        with Image.open(path, formats=_PLAIN_FORMATS) as image:
            is_plain = image.mode in ("RGB", "L") and "transparency" not in image.info
            if not is_plain or image.width * image.height > MAX_PIXELS:
                return None
            if least is not None:
                image.draft(image.mode, (least, least))
            image.load()
            upright, profile = _upright(image), image.info.get("icc_profile")
            if profile:
                upright = _convert_embedded_profile(upright, profile)
            return np.asarray(upright.convert("RGB"))
    except (*DAMAGED, Image.DecompressionBombError):
        return None


def _decode(data: bytes, name: str) -> Picture:
    if _is_heic(data[:64]):
        _reads_heif()
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(
                f"{name} claims {width}x{height} pixels, more than the limit of "
                f"{MAX_PIXELS // 10**6} megapixels; make it smaller first"
            )
        if image.format == "TIFF" and not _is_read_rightly(image.tag_v2):
            raise _unreadable_tiff(name)
        image.load()
        return _to_picture(_upright(image), name)


def _is_read_rightly(tags: Mapping[int, Any]) -> bool:
    """Whether Pillow reads a TIFF with these tags as it is meant.

    It takes deep grey whose zero is white for a negative, mixes up the separate colour planes of
    uncompressed 16-bit pictures, and overflows 32-bit integers.
    """
    bits = max(tags.get(_TIFF_BITS, (1,)))
    if bits <= 8:
        return True
    white_is_zero = tags.get(_TIFF_PHOTOMETRIC) == 0
    separate_planes = tags.get(_TIFF_PLANES) == 2 and tags.get(_TIFF_COMPRESSION, 1) == 1
    is_integer = tags.get(_TIFF_SAMPLE_FORMAT, (1,))[0] != 3
    return not (white_is_zero or separate_planes or (bits == 32 and is_integer))


def _unreadable_tiff(name: str) -> ImageError:
    return ImageError(
        f"{name} is a kind of TIFF that cannot be read; save it as .png, or as TIFF of 8 bits"
    )


def _read_bytes(source: str | os.PathLike | bytes | BinaryIO, name: str) -> bytes:
    if isinstance(source, bytes):
        return source
    if not isinstance(source, (str, os.PathLike)):
        return source.read()
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise ImageError(explain_missing(name)) from None
    except IsADirectoryError:
        raise ImageError(f"{name} is a directory, not a picture") from None
    except PermissionError:
        raise ImageError(f"{name} cannot be read: permission denied") from None
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror or error}") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, TypeError, KeyError, struct.error):
        # The EXIF data are damaged, the picture is not.
        return image


def _to_picture(image: Image.Image, name: str) -> Picture:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_grey_to_picture(image, name)
    profile = image.info.get("icc_profile")
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    alpha = None
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        is_grey = image.mode in ("1", "L", "LA")
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"), dtype=np.float32) / 255.0
        if alpha.min() == 1.0:
            alpha = None
        image = image.convert("L" if is_grey else "RGB")
    if image.mode == "LAB":
        image = _convert_profile(image, ImageCms.createProfile("LAB"))
    elif profile:
        if image.mode not in ("RGB", "L", "CMYK"):
            image = image.convert("L" if image.mode == "1" else "RGB")
        image = _convert_embedded_profile(image, profile)
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    return Picture(pixels / np.float32(255.0), alpha, name)


def _deep_grey_to_picture(image: Image.Image, name: str) -> Picture:
    """Grey of 16 bits or of floats; Pillow's own convert("RGB") would clip all above 255."""
    values = np.asarray(image)
    # A PNG names one grey value that is transparent.
    hole = image.info.get("transparency")
    alpha = (values != hole).astype(np.float32) if isinstance(hole, int) else None
    grey = values.astype(np.float32)
    scale = 65535.0
    if image.mode == "F":
        scale = max(1.0, float(grey[np.isfinite(grey)].max(initial=0.0)))
    grey = np.clip(np.nan_to_num(grey / np.float32(scale)), 0.0, 1.0)
    profile = image.info.get("icc_profile")
    if profile:
        # Profiles are applied to 8 bits only: apply it to all 256 greys, and interpolate.
        ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        curve = np.asarray(_convert_embedded_profile(ramp, profile).convert("L"))[0] / 255.0
        grey = np.interp(grey, np.linspace(0.0, 1.0, 256), curve).astype(np.float32)
    return Picture(np.repeat(grey[..., None], 3, axis=-1), alpha, name)


def _convert_embedded_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Converts to sRGB through a profile; one that is broken or does not fit is ignored."""
    try:
        return _convert_profile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _convert_profile(image: Image.Image, profile: "ImageCms.ImageCmsProfile") -> Image.Image:
    return ImageCms.profileToProfile(
        image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )


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
    r"""Encodes a picture in the format that the suffix names.

    Args:
        picture: what to encode. JPEG has no transparency: alpha is laid over white there.
        suffix: such as ".png".
        record: text to carry in the file (PNG text chunk, JPEG comment, EXIF image description of
            WebP and TIFF), for example the settings that made it.

    Returns:
        The bytes of the file.

    Raises:
        ImageError: unknown suffix, or a picture or record too large for the format.

    Example:

    >>> black = Picture(np.zeros((2, 3, 3), np.float32))
    >>> encode_image(black, ".png")[:4]
    b'\x89PNG'
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
            # As bytes: Pillow would turn text into ASCII and other letters into question marks.
            exif[_EXIF_IMAGE_DESCRIPTION] = record.encode()
            options["exif"] = exif
    buffer = io.BytesIO()
    try:
        image.save(buffer, pillow_format, **options)
    except (OSError, ValueError, struct.error) as error:
        raise ImageError(
            f"{image.width}x{image.height} pixels cannot be written as {pillow_format} ({error}); "
            "use .png"
        ) from None
    return buffer.getvalue()


def read_record(path: str | os.PathLike) -> str | None:
    """The text that `encode_image` stored in a file, or None.

    Raises:
        ImageError: the file cannot be read as a picture.
    """
    data = _read_bytes(path, str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = _decode_record(data)
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} cannot be read as a picture ({error})") from None
    if isinstance(text, str):
        # Pillow takes EXIF text for Latin-1, byte for byte.
        text = text.encode("latin-1", "replace")
    return text.decode("utf-8", "replace") if text else None


def _decode_record(data: bytes) -> str | bytes | None:
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        image.load()
        if _RECORD_KEY in getattr(image, "text", {}):
            return str(image.text[_RECORD_KEY]).encode()
        return image.info.get("comment") or image.getexif().get(_EXIF_IMAGE_DESCRIPTION)


def write_image(
    path: str | os.PathLike,
    picture: Picture,
    record: str | None = None,
    *,
    overwrite: bool = True,
) -> None:
    """Writes a picture atomically: the file is whole or not there at all.

    Args:
        path: where to; the suffix chooses the format and missing folders are made.
        picture: what to write.
        record: text to carry in the file, see `encode_image`.
        overwrite: see `write_bytes`.

    Raises:
        ImageError: unknown suffix, no permission, a full disk, or a file that must not be replaced;
            an existing file is untouched.
    """
    check_writable_format(path)
    write_bytes(path, encode_image(picture, Path(path).suffix, record), overwrite=overwrite)


def write_bytes(path: str | os.PathLike, data: bytes, *, overwrite: bool = True) -> None:
    """Writes a file atomically through a temporary neighbour.

    Args:
        path: where to; missing folders are made.
        data: what the file holds then.
        overwrite: replace a file that is there. Without it, whether there is one is decided at the
            moment at which the file is put in place: of two programs that write to one name, the
            second is told.

    Raises:
        ImageError: the folder or the disk does not take it, or there is a file that must not be
            replaced; an existing file is untouched.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            # A pipe or a device takes the data; it must not become a file.
            target.write_bytes(data)
            return
    except OSError as error:
        raise _unwritable(target, error) from None
    with placing(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def placing(path: str | os.PathLike, *, overwrite: bool = True) -> Iterator[Path]:
    """A temporary neighbour that becomes a file when the block ends, and is gone if it fails.

    Args:
        path: of the file; missing folders are made.
        overwrite: see `write_bytes`.

    Yields:
        The neighbour, empty.

    Raises:
        ImageError: see `write_bytes`.
    """
    named = Path(path)
    # A symbolic link stays one: what it points to is replaced.
    path = Path(os.path.realpath(path))
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        temporary.chmod(mode)
        if overwrite or not _is_placed(temporary, path):
            temporary.replace(path)
            temporary = None
        record_write(named)
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(path):
            raise ImageError(
                f"{path} exists, and is left as it is; use --overwrite or another name"
            ) from None
        raise _unwritable(path, error) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> ImageError:
    return ImageError(
        f"{path} cannot be written: {error.strerror or error}; choose another folder or make room"
    )


def _is_placed(temporary: Path, path: Path) -> bool:
    """Puts a file where there is none, by a link; False where only the name could be taken.

    Raises:
        FileExistsError: there is one.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has links; an empty file takes the name there.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        return False
    return True


def require_room(folder: str | os.PathLike, size: float) -> None:
    """Makes sure that a disk takes a large file, before a library writes it that would crash.

    Args:
        folder: that exists.
        size: of the file, in bytes.

    Raises:
        ResourceError: there is less.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise ResourceError(
            f"{folder} has room for {free / 1e6:,.0f} MB, and {size / 1e6:,.0f} MB are needed; "
            "make room, or choose another folder"
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
