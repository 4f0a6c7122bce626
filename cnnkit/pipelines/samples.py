"""Write the sample photographs and style pictures into a folder."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnkit import __version__
from cnnkit.data.samples import SAMPLES, Sample, load_sample
from cnnkit.errors import ImageError, UsageError
from cnnkit.images import Picture, read_image, to_uint8, write_image
from cnnkit.results import Failure


@dataclass(frozen=True)
class SampleFile:
    """What became of one sample.

    Attributes:
        name: of the sample.
        kind: "photograph" or "style".
        path: of its file.
        origin: who made it.
        licence: under which terms it may be used.
        status: "written", "replaced", "present" (the very picture was there), "kept" (another file
            was there and stays) or "failed".
        width: in pixels, None where the picture was not made.
        height: in pixels, None where the picture was not made.
        error: why it failed, or None.
    """

    name: str
    kind: str
    path: str
    origin: str
    licence: str
    status: str
    width: int | None = None
    height: int | None = None
    error: Failure | None = None


@dataclass(frozen=True)
class SamplesWritten:
    """All samples that were asked for, in the order of `cnnkit.data.samples.SAMPLES`."""

    folder: str
    items: tuple[SampleFile, ...]

    @property
    def failed(self) -> bool:
        return any(item.error for item in self.items)


def write_samples(
    folder: str | os.PathLike,
    names: Sequence[str] | None = None,
    *,
    overwrite: bool = False,
    skip_existing: bool = False,
    on_progress: Callable[[SampleFile], None] | None = None,
) -> SamplesWritten:
    """Writes sample pictures as PNG files; nothing is downloaded.

    A file that already holds the very picture is left as it is and counts as present. Before
    anything is written all other files in the way are looked for.

    Args:
        folder: where to; made if missing.
        names: of the samples, all by default.
        overwrite: replace files that exist.
        skip_existing: leave files that exist, whatever they hold.
        on_progress: called with each `SampleFile` as soon as it is settled.

    Returns:
        What became of each sample.

    Raises:
        UsageError: an unknown name, both `overwrite` and `skip_existing`, or another file in the
            way and neither of them.
        ImageError: the folder cannot be made or written to.

    Example:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_samples(folder, ["chelsea"])
    >>> written.items[0].status, written.items[0].width
    ('written', 451)
    """
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other; give one")
    samples = _choose(names)
    folder = Path(folder)
    _prepare(folder)
    present = {} if overwrite or skip_existing else _find_present(folder, samples)
    items = []
    for sample in samples:
        path = folder / f"{sample.name}.png"
        if sample.name in present:
            item = _describe(sample, path, "present", present[sample.name])
        elif skip_existing and path.exists():
            item = _describe(sample, path, "kept")
        else:
            item = _write(sample, path)
        items.append(item)
        if on_progress is not None:
            on_progress(item)
    return SamplesWritten(str(folder), tuple(items))


def _choose(names: Sequence[str] | None) -> list[Sample]:
    known = [sample.name for sample in SAMPLES]
    for name in names or ():
        if name not in known:
            raise UsageError(f"there is no sample named {name}; choose from: {', '.join(known)}")
    return [sample for sample in SAMPLES if not names or sample.name in names]


def _prepare(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ImageError(f"{folder} is a file, not a folder; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(
            f"{folder} cannot be made: {error.strerror or error}; name another folder"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ImageError(f"{folder} cannot be written to: permission denied; name another folder")


def _find_present(folder: Path, samples: Sequence[Sample]) -> dict[str, Picture]:
    """The samples that are there already, by name; any other file in the way is an error."""
    present = {}
    in_the_way = []
    for sample in samples:
        path = folder / f"{sample.name}.png"
        if not path.exists():
            continue
        picture = _load_or_none(sample)
        if picture is not None and _holds(path, picture):
            present[sample.name] = picture
        else:
            in_the_way.append(path)
    if in_the_way:
        others = len(in_the_way) - 1
        also = f" (and {others} more)" if others else ""
        raise UsageError(
            f"{in_the_way[0]}{also} exists and is not the sample; "
            "give --overwrite to replace it or --skip-existing to keep it"
        )
    return present


def _load_or_none(sample: Sample) -> Picture | None:
    try:
        return load_sample(sample)
    except ImageError:
        return None


def _holds(path: Path, picture: Picture) -> bool:
    """Whether a file shows the very picture, pixel for pixel."""
    try:
        return np.array_equal(to_uint8(read_image(path).pixels), to_uint8(picture.pixels))
    except ImageError:
        return False


def _write(sample: Sample, path: Path) -> SampleFile:
    status = "replaced" if path.exists() else "written"
    try:
        picture = load_sample(sample)
    except ImageError as error:
        failure = Failure(type(error).__name__, str(error))
        return _describe(sample, path, "failed", error=failure)
    write_image(path, picture, record=_record(sample))
    return _describe(sample, path, status, picture)


def _describe(
    sample: Sample,
    path: Path,
    status: str,
    picture: Picture | None = None,
    error: Failure | None = None,
) -> SampleFile:
    return SampleFile(
        sample.name,
        sample.kind,
        str(path),
        sample.origin,
        sample.licence,
        status,
        picture.width if picture else None,
        picture.height if picture else None,
        error,
    )


def _record(sample: Sample) -> str:
    """What the PNG says about itself."""
    return json.dumps(
        {
            "cnnkit": __version__,
            "sample": sample.name,
            "kind": sample.kind,
            "subject": sample.subject,
            "origin": sample.origin,
            "licence": sample.licence,
        },
        ensure_ascii=False,
    )
