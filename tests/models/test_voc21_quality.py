"""What the shipped segmenter makes of photographs that come with scikit-image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from cnnkit.images import Picture
from cnnkit.tasks.segment.predict import Segmenter
from cnnkit.weights import read_card

PHOTOGRAPHS = Path(data.__file__).parent


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter("voc21")


def look(segmenter, name):
    with Image.open(PHOTOGRAPHS / name) as image:
        pixels = np.asarray(image.convert("RGB"), np.float32) / 255.0
    return segmenter.label(Picture(pixels))


@pytest.mark.parametrize(
    ("name", "label", "least", "box"),
    [
        # The box lies well within what the picture shows, in rows and columns.
        ("astronaut.png", "person", 0.9, (60, 160, 180, 270)),
        ("chelsea.png", "cat", 0.9, (50, 250, 100, 350)),
        ("motorcycle_left.png", "motorbike", 0.9, (200, 300, 250, 420)),
        ("camera.png", "person", 0.9, (180, 400, 60, 120)),
    ],
)
def test_a_photograph_is_labelled(segmenter, name, label, least, box):
    found = look(segmenter, name)
    assert found.segments[0].label == label
    top, bottom, left, right = box
    inside = found.classes[top:bottom, left:right] == found.names.index(label)
    assert inside.mean() > least


def test_a_texture_is_background(segmenter):
    found = look(segmenter, "gravel.png")
    assert (found.classes == 0).mean() > 0.9


def test_the_card_says_how_good_it_is():
    card = read_card("voc21")
    assert "PennPed" in card
    assert "0.758" in card
