"""What a user can mend, and the exit code that says so."""

import enum


class ExitCode(enum.IntEnum):
    """Exit codes of every command; see ``cnnkit --help``."""

    DONE = 0
    NO = 1
    USAGE = 2
    INPUT_FAILED = 3
    NOTHING_FOUND = 4
    WEIGHTS_MISSING = 5
    BUG = 70
    INTERRUPTED = 130


_LONGEST, _BEGINNING, _END = 1000, 700, 200


def _as_line(text: str) -> str:
    r"""A message as one line that a terminal shows.

    >>> _as_line("a\nb\x1b[2J"), len(_as_line("x" * 5000))
    ('a b [2J', 905)
    """
    if not text.isprintable():
        # Of lone surrogates, which stand for bytes of names of files, none is printable either.
        text = "".join(
            " " if ord(letter) < 32 or 127 <= ord(letter) < 160 else letter for letter in text
        )
    if len(text) > _LONGEST:
        text = f"{text[:_BEGINNING]} ... {text[-_END:]}"
    return text


class CnnkitError(Exception):
    """One clear line for the user: what is wrong, where, and what to do.

    Anything that is not a `CnnkitError` is a bug and shows its traceback. What a message quotes may
    come from a damaged file: line breaks and control characters become spaces, and of a message of
    more than 1,000 letters the middle is left out.
    """

    exit_code = ExitCode.INPUT_FAILED

    def __init__(self, message: object = ""):
        super().__init__(_as_line(str(message)))


class UsageError(CnnkitError):
    """The arguments do not fit together."""

    exit_code = ExitCode.USAGE


class ImageError(CnnkitError):
    """A picture cannot be read or written."""


class NothingFoundError(CnnkitError):
    """A picture does not show what was to be written of it."""

    exit_code = ExitCode.NOTHING_FOUND


class VideoError(CnnkitError):
    """A video cannot be read or written, or what reads it is not installed."""


class WeightsError(CnnkitError):
    """Weights are missing, damaged or not the ones they claim to be."""

    exit_code = ExitCode.WEIGHTS_MISSING


class ResourceError(CnnkitError):
    """The job needs more memory, disk or time than there is."""


class OutputError(CnnkitError):
    """Standard output takes nothing: the disk is full, or whatever it leads to fails."""


class DivergenceError(CnnkitError):
    """An optimisation gave a non-finite loss and could not recover."""


class DataError(CnnkitError):
    """A file of labels or pairs is not what it should be."""


class GalleryError(CnnkitError):
    """The gallery of known people cannot be read or written, or holds no such person."""


class NoFaceError(CnnkitError):
    """A picture shows no face where one is needed, or fewer than the one asked for."""
