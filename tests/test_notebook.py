"""The notebook runs from top to bottom, offline, and its results show themselves."""

import json
import os
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_steps.ipynb"


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells)
    assert all(cell.get("execution_count") is None for cell in cells)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_notebook_runs_and_its_results_are_pictures(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    # The kernel imports this checkout, wherever it lies.
    path = os.pathsep.join([str(NOTEBOOK.parents[1]), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=500, resources=resources).execute()
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    shown = [one.data for one in outputs if "data" in one]
    # Photograph, painting of it, boxes, classes of pixels, cutout.
    assert sum("image/png" in one for one in shown) >= 5
    [report] = [one["text/html"] for one in shown if "text/html" in one]
    assert "AP50" in report
    assert 'src="data:image/png;base64,' in report
