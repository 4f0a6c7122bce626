"""What the shipped detector finds in photographs that come with scikit-image."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from cnnkit.ops.boxes import intersection_over_union
from cnnkit.tasks.detect.predict import Detector
from cnnkit.weights import read_card

PHOTOGRAPHS = Path(data.__file__).parent


@pytest.fixture(scope="module")
def detector():
    return Detector("coco80")


@pytest.mark.parametrize(
    ("name", "label", "box_xyxy"),
    [
        # By hand, in pixels of the file.
        ("astronaut.png", "person", (20, 10, 450, 512)),
        ("motorcycle_left.png", "motorcycle", (90, 75, 688, 455)),
        ("camera.png", "person", (0, 65, 345, 512)),
        ("chelsea.png", "cat", (0, 0, 451, 300)),
        ("coffee.png", "cup", (170, 20, 440, 345)),
    ],
)
def test_what_a_photograph_shows_is_found(detector, name, label, box_xyxy):
    [found] = detector.detect(PHOTOGRAPHS / name)
    best = found.objects[0]
    assert best.label == label
    overlap = intersection_over_union(np.array([best.box_xyxy]), np.array([box_xyxy]))
    assert overlap[0, 0] > 0.6


@pytest.mark.parametrize("name", ["gravel.png", "grass.png", "brick.png"])
def test_in_a_texture_nothing_is_found(detector, name):
    [found] = detector.detect(PHOTOGRAPHS / name)
    assert not found.objects


def test_the_card_says_how_good_it_is():
    card = read_card("coco80")
    assert "0.311, 0.148" in card
    assert "Penn-Fudan" in card
