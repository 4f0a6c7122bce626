"""What the shipped captioner says of photographs that come with scikit-image."""

from pathlib import Path

import pytest
from skimage import data

from cnnkit.tasks.caption.files import find_captioner_file
from cnnkit.tasks.caption.metrics import sentence_variety
from cnnkit.tasks.caption.predict import Captioner
from cnnkit.tasks.caption.settings import CaptionSettings
from cnnkit.weights import locate, read_card

PHOTOGRAPHS = Path(data.__file__).parent


@pytest.fixture(scope="module")
def captioner():
    return Captioner("captions")


def say(captioner, name):
    [found] = captioner.caption([str(PHOTOGRAPHS / name)], CaptionSettings(candidates=3))
    return found.candidates


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chelsea.png", {"cat"}),
        ("motorcycle_left.png", {"motorcycle"}),
        ("camera.png", {"person", "tripod"}),
        ("astronaut.png", {"people"}),
    ],
)
def test_a_photograph_is_told(captioner, name, words):
    assert words <= set(say(captioner, name)[0].sentence.split())


def test_a_picture_that_is_like_no_other_is_doubted(captioner):
    assert say(captioner, "coins.png")[0].is_sure is False
    best = say(captioner, "chelsea.png")[0]
    assert best.is_sure is True
    assert best.name_probability > 0.4


def test_people_have_neutral_names(captioner):
    words = set(captioner.vocabulary.tokens)
    assert {"person", "people", "child", "children"} <= words
    gendered = "man woman men women boy girl boys girls guy lady he she his her him"
    assert not words & set(gendered.split())


def test_different_pictures_get_different_sentences(captioner):
    names = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "page.png", "horse.png"]
    assert sentence_variety([say(captioner, name)[0].sentence for name in names]).distinct == 6


def test_the_file_has_the_decoder_alone(captioner):
    assert find_captioner_file("captions").path == locate("captions")
    # EfficientNet-Lite0 has 18.8 MB.
    assert locate("captions").stat().st_size < 8e6


def test_the_card_says_how_good_it_is_and_what_it_cannot_say():
    card = read_card("captions")
    assert "CIDEr-D" in card
    assert "cannot" in card
