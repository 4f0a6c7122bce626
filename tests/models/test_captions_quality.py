"""What the shipped captioner says of photographs that come with scikit-image."""

from pathlib import Path

import pytest
from skimage import data

from cnnkit.metrics.captions import sentence_variety
from cnnkit.options import CaptionOptions
from cnnkit.pipelines._captioner import Captioner
from cnnkit.weights import read_card

PHOTOGRAPHS = Path(data.__file__).parent


@pytest.fixture(scope="module")
def captioner():
    return Captioner("captions")


def say(captioner, name):
    [(_, found)] = captioner.caption([str(PHOTOGRAPHS / name)], CaptionOptions(candidates=3))
    return found.candidates


@pytest.mark.parametrize(
    ("name", "sentence", "least"),
    [("motorcycle_left.png", "a motorcycle", 0.7), ("coffee.png", "a cup", 0.3)],
)
def test_a_photograph_is_told(captioner, name, sentence, least):
    best = say(captioner, name)[0]
    assert best.sentence == sentence
    assert best.score > least


def test_a_person_is_seen(captioner):
    assert "person" in say(captioner, "astronaut.png")[0].sentence.split()


def test_a_picture_without_colours_is_told(captioner):
    assert say(captioner, "camera.png")[0].sentence.startswith("a black and white picture of")


def test_different_pictures_get_different_sentences(captioner):
    names = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "page.png", "horse.png"]
    assert sentence_variety([say(captioner, name)[0].sentence for name in names]).distinct == 6


def test_the_card_says_how_good_it_is_and_what_it_cannot_say():
    card = read_card("captions")
    assert "61.3 %" in card
    assert "cannot" in card
