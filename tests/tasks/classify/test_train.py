"""Training classifiers: what is trained, what is kept, and going on as if nothing had happened."""

import json
import zipfile

import keras
import numpy as np
import pytest
import yaml
from PIL import Image

from cnnkit.data.labelled import read_example
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import STATE, read_run_settings
from cnnkit.errors import DataError, DivergenceError, UsageError
from cnnkit.tasks.classify import train as module
from cnnkit.tasks.classify.settings import TrainSettings
from cnnkit.tasks.classify.train import train_classifier

COLORS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 200)}
HEAD = {"model": "compact", "size": 32, "epochs": 4, "batch_size": 8}


def settings_of(**settings):
    return TrainSettings(**{"warmup": 0.0, "rotation": 0.0, "shear": 0.0, **settings})


@pytest.fixture
def pictures(tmp_path):
    """Noisy pictures of three colours, eight of each."""
    random = np.random.default_rng(0)
    for name, color in COLORS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.clip(color + random.normal(0, 30, (36, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    return tmp_path / "data"


@pytest.fixture
def signals(tmp_path):
    """Slow and fast waves."""
    random = np.random.default_rng(0)
    time = np.arange(64)
    for name, speed in (("slow", 0.1), ("fast", 1.0)):
        (tmp_path / "signals" / name).mkdir(parents=True)
        for number in range(12):
            wave = np.sin(speed * time + random.uniform(0, 6)) + random.normal(0, 0.1, 64)
            np.save(tmp_path / "signals" / name / f"{number}.npy", 5 + 3 * wave)
    return tmp_path / "signals"


@pytest.fixture
def small(tmp_path):
    """A file of a small classifier that has all that has a state."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = inputs = keras.Input((16, 16, 3))
    for number in (1, 2):
        x = layers.Conv2D(4, 3, name=f"conv{number}")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.SpatialDropout2D(0.2)(x)
    x = layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    path = tmp_path / "small.keras"
    keras.Model(inputs, x).save(path)
    return {"model": str(path), "batch_size": 8, "learning_rate": 0.01}


class Killed(Exception):
    """Stands for kill -9: nothing of ours runs after it."""


def kill_after(epoch):
    def on_epoch(done, row):
        if done == epoch:
            raise Killed

    return on_epoch


def weights_of(path):
    return keras.models.load_model(path, compile=False).get_weights()


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_new_head_tells_colours_apart_and_all_is_written(pictures, tmp_path):
    notes = []
    result = train_classifier(
        pictures, tmp_path / "run", settings_of(**HEAD), observer=Observer(on_note=notes.append)
    )
    assert result.scores["val"]["accuracy"] == 1.0
    assert result.classes == ("blue", "green", "red")
    assert result.weights[0] == (1024 + 1) * 3
    assert any("frozen" in note and "3,075" in note for note in notes)
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert {
        *("model.keras", "args.yaml", "results.csv", "curves.png", "confusion.png"),
        *("report.json", "classes.txt", "best.weights.h5", "last.weights.h5", "tensorboard"),
    } <= written
    model = keras.models.load_model(result.model)
    red = np.stack([read_example(str(path), (32, 32, 3)) for path in (pictures / "red").iterdir()])
    assert (model.predict(red, verbose=0).argmax(axis=1) == 2).all()
    assert yaml.safe_load((tmp_path / "run/args.yaml").read_text())["options"]["size"] == 32
    assert json.loads((tmp_path / "run/report.json").read_text())["reason"] == "epochs"
    assert read_run_settings(tmp_path / "run", TrainSettings) == (
        str(pictures),
        settings_of(**HEAD),
    )
    with zipfile.ZipFile(result.model) as archive:
        assert archive.read("classes.txt").decode().split() == ["blue", "green", "red"]
        assert json.loads(archive.read("settings.json"))["pixels"] == "unit"


@pytest.mark.parametrize(
    ("regime", "changed"),
    [("head", 0), ("last:2", 2), pytest.param("all", 4, marks=pytest.mark.slow)],
)
def test_a_regime_changes_the_layers_that_it_names(pictures, small, tmp_path, regime, changed):
    settings = settings_of(**small, epochs=1, transfer=regime, head_epochs=2)
    result = train_classifier(pictures, tmp_path / "run", settings)
    before = keras.models.load_model(small["model"])
    after = keras.models.load_model(result.model)
    layers = [layer for layer in before.layers[:-1] if layer.weights]
    differ = [
        layer.name
        for layer in layers
        if not same(layer.get_weights(), after.get_layer(layer.name).get_weights())
    ]
    assert differ == [layer.name for layer in layers][len(layers) - changed :]


@pytest.mark.parametrize(
    ("regime", "policy"),
    [
        ("scratch", "float32"),
        pytest.param("head", "float32", marks=pytest.mark.slow),
        pytest.param("last:1", "float32", marks=pytest.mark.slow),
        # What GPUs train with: Keras puts an optimizer around the optimizer.
        pytest.param("all", "mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_killed_goes_on_as_if_nothing_had_happened(
    pictures, small, tmp_path, regime, policy, monkeypatch
):
    monkeypatch.setattr(module, "training_policy", lambda mixed_precision: policy)
    settings = settings_of(**small, transfer=regime, epochs=3, head_epochs=1, seed=3)
    whole = train_classifier(pictures, tmp_path / "whole", settings)
    with pytest.raises(Killed):
        train_classifier(
            pictures, tmp_path / "run", settings, observer=Observer(on_epoch=kill_after(1))
        )
    resumed = train_classifier(pictures, tmp_path / "run", settings, resume=True)
    assert resumed.epochs == whole.epochs == 3
    assert same(weights_of(resumed.model), weights_of(whole.model))
    rows = [(tmp_path / name / "results.csv").read_text().split() for name in ("whole", "run")]
    # All but the seconds.
    without_seconds = [[row.split(",")[:1] + row.split(",")[2:] for row in one] for one in rows]
    assert without_seconds[0] == without_seconds[1]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_one_others(pictures, small, tmp_path):
    def run(name, seed):
        settings = settings_of(**small, transfer="scratch", epochs=1, seed=seed)
        return weights_of(train_classifier(pictures, tmp_path / name, settings).model)

    assert same(run("a", 1), run("b", 1))
    assert not same(run("c", 1), run("d", 2))


@pytest.mark.slow
def test_a_finished_run_may_get_more_epochs(pictures, tmp_path):
    train_classifier(pictures, tmp_path / "run", settings_of(**{**HEAD, "epochs": 2}))
    longer = train_classifier(
        pictures, tmp_path / "run", settings_of(**{**HEAD, "epochs": 4}), resume=True
    )
    assert longer.epochs == 4


def test_a_folder_with_a_run_is_not_trained_over(pictures, tmp_path):
    train_classifier(pictures, tmp_path / "run", settings_of(**{**HEAD, "epochs": 1}))
    with pytest.raises(UsageError, match="holds a run; use --resume"):
        train_classifier(pictures, tmp_path / "run", settings_of(**HEAD))
    with pytest.raises(UsageError, match="another batch_size"):
        train_classifier(
            pictures, tmp_path / "run", settings_of(**{**HEAD, "batch_size": 4}), resume=True
        )
    (pictures / "red" / "0.png").unlink()
    with pytest.raises(DataError, match="are not those that"):
        train_classifier(pictures, tmp_path / "run", settings_of(**HEAD), resume=True)


def test_nothing_to_resume_is_said(pictures, tmp_path):
    with pytest.raises(DataError, match="holds no training run; leave out --resume"):
        train_classifier(pictures, tmp_path / "run", settings_of(**HEAD), resume=True)
    with pytest.raises(DataError, match="holds no training run"):
        read_run_settings(tmp_path / "run", TrainSettings)


def test_a_loss_that_is_no_number_ends_the_run(pictures, small, tmp_path):
    settings = settings_of(**{**small, "optimizer": "sgd", "learning_rate": 1e30}, transfer="all")
    with pytest.raises(DivergenceError, match=r"no finite number.*--learning-rate below 1e\+30"):
        train_classifier(pictures, tmp_path / "run", settings)
    assert not (tmp_path / "run" / STATE).exists()


def test_ctrl_c_keeps_the_best_so_far(pictures, tmp_path):
    def interrupt(epoch, row):
        if epoch == 1:
            raise KeyboardInterrupt

    notes = []
    with pytest.raises(KeyboardInterrupt):
        train_classifier(
            pictures,
            tmp_path / "run",
            settings_of(**HEAD),
            observer=Observer(on_epoch=interrupt, on_note=notes.append),
        )
    assert (tmp_path / "run" / "model.keras").exists()
    assert "go on with --resume" in notes[-1]


@pytest.mark.slow
def test_patience_and_time_end_a_run(pictures, tmp_path):
    settings = {**HEAD, "epochs": 200}
    early = train_classifier(pictures, tmp_path / "a", settings_of(**settings, patience=2))
    assert early.reason == "patience"
    # All colours are told apart after a few epochs: from then on none is better but by its loss.
    assert early.epochs - early.best == 2
    timed = train_classifier(pictures, tmp_path / "b", settings_of(**settings, time_budget=0.5))
    assert timed.reason == "time budget"
    assert timed.epochs < 200


@pytest.mark.slow
def test_the_kept_weights_are_averages_with_ema(pictures, tmp_path):
    settings = {**HEAD, "epochs": 1}
    plain = train_classifier(pictures, tmp_path / "a", settings_of(**settings))
    averaged = train_classifier(pictures, tmp_path / "b", settings_of(**settings, ema=0.9))
    assert not same(weights_of(plain.model), weights_of(averaged.model))
    # What goes on is the weights themselves, not their average.
    rows = [(tmp_path / name / "results.csv").read_text().splitlines()[1] for name in "ab"]
    losses = [float(row.split(",")[3]) for row in rows]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_signals_are_brought_to_one_scale_and_told_apart(signals, tmp_path):
    settings = settings_of(model="convnet1d", epochs=12, batch_size=8, learning_rate=0.01)
    result = train_classifier(signals, tmp_path / "run", settings)
    assert result.scores["val"]["accuracy"] == 1.0
    scale = keras.models.load_model(result.model).get_layer("standardize")
    # Waves of 3 sin(x) + 5: standard deviation 3 / sqrt(2).
    assert 1 / np.asarray(scale.scale).item() == pytest.approx(3 / np.sqrt(2), rel=0.1)


def test_signals_with_nan_are_refused(signals, tmp_path):
    for path in [*signals.rglob("*.npy")][:-1]:
        np.save(path, np.full(64, np.nan))
    with pytest.raises(DataError, match=r"NaN|no numbers|finite"):
        train_classifier(signals, tmp_path / "run", settings_of(model="convnet1d", epochs=1))


def test_models_and_data_that_do_not_fit_are_refused(pictures, signals, tmp_path):
    with pytest.raises(UsageError, match="convnet1d takes arrays"):
        train_classifier(pictures, tmp_path / "a", settings_of(model="convnet1d", epochs=1))
    with pytest.raises(UsageError, match="efficientnet-lite0 takes pictures"):
        train_classifier(signals, tmp_path / "b", settings_of(epochs=1))
    with pytest.raises(UsageError, match="compact takes pictures"):
        train_classifier(signals, tmp_path / "c", settings_of(model="compact", epochs=1))


def test_a_broken_picture_is_named_and_left_out(pictures, tmp_path):
    broken = pictures / "red" / "0.png"
    broken.write_bytes(broken.read_bytes()[:100])
    settings, notes = settings_of(**{**HEAD, "epochs": 1}), []
    observer = Observer(on_note=notes.append)
    result = train_classifier(pictures, tmp_path / "b", settings, observer=observer)
    assert sum(result.counts) == 23
    assert "1 file cannot be used:" in notes
    for path in [*pictures.rglob("*.png")][:20]:
        path.write_bytes(b"no")
    with pytest.raises(DataError, match=r"files that cannot be used .*--skip-bad"):
        train_classifier(pictures, tmp_path / "a", settings_of(**HEAD))


@pytest.mark.slow
def test_a_file_of_ours_is_taken_over_with_other_classes(pictures, tmp_path):
    first = train_classifier(pictures, tmp_path / "a", settings_of(**{**HEAD, "epochs": 1}))
    (pictures / "red").rename(pictures / "crimson")
    settings = settings_of(model=str(first.model), epochs=2, batch_size=8)
    second = train_classifier(pictures, tmp_path / "b", settings)
    assert second.classes == ("blue", "crimson", "green")
    names = [layer.name for layer in keras.models.load_model(second.model).layers]
    assert names.count("head_scale") == 1


@pytest.mark.slow
def test_probabilities_are_calibrated_where_there_is_enough_to_do_it_with(
    pictures, small, tmp_path, monkeypatch
):
    from cnnkit.engine import classifier_training

    settings = settings_of(**small, transfer="head", epochs=2, val_share=0.5)
    plain = train_classifier(pictures, tmp_path / "a", settings)
    assert plain.temperature == 1.0
    monkeypatch.setattr(classifier_training, "_CALIBRATION_LEAST", 12)
    tempered = train_classifier(pictures, tmp_path / "b", settings)
    assert tempered.temperature != 1.0
    expected = weights_of(plain.model)[-2] / tempered.temperature
    np.testing.assert_allclose(weights_of(tempered.model)[-2], expected, rtol=1e-6)
