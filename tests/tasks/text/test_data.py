"""Texts with labels: what is read from a CSV, and what is kept for validation."""

import numpy as np
import pytest

from cnnkit.errors import DataError, UsageError
from cnnkit.tasks.text.data import read_labelled_texts


def write(tmp_path, text):
    path = tmp_path / "mail.csv"
    path.write_text(text, encoding="utf-8")
    return path


def many(count, labels=("ham", "spam")):
    return "text,label\n" + "".join(f"text {k},{labels[k % len(labels)]}\n" for k in range(count))


def test_a_share_of_each_class_is_kept_for_validation(tmp_path):
    data = read_labelled_texts(write(tmp_path, many(200)), val_share=0.2)
    assert data.classes == ("ham", "spam")
    assert np.bincount(data.labels[data.splits["val"]]).tolist() == [20, 20]
    assert np.bincount(data.labels[data.splits["train"]]).tolist() == [80, 80]
    rows = np.sort(np.concatenate(list(data.splits.values())))
    assert rows.tolist() == list(range(200))


def test_rows_that_are_added_later_move_hardly_any_others(tmp_path):
    before = read_labelled_texts(write(tmp_path, many(200)))
    texts = {before.texts[row] for row in before.splits["val"]}
    after = read_labelled_texts(write(tmp_path, many(220)))
    moved = texts - {after.texts[row] for row in after.splits["val"]}
    assert len(moved) <= 6
    other = read_labelled_texts(write(tmp_path, many(220)), seed=1)
    assert len(texts & {other.texts[row] for row in other.splits["val"]}) < 15


def test_a_text_that_is_there_twice_is_in_one_part(tmp_path):
    text = "text,label\n" + "".join(f"text {k // 3},{'ab'[k // 3 % 2]}\n" for k in range(90))
    data = read_labelled_texts(write(tmp_path, text), val_share=0.3)
    train, val = ({data.texts[row] for row in data.splits[name]} for name in ("train", "val"))
    assert val
    assert not train & val
    assert data.notes() == []


def test_a_class_keeps_a_text_to_train_on(tmp_path):
    data = read_labelled_texts(write(tmp_path, "text,label\nx,a\nx,a\ny,b\nz,b\n"), val_share=0.9)
    assert data.labels[data.splits["train"]].tolist() == [0, 0, 1]


def test_rows_may_say_their_split(tmp_path):
    text = "Split,text,label\ntrain,a,10\nvalidation,b,9\n,c,9\ntest,d,10\n"
    data = read_labelled_texts(write(tmp_path, text))
    # Numbers stand in their order.
    assert data.classes == ("9", "10")
    assert {name: rows.tolist() for name, rows in data.splits.items()} == {
        "train": [0, 2],
        "val": [1],
        "test": [3],
    }


def test_columns_may_have_any_names(tmp_path):
    path = write(tmp_path, "stars,review\n1,bad\n5,good\n")
    data = read_labelled_texts(path, text_column="review", label_column="stars", val_share=0)
    assert data.texts == ("bad", "good")
    assert len(data.splits["val"]) == 0
    assert read_labelled_texts(
        path, text_column="review", label_column="stars", classes=("5", "1")
    ).labels.tolist() == [1, 0]


def test_what_is_odd_with_the_texts_is_noted(tmp_path):
    text = "text,label,split\n...,a,\nx,a,\nx,b,\nx,b,val\n" + "".join(
        f"y {k},a,\n" for k in range(9)
    )
    assert read_labelled_texts(write(tmp_path, text)).notes() == [
        "1 of 13 texts have no words",
        "1 texts are in more than one split; the figures flatter",
        "1 texts are there with different labels",
        "uneven classes: 11 of 'a', 1 of 'b'; --class-weights lets them count the same",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\nx,a\ny,a\n", "only the label 'a' to train on in 'label'"),
        ("text,label,split\nx,a,val\ny,b,test\n", "has no rows to train on"),
        ("text,label\nx,a\ny,\n", "line 3: the label is missing"),
        (
            "text,label,split\nx,a,\ny,b,\nz,c,val\n",
            "line 4: the label 'c' is none of those .* \\('a', 'b'\\)",
        ),
        ("text,label,split\nx,a,dev\n", "line 2: the split must be train, val or test, not 'dev'"),
        ("words,label\nx,a\n", "has no column 'text'; it has 'words', 'label'"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(content, message, tmp_path):
    with pytest.raises(DataError, match=message) as caught:
        read_labelled_texts(write(tmp_path, content))
    assert "mail.csv" in str(caught.value)


def test_a_part_is_chosen_to_evaluate_on(tmp_path):
    path = write(tmp_path, "text,label,split\nx,a,\ny,b,\nz,a,test\n")
    data = read_labelled_texts(path, val_share=0)
    name, rows = data.select(None)
    assert (name, rows.tolist()) == ("test", [2])
    assert data.select("all")[1].tolist() == [0, 1, 2]
    assert data.select("train")[1].tolist() == [0, 1]
    with pytest.raises(UsageError, match="has no part named val: --split can be train, test, all"):
        data.select("val")
    only = read_labelled_texts(write(tmp_path, "text,label\nx,a\ny,b\n"), val_share=0)
    assert only.select(None)[0] == "all"
