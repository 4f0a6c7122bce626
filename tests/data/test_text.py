"""Text: what is split off, what is counted, and what numbers stand for it."""

import numpy as np
import pytest

from cnnkit.data.text import END, PADDING, START, UNKNOWN, Vocabulary, split_text
from cnnkit.errors import DataError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A CAT, a dog.", ["a", "cat", "a", "dog"]),
        ("don't stop 'til \u2018then\u2019", ["don't", "stop", "til", "then"]),
        ("well-known e-mail_address", ["well", "known", "e", "mail", "address"]),
        ("Cafe\u0301 \u00dcBER stra\u00dfe", ["caf\u00e9", "\u00fcber", "stra\u00dfe"]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", ["\u0939\u093f\u0928\u094d\u0926\u0940"]),
        ("great\U0001f600\ufe0ftalk", ["great", "\U0001f600", "talk"]),
        ("3.5 \u20ac, 10%", ["3", "5", "10"]),
        (" \t\n", []),
        ("", []),
    ],
)
def test_words_are_lower_case_and_without_punctuation(text, words):
    assert split_text(text) == words


def test_characters_have_one_space_between_words():
    assert split_text("A  (b)-c!", by="character") == ["a", " ", "b", " ", "c"]


def test_there_are_two_ways_to_split():
    with pytest.raises(ValueError, match=r"word, character\. Received: 'letter'"):
        split_text("a", by="letter")
    with pytest.raises(ValueError, match="Received: 'letter'"):
        Vocabulary(("", "[UNK]"), by="letter")


def test_tokens_stand_in_the_order_of_frequency_and_then_of_the_alphabet():
    texts = ["b b b", "c a c a", "d"]
    assert Vocabulary.build(texts).tokens == ("", "[UNK]", "b", "a", "c", "d")


def test_only_so_many_tokens_are_kept():
    texts = ["b b b", "c a c a", "d"]
    # Two of five are those of padding and unknown.
    assert Vocabulary.build(texts, size=5).tokens == ("", "[UNK]", "b", "a", "c")
    assert Vocabulary.build(texts, min_count=3).tokens == ("", "[UNK]", "b")
    with pytest.raises(ValueError, match=r"size must be more than 2\. Received: 2"):
        Vocabulary.build(texts, size=2)


def test_special_tokens_come_first_and_once():
    split = [[START, "a", "cat", END], [START, "a", END]]
    vocabulary = Vocabulary.build(split, special=(START, END))
    assert vocabulary.tokens == ("", "[UNK]", START, END, "a", "cat")
    assert vocabulary.encode(split, 4).tolist() == [[2, 4, 5, 3], [2, 4, 3, 0]]
    assert vocabulary.decode([2, 4, 5, 3, 0]) == "a cat"


def test_texts_are_padded_behind_and_cut_at_the_length():
    vocabulary = Vocabulary.build(["the cat sat"])
    found = vocabulary.encode(["cat", "The mouse SAT there", ""], 3)
    assert found.dtype == np.int32
    cat, sat, the = (vocabulary.index(word) for word in ("cat", "sat", "the"))
    assert found.tolist() == [
        [cat, PADDING, PADDING],
        [the, UNKNOWN, sat],
        [PADDING, PADDING, PADDING],
    ]
    with pytest.raises(ValueError, match=r"at least 1\. Received: 0"):
        vocabulary.encode(["cat"], 0)


def test_decoding_undoes_encoding_of_known_text():
    for by, text in (("word", "the cat sat"), ("character", "the cat")):
        vocabulary = Vocabulary.build([text], by=by)
        assert vocabulary.decode(vocabulary.encode([text], 20)[0]) == text
    with pytest.raises(ValueError, match="from 0 to"):
        vocabulary.decode([99])


@pytest.mark.parametrize("by", ["word", "character"])
def test_a_file_has_a_token_a_line_and_gives_the_same_vocabulary(by, tmp_path):
    vocabulary = Vocabulary.build(["the caf\u00e9 in the rue"], by=by)
    vocabulary.save(tmp_path / "vocabulary.txt")
    lines = (tmp_path / "vocabulary.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert lines == [f"[{by}]", *vocabulary.tokens[1:]]
    assert Vocabulary.load(tmp_path / "vocabulary.txt") == vocabulary


def test_a_vocabulary_of_keras_can_be_read(tmp_path):
    (tmp_path / "vocabulary.txt").write_text("\n[UNK]\ncat\n")
    assert Vocabulary.load(tmp_path / "vocabulary.txt") == Vocabulary(("", "[UNK]", "cat"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\ndog\n", "first line must be"),
        (b"[word]\ncat\n", "must begin with '' and"),
        (b"[word]\n[UNK]\ncat\ncat\n", "'cat' twice"),
        (b"\xff\xfe", "is no vocabulary"),
        (b"", "must begin with"),
    ],
)
def test_what_is_no_vocabulary_is_said_with_its_file(content, message, tmp_path):
    path = tmp_path / "vocabulary.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value)
    with pytest.raises(DataError, match=r"nothing\.txt cannot be read"):
        Vocabulary.load(tmp_path / "nothing.txt")
