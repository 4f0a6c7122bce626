"""Training classifiers of texts: what is read, what is kept, and what order is worth."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import keras
import numpy as np
import pytest

from cnnkit.data.reviews import generate_reviews
from cnnkit.data.text import Vocabulary
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import STATE, read_results, read_run_settings
from cnnkit.engine.trainer import build_optimizer
from cnnkit.errors import DataError, DivergenceError, UsageError
from cnnkit.tasks.classify.settings import TrainSettings as ClassifyTrainSettings
from cnnkit.tasks.text.batches import TextBatches
from cnnkit.tasks.text.settings import TrainSettings
from cnnkit.tasks.text.train import train_text

SMALL = {"units": 4, "embedding_size": 3, "batch_size": 8, "epochs": 2, "learning_rate": 0.05}


def options(**settings):
    return TrainSettings(**{**SMALL, **settings})


def write_csv(path, heading, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([heading, *rows])
    return path


@pytest.fixture(scope="module")
def mail(tmp_path_factory):
    """Mail of which a word, the sender's age and the way tell what it is."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(48):
        label = ("ham", "spam")[number % 2]
        word = {"ham": "meeting", "spam": "winner"}[label]
        others = " ".join(random.choice(["a", "the", "of", "to", "you"], 5))
        age = random.integers(20, 40) + 30 * (label == "spam")
        split = "test" if number >= 40 else ""
        rows.append([f"{others} {word}!", age, ("web", "app", "fax")[number % 3], label, split])
    path = tmp_path_factory.mktemp("mail") / "mail.csv"
    return write_csv(path, ["text", "age", "way", "label", "split"], rows)


def test_a_run_folder_has_all_that_is_needed(mail, tmp_path):
    notes, epochs = [], []
    settings = options(table_columns=("age", "way:category"), val_share=0.25)
    result = train_text(
        mail,
        tmp_path / "run",
        settings,
        observer=Observer(notes.append, on_epoch=lambda epoch, row: epochs.append(epoch)),
    )
    folder = tmp_path / "run"
    assert epochs == [0, 1]
    assert [row["epoch"] for row in read_results(folder)] == [0, 1]
    assert result.classes == ("ham", "spam")
    assert result.counts == (30, 10, 8)
    assert set(result.scores) == {"val", "test"}
    names = "args.yaml report.json curves.png confusion.png confusion-test.png mistakes.csv "
    names += "mistakes-test.csv best.weights.h5 last.weights.h5 tensorboard"
    for name in names.split():
        assert (folder / name).stat().st_size > 0, name
    vocabulary = Vocabulary.load(folder / "vocabulary.txt")
    assert vocabulary.tokens[:2] == ("", "[UNK]")
    assert {"meeting", "winner"} < {*vocabulary.tokens}
    with zipfile.ZipFile(result.model) as archive:
        inside = archive.read("settings.json")
        assert archive.read("vocabulary.txt").decode() == vocabulary.to_text()
        assert archive.read("classes.txt").decode() == "ham\nspam\n"
    described = json.loads(inside)
    assert (described["kind"], described["length"]) == ("text", 6)
    assert [column["kind"] for column in described["table"]] == ["number", "category"]
    model = keras.models.load_model(result.model, compile=False)
    assert [tuple(one.shape) for one in model.inputs] == [(None, None), (None, 4)]
    assert model.count_params() == result.weights[1]
    assert any("lstm: " in note and "7 words are known" in note for note in notes)


