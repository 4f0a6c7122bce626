"""Training of networks that label every pixel: crops, stages, resuming, and what is written."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import DataError, DivergenceError, UsageError
from cnnkit.metrics.segmentation import pixel_confusion, segmentation_scores
from cnnkit.options import SegmentTrainOptions
from cnnkit.training import segment as training
from cnnkit.training._runs import read_results
from cnnkit.training._segment_batches import MaskBatches, crop_pair
from cnnkit.training._segment_networks import feature_statistics, freeze_backbone
from cnnkit.training.segment import read_run_options, train_segmenter

OPTIONS = SegmentTrainOptions(
    epochs=3, crop=32, batch_size=4, least_scale=1.0, most_scale=1.0, learning_rate=5e-3
)


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Pictures with a red or a blue square, and their masks."""
    folder = tmp_path_factory.mktemp("squares")
    random = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 2)):
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 60, (32, 40, 3)).astype(np.uint8)
            mask = np.zeros((32, 40), np.uint8)
            rows, columns = slice(4, 28), slice(6, 30)
            pixels[rows, columns, 2 * (number % 2)] = 250
            mask[rows, columns] = 1 + number % 2
            Image.fromarray(pixels).save(folder / part / "images" / f"{number}.png")
            Image.fromarray(mask).save(folder / part / "labels" / f"{number}.png")
    (folder / "classes.txt").write_text("background\nred\nblue\n")
    return folder


def test_a_crop_moves_picture_and_mask_together():
    mask = np.arange(24 * 40).reshape(24, 40).astype(np.uint8)
    pixels = np.repeat(mask[..., None], 3, axis=2)
    options = replace(OPTIONS, crop=32, mirror=0.5)
    seen = set()
    for seed in range(8):
        x, y = crop_pair(pixels, mask, options, np.random.default_rng(seed))
        assert x.shape == (32, 32, 3)
        assert y.shape == (32, 32)
        # The picture is 24 high: 8 rows of the square are beyond it, grey and of no class.
        outside = (y == 255).all(axis=1)
        assert outside.sum() == 8
        assert (x[outside] == 124).all()
        np.testing.assert_array_equal(x[~outside][..., 0], y[~outside])
        seen.add(bool(y[~outside][0, 1] < y[~outside][0, 0]))
    assert seen == {True, False}


def test_scales_stay_in_their_range():
    mask = np.zeros((100, 100), np.uint8)
    pixels = np.zeros((100, 100, 3), np.uint8)
    options = replace(OPTIONS, crop=64, least_scale=0.2, most_scale=0.5)
    sides = []
    for seed in range(30):
        _, y = crop_pair(pixels, mask, options, np.random.default_rng(seed))
        sides.append(round(np.sqrt((y == 0).sum())))
    assert min(sides) >= 20
    assert max(sides) <= 50
    assert max(sides) > 2 * min(sides) - 10


def test_batches_are_the_same_again(squares):
    data = training.read_masks(squares)
    first = MaskBatches(data.train, data.coding, OPTIONS)
    again = MaskBatches(data.train, data.coding, OPTIONS)
    assert len(first) == 2
    for index in (0, 1):
        for one, other in zip(first[index], again[index], strict=True):
            np.testing.assert_array_equal(one, other)
    later = MaskBatches(data.train, data.coding, OPTIONS, epoch=1)
    assert any(
        not np.array_equal(one, other) for one, other in zip(first[0], later[0], strict=True)
    )


def test_statistics_are_those_of_the_features():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Identity(name="scale_16")(inputs))
    batches = [np.random.default_rng(seed).random((2, 4, 4, 3)) for seed in (0, 1)]
    mean, variance = feature_statistics(model, batches)[16]
    values = np.concatenate(batches).reshape(-1, 3)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(variance, values.var(axis=0), rtol=1e-4)


def test_the_last_layers_of_the_backbone_train():
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for name in ("block1_conv1", "block2_conv1", "block6_conv1"):
        x = keras.layers.Conv2D(2, 1, name=name)(x)
    model = keras.Model(inputs, x)
    for transfer, expected in (("head", [0, 0]), ("last:1", [0, 1]), ("all", [1, 1])):
        freeze_backbone(model, transfer)
        assert [model.get_layer(f"block{n}_conv1").trainable for n in (1, 2)] == expected
    assert model.get_layer("block6_conv1").trainable
    with pytest.raises(UsageError, match="has 2 layers with trained weights"):
        freeze_backbone(model, "last:3")


@pytest.mark.slow
def test_three_stages_learn_one_after_the_other(squares, tmp_path):
    options = replace(OPTIONS, epochs=8, views=2)
    notes, epochs = [], []
    result = train_segmenter(
        squares,
        tmp_path / "run",
        options,
        on_note=notes.append,
        on_epoch=lambda epoch, row: epochs.append(row["stage"]),
    )
    assert epochs == ["32s"] * 2 + ["16s"] * 2 + ["8s"] * 4
    assert list(result.stages) == ["32s", "16s", "8s"]
    losses = [row["loss"] for row in read_results(tmp_path / "run")]
    assert min(losses) < losses[0]
    assert result.reason == "epochs"
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {
        *("model.keras", "args.yaml", "results.csv", "curves.png", "samples.png"),
        *("confusion.png", "report.json", "classes.txt", "best-8s.weights.h5"),
    }
    # The file alone says what the report says.
    model = keras.models.load_model(result.model, compile=False)
    data = training.read_masks(squares)
    matrix = np.zeros((3, 3), int)
    for picture, mask in zip(data.val.pictures, data.val.masks, strict=True):
        pixels = np.asarray(Image.open(picture), np.float32)[None] / 255
        labels = keras.ops.convert_to_numpy(model(pixels))[0].argmax(axis=-1)
        matrix += pixel_confusion(np.asarray(Image.open(mask)), labels, 3)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert segmentation_scores(matrix).iou.tolist() == pytest.approx(
        list(report["iou"].values()), abs=1e-3
    )


