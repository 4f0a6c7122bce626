"""Which files are videos, which can be written, and the packages that read them.

It imports nothing heavy.
"""

import importlib
import importlib.util
import os
from pathlib import Path
from typing import Any

from cnnkit.errors import UsageError, VideoError

# In folders, files with these names are videos; by its name or its beginning, a file that is named.
VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv",
    ".flv", ".3gp", ".ogv", ".mxf",
)  # fmt: skip
# Pictures that may have several frames.
_ANIMATIONS = {".gif": "GIF", ".webp": "WEBP"}
_BEGINNINGS = (
    *(
        (4, b"ftyp"),
        (4, b"moov"),
        (0, b"\x1a\x45\xdf\xa3"),
        (8, b"AVI "),
        (0, b"FLV"),
        (0, b"OggS"),
    ),
    *((0, b"\0\0\1\xba"), (0, b"\0\0\1\xb3")),
)
# Suffix -> FFmpeg's name of the format.
WRITABLE_VIDEOS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".gif": "gif",
    ".webp": "webp",
}
REMEDY = 'pip install "cnnkit[video]"'


def video_suffixes() -> tuple[str, ...]:
    """Of the videos that are taken from folders: none where they cannot be read."""
    return VIDEO_SUFFIXES if is_installed() else ()


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a video or an animation, by its name and its first bytes.

    A file that is not there is one by its name alone.

    >>> is_video("clip.MP4"), is_video("photo.jpg")
    (True, False)
    """
    from cnnkit.images import READABLE_SUFFIXES

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return True
    if suffix in _ANIMATIONS:
        return _is_animation(path, _ANIMATIONS[suffix])
    if suffix in READABLE_SUFFIXES:
        return False
    try:
        with path.open("rb") as file:
            beginning = file.read(16)
    except (OSError, ValueError):
        return False
    return any(beginning[at : at + len(mark)] == mark for at, mark in _BEGINNINGS)


def _is_animation(path: Path, kind: str) -> bool:
    from PIL import Image

    from cnnkit.images import DAMAGED

    try:
        with Image.open(path, formats=(kind,)) as image:
            # Without the extra its first frame is a picture, as everywhere else.
            return bool(getattr(image, "is_animated", False)) and is_installed()
    except (*DAMAGED, Image.DecompressionBombError):
        # Read as a picture, it says what is wrong.
        return False


def is_animation(path: str | os.PathLike[str]) -> bool:
    """Whether a file of this name is an animated picture, without sound and looping for ever."""
    return Path(path).suffix.lower() in _ANIMATIONS


def suffix_for(source: str | os.PathLike[str]) -> str:
    """The suffix of what is made of a video, where the user names none.

    >>> suffix_for("clip.webm"), suffix_for("old.avi")
    ('.webm', '.mp4')
    """
    suffix = Path(source).suffix.lower()
    return suffix if suffix in (".mov", ".mkv", ".webm", *_ANIMATIONS) else ".mp4"


def check_writable_video(path: str | os.PathLike[str]) -> None:
    """Refuses a name whose suffix is of no video that can be written.

    Raises:
        UsageError: the suffix is none of `WRITABLE_VIDEOS`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITABLE_VIDEOS:
        kinds = ", ".join(WRITABLE_VIDEOS)
        raise UsageError(f"{path}: cannot write videos as '{suffix}'; use one of: {kinds}")


def parts_folder(output: Path) -> Path:
    """Where the segments of an output lie until they are joined."""
    return output.with_name(f".{output.name}.cnnkit-parts")


def is_installed(module: str = "av") -> bool:
    """Whether a package of the extra is there, as far as one knows without importing it."""
    return importlib.util.find_spec(module) is not None


def import_av() -> Any:
    """PyAV, which drops FFmpeg's own messages as long as nobody asks for them.

    To ask for them would have FFmpeg's threads wait for Python's lock, some for ever.

    Raises:
        VideoError: it is not installed.
    """
    return _import("av", "reading and writing videos")


def import_opencv() -> Any:
    """OpenCV, for motion.

    Raises:
        VideoError: it is not installed.
    """
    return _import("cv2", "following motion in videos")


def _import(module: str, job: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise VideoError(f"{job} needs the extra for videos; run: {REMEDY}") from None
