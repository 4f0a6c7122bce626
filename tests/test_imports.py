import importlib
import importlib.util
import os
import subprocess
import sys

import pytest

from cnnkit.imports import leave_out


def test_what_is_left_out_can_be_imported_again(monkeypatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)
    let_in = leave_out("this")
    try:
        with pytest.raises(ModuleNotFoundError, match="this is left out here"):
            importlib.import_module("this")
    finally:
        let_in()
    assert importlib.util.find_spec("this") is not None


def test_openvino_reports_nothing_to_its_maker(tmp_path):
    """Its converter would write down, and send, that it was imported."""
    pytest.importorskip("openvino")
    code = (
        "import sys\nfrom cnnkit.engine.choice import import_lean_keras\n"
        "import_lean_keras()\nimport keras, openvino\n"
        "print('openvino_telemetry' in sys.modules, 'openvino.tools.ovc' in sys.modules)"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert found.stdout.split() == ["False", "False"]
    assert not (tmp_path / "intel").exists()
