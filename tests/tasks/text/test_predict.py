"""Classifying and evaluating texts with a network whose weights are set by hand."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cnnkit.data._csv_table import read_csv_table
from cnnkit.errors import DataError, UsageError, WeightsError
from cnnkit.tasks.text.evaluate import evaluate_text
from cnnkit.tasks.text.files import find_text_file
from cnnkit.tasks.text.predict import TextClassifier, classify_text
from cnnkit.tasks.text.settings import EvaluateSettings, TextSettings
from tests._text_runs import write_text_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_text_run(tmp_path_factory.mktemp("texts") / "films")


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    return write_text_run(tmp_path_factory.mktemp("texts") / "aged", table=True)


def share_of_good(logit):
    """Of logits of -x and x, or of the difference of both over 2."""
    return 1 / (1 + np.exp(-2 * logit))


def test_probabilities_are_those_of_the_steps_by_hand(run):
    good, empty, turned = classify_text(["good film", "", "bad, GOOD!"], model=run)
    # tanh(1) = 0.7616; the film keeps tanh(0.3808) = 0.3634 of it.
    assert good.best[0].label == "good"
    assert good.best[0].score == pytest.approx(share_of_good(4 * 0.3634), abs=1e-3)
    assert [one.score for one in empty.best] == [0.5, 0.5]
    # tanh(1 - 0.3808) = 0.5506.
    assert turned.best[0].score == pytest.approx(share_of_good(4 * 0.5506), abs=1e-3)
    assert (turned.source, turned.model, turned.size) == ("bad, GOOD!", "films", None)
    assert [one.class_id for one in turned.best] == [1, 0]


def test_one_text_and_fewer_classes(run):
    (only,) = classify_text("poor", model=run, top=1)
    assert [one.label for one in only.best] == ["bad"]
    (none,) = classify_text("film", TextSettings(conf=0.9), model=run)
    assert (none.best, none.threshold) == ((), 0.9)
    assert none.lines() == ["film", "  no class reaches 0.9"]
    with pytest.raises(UsageError, match="top must be a whole number from 1, not 0"):
        classify_text("poor", model=run, top=0)


def test_results_say_what_they_are(run):
    (found,) = classify_text("poor  film, says\nthe other", model=run)
    # Each word after the first halves the state, -0.72: 4 * 0.042 is left of it.
    assert repr(found) == "Classification(poor film, says the other: bad 58 %)"
    record = found.to_dict()
    assert (record["source"], record["line"]) == ("argument", None)
    assert record["text"] == "poor  film, says\nthe other"
    assert [one["label"] for one in record["items"]] == ["bad", "good"]
    assert found.lines(is_short=True)[0].endswith("%  bad  poor film, says the other")


def test_threads_may_use_one_classifier(run):
    classifier = TextClassifier(run)
    texts = [["good film"], ["bad", "fine"], ["poor film", "x", ""]]
    expected = [classifier.probabilities(some) for some in texts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(classifier.probabilities, texts * 6))
    for one, known in zip(found, expected * 6, strict=True):
        np.testing.assert_array_equal(one, known)


def test_batches_change_nothing(run):
    predictor = TextClassifier(run)
    texts = ["good film", "bad", "fine fine poor film", "x", ""]
    whole = predictor.probabilities(texts)
    np.testing.assert_allclose(predictor.probabilities(texts, batch=2), whole, atol=1e-6)
    alone = np.concatenate([predictor.probabilities([text]) for text in texts])
    np.testing.assert_allclose(alone, whole, atol=1e-6)


def test_other_columns_count_where_they_are_known(table_run, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text,age\ngood,60\ngood,\n")
    predictor = TextClassifier(table_run)
    found = predictor.probabilities(["good", "good"], read_csv_table(path))
    # The age 60 is 2 deviations above the mean, and added to one logit: half of it to both.
    state = np.tanh(1.0)
    expected = [share_of_good(4 * state + 1), share_of_good(4 * state)]
    np.testing.assert_allclose(found[:, 1], expected, atol=1e-5)
    np.testing.assert_allclose(predictor.probabilities(["good"])[:, 1], expected[1], atol=1e-5)


def test_an_evaluation_counts_what_is_right(run, tmp_path):
    path = tmp_path / "films.csv"
    path.write_text("text,label,split\ngood,bad,\nbad,bad,test\nfine,good,test\nbad,good,test\n")
    found = evaluate_text(path, model=run)
    assert (found.examples, found.split, found.model) == (3, "test", "films")
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.confusion.tolist() == [[1, 0], [1, 1]]
    assert found.sources == ("bad", "fine", "bad")
    assert evaluate_text(path, EvaluateSettings("all"), model=run).examples == 4
    # One label is enough to evaluate on.
    path.write_text("text,label\nbad,bad\n")
    assert evaluate_text(path, model=run).accuracy == 1.0
    path.write_text("text,label\nbad,awful\n")
    with pytest.raises(DataError, match=r"line 2: the label 'awful' is none of .*'bad', 'good'"):
        evaluate_text(path, model=run)
    with pytest.raises(UsageError, match="--split must be one of"):
        EvaluateSettings("dev")


def test_what_is_no_classifier_of_texts_is_said(run, color_run, tmp_path):
    with pytest.raises(UsageError, match="colors is no classifier of texts; give --model"):
        find_text_file(color_run)
    with pytest.raises(UsageError, match="there is no classifier of texts named 'vgg16'"):
        find_text_file("vgg16")
    with pytest.raises(WeightsError, match="holds no"):
        find_text_file(str(tmp_path))
    assert find_text_file(run).length == 6
