"""Large arrays in files, written through memory."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import ResourceError
from cnnkit.images import require_room


def create_array_file(path: Path, kind: Any, shape: tuple[int, ...]) -> np.memmap:
    """A new `.npy` file that is written through memory, whose room on the disk is taken at once.

    A disk that is full would otherwise be found while the array is written, and there it is no
    error but the end of the process.

    Args:
        path: of the file; one that is there is replaced.
        kind: dtype of the array.
        shape: of the array.

    Returns:
        The array, mapped.

    Raises:
        ResourceError: there is no room for it.
    """
    array = np.lib.format.open_memmap(path, "w+", kind, shape)
    size = path.stat().st_size
    try:
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        else:
            require_room(path.parent, size)
    except (OSError, ResourceError) as error:
        del array
        path.unlink()
        if isinstance(error, ResourceError):
            raise
        raise ResourceError(
            f"{path} needs {size / 1e6:,.0f} MB, which are not there: {error.strerror}; "
            "make room, or choose another folder"
        ) from None
    return array
