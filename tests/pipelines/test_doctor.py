import importlib.metadata
import platform

import cnnkit
from cnnkit.pipelines.doctor import _disk_free, diagnose
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


def test_free_disk_is_that_of_the_nearest_folder_that_exists(tmp_path):
    assert _disk_free(tmp_path / "a" / "b") > 0
