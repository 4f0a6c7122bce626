import shutil

import keras
import numpy as np
import pytest

from cnnkit.engine.observer import Observer
from cnnkit.errors import DataError, UsageError
from cnnkit.tasks.classify.evaluate import draw_worst, evaluate_classify, read_split
from cnnkit.tasks.classify.predict import classify
from cnnkit.tasks.classify.settings import EvaluateSettings


@pytest.fixture
def parts(color_pictures, tmp_path):
    """The pictures in train/ (one of each class), val/ (one) and test/ (two)."""
    for split, numbers in (("train", "0"), ("val", "1"), ("test", "23")):
        for name in ("red", "green", "blue"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in numbers:
                shutil.copy(color_pictures / name / f"{number}.png", tmp_path / split / name)
    return tmp_path


def test_figures_are_those_of_counting(color_run, color_pictures):
    found = evaluate_classify(color_pictures, model=color_run)
    # 11 of 12 right; of the red ones 3 of 4.
    assert (found.examples, found.failed, found.split) == (12, 0, "all")
    assert found.accuracy == 11 / 12
    assert found.mean_class_accuracy == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert found.top_5_accuracy == 1.0
    assert found.names == ("blue", "green", "red")
    assert found.confusion.tolist() == [[4, 0, 0], [0, 4, 0], [1, 0, 3]]
    # Blue was called five times, four of them rightly.
    assert found.scores.precision.tolist() == [0.8, 1.0, 1.0]
    own = found.probabilities[np.arange(12), found.labels]
    assert found.log_loss == pytest.approx(-np.log(own).mean(), rel=1e-5)
    # The same probabilities as `classify`.
    [one] = classify(found.sources[-1], model=color_run)
    assert one.best[0].score == pytest.approx(found.probabilities[-1].max(), rel=1e-6)


def test_the_part_that_is_asked_for_is_used(color_run, parts):
    assert evaluate_classify(parts, model=color_run).split == "test"
    assert evaluate_classify(parts, model=color_run).examples == 6
    assert evaluate_classify(parts, EvaluateSettings("val"), model=color_run).examples == 3
    assert evaluate_classify(parts, EvaluateSettings("all"), model=color_run).examples == 12
    shutil.rmtree(parts / "test")
    _, files, name = read_split(parts)
    assert (name, len(files)) == ("val", 3)
    with pytest.raises(UsageError, match="has no part named test: --split can be train, val, all"):
        read_split(parts, "test")
    with pytest.raises(UsageError, match="--split must be one of train, val, test, all, not foo"):
        EvaluateSettings("foo")


def test_classes_are_matched_by_name(color_run, parts):
    # Without green, red is the second class of the data but the third of the model.
    for split in ("train", "val", "test"):
        shutil.rmtree(parts / split / "green")
        (parts / split / "red").rename(parts / split / "Red")
    found = evaluate_classify(parts, EvaluateSettings("train"), model=color_run)
    assert found.labels.tolist() == [2, 0]
    assert found.accuracy == 1.0
    assert found.mean_class_accuracy == 1.0
    assert np.isnan(found.scores.recall[1])


def test_an_unknown_class_is_refused_with_the_nearest(color_run, parts):
    (parts / "test" / "green").rename(parts / "test" / "greens")
    (parts / "train" / "greens").mkdir()
    shutil.copy(parts / "train" / "green" / "0.png", parts / "train" / "greens")
    with pytest.raises(
        DataError, match=r"colors does not know the class 'greens'; .* are: green, "
    ):
        evaluate_classify(parts, model=color_run)
    # Only classes that occur must be known.
    assert evaluate_classify(parts, EvaluateSettings("val"), model=color_run).examples == 3


def test_without_names_nothing_can_be_matched(tmp_path, parts):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    path = tmp_path / "nameless.keras"
    keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x)).save(path)
    with pytest.raises(UsageError, match=r"nameless\.keras's classes are not known; give"):
        evaluate_classify(parts, model=path)


def test_unreadable_pictures_are_counted_and_left_out(color_run, parts):
    (parts / "test" / "blue" / "broken.png").write_bytes(b"nothing")
    errors, steps = [], []
    observer = Observer(
        on_error=lambda error: errors.append(str(error)),
        on_progress=lambda what, done, total: steps.append((done, total)),
    )
    found = evaluate_classify(parts, model=color_run, batch=4, observer=observer)
    assert (found.examples, found.failed) == (6, 1)
    assert [error for error in errors if "broken.png" in error] == errors != []
    assert steps[-1] == (7, 7)
    for name in ("red", "green", "blue"):
        for path in (parts / "val" / name).iterdir():
            path.write_bytes(b"")
    with pytest.raises(DataError, match="none of the 3 files could be read"):
        evaluate_classify(parts, EvaluateSettings("val"), model=color_run)


def test_mistakes_are_drawn_where_there_are_some(color_run, parts):
    sheet = draw_worst(evaluate_classify(parts, model=color_run))
    # The red picture that is blue: 40, 40, 210.
    assert np.all(sheet == [40, 40, 210], axis=-1).sum() == 144 * 96
    assert draw_worst(evaluate_classify(parts, EvaluateSettings("val"), model=color_run)) is None


def test_arrays_for_a_model_of_pictures_are_refused(color_run, tmp_path):
    for name in ("red", "blue"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", np.zeros(3))
    with pytest.raises(DataError, match="colors takes pictures, but the data are arrays"):
        evaluate_classify(tmp_path, model=color_run)
