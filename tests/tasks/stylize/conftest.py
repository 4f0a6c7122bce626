"""Pictures for the trainings of style transfer."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pictures(tmp_path):
    """A folder of two pictures to train on, one to keep, and a text file."""
    random = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    for name in ("train/a.png", "train/b.jpg", "test/c.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (40, 50, 3), np.uint8)).save(path)
    (folder / "train" / "notes.txt").write_text("no picture")
    return folder
