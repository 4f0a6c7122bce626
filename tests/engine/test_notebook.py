"""How a training is shown in a notebook."""

import pytest

from cnnkit.engine import notebook
from cnnkit.engine.notebook import watching
from cnnkit.engine.observer import Step


def test_a_training_is_one_text_that_changes(monkeypatch):
    monkeypatch.setattr(notebook, "_PAUSE", 0.0)
    shown = []
    with watching(("val_ap50", "AP50"), display=lambda *one: shown.append(one)) as observer:
        observer.on_note("3 classes")
        observer.on_progress("check", 1, 2)
        observer.on_progress("check", 2, 2)
        observer.on_epoch(0, {"loss": 2.0, "val_ap50": 0.5})
        observer.on_step(Step(2, 4, 5, 10, 1.0, 8))
    # Only the first one is new; the others take its place.
    assert [is_first for _, is_first in shown] == [True] + [False] * (len(shown) - 1)
    assert shown[1][0].splitlines() == ["3 classes", f"check  {'█' * 15}{'░' * 15}  1 of 2"]
    assert shown[-1][0].splitlines() == [
        "3 classes",
        f"epoch 2 of 4  {'█' * 15}{'░' * 15}  5 of 10",
        "loss  1.000  best 1.000             █▁",
        "AP50  50.0%  best 50.0% in epoch 1  ▁",
    ]


def test_it_is_not_drawn_more_often_than_a_browser_can(monkeypatch):
    shown = []
    with watching(display=lambda *one: shown.append(one)) as observer:
        for step in range(1, 100):
            observer.on_step(Step(1, 1, step, 100, 1.0, 8))
    # The first, and the last.
    assert len(shown) < 50
    assert "99 of 100" in shown[-1][0]


def test_outside_of_notebooks_it_says_what_is_missing(monkeypatch):
    import sys

    from cnnkit.errors import CnnkitError

    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(CnnkitError, match="needs a notebook"), watching():
        pass
