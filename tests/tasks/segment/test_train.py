"""Training of networks that label every pixel: crops, stages, resuming, and what is written."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.engine.observer import Observer
from cnnkit.engine.run import read_results, read_run_settings
from cnnkit.errors import DataError, DivergenceError, UsageError
from cnnkit.models.mobilenet_v2 import MAPS, build_mobilenet_v2
from cnnkit.models.transfer import backbone_layers, freeze_backbone
from cnnkit.tasks.segment import teacher_maps as teacher_maps_module
from cnnkit.tasks.segment import train as training
from cnnkit.tasks.segment import trainable
from cnnkit.tasks.segment.backbone_maps import build_head, map_layers
from cnnkit.tasks.segment.batches import (
    MaskBatches,
    crop_pair,
    draw_repeated,
    plan_crop,
    put_on_device,
    repeat_factors,
)
from cnnkit.tasks.segment.data import MaskCoding, MaskPairs, parse_classes
from cnnkit.tasks.segment.evaluate import evaluate_segment
from cnnkit.tasks.segment.metrics import pixel_confusion, segmentation_scores
from cnnkit.tasks.segment.settings import TrainSettings
from cnnkit.tasks.segment.teacher_maps import keep_teacher_maps
from cnnkit.tasks.segment.train import train_segmenter
from cnnkit.tasks.segment.trainable import (
    build_coarse,
    build_segmenter,
    feature_statistics,
    with_teacher_maps,
)
from cnnkit.weights import locate
from cnnkit.weights.keras_file import load_keras_file

SETTINGS = TrainSettings(epochs=3, crop=32, batch_size=4, scale=(1.0, 1.0), learning_rate=5e-3)


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


def _crop(mask, settings, seed):
    return plan_crop(mask.shape, settings, np.random.default_rng(seed))


def test_a_crop_moves_picture_and_mask_together():
    mask = np.arange(24 * 40).reshape(24, 40).astype(np.uint8)
    pixels = np.repeat(mask[..., None], 3, axis=2)
    settings = replace(SETTINGS, crop=32, horizontal_flip=0.5)
    seen = set()
    for seed in range(8):
        x, y = crop_pair(pixels, mask, _crop(mask, settings, seed))
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
    settings = replace(SETTINGS, crop=64, scale=(0.2, 0.5))
    sides = []
    for seed in range(30):
        _, y = crop_pair(pixels, mask, _crop(mask, settings, seed))
        sides.append(round(np.sqrt((y == 0).sum())))
    assert min(sides) >= 20
    assert max(sides) <= 50
    assert max(sides) > 2 * min(sides) - 10


def test_batches_are_the_same_again(squares):
    data = training.read_masks(squares)
    first = MaskBatches(data.train, data.coding, SETTINGS)
    again = MaskBatches(data.train, data.coding, SETTINGS)
    assert len(first) == 2
    for index in (0, 1):
        for one, other in zip(first[index], again[index], strict=True):
            np.testing.assert_array_equal(one, other)
    later = MaskBatches(data.train, data.coding, SETTINGS, epoch=1)
    assert any(
        not np.array_equal(one, other) for one, other in zip(first[0], later[0], strict=True)
    )


def test_every_fourth_pixel_of_a_mask_is_learned(squares):
    data = training.read_masks(squares)
    batches = MaskBatches(data.train, data.coding, replace(SETTINGS, horizontal_flip=0.0))
    _, y = batches[0]
    assert y.shape == (4, 8, 8)
    for row, classes in zip(batches._order(0), y, strict=False):
        mask = np.asarray(Image.open(data.train.masks[row]))
        # The crop is as high as the picture, and begins in one of its first 9 columns.
        assert any(
            np.array_equal(classes, mask[2::4, left + 2 : left + 32 : 4]) for left in range(9)
        )


@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.6, 1.6)])
def test_the_device_cuts_the_same_crops(squares, scales):
    data = training.read_masks(squares)
    settings = replace(SETTINGS, scale=scales)
    stored = put_on_device(data.train, data.coding, settings)
    usual = MaskBatches(data.train, data.coding, settings)
    on_device = MaskBatches(data.train, data.coding, settings, on_device=stored)
    for index in range(len(usual)):
        (x, y), (known_x, known_y) = on_device[index], usual[index]
        assert y.shape == known_y.shape
        assert (np.asarray(y) != known_y).mean() < 0.02
        difference = np.abs(np.asarray(x) - known_x)
        if scales == (1.0, 1.0):
            np.testing.assert_array_equal(y, known_y)
            assert difference.max() < 1e-5
        # Pillow's way of resizing overshoots at edges.
        assert difference.mean() < 0.02


def test_the_device_lays_out_the_same_mosaics(squares):
    data = training.read_masks(squares)
    settings = replace(SETTINGS, crop=64, mosaic=0.8)
    stored = put_on_device(data.train, data.coding, settings)
    usual = MaskBatches(data.train, data.coding, settings)
    on_device = MaskBatches(data.train, data.coding, settings, on_device=stored)
    again = MaskBatches(data.train, data.coding, settings)
    for index in range(len(usual)):
        (x, y), (known_x, known_y) = on_device[index], usual[index]
        # The nearest pixel is another one by a rounding error now and then.
        assert (np.asarray(y) != known_y).mean() < 0.05
        assert np.abs(np.asarray(x) - known_x).mean() < 0.03
        np.testing.assert_array_equal(again[index][0], known_x)
        np.testing.assert_array_equal(again[index][1], known_y)


def test_a_mosaic_shows_pictures_as_large_as_their_parts_with_their_masks(squares):
    data = training.read_masks(squares)
    settings = replace(SETTINGS, crop=128, mosaic=1.0, color=0.0)
    batches = MaskBatches(data.train, data.coding, settings)
    sizes = []
    for index in range(len(batches)):
        x, y = batches[index]
        for pixels, classes in zip(x[:, 2::4, 2::4], y, strict=True):
            # The square of a picture is red where its mask says red, and blue likewise.
            for value, channel in ((1, 0), (2, 2)):
                inside = pixels[classes == value]
                if len(inside) > 20:
                    assert (inside[:, channel] > 0.6).mean() > 0.8
                    assert (inside[:, 1] < 0.4).mean() > 0.8
            assert (pixels[classes == 0].max(axis=-1) < 0.5).mean() > 0.8
            sizes.append((classes < 255).mean())
    # A single crop would show 32 x 40 of 128 x 128 pixels: 8 %.
    assert min(sizes) > 0.2
    assert np.mean(sizes) > 0.5


def test_links_to_one_picture_lie_on_the_device_once(squares):
    data = training.read_masks(squares)
    folder = squares / "links"
    folder.mkdir()
    pictures, masks = [], []
    for name in ("a", "b"):
        for kind, files, found in (
            ("picture", data.train.pictures, pictures),
            ("mask", data.train.masks, masks),
        ):
            link = folder / f"{kind}-{name}.png"
            link.symlink_to(files[0])
            found.append(str(link))
    stored = put_on_device(MaskPairs(tuple(pictures), tuple(masks)), data.coding, SETTINGS)
    assert stored.numbers.tolist() == [0, 0]
    assert stored.sizes.tolist() == [[32, 40]] * 2


def masks_of(folder: Path, masks: np.ndarray) -> tuple[MaskPairs, MaskCoding]:
    """Pairs with these masks; there are no pictures."""
    folder.mkdir()
    paths = []
    for number, mask in enumerate(masks):
        paths.append(str(folder / f"{number}.png"))
        Image.fromarray(np.asarray(mask, np.uint8)).save(paths[-1])
    _, coding = parse_classes(["ground", "sky", "tree"])
    return MaskPairs(tuple(paths), tuple(paths)), coding


def test_pictures_of_rare_classes_are_drawn_by_the_root_of_what_they_lack(tmp_path):
    # Of 16 pictures all show the ground, 4 the sky and 1 of these a tree; another one shows a tree
    # in 1 of its 400 pixels, which is less than 0.5 %.
    masks = np.zeros((16, 20, 20), np.uint8)
    masks[:4, :10] = 1
    masks[0, 15:] = 2
    masks[7, 0, 0] = 2
    pairs, coding = masks_of(tmp_path / "masks", masks)
    factors = repeat_factors(pairs, coding, 0.5)
    # sqrt(0.5 / (4 / 16)) = sqrt(2) for the sky, sqrt(0.5 / (1 / 16)) = sqrt(8) for the tree.
    np.testing.assert_allclose(factors, [8**0.5, *[2**0.5] * 3, *[1.0] * 12])
    np.testing.assert_array_equal(repeat_factors(pairs, coding, 0.05), 1.0)


def test_a_picture_is_drawn_ten_times_as_often_at_most(tmp_path):
    masks = np.zeros((200, 2, 2), np.uint8)
    masks[3] = 1
    pairs, coding = masks_of(tmp_path / "masks", masks)
    # sqrt(1 / (1 / 200)) = 14.
    assert repeat_factors(pairs, coding, 1.0).max() == 10.0


def test_rows_are_drawn_as_often_as_they_are_repeated():
    random = np.random.default_rng(0)
    rows, repeats = random.permutation(50), random.uniform(1.0, 10.0, 50)
    expected = 50 * repeats / repeats.sum()
    for offset in (0.0, 0.4, 0.999):
        counts = np.bincount(draw_repeated(rows, repeats, offset), minlength=50)[rows]
        assert counts.sum() == 50
        assert (np.abs(counts - expected) < 1.0).all()


def test_balanced_batches_are_the_same_again_and_after_a_resume(squares):
    data = training.read_masks(squares)
    repeats = np.array([9.0] * 2 + [1.0] * 6)
    whole = MaskBatches(data.train, data.coding, SETTINGS, repeats=repeats)
    drawn = np.stack([whole._order(epoch) for epoch in range(40)])
    # In 40 epochs of 8 crops each of the two is in 9 / 24 of them: 120.
    assert np.bincount(drawn.reshape(-1))[:2] == pytest.approx([120, 120], abs=20)
    assert len({tuple(row) for row in drawn}) > 30
    whole.epoch = 1
    resumed = MaskBatches(data.train, data.coding, SETTINGS, 1, repeats)
    for index in range(len(resumed)):
        for one, other in zip(resumed[index], whole[index], strict=True):
            np.testing.assert_array_equal(one, other)


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


@pytest.fixture(scope="module")
def on_detector():
    return build_segmenter(replace(SETTINGS, backbone="coco80"), "8s", 3)


def test_the_maps_of_a_segmenter_are_stages_of_the_shipped_detector(on_detector):
    detector = load_keras_file(locate("coco80"), "--model")
    x = np.random.default_rng(0).random((1, 64, 96, 3)).astype(np.float32)
    for stage, after in (("stage8", "skip_8"), ("stage16", "skip_16"), ("stage32", "context_mean")):
        expected = keras.Model(detector.inputs[0], detector.get_layer(stage).output)(x)
        found = keras.Model(on_detector.inputs[0], on_detector.get_layer(after).input)(x)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_is_frozen_of_a_detector_keeps_its_statistics_in_training(on_detector):
    layers = {layer.name: layer for layer in backbone_layers(on_detector)}
    assert "stem_conv" in layers
    assert not any(name.startswith(("skip_", "block6_conv", "context")) for name in layers)
    convolutions = [
        layer
        for layer in layers.values()
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
    ]
    x = np.random.default_rng(0).random((2, 64, 64, 3)).astype(np.float32)
    before = {name: layer.get_weights() for name, layer in layers.items()}
    whole = len(convolutions)
    for transfer, count in (("head", 0), ("last:2", 2), ("all", whole)):
        freeze_backbone(on_detector, transfer)
        assert [layer.trainable for layer in convolutions] == [
            number >= whole - count for number in range(whole)
        ]
        on_detector(x, training=True)
        # ImageNet's statistics are better than those of a few small batches.
        for name, layer in layers.items():
            assert all(map(np.array_equal, layer.get_weights(), before[name])), name
    message = rf"has {whole} layers with trained weights, fewer than the {whole + 1}"
    with pytest.raises(UsageError, match=message):
        freeze_backbone(on_detector, f"last:{whole + 1}")


@pytest.fixture(scope="module")
def pyramid():
    return build_segmenter(
        replace(SETTINGS, backbone="efficientnet-lite0", variant="pyramid"), "pyramid", 3
    )


def test_of_a_pyramid_the_last_layers_train_and_statistics_stay(pyramid):
    freeze_backbone(pyramid, "last:33")
    trained = {layer.name for layer in pyramid.layers if layer.trainable_variables}
    assert {"block4a_expand_conv", "block7a_project_conv", "down4", "score_4"} <= trained
    assert not any(name.startswith(("stem", "block1", "block2", "block3")) for name in trained)
    assert not any(name.startswith("block") and name.endswith("_bn") for name in trained)
    with pytest.raises(UsageError, match="has 48 layers with trained weights"):
        freeze_backbone(pyramid, "last:49")


@pytest.mark.parametrize(
    ("variant", "strides"),
    [("pyramid", [32, 16, 8, 4]), ("pyramid-8s", [32, 16, 8]), ("16s", [32, 16])],
)
def test_the_rest_of_a_network_makes_the_same_of_maps_as_of_pictures(variant, strides, pyramid):
    model = pyramid
    freeze_backbone(model, "head")
    if variant != "pyramid":
        model = build_segmenter(replace(SETTINGS, backbone="efficientnet-lite0"), variant, 3)
    x = np.random.default_rng(0).random((1, 64, 96, 3)).astype(np.float32)
    layers = map_layers(model)
    assert list(layers) == strides
    maps = keras.Model(model.inputs[0], [layer.output for layer in layers.values()])(x)
    expected = build_coarse(model, variant, model.inputs[0])(x)
    np.testing.assert_allclose(build_head(model, variant)(maps), expected, atol=1e-5)


def test_the_backbone_s_last_layers_may_be_trained_on_the_map_before_them():
    settings = replace(
        SETTINGS, backbone="efficientnet-lite0", variant="pyramid-8s", transfer="last:15", views=1
    )
    model = build_segmenter(settings, "pyramid-8s", 3)
    freeze_backbone(model, "last:15")
    layers = map_layers(model)
    assert list(layers) == [16, 8]
    x = np.random.default_rng(0).random((1, 64, 96, 3)).astype(np.float32)
    maps = keras.Model(model.inputs[0], [layer.output for layer in layers.values()])(x)
    head = build_head(model, "pyramid-8s")
    expected = build_coarse(model, "pyramid-8s", model.inputs[0])(x)
    np.testing.assert_allclose(head(maps), expected, atol=1e-5)
    trained = {variable.path for variable in head.trainable_variables}
    assert any("block6a_expand_conv" in path for path in trained)
    assert not any("block5" in path for path in trained)


@pytest.mark.slow
def test_a_pyramid_on_kept_maps_has_the_backbone_that_it_started_with(squares, tmp_path):
    settings = replace(
        SETTINGS, backbone="efficientnet-lite0", variant="pyramid", transfer="last:3", epochs=1
    )
    first = train_segmenter(squares, tmp_path / "first", settings)
    settings = replace(settings, transfer="head", views=1, start=str(first.model))
    result = train_segmenter(squares, tmp_path / "second", settings)
    kernels = [
        load_keras_file(path, "--model").get_layer("block7a_project_conv").get_weights()[0]
        for path in (first.model, result.model)
    ]
    np.testing.assert_array_equal(*kernels)


def test_coarse_scores_are_those_between_the_middle_pixels_of_four(on_detector):
    layer = on_detector.get_layer("score_8")
    random = np.random.default_rng(0)
    layer.set_weights([random.normal(0, 1, one.shape) for one in layer.get_weights()])
    x = random.random((1, 64, 96, 3)).astype(np.float32)
    coarse = build_coarse(on_detector, "8s", on_detector.inputs[0])(x)
    whole = keras.ops.convert_to_numpy(on_detector(x))
    expected = (whole[:, 1::4] + whole[:, 2::4]) / 2
    expected = (expected[:, :, 1::4] + expected[:, :, 2::4]) / 2
    np.testing.assert_allclose(coarse, expected, atol=1e-4)


@pytest.mark.slow
def test_a_segmenter_on_a_detector_learns_in_stages_and_goes_on(squares, tmp_path):
    settings = replace(
        SETTINGS,
        backbone="coco80",
        variant="16s",
        transfer="last:4",
        epochs=2,
        balance=0.6,
        pretrained_rate=0.2,
    )

    def stop(epoch, row):
        raise _Stop

    whole = train_segmenter(squares, tmp_path / "whole", settings)
    with pytest.raises(_Stop):
        train_segmenter(squares, tmp_path / "run", settings, observer=Observer(on_epoch=stop))
    result = train_segmenter(squares, tmp_path / "run", settings, resume=True)
    assert list(result.stages) == ["32s", "16s"]
    rows, expected = (read_results(tmp_path / name) for name in ("run", "whole"))
    for one, other in zip(rows, expected, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
    assert result.weights == whole.weights
    found = evaluate_segment(squares, model=result.model)
    assert found.scores.mean_iou == pytest.approx(rows[-1]["val_mean_iou"], abs=1e-3)


def test_a_segmenter_on_mobilenet_v2_trains_its_last_blocks(monkeypatch):
    untrained = build_mobilenet_v2((64, 64, 3), batch_normalization=False, signed=True)
    monkeypatch.setattr(trainable, "build_trained_mobilenet_v2", lambda: untrained)
    settings = TrainSettings(backbone="mobilenet-v2", transfer="last:6", staged=False)
    model = build_segmenter(settings, "8s", 3)
    assert model.name == "fcn8s-mobilenet-v2"
    # One convolution at first, two in the first block and three in each of the sixteen others.
    layers = backbone_layers(model)
    assert len(layers) == 1 + 2 + 3 * 16
    freeze_backbone(model, "last:6")
    assert [layer.name for layer in layers if layer.trainable] == [
        f"block_{number}_{part}"
        for number in (15, 16)
        for part in ("expand", "depthwise", "project")
    ]
    pixels = np.random.default_rng(0).random((1, 70, 90, 3)).astype(np.float32)
    assert model(pixels).shape == (1, 70, 90, 3)
    # The scores of each stride are made of the last maps of that stride.
    square = np.random.default_rng(1).random((1, 64, 64, 3)).astype(np.float32)
    for stride, layer in ((8, "skip_8"), (16, "skip_16"), (32, "block6_conv1")):
        seen = keras.Model(model.inputs[0], model.get_layer(layer).input)(square)
        known = keras.Model(untrained.inputs[0], untrained.get_layer(MAPS[stride]).output)(square)
        assert seen.shape[1:3] == (64 // stride, 64 // stride)
        np.testing.assert_allclose(np.array(seen), np.array(known), rtol=1e-3, atol=1e-5)


@pytest.fixture
def teacher(tmp_path):
    """A network that knows the squares by their colours, of pictures of 48 x 48, in 16 places."""
    inputs = keras.Input((48, 48, 3))
    x = keras.layers.AveragePooling2D(12)(inputs)
    layer = keras.layers.Conv2D(3, 1)
    model = keras.Model(inputs, layer(x))
    layer.set_weights(
        [np.array([[[[-9, 9, -9], [0, 0, 0], [-9, -9, 9]]]], "float32"), np.array([3.0, 0, 0])]
    )
    path = tmp_path / "teacher.keras"
    model.save(path)
    return path


@pytest.mark.slow
def test_a_teacher_is_imitated_without_any_label(squares, teacher, tmp_path):
    data = tmp_path / "unlabelled"
    shutil.copytree(squares / "val", data / "val")
    shutil.copytree(squares / "train", data / "train")
    shutil.copy(squares / "classes.txt", data / "classes.txt")
    for mask in (data / "train" / "labels").iterdir():
        Image.new("L", (40, 32), 255).save(mask)
    settings = replace(
        SETTINGS,
        staged=False,
        transfer="all",
        crop=64,
        mosaic=0.5,
        epochs=24,
        learning_rate=1e-3,
        pretrained_rate=0.5,
        teacher=str(teacher),
        distillation=2.0,
        mixed_precision="bfloat16",
    )
    train_segmenter(data, tmp_path / "run", settings)
    losses = [row["loss"] for row in read_results(tmp_path / "run")]
    # A few crops an epoch: their mean jumps from one to the next.
    assert np.mean(losses[-8:]) < 0.75 * np.mean(losses[:8])
    model = load_keras_file(tmp_path / "run" / "model.keras", "--model")
    # What is written is the student alone.
    assert not [layer for layer in model.layers if "distillation" in layer.name]


def test_a_run_with_a_teacher_goes_on_as_if_it_was_not_stopped(squares, teacher, tmp_path):
    settings = replace(
        SETTINGS,
        variant="32s",
        epochs=2,
        teacher=str(teacher),
        teacher_sees="pictures",
        distill_features=1.0,
        ema=0.5,
        mosaic=0.5,
        schedule="constant",
    )
    train_segmenter(squares, tmp_path / "whole", settings)
    first = replace(settings, epochs=1)
    train_segmenter(squares, tmp_path / "parts", first)
    text = (tmp_path / "parts" / "args.yaml").read_text()
    (tmp_path / "parts" / "args.yaml").write_text(text.replace("epochs: 1", "epochs: 2"))
    train_segmenter(squares, tmp_path / "parts", settings, resume=True)
    whole, parts = (
        [row["loss"] for row in read_results(tmp_path / name)] for name in ("whole", "parts")
    )
    assert parts == pytest.approx(whole, rel=1e-3)
    model = load_keras_file(tmp_path / "parts" / "model.keras", "--model")
    # What is written is the student alone.
    assert not {"distillation", "feature_distillation"} & {layer.name for layer in model.layers}


def _teacher_maps(squares, teacher, folder, with_features=True):
    data = training.read_masks(squares)
    model = load_keras_file(str(teacher), "--teacher")
    return data, keep_teacher_maps(model, data.train.pictures, folder, 64, with_features)


def test_the_teacher_is_asked_once(squares, teacher, tmp_path, monkeypatch):
    data, maps = _teacher_maps(squares, teacher, tmp_path / "maps")
    assert maps.scores.shape == (len(data.train), 4, 4, 3)
    # 40 pixels wide and 32 high, in the middle of a square.
    np.testing.assert_allclose(maps.frames[0], [5 / 48, 0.0, 38 / 48, 1.0])
    # It makes its scores of three colours, which are grey, red and blue: two components.
    assert maps.features.shape[-1] <= 3
    monkeypatch.setattr(teacher_maps_module, "read_pixels", None)
    _, again = _teacher_maps(squares, teacher, tmp_path / "maps")
    np.testing.assert_array_equal(again.scores, maps.scores)
    np.testing.assert_array_equal(again.features, maps.features)


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_what_the_teacher_said_lies_where_the_picture_does(squares, tmp_path, mosaic):
    # Scores of every second pixel: each is the mean of a channel there.
    inputs = keras.Input((96, 96, 3))
    layer = keras.layers.Conv2D(3, 1, use_bias=False)
    fine = keras.Model(inputs, layer(keras.layers.AveragePooling2D(2)(inputs)))
    layer.set_weights([np.eye(3, dtype="float32")[None, None]])
    fine.save(tmp_path / "fine.keras")
    data, maps = _teacher_maps(squares, tmp_path / "fine.keras", tmp_path / "maps", False)
    assert maps.features is None
    settings = replace(SETTINGS, crop=64, mosaic=mosaic, color=0.0, scale=(1.0, 2.0))
    batches = MaskBatches(data.train, data.coding, settings, teacher=maps)
    for index in range(len(batches)):
        (x, scores, seen), _ = batches[index]
        assert scores.shape == (len(x), 16, 16, 3)
        means = x.reshape(len(x), 16, 4, 16, 4, 3).mean(axis=(2, 4))
        inside = seen > 0
        assert 0.2 < inside.mean() < 1.0 or mosaic
        # Edges are softer there; a place at the border of a picture is partly beyond it.
        found, known = (values[inside].reshape(-1) for values in (scores, means))
        assert np.corrcoef(found, known)[0, 1] > 0.95
        # Beyond the pictures all is grey, and nothing is said.
        assert (scores[~inside] == 0).all()
        if not mosaic:
            assert np.abs(means[~inside] - 124 / 255).mean() < 0.1


def test_teacher_features_are_of_every_stride(squares, teacher, tmp_path):
    data, maps = _teacher_maps(squares, teacher, tmp_path / "maps")
    settings = replace(
        SETTINGS,
        backbone="coco80",
        teacher=str(teacher),
        teacher_sees="pictures",
        distill_features=1.0,
    )
    whole = build_segmenter(settings, "8s", 3)
    trainer = with_teacher_maps(build_coarse(whole, "8s", whole.inputs[0]), whole, settings, maps)
    x, y = MaskBatches(data.train, data.coding, settings, teacher=maps)[0]
    assert trainer(x).shape == (*y.shape, 3)
    assert trainer.get_layer("feature_distillation").factors == (4, 2, 1)
    losses = [float(one) for one in trainer.losses]
    assert len(losses) == 2
    assert min(losses) > 0.0


def test_a_teacher_that_cannot_be_asked_once_is_refused(tmp_path):
    inputs = keras.Input((8, 8, 3))
    # Its scores are made by no convolution.
    plain = keras.Model(inputs, inputs)
    wide = keras.Input((8, 16, 3))
    for model, features, message in (
        (keras.Model(wide, keras.layers.Conv2D(3, 1)(wide)), False, "8x16 pixels, and no squares"),
        (plain, True, "no convolution that gives its 3 scores"),
    ):
        with pytest.raises(UsageError, match=message):
            keep_teacher_maps(model, ["a.png"], tmp_path / "maps", 8, features)


def test_a_teacher_of_other_classes_is_refused(squares, tmp_path):
    inputs = keras.Input((None, None, 3))
    for name, outputs in (
        ("more", keras.layers.Conv2D(4, 1)(inputs)),
        ("flat", keras.layers.GlobalAveragePooling2D()(inputs)),
    ):
        path = tmp_path / f"{name}.keras"
        keras.Model(inputs, outputs).save(path)
        settings = replace(SETTINGS, staged=False, teacher=str(path))
        with pytest.raises(UsageError, match="does not score 3 classes at each place"):
            train_segmenter(squares, tmp_path / name, settings)


def test_a_training_starts_from_the_weights_of_another(squares, tmp_path):
    settings = replace(SETTINGS, variant="32s", epochs=1)
    train_segmenter(squares, tmp_path / "first", settings)
    start = str(tmp_path / "first" / "model.keras")
    # So slow that nothing changes.
    slow = replace(settings, start=start, learning_rate=1e-9)
    train_segmenter(squares, tmp_path / "second", slow)
    first, second = (
        load_keras_file(tmp_path / name / "model.keras", "--model").get_layer("score_32")
        for name in ("first", "second")
    )
    np.testing.assert_allclose(first.get_weights()[0], second.get_weights()[0], atol=1e-6)


@pytest.mark.slow
def test_three_stages_learn_one_after_the_other(squares, tmp_path):
    settings = replace(SETTINGS, epochs=8, views=2)
    notes, epochs = [], []
    result = train_segmenter(
        squares,
        tmp_path / "run",
        settings,
        observer=Observer(notes.append, on_epoch=lambda epoch, row: epochs.append(row["stage"])),
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
    settings = replace(SETTINGS, epochs=4)
    whole = train_segmenter(squares, tmp_path / "whole", settings)

    def stop(epoch, row):
        if epoch in (0, 2):
            raise _Stop

    stopping = Observer(on_epoch=stop)
    for resume in (False, True):
        with pytest.raises(_Stop):
            train_segmenter(squares, tmp_path / "run", settings, resume=resume, observer=stopping)
    result = train_segmenter(squares, tmp_path / "run", settings, resume=True)
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
        train_segmenter(
            squares, tmp_path, SETTINGS, observer=Observer(on_epoch=stop, on_note=notes.append)
        )
    assert "go on with --resume" in notes[-1]
    assert json.loads((tmp_path / "report.json").read_text())["variant"] == "16s"
    assert keras.models.load_model(tmp_path / "model.keras", compile=False).output.shape[-1] == 3


def test_another_run_in_the_folder_is_not_replaced(squares, tmp_path, monkeypatch):
    def stop(run):
        raise _Stop

    monkeypatch.setattr(training._Training, "fit", stop)
    for resume, settings, message in (
        (False, SETTINGS, "holds a run; use --resume"),
        (True, replace(SETTINGS, crop=64), "holds a run with another crop"),
    ):
        folder = tmp_path / message[:8]
        with pytest.raises(_Stop):
            train_segmenter(squares, folder, SETTINGS)
        with pytest.raises(UsageError, match=message):
            train_segmenter(squares, folder, settings, resume=resume)
        assert read_run_settings(folder, TrainSettings) == (str(squares), SETTINGS)
        (folder / "args.yaml").unlink()
    with pytest.raises(DataError, match="holds no training run"):
        train_segmenter(squares, tmp_path / "new", SETTINGS, resume=True)


def test_bad_pairs_are_left_out_unless_they_are_most_of_all(squares, tmp_path, monkeypatch):
    data = tmp_path / "data"
    for kind in ("images", "labels"):
        (data / kind).mkdir(parents=True)
        for path in (squares / "train" / kind).iterdir():
            (data / kind / path.name).write_bytes(path.read_bytes())
    (data / "classes.txt").write_text("background\nred\nblue\n")
    Image.fromarray(np.full((32, 40), 9, np.uint8)).save(data / "labels" / "3.png")
    notes, seen = [], []

    def look(run):
        seen.append(run._data)
        raise _Stop

    monkeypatch.setattr(training._Training, "fit", look)
    with pytest.raises(_Stop):
        train_segmenter(data, tmp_path / "run", SETTINGS, observer=Observer(notes.append))
    assert len(seen[0].train) + len(seen[0].val) == 7
    assert [line for line in notes if line.startswith("left out:") and "3.png has 1,280" in line]
    for number in (0, 1, 2, 4):
        (data / "images" / f"{number}.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"has 5 of 8 files that cannot be used .*--skip-bad"):
        train_segmenter(data, tmp_path / "most", SETTINGS)
    with pytest.raises(_Stop):
        train_segmenter(data, tmp_path / "other", SETTINGS, skip_bad=True)
    assert len(seen[1].train) + len(seen[1].val) == 3


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_training(squares, tmp_path):
    settings = replace(SETTINGS, learning_rate=1e30, clip_norm=0.0, warmup=0.0, epochs=3)
    with pytest.raises(DivergenceError, match="give a --learning-rate below"):
        train_segmenter(squares, tmp_path, settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "4s"}, "variant must be one of 32s, 16s, 8s"),
        ({"crop": 100}, "multiple of 32"),
        ({"epochs": 2}, "epochs must be 3 at least"),
        ({"scale": (2.0, 1.0)}, "scale must be LEAST,MOST from 0.05 to 20, not 2,1"),
        ({"scale": (1.0,)}, "scale must be LEAST,MOST"),
        ({"transfer": "some"}, "transfer must be head"),
        ({"views": 2, "transfer": "all"}, "views are kept of a compact backbone or"),
        ({"views": 2, "backbone": "coco80"}, "views are kept of a compact backbone or"),
        (
            {"views": 2, "backbone": "efficientnet-lite0", "transfer": "last:16"},
            "or of the latter up to its last 15 layers",
        ),
        ({"balance": 1.5}, "balance must be between 0 and 1"),
        ({"dice": -1.0}, "dice must be between"),
        ({"mosaic": 1.5}, "mosaic must be between 0 and 1"),
        ({"distillation": 2.0}, "distillation is the weight of what a teacher sees"),
        ({"teacher": "t.keras", "views": 2}, "a teacher sees fresh crops"),
        ({"variant": "pyramid"}, "a pyramid is built on efficientnet-lite0; give that backbone"),
        ({"teacher_sees": "pictures"}, "give a teacher"),
        ({"teacher_sees": "all"}, "must be one of crops, pictures"),
        (
            {"teacher": "t.keras", "distill_features": 1.0},
            "distill-features is from whole pictures",
        ),
        (
            {"teacher": "t.keras", "teacher_sees": "pictures", "on_device": True},
            "is not kept on the device",
        ),
        ({"learning_rate": 0.0}, "learning-rate must be more than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        replace(SETTINGS, **change)


def test_the_last_stage_has_half_of_the_epochs():
    assert TrainSettings(epochs=3).stage_ends == (1, 2, 3)
    assert TrainSettings(epochs=41, variant="16s").stage_ends == (20, 41)
    assert TrainSettings(epochs=7, staged=False).stage_ends == (7,)


def test_where_each_size_is_compiled_there_are_few(monkeypatch):
    shapes = []

    class Reds:
        def predict_on_batch(self, pixels):
            shapes.append(pixels.shape)
            # Class 1 where it is red, and 2 where there is grey around the picture.
            red = pixels[..., 0] > 0.9
            grey = np.abs(pixels - 124 / 255).max(axis=-1) < 1e-3
            return np.stack([~red & ~grey, red, grey], axis=-1).astype(np.float32)

    pixels = np.zeros((90, 130, 3), np.uint8)
    pixels[40:, 70:, 0] = 255
    there = training._labels(Reds(), pixels)
    monkeypatch.setattr(training, "compiles_each_size", lambda: True)
    padded = training._labels(Reds(), pixels)
    assert shapes == [(1, 90, 130, 3), (1, 128, 256, 3)]
    np.testing.assert_array_equal(padded, there)
    assert there.shape == (90, 130)
    assert there[40:, 70:].all()
    assert not there[:40].any()
