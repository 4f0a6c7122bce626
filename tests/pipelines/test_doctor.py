import importlib.metadata
import os
import platform

import pytest

import cnnkit
from cnnkit.pipelines.doctor import _disk_free, _threads, diagnose
from cnnkit.weights import entries


def test_diagnose_tells_what_is_installed(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path / "not" / "there"))
    found = diagnose()
    assert found.cnnkit == cnnkit.__version__
    assert found.python == platform.python_version()
    assert found.keras == importlib.metadata.version("keras")
    assert found.backend_version == importlib.metadata.version(found.backend)
    assert found.devices[0].startswith(("cpu", "gpu", "cuda"))
    assert 0 < found.memory_available_bytes <= found.memory_bytes
    assert found.cache == tmp_path / "not" / "there" / "weights"
    assert set(found.weights) == {entry.name for entry in entries()}
    assert not found.cache.exists()


def test_threads_are_those_that_the_environment_allows(monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1000")
    assert _threads() == 1000


@pytest.mark.parametrize("bound", ["", "many", "0"])
def test_threads_are_the_cores_when_nothing_bounds_them(monkeypatch, bound):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", bound)
    assert 1 <= _threads() <= os.cpu_count()


def test_free_disk_is_that_of_the_nearest_folder_that_exists(tmp_path):
    assert _disk_free(tmp_path / "a" / "b") > 0
