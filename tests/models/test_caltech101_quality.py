"""What the shipped classifier makes of photographs that come with scikit-image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from cnnkit.tasks.classify.predict import classify
from cnnkit.weights import read_card

PHOTOGRAPHS = Path(data.__file__).parent


@pytest.mark.parametrize(
    ("photograph", "box", "label", "least"),
    [
        # There are no cats among the categories; the nearest that there is.
        ("chelsea.png", None, "cougar_face", 0.4),
        ("motorcycle_left.png", None, "Motorbikes", 0.5),
        ("astronaut.png", (120, 0, 330, 230), "Faces_easy", 0.4),
    ],
)
def test_a_photograph_is_told(tmp_path, photograph, box, label, least):
    with Image.open(PHOTOGRAPHS / photograph) as image:
        picture = image.convert("RGB")
    path = tmp_path / "picture.png"
    (picture if box is None else picture.crop(box)).save(path)
    best = classify(path, model="caltech101")[0].best[0]
    assert best.label == label
    assert best.score > least


def test_noise_is_nothing_for_sure(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    assert classify(tmp_path / "noise.png")[0].best[0].score < 0.9


def test_the_card_says_what_it_was_trained_on_and_how_good_it_is():
    card = read_card("caltech101")
    assert "Caltech-101" in card
    assert "2 893 pictures" in card
    assert "| accuracy | 85.1 % |" in card
    assert "| mean accuracy of the categories | 76.8 % |" in card
