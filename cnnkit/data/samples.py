"""The sample pictures: photographs that scikit-image carries, and styles that cnnkit paints."""

import dataclasses
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cnnkit.errors import ImageError
from cnnkit.images import Picture, read_image

PHOTOGRAPH = "photograph"
STYLE = "style"


@dataclass(frozen=True)
class Sample:
    """One sample picture.

    Attributes:
        name: file name without suffix.
        kind: "photograph", good as a content picture, or "style".
        subject: what is to be seen.
        origin: who made it.
        licence: under which terms it may be used.
        file_name: of a photograph in scikit-image's data folder, of a style in cnnkit's own.
    """

    name: str
    kind: str
    subject: str
    origin: str
    licence: str
    file_name: str


def _photograph(file_name: str, subject: str, maker: str, licence: str) -> Sample:
    origin = f"photograph by {maker}, from scikit-image"
    return Sample(Path(file_name).stem, PHOTOGRAPH, subject, origin, licence, file_name)


def _style(name: str, subject: str) -> Sample:
    return Sample(name, STYLE, subject, "painted by cnnkit", "MIT", f"{name}.jpg")


# Makers and licences as scikit-image's documentation of `skimage.data` states them. Only files
# that lie in the installed package are listed: the others would have to be downloaded.
SAMPLES: tuple[Sample, ...] = (
    _photograph("astronaut.png", "astronaut Eileen Collins", "NASA", "public domain"),
    _photograph("chelsea.png", "Chelsea the cat", "Stefan van der Walt", "CC0"),
    _photograph("coffee.png", "a cup of coffee", "Rachel Michetti", "CC0"),
    _photograph("rocket.jpg", "launch of a Falcon 9", "SpaceX", "public domain"),
    _photograph("camera.png", "a photographer, black and white", "Lav Varshney", "CC0"),
    _style("stained-glass", "a leaded window with sun, hills and river"),
    _style("impasto", "a wheat field in thick strokes of oil"),
    _style("ink-wash", "hills, bamboo and plum blossom in ink"),
    _style("woodcut", "chrysanthemums cut in wood, four inks"),
    _style("mosaic", "a peacock in glass and stone"),
    _style("waves", "curling waves as a woodblock print"),
)


def find_sample(name: str) -> Sample:
    """The sample of that name.

    Raises:
        ValueError: there is none.

    Example:

    >>> find_sample("chelsea").licence
    'CC0'
    """
    for sample in SAMPLES:
        if sample.name == name:
            return sample
    names = ", ".join(sample.name for sample in SAMPLES)
    raise ValueError(f"Expected the name of a sample, one of: {names}. Received: {name!r}")


def style_names() -> tuple[str, ...]:
    """The names of the style pictures that come with cnnkit.

    >>> style_names()
    ('stained-glass', 'impasto', 'ink-wash', 'woodcut', 'mosaic', 'waves')
    """
    return tuple(sample.name for sample in SAMPLES if sample.kind == STYLE)


def load_sample(sample: Sample) -> Picture:
    """The picture of a sample, read from scikit-image's folder or from cnnkit's own.

    Args:
        sample: one of `SAMPLES`.

    Returns:
        A `Picture`.

    Raises:
        ImageError: the installed scikit-image does not carry the photograph. Nothing is ever
            downloaded.

    Example:

    >>> load_sample(find_sample("coffee")).pixels.shape
    (400, 600, 3)
    """
    if sample.kind == STYLE:
        picture = read_image(Path(__file__).parent / "styles" / sample.file_name)
        return dataclasses.replace(picture, source=sample.origin)
    path = _photographs_folder() / sample.file_name
    if not path.is_file():
        raise ImageError(
            f"the photograph {sample.file_name} is not in the installed scikit-image; "
            "reinstall it: pip install --force-reinstall scikit-image"
        )
    return read_image(path)


def _photographs_folder() -> Path:
    # The folder is found without importing skimage.data, whose own functions may download.
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ImageError("scikit-image is not installed; install it: pip install scikit-image")
    return Path(spec.submodule_search_locations[0]) / "data"
