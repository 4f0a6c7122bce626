"""Arrays in files whose room is taken before they are written."""

import errno
import os

import numpy as np
import pytest

from cnnkit.engine.array_files import create_array_file
from cnnkit.errors import ResourceError


def test_what_is_written_is_there_again(tmp_path):
    array = create_array_file(tmp_path / "a.npy", np.float16, (3, 2))
    array[1] = 7
    array.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), [[0, 0], [7, 7], [0, 0]])


def test_the_room_is_taken(tmp_path):
    path = tmp_path / "a.npy"
    create_array_file(path, np.uint8, (1 << 20,))
    # A file with holes would have next to none.
    assert path.stat().st_blocks * 512 >= 1 << 20


@pytest.mark.parametrize("has_fallocate", [True, False])
def test_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch, has_fallocate):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    if has_fallocate:
        monkeypatch.setattr(os, "posix_fallocate", fail)
    else:
        monkeypatch.delattr(os, "posix_fallocate")
        monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1 << 10}))
    with pytest.raises(ResourceError, match=r"8 MB.*make room"):
        create_array_file(tmp_path / "a.npy", np.float32, (2_000_000,))
    assert not list(tmp_path.iterdir())
