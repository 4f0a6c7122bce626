"""Batches of labelled files."""

from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.data.labelled import LabelledFiles, read_example
from cnnkit.engine.dataset import reading
from cnnkit.engine.labelled_batches import LabelledBatches
from cnnkit.engine.settings import AugmentSettings
from cnnkit.errors import DataError

SHAPE = (12, 10, 3)
AUGMENT = AugmentSettings(mixup=0.3, cutout=0.2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Eleven pictures of three classes."""
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    for number in range(11):
        blocks = Image.fromarray(random.integers(0, 256, (3, 3, 3), np.uint8))
        blocks.resize((20, 16), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")
    paths = tuple(str(path) for path in sorted(folder.iterdir()))
    return LabelledFiles(paths, np.arange(11) % 3)


def batches(files, size=4, **settings):
    return LabelledBatches(files, 3, SHAPE, size, **{"shuffle": False, **settings})


def rows_of(data, files):
    """Which files the examples of a dataset are, batch by batch."""
    known = np.stack([read_example(path, SHAPE) for path in files.paths])
    return [
        [int(np.argmin(np.abs(known - one).sum(axis=(1, 2, 3)))) for one in x] for x, *_ in data
    ]


def epoch_of(data):
    """All batches of an epoch, taken as Keras does it."""
    data.on_epoch_begin()
    found = list(data)
    data.on_epoch_end()
    return found


def all_of(data):
    """All batches of an epoch; what is read ahead of the next one is read when this returns."""
    found = list(data)
    for _, futures in data._pending.values():
        wait(futures)
    return found


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for part, other_part in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, other_part)


def test_without_shuffling_files_come_in_order_and_the_last_batch_is_short(files):
    data = batches(files)
    assert len(data) == 3
    assert rows_of(data, files) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    x, y = data[2]
    assert (x.dtype, y.dtype) == (np.float32, np.float32)
    assert x.shape == (3, *SHAPE)
    np.testing.assert_array_equal(x[0], read_example(files.paths[8], SHAPE))
    np.testing.assert_array_equal(y, np.eye(3)[[2, 0, 1]])
    with pytest.raises(IndexError, match="no batch 3"):
        data[3]


def test_shuffled_batches_are_full_and_show_every_file(files):
    data = batches(files, shuffle=True)
    first = np.concatenate(rows_of(epoch_of(data), files)).tolist()
    assert sorted(first[:11]) == list(range(11))
    # Filled with the first of the order.
    assert first[11:] == first[:1]
    assert data.epoch == 1
    second = np.concatenate(rows_of(data, files)).tolist()
    assert sorted(second[:11]) == list(range(11))
    assert second != first
    other = batches(files, shuffle=True, seed=1)
    assert np.concatenate(rows_of(other, files)).tolist() != first


def test_an_epoch_that_was_only_looked_into_does_not_count(files):
    data = batches(files, shuffle=True)
    # As `fit` does before the first epoch, on TensorFlow and on JAX.
    data[0], data[1]
    data.on_epoch_end()
    data.on_epoch_begin()
    data[0]
    data.on_epoch_end()
    assert data.epoch == 0


def test_few_files_fill_a_large_batch(files):
    few = LabelledFiles(files.paths[:3], files.labels[:3])
    ((rows),) = rows_of(batches(few, size=8, shuffle=True), few)
    assert rows == (rows[:3] * 3)[:8]


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_batches_are_the_same_with_any_number_of_workers(files, workers):
    settings = {"shuffle": True, "augment": AUGMENT}
    one = list(batches(files, workers=1, **settings))
    assert_same(one, list(batches(files, workers=workers, **settings)))


def test_a_resumed_run_sees_what_it_would_have_seen(files):
    settings = {"shuffle": True, "augment": AUGMENT}
    whole = batches(files, **settings)
    epochs = [epoch_of(whole) for _ in range(3)]
    resumed = batches(files, epoch=2, **settings)
    assert_same(list(resumed), epochs[2])
    assert not np.array_equal(epochs[0][0][0], epochs[1][0][0])


def test_batches_may_be_asked_for_in_any_order(files):
    data = batches(files, shuffle=True, augment=AUGMENT)
    expected = list(data)
    for index in (2, 0, 0, 1, 2, 1):
        assert_same([data[index]], [expected[index]])


def own_rows(files, size, rank, count):
    """Rows that a process has in the first two epochs, with seed 0."""
    for epoch in range(2):
        order = np.random.default_rng([0, epoch]).permutation(len(files))
        for begin in range(0, len(files), size):
            own = np.arange(begin, begin + size).reshape(count, -1)[rank]
            yield from order[own % len(files)].tolist()


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_a_batch_and_read_only_their_part(files, monkeypatch, shuffle, count):
    from cnnkit.engine import labelled_batches

    settings = {"size": 8, "shuffle": shuffle, "augment": replace(AUGMENT, mixup=0.3 * (count < 4))}
    whole = all_of(batches(files, **settings))
    parts = []
    read_pixels, opened = labelled_batches.read_pixels, []
    monkeypatch.setattr(
        labelled_batches,
        "read_pixels",
        lambda path, least: opened.append(path) or read_pixels(path, least),
    )
    for rank in range(count):
        opened.clear()
        data = batches(files, shard=(rank, count), workers=1, **settings)
        parts.append(all_of(data))
        if shuffle:
            # Its rows of this epoch, and of the next one, whose first batches are read ahead.
            assert set(opened) <= {files.paths[row] for row in own_rows(files, 8, rank, count)}
    for index, batch in enumerate(whole):
        if shuffle or index == 0:
            assert {len(part[index][0]) for part in parts} == {8 // count}
            joined = tuple(np.concatenate([part[index][i] for part in parts]) for i in range(2))
            assert_same([joined], [batch])
    # Of the last three, the parts differ by one at most.
    lengths = [len(part[-1][0]) for part in parts]
    assert sum(lengths) == len(whole[-1][0])
    assert max(lengths) - min(lengths) <= 1


def test_mixup_keeps_pairs_of_pictures_and_labels(files):
    plain = batches(files, size=5)
    mixed = batches(files, size=5, augment=replace(AugmentSettings.off(), mixup=1.0))
    (x, y), (mixed_x, mixed_y) = plain[0], mixed[0]
    share = mixed_y[0, 0]
    assert 0 < share < 1
    expected = share * x[0] + (1 - share) * x[1]
    # `read_example` and `augment` round to bytes in the same way when nothing is changed.
    np.testing.assert_allclose(mixed_x[0], expected, atol=1e-5)
    np.testing.assert_allclose(mixed_y[0], [share, 1 - share, 0], atol=1e-6)
    share = mixed_y[2, 2]
    np.testing.assert_allclose(mixed_y[2], [1 - share, 0, share], atol=1e-6)
    # The last of five has no partner.
    np.testing.assert_array_equal(mixed_y[4], y[4])
    np.testing.assert_allclose(mixed_y.sum(axis=1), 1.0, rtol=1e-6)


def test_examples_carry_the_weights_of_their_classes(files):
    weights = np.array([1.0, 2.0, 4.0])
    _, _, sample = batches(files, class_weights=weights)[0]
    assert sample.dtype == np.float32
    # Labels 0, 1, 2, 0.
    assert sample.tolist() == [1.0, 2.0, 4.0, 1.0]
    mixed = batches(files, class_weights=weights, augment=replace(AugmentSettings.off(), mixup=1.0))
    _, y, sample = mixed[0]
    # A mixture of 1 and 2.
    assert sample[0] == pytest.approx(y[0, 0] + 2 * y[0, 1])


def test_a_network_of_one_channel_sees_grey(files):
    shape = (*SHAPE[:2], 1)
    for augment in (None, AugmentSettings()):
        x, _ = LabelledBatches(files, 3, shape, 4, shuffle=False, augment=augment)[0]
        assert x.shape == (4, *shape)
        assert 0.0 <= x.min() < x.max() <= 1.0


def test_arrays_are_not_changed_but_mixed(tmp_path):
    paths = []
    for number in range(4):
        paths.append(str(tmp_path / f"{number}.npy"))
        np.save(paths[-1], np.full((5, 4, 3), number, np.uint8))
    files = LabelledFiles(tuple(paths), np.array([0, 1, 0, 1]))
    x, y = LabelledBatches(files, 2, (5, 4, 3, 1), 4, shuffle=False, augment=AugmentSettings())[0]
    assert x.shape == (4, 5, 4, 3, 1)
    assert x[:, 0, 0, 0, 0].tolist() == [0, 1, 2, 3]
    mixed = LabelledBatches(files, 2, (5, 4, 3), 4, shuffle=False, augment=AUGMENT)
    x, y = mixed[0]
    np.testing.assert_allclose(x[0, 0, 0, 0], y[0, 1], rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 5, "shard": (0, 2)}, "multiple of the 2 processes. Received: 5"),
        ({"size": 0}, "Received: 0"),
        ({"shard": (2, 2)}, r"Received: \(2, 2\)"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(files, settings, message):
    with pytest.raises(ValueError, match=message):
        batches(files, **settings)


def tiny_model():
    keras.utils.set_random_seed(0)
    layers = [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.01), "categorical_crossentropy")
    return model


def test_keras_trains_and_predicts_from_batches_in_their_order(files):
    model, by_hand = tiny_model(), tiny_model()
    data = batches(files, shuffle=True, augment=AUGMENT, class_weights=np.array([1.0, 2.0, 1.0]))
    with reading(data):
        model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert data.epoch == 2
    again = batches(files, shuffle=True, augment=AUGMENT, class_weights=np.array([1.0, 2.0, 1.0]))
    for _ in range(2):
        for batch in epoch_of(again):
            by_hand.train_on_batch(*batch)
    for one, other in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert model.predict(batches(files), verbose=0).shape == (11, 3)


def test_a_picture_that_breaks_in_the_middle_of_training_is_named(files, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(files.paths[0]).read_bytes()[:60])
    bad = LabelledFiles((*files.paths[:-1], str(broken)), files.labels)
    with pytest.raises(DataError, match=r"broken.png is damaged .* leave it out with --skip-bad"):
        list(batches(bad, workers=2))
    data = batches(bad, workers=2, augment=AUGMENT)
    with pytest.raises(DataError, match=r"broken.png is damaged"), reading(data):
        tiny_model().fit(data, shuffle=False, verbose=0)


def test_other_errors_in_a_training_stay_what_they_are(files):
    with pytest.raises(ZeroDivisionError), reading(batches(files)):
        raise ZeroDivisionError


def test_no_more_than_a_few_batches_are_in_memory(files):
    many = LabelledFiles(files.paths * 100, np.tile(files.labels, 100))
    data = batches(many, shuffle=True)
    for index in (0, 1, 2, 50, 3, 274):
        data[index]
        assert len(data._pending) <= 2
    data.epoch = 7
    data[0]
    assert len(data._orders) <= 2
