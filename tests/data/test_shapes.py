import json

import numpy as np
import pytest

from cnnkit.data.shapes import SHAPES, draw_shapes, write_shapes
from cnnkit.tasks.detect.data import read_boxed


@pytest.mark.parametrize("seed", range(8))
def test_each_box_holds_one_shape_and_nothing_else_is_bright(seed):
    pixels, boxes, class_ids = draw_shapes(np.random.default_rng(seed), 96)
    bright = pixels.min(axis=-1) >= 120
    outside = bright.copy()
    for (left, top, right, bottom), class_id in zip(boxes.astype(int), class_ids, strict=True):
        inside = bright[top:bottom, left:right]
        outside[top:bottom, left:right] = False
        # The shape touches all sides of its box.
        for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
            assert edge.any()
        share = {"square": 1.0, "disc": np.pi / 4, "triangle": 0.5}[SHAPES[class_id]]
        assert inside.mean() == pytest.approx(share, abs=0.06)
    assert not outside.any()


def test_what_is_written_can_be_trained_on(tmp_path):
    write_shapes(tmp_path, "train", 6, seed=0, side=64)
    write_shapes(tmp_path, "val", 2, seed=1, side=64)
    data = read_boxed(tmp_path)
    assert data.classes == SHAPES
    assert (len(data.train), len(data.val), data.train.objects) == (6, 2, 12)
    assert not data.problems
    first = json.loads((tmp_path / "train.json").read_text())["annotations"][0]
    _, boxes, _ = draw_shapes(np.random.default_rng(0), 64)
    np.testing.assert_allclose(data.train.boxes_xyxy_normalized[0], boxes / 64, atol=1e-6)
    assert first["bbox"][:2] == boxes[0, :2].tolist()