def test_mistakes_are_a_table_for_people(tmp_path):
    # Nobody can know the label: all words are the same.
    rows = [[f'say "{"hello"}", you', ("a", "b")[k % 2], ("", "val")[k >= 8]] for k in range(12)]
    data = write_csv(tmp_path / "x.csv", ["text", "label", "split"], rows)
    notes = []
    train_text(
        data, tmp_path / "run", options(network="bag", epochs=1), observer=Observer(notes.append)
    )
    with (tmp_path / "run" / "mistakes.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 2
    assert {row["text"] for row in found} == {'say "hello", you'}
    assert all(row["label"] != row["predicted"] for row in found)
    # The heading is line 1, and the row 8 stands in line 10.
    assert {int(row["line"]) for row in found} in ({10, 12}, {11, 13})
    assert "1 texts are in more than one split; the figures flatter" in notes


def test_what_is_left_out_and_unknown_is_said(tmp_path):
    rows = [["a b c d", "x", ""], ["a b", "y", ""], ["a z", "x", "val"]]
    data = write_csv(tmp_path / "x.csv", ["text", "label", "split"], rows)
    notes = []
    train_text(
        data, tmp_path / "run", options(network="bag", max_words=3), observer=Observer(notes.append)
    )
    assert "1 of 2 texts are longer than 3 words; their ends are left out: --max-words says how " \
        "much is read" in notes  # fmt: skip
    assert "50.0% of the words for validation are unknown" in notes
    vocabulary = Vocabulary.load(tmp_path / "run" / "vocabulary.txt")
    assert "z" not in vocabulary.tokens


class Killed(Exception):
    """Stands for kill -9: nothing of ours runs after it."""


def weights_of(path):
    return keras.models.load_model(path, compile=False).get_weights()


@pytest.mark.parametrize("network", ["bag", pytest.param("gru", marks=pytest.mark.slow)])
def test_a_run_that_was_stopped_goes_on_as_if_nothing_had_happened(network, mail, tmp_path):
    settings = options(network=network, epochs=3, ema=0.9 if network == "bag" else 0.0)
    whole = train_text(mail, tmp_path / "whole", settings)

    def kill(epoch, row):
        if epoch == 1:
            raise Killed

    with pytest.raises(Killed):
        train_text(mail, tmp_path / "run", settings, observer=Observer(on_epoch=kill))
    with pytest.raises(UsageError, match="holds a run; use --resume"):
        train_text(mail, tmp_path / "run", settings)
    resumed = train_text(mail, tmp_path / "run", settings, resume=True)
    for one, other in zip(weights_of(resumed.model), weights_of(whole.model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert resumed.scores == whole.scores
    columns = ("epoch", "loss", "accuracy", "val_loss", "learning_rate")
    rows = [[[row[key] for key in columns] for row in read_results(tmp_path / name)]
            for name in ("run", "whole")]  # fmt: skip
    assert rows[0] == rows[1]


def test_a_run_knows_its_settings_and_its_data(mail, tmp_path):
    settings = options(network="bag", epochs=1, table_columns=("age",))
    train_text(mail, tmp_path / "run", settings)
    data, before = read_run_settings(tmp_path / "run", TrainSettings)
    assert (data, before) == (str(mail), settings)
    other = options(network="bag", epochs=1, table_columns=("way",))
    with pytest.raises(UsageError, match="a run with another table_columns"):
        train_text(mail, tmp_path / "run", other, resume=True)
    changed = tmp_path / "mail.csv"
    changed.write_text(mail.read_text().replace("winner", "looser"))
    with pytest.raises(DataError, match="are not those that"):
        train_text(changed, tmp_path / "run", settings, resume=True)
    with pytest.raises(DataError, match="holds no run of a classifier"):
        read_run_settings(tmp_path / "run", ClassifyTrainSettings)


def test_a_loss_that_is_no_number_ends_the_run(mail, tmp_path):
    settings = options(network="bag", optimizer="sgd", learning_rate=1e38, clip_norm=0.0)
    with pytest.raises(DivergenceError, match=r"no finite number.*--learning-rate below 1e\+38"):
        train_text(mail, tmp_path / "run", settings)
    assert not (tmp_path / "run" / STATE).exists()


def test_ctrl_c_keeps_the_best_so_far(mail, tmp_path):
    def interrupt(epoch, row):
        raise KeyboardInterrupt

    notes = []
    with pytest.raises(KeyboardInterrupt):
        train_text(
            mail,
            tmp_path / "run",
            options(network="bag"),
            observer=Observer(notes.append, on_epoch=interrupt),
        )
    assert notes[-1].startswith("stopped; the best so far is in ")
    assert (tmp_path / "run" / "model.keras").exists()


def test_the_gradient_of_all_weights_together_is_clipped():
    first, second = keras.Variable([3.0]), keras.Variable([0.0, 4.0])
    settings = TrainSettings(optimizer="sgd", clip_norm=1.0)
    optimizer = build_optimizer(settings, 1.0, [first, second], clip_whole=True)
    before = [np.array(one) for one in (first, second)]
    gradients = [keras.ops.array([3.0]), keras.ops.array([0.0, 4.0])]
    optimizer.apply(gradients, [first, second])
    steps = [then - np.array(now) for then, now in zip(before, (first, second), strict=True)]
    # Of length 5, made 1: (0.6), (0, 0.8). Nesterov's first step is 1 + 0.9 times that.
    np.testing.assert_allclose(steps[0], [1.9 * 0.6], rtol=1e-5)
    np.testing.assert_allclose(steps[1], [0.0, 1.9 * 0.8], rtol=1e-5)
    # Pictures: each layer's own.
    own = build_optimizer(ClassifyTrainSettings(optimizer="sgd", clip_norm=1.0), 1.0, [first])
    assert own.clipnorm == 1.0
    assert own.global_clipnorm is None


def test_batches_are_drawn_by_seed_and_epoch():
    tokens = np.arange(10, dtype=np.int32).reshape(5, 2)
    labels = np.array([0, 1, 0, 1, 1])

    def epoch_of(epoch, **settings):
        batches = TextBatches(
            tokens, None, labels, 2, 2, shuffle=True, epoch=epoch, seed=3, **settings
        )
        return np.concatenate([batches[k][0] for k in range(len(batches))])

    assert len(epoch_of(0)) == 6
    np.testing.assert_array_equal(epoch_of(1), epoch_of(1))
    assert (epoch_of(0) != epoch_of(1)).any()
    assert {*epoch_of(0)[:5, 0]} == {*tokens[:, 0]}
    plain = TextBatches(tokens, tokens / 2, labels, 2, 4, shuffle=False)
    (x, table), y = plain[1]
    assert x.tolist() == [[8, 9]]
    assert table.tolist() == [[4.0, 4.5]]
    assert y.tolist() == [[0.0, 1.0]]
    weighted = TextBatches(
        tokens, None, labels, 2, 5, shuffle=False, class_weights=np.array([1.25, 0.5])
    )
    assert weighted[0][2].tolist() == [1.25, 0.5, 1.25, 0.5, 0.5]


def write_reviews(path, train, held_back):
    rows = [(text, label, "train") for text, label in generate_reviews(train, seed=1)]
    rows += [(text, label, "val") for text, label in generate_reviews(held_back, seed=2)]
    rows += [(text, label, "test") for text, label in generate_reviews(held_back, seed=3)]
    return write_csv(path, ["text", "label", "split"], rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "epochs", "least", "most"), [("lstm", 16, 0.95, 1.0), ("bag", 3, 0.5, 0.5)]
)
def test_order_is_learned_by_an_lstm_and_never_by_a_bag(network, epochs, least, most, tmp_path):
    data = write_reviews(tmp_path / "reviews.csv", 1500, 150)
    settings = TrainSettings(network=network, epochs=epochs)
    result = train_text(data, tmp_path / "run", settings)
    assert least <= result.scores["test"]["accuracy"] <= most


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_weights(tmp_path):
    data = write_reviews(tmp_path / "reviews.csv", 100, 20)
    command = [sys.executable, "-m", "cnnkit", "train", "text", str(data), "--epochs", "4", "-o"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    subprocess.run([*command, str(whole)], check=True, capture_output=True)
    process = subprocess.Popen([*command, str(run)], stderr=subprocess.DEVNULL)
    while not (run / "results.csv").exists() or len(read_results(run)) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resume = [sys.executable, "-m", "cnnkit", "train", "text", "--resume", "-o", str(run)]
    subprocess.run(resume, check=True, capture_output=True)
    for one, other in zip(
        weights_of(run / "model.keras"), weights_of(whole / "model.keras"), strict=True
    ):
        np.testing.assert_array_equal(one, other)
