"""What is near in an embedding that is set by hand."""

import numpy as np
import pytest

from cnnkit.errors import DataError, UsageError
from cnnkit.tasks.visualize.words import WordMap, visualize_words
from tests._text_runs import VECTORS, write_text_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_text_run(tmp_path_factory.mktemp("words") / "films")


def test_near_words_have_the_smallest_angles(run):
    good, film = visualize_words(["Good!", "film"], model=run, count=2)
    assert (good.word, good.index, good.model) == ("good", 2, "films")
    # (1, 0) and (0.9, 0.1): 0.9 / sqrt(0.82); and film (0, 1) is at a right angle.
    assert [one.word for one in good.near] == ["fine", "film"]
    assert good.near[0].similarity == pytest.approx(0.9 / np.sqrt(0.82))
    assert good.near[1].similarity == pytest.approx(0.0)
    # (0, 1) and (-0.9, 0.2): 0.2 / sqrt(0.85), then fine: 0.1 / sqrt(0.82).
    assert [one.word for one in film.near] == ["poor", "fine"]


def test_padding_and_unknown_are_no_words(run):
    (good,) = visualize_words(["good"], model=run, count=99)
    assert {one.word for one in good.near} == {*VECTORS} - {"good"}


def test_a_picture_has_all_words_and_colours_those_asked_for(run):
    known = WordMap(run)
    figure = known.plot([known.nearest("good", 1)])
    labels = {text.get_text(): text for text in figure.axes[0].texts}
    assert {*labels} == {*VECTORS}
    assert labels["good"].get_color() == labels["fine"].get_color()
    assert labels["bad"].get_color() != labels["good"].get_color()
    assert figure.axes[0].get_title(loc="left") == "5 words as films sees them"
    # The most frequent words alone, and those that are asked for.
    few = known.plot([known.nearest("film", 1)], most=1)
    assert {text.get_text() for text in few.axes[0].texts} == {"good", "film", "poor"}


def test_an_unknown_word_is_said_with_those_like_it(run):
    with pytest.raises(DataError, match=r"'goood' is no word that films knows; did you mean good"):
        visualize_words(["goood"], model=run)
    with pytest.raises(DataError, match="'a b' is no word that films knows"):
        visualize_words(["a b"], model=run)


def test_one_hots_have_no_neighbours(tmp_path):
    with pytest.raises(UsageError, match="bag takes words as one-hots"):
        WordMap(write_text_run(tmp_path / "bag", network="bag"))
