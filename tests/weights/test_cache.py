import os
from pathlib import Path

import pytest

from cnnkit.errors import ExitCode, WeightsError
from cnnkit.weights import (
    cache_dir,
    fingerprint,
    is_available,
    keras_cache_dir,
    locate,
    status,
)
from tests.weights.conftest import CONTENT, TINY


def put(folder: Path, content: bytes = CONTENT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / TINY.file_name
    path.write_bytes(content)
    return path


def test_cnnkit_home_moves_the_cache(monkeypatch):
    monkeypatch.setenv("CNNKIT_HOME", "~/elsewhere")
    assert cache_dir() == Path.home() / "elsewhere" / "weights"


def test_without_cnnkit_home_the_cache_is_the_users_own(monkeypatch):
    monkeypatch.delenv("CNNKIT_HOME")
    assert "cnnkit" in cache_dir().parts


def test_locate_finds_a_file_in_the_cache(cache):
    assert put(cache) == locate("tiny")
    assert is_available("tiny")


def test_locate_says_both_remedies_when_weights_are_missing():
    message = (
        "the tiny weights are not on this machine; "
        "run: cnnkit weights fetch tiny, or: cnnkit weights import tiny FILE"
    )
    with pytest.raises(WeightsError, match=message) as caught:
        locate("tiny")
    assert caught.value.exit_code == ExitCode.WEIGHTS_MISSING == 5
    assert not is_available("tiny")


def test_looking_for_weights_makes_no_folder(cache):
    is_available("tiny")
    assert not cache.parent.exists()


def test_locate_finds_what_keras_downloaded():
    assert put(keras_cache_dir()) == locate("tiny")


def test_a_whole_file_of_keras_wins_over_a_damaged_one_in_the_cache(cache):
    put(cache, b"damaged")
    assert put(keras_cache_dir()) == locate("tiny")


def test_a_damaged_file_of_keras_is_not_used():
    put(keras_cache_dir(), b"x" * len(CONTENT))
    with pytest.raises(WeightsError, match=r"is damaged \(expected sha256 .*, received"):
        locate("tiny")


def test_a_cut_off_file_is_told_from_a_changed_one(cache):
    put(cache, CONTENT[:100])
    expected = r"damaged \(cut off: expected 10240 bytes, received 100\); run: cnnkit weights fetch"
    with pytest.raises(WeightsError, match=expected):
        locate("tiny")
    assert status(TINY).state == "damaged"


def test_missing_embedded_weights_tell_to_install_again(table):
    table(kind="embedded", file_name="never-shipped.npz")
    with pytest.raises(WeightsError, match="incomplete: install it again"):
        locate("tiny")


def test_a_fingerprint_is_the_sha256_of_the_file(tmp_path):
    path = tmp_path / "empty"
    path.touch()
    # SHA-256 of nothing, from FIPS 180-4's test vectors.
    assert fingerprint(path).startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_a_fingerprint_follows_a_change_of_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    before = fingerprint(str(path))
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert fingerprint(path) != before


def test_a_fingerprint_is_computed_once(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    stat = path.stat()
    before = fingerprint(path)
    # Same size and time, other bytes: only a second reading could tell.
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fingerprint(path) == before