class _Stop(Exception):
    pass


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_as_if_it_was_not(squares, tmp_path):
    options = replace(OPTIONS, epochs=4)
    whole = train_segmenter(squares, tmp_path / "whole", options)

    def stop(epoch, row):
        if epoch in (0, 2):
            raise _Stop

    for resume in (False, True):
        with pytest.raises(_Stop):
            train_segmenter(squares, tmp_path / "run", options, resume=resume, on_epoch=stop)
    result = train_segmenter(squares, tmp_path / "run", options, resume=True)
    assert result.epochs == whole.epochs == 4
    for one, other in zip(
        read_results(tmp_path / "run"), read_results(tmp_path / "whole"), strict=True
    ):
        assert one["stage"] == other["stage"]
        for name in ("epoch", "loss", "val_mean_iou"):
            assert one[name] == pytest.approx(other[name], rel=1e-5), (one["epoch"], name)


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_so_far(squares, tmp_path):
    def stop(epoch, row):
        if epoch == 1:
            raise KeyboardInterrupt

    notes = []
    with pytest.raises(KeyboardInterrupt):
        train_segmenter(squares, tmp_path, OPTIONS, on_epoch=stop, on_note=notes.append)
    assert "go on with --resume" in notes[-1]
    assert json.loads((tmp_path / "report.json").read_text())["variant"] == "16s"
    assert keras.models.load_model(tmp_path / "model.keras", compile=False).output.shape[-1] == 3


def test_another_run_in_the_folder_is_not_replaced(squares, tmp_path, monkeypatch):
    def stop(run, on_epoch):
        raise _Stop

    monkeypatch.setattr(training._Run, "fit", stop)
    for resume, options, message in (
        (False, OPTIONS, "holds a run; use --resume"),
        (True, replace(OPTIONS, crop=64), "holds a run with another crop"),
    ):
        folder = tmp_path / message[:8]
        with pytest.raises(_Stop):
            train_segmenter(squares, folder, OPTIONS)
        with pytest.raises(UsageError, match=message):
            train_segmenter(squares, folder, options, resume=resume)
        assert read_run_options(folder) == (str(squares), OPTIONS)
        (folder / "args.yaml").unlink()
    with pytest.raises(DataError, match="holds no training run"):
        train_segmenter(squares, tmp_path / "new", OPTIONS, resume=True)


def test_bad_pairs_stop_a_training_unless_they_are_skipped(squares, tmp_path, monkeypatch):
    data = tmp_path / "data"
    for kind in ("images", "labels"):
        (data / kind).mkdir(parents=True)
        for path in (squares / "train" / kind).iterdir():
            (data / kind / path.name).write_bytes(path.read_bytes())
    (data / "classes.txt").write_text("background\nred\nblue\n")
    Image.fromarray(np.full((32, 40), 9, np.uint8)).save(data / "labels" / "3.png")
    with pytest.raises(DataError, match=r"3\.png has 1,280 pixels of no class"):
        train_segmenter(data, tmp_path / "run", OPTIONS)
    seen = []

    def look(run, on_epoch):
        seen.append(run._data)
        raise _Stop

    monkeypatch.setattr(training._Run, "fit", look)
    with pytest.raises(_Stop):
        train_segmenter(data, tmp_path / "other", OPTIONS, skip_bad=True)
    assert len(seen[0].train) + len(seen[0].val) == 7


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_training(squares, tmp_path):
    options = replace(OPTIONS, learning_rate=1e30, clip_norm=0.0, warmup=0.0, epochs=3)
    with pytest.raises(DivergenceError, match="give a --learning-rate below"):
        train_segmenter(squares, tmp_path, options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "4s"}, "variant must be one of 32s, 16s, 8s"),
        ({"crop": 100}, "multiple of 32"),
        ({"epochs": 2}, "epochs must be 3 at least"),
        ({"least_scale": 2.0, "most_scale": 1.0}, "scale must be LOW,HIGH"),
        ({"transfer": "some"}, "transfer must be head"),
        ({"views": 2, "transfer": "all"}, "views are kept of a compact backbone"),
        ({"dice": -1.0}, "dice must be between"),
        ({"learning_rate": 0.0}, "learning-rate must be more than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        replace(OPTIONS, **change)


def test_the_last_stage_has_half_of_the_epochs():
    assert SegmentTrainOptions(epochs=3).stage_ends == (1, 2, 3)
    assert SegmentTrainOptions(epochs=41, variant="16s").stage_ends == (20, 41)
    assert SegmentTrainOptions(epochs=7, staged=False).stage_ends == (7,)
