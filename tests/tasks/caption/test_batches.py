import numpy as np
import pytest
from PIL import Image

from cnnkit.data.text import END, START, Vocabulary
from cnnkit.errors import DataError
from cnnkit.tasks.caption.batches import (
    PictureBatches,
    SeenBatches,
    number_sentences,
    vocabulary_of,
)
from cnnkit.tasks.caption.data import CaptionedPictures

# 0 "", 1 [UNK], 2 [START], 3 [END], 4 a, 5 dog, 6 left, 7 right
VOCABULARY = Vocabulary(("", "[UNK]", START, END, "a", "dog", "left", "right"))
PICTURES = CaptionedPictures(("x", "y"), (("A dog left.", "a dog"), ("a cat right of a dog",)))


def test_sentences_become_numbers_and_mirrored_ones_swap_left_and_right():
    found = number_sentences(PICTURES, VOCABULARY, 4, mirrored=True)
    assert found.pictures.tolist() == [0, 0, 1]
    assert found.words[0].tolist() == [
        [2, 4, 5, 6, 3, 0],
        [2, 4, 5, 3, 0, 0],
        # Cut off: no end is learnt where there is none.
        [2, 4, 1, 7, 1, 4],
    ]
    assert found.words[1, :, 3].tolist() == [7, 3, 6]


def test_the_vocabulary_has_the_words_that_are_frequent_enough():
    found = vocabulary_of(PICTURES, 100, 2, mirrored=False)
    assert found.tokens[2:] == (START, END, "a", "dog")
    # "left" occurs once and, of the mirror image, "right" once more.
    assert "left" in vocabulary_of(PICTURES, 100, 1, mirrored=True).tokens
    with pytest.raises(DataError, match="no word occurs 9 times"):
        vocabulary_of(PICTURES, 100, 9, mirrored=True)


def many(count=10):
    pictures = CaptionedPictures(tuple("abcde"), (("a dog left", "a dog right"),) * 5)
    return number_sentences(pictures, VOCABULARY, 4, mirrored=True)


def test_an_epoch_has_every_sentence_once_with_its_picture():
    sentences = many()
    # What is seen of picture i on side s is (i, s).
    features = np.stack(np.meshgrid(range(5), range(2), indexing="ij"), axis=-1)
    batches = SeenBatches(features, sentences, 5, seed=1)
    seen = []
    for index in range(len(batches)):
        (x, words), targets = batches[index]
        assert words[:, 1:].tolist() == targets[:, :-1].tolist()
        for (picture, side), row in zip(x.astype(int).tolist(), words.tolist(), strict=True):
            rows = np.flatnonzero((sentences.words[side, :, :-1] == row).all(axis=1))
            assert picture in sentences.pictures[rows]
            seen.append((picture, row[3] if side == 0 else 13 - row[3]))
    assert sorted(seen) == [(picture, word) for picture in range(5) for word in (6, 7)]


def test_a_run_that_goes_on_sees_what_it_would_have_seen():
    features = np.random.default_rng(0).random((5, 2, 3))
    first = SeenBatches(features, many(), 4, seed=1)
    again = SeenBatches(features, many(), 4, seed=1, epoch=1)
    before = first[2][1]
    first.on_epoch_begin()
    first[2]
    first.on_epoch_end()
    assert first[2][0][0].tolist() == again[2][0][0].tolist()
    assert first[2][1].tolist() == again[2][1].tolist() != before.tolist()


def test_pictures_are_read_and_mirrored_with_their_sentences(tmp_path):
    # Bright on the left.
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = 255
    paths = []
    for name in "abcde":
        paths.append(str(tmp_path / f"{name}.png"))
        Image.fromarray(pixels).save(paths[-1])
    pictures = CaptionedPictures(tuple(paths), (("a dog left",),) * 5)
    sentences = number_sentences(pictures, VOCABULARY, 4, mirrored=True)
    batches = PictureBatches(paths, sentences, (8, 8, 3), 3, seed=2)
    sides = set()
    for index in range(len(batches)):
        (x, words), _ = batches[index]
        for picture, row in zip(x, words, strict=True):
            side = 6 if picture[0, 0, 0] > 0.5 else 7
            assert row[3] == side
            sides.add(side)
    assert sides == {6, 7}
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="leave it out with --skip-bad"):
        list(PictureBatches(paths, sentences, (8, 8, 3), 5, seed=2)[0])
