import json
import math
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest

from cnnkit.data._class_names import COCO_CLASSES
from cnnkit.data.letterbox import GREY
from cnnkit.data.shapes import write_shapes
from cnnkit.engine.device_pictures import DevicePictures
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import read_results, read_run_settings
from cnnkit.errors import DataError, UsageError
from cnnkit.models.detector import STAGES
from cnnkit.ops.inference import compiles_training
from cnnkit.tasks.classify.trainable import build_untrained
from cnnkit.tasks.detect.batches import SceneBatches, encode_objects, read_for_scenes
from cnnkit.tasks.detect.data import read_boxed
from cnnkit.tasks.detect.predict import detect
from cnnkit.tasks.detect.settings import DetectSettings, TrainSettings
from cnnkit.tasks.detect.train import train_detector
from cnnkit.tasks.detect.trainable import build_trainable
from cnnkit.weights.keras_file import load_keras_file


def shapes(folder, count):
    write_shapes(folder, "train", count, seed=0, side=64)
    return folder


TINY = TrainSettings(model="compact", size=64, epochs=1, batch_size=4, val_share=0.25)


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_stopped(tmp_path):
    data = shapes(tmp_path / "data", 8)
    train_detector(data, tmp_path / "parts", TINY)
    longer = replace(TINY, epochs=2)
    parts = train_detector(data, tmp_path / "parts", longer, resume=True)
    assert parts.epochs == 2
    for name in ("model.keras", "results.csv", "curves.png", "samples.png", "report.json"):
        assert (tmp_path / "parts" / name).exists()
    assert (tmp_path / "parts" / "precision-recall.png").exists()
    assert [row["epoch"] for row in read_results(tmp_path / "parts")] == [0, 1]
    _, known = read_run_settings(tmp_path / "parts", TrainSettings)
    assert known == longer
    changed = replace(longer, batch_size=3)
    with pytest.raises(UsageError, match="another batch_size"):
        train_detector(data, tmp_path / "parts", changed, resume=True)
    [found] = detect(data / "images" / "train1.png", model=parts.model)
    assert found.size == (64, 64)


@pytest.mark.slow
def test_yolov1_learns_shapes_from_scratch(tmp_path):
    data = tmp_path / "data"
    write_shapes(data, "train", 96, seed=0)
    write_shapes(data, "val", 16, seed=1)
    options = TrainSettings(
        model="yolov1",
        width=1 / 16,
        size=128,
        epochs=6,
        batch_size=8,
        learning_rate=2e-3,
        mosaic=0.0,
        scale=0.1,
        color=0.1,
    )
    result = train_detector(data, tmp_path / "run", options)
    rows = read_results(tmp_path / "run")
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    picture = data / "images" / "val1.png"
    [found] = detect(picture, model=result.model, settings=DetectSettings(conf=0.0))
    assert found.objects


def test_yolov1_begins_with_the_convolutions_of_its_classifier(tmp_path):
    classifier = build_untrained("yolov1", 3, (64, 64, 3), width=1 / 32).model
    classifier.save(tmp_path / "first.keras")
    options = TrainSettings(
        model="yolov1", size=128, width=1 / 32, pretrained=str(tmp_path / "first.keras")
    )
    detector = build_trainable(options, ("disc", "square")).model
    # Of the 24 convolutions the first 20.
    for number in (1, 20):
        np.testing.assert_array_equal(
            detector.get_layer(f"conv{number}").get_weights()[0],
            classifier.get_layer(f"conv{number}").get_weights()[0],
        )
    with pytest.raises(UsageError, match="give the same --width"):
        build_trainable(replace(options, width=1 / 16), ("disc", "square"))
    with pytest.raises(UsageError, match="a run to start from is given as the model"):
        replace(options, model="coco80", width=1.0)


def test_weights_of_classes_of_the_same_name_are_taken_over(tmp_path):
    options = TrainSettings(model="compact", size=64)
    first = build_trainable(options, ("disc", "square"))
    for layer in first.model.layers:
        if layer.name == "class8":
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, np.array([3.0, 5.0])])
    first.scored.save(tmp_path / "first.keras")
    again = replace(options, model=str(tmp_path / "first.keras"))
    second = build_trainable(again, ("square", "star"), ("disc", "square"))
    assert second.is_scaled
    bias = second.model.get_layer("class8").get_weights()[1]
    # log(0.01 / 0.99) where a class is new.
    assert bias.tolist() == pytest.approx([5.0, -4.5951], abs=1e-3)
    for name in ("stage16_in", "box32", "scale_4"):
        for one, other in zip(
            first.model.get_layer(name).get_weights(),
            second.model.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_teacher_is_imitated_and_is_no_part_of_the_detector(tmp_path):
    options = TrainSettings(model="compact", size=64)
    build_trainable(options, ("disc", "square")).scored.save(tmp_path / "teacher.keras")
    taught = replace(options, teacher=str(tmp_path / "teacher.keras"), distillation=3.0)
    keras.utils.set_random_seed(1)
    trainable = build_trainable(taught, ("disc", "square"))
    model = trainable.model
    pixels = np.random.default_rng(0).random((2, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(
        np.array(model(pixels))[..., :4], np.array(trainable.scored(pixels))[..., :4], rtol=1e-5
    )
    # The teacher's last maps: a stage of 96 channels, and the two that go back up.
    heads = sum(to * (width + 1) for width, to in ((96, 96), (160, 80), (256, 80)))
    alone = build_trainable(options, ("disc", "square"))
    assert trainable.scored.count_params() == alone.scored.count_params()
    trained = sum(math.prod(one.shape) for one in model.trainable_variables)
    own = sum(math.prod(one.shape) for one in alone.model.trainable_variables)
    # Of the teacher nothing.
    assert trained == own + heads
    model.compile(optimizer="adam", loss=trainable.loss, jit_compile=compiles_training())
    # Or it would be traced twice.
    model.optimizer.build(model.trainable_variables)
    targets = np.zeros((2, 60, 6), "float32")
    losses = [model.train_on_batch(pixels, targets) for _ in range(8)]
    assert losses[-1] < losses[0]


def test_what_can_be_no_teacher_is_refused(tmp_path):
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 8, 8)(inputs)).save(tmp_path / "other.keras")
    options = TrainSettings(model="compact", size=64, teacher=str(tmp_path / "other.keras"))
    with pytest.raises(UsageError, match="has no maps of strides 8, 16 and 32; give another --tea"):
        build_trainable(options, ("disc",))
    with pytest.raises(UsageError, match="give a teacher"):
        TrainSettings(distillation=2.0)
    with pytest.raises(UsageError, match="teacher must be"):
        replace(options, teacher="somebody")
    with pytest.raises(UsageError, match="yolov1 has no teacher"):
        replace(options, model="yolov1")


def test_pictures_may_be_seen_larger_than_scenes(tmp_path):
    options = replace(TINY, val_size=96)
    pictures = read_boxed(shapes(tmp_path / "data", 4)).train
    whole = SceneBatches(pictures, options, lambda boxes, more: boxes, random_changes=False)
    pixels, boxes = whole[0]
    assert pixels.shape == (3, 96, 96, 3)
    # 64 pixels wide in the file.
    known = pictures.boxes_xyxy_normalized[0] * 96
    np.testing.assert_allclose(boxes[0], known, atol=1e-4)
    scenes = SceneBatches(pictures, options, encode_objects(8))
    assert scenes[0][0].shape == (4, 64, 64, 3)
    with pytest.raises(UsageError, match="val-size must be a multiple of 32"):
        replace(TINY, val_size=100)
    with pytest.raises(UsageError, match="yolov1 sees pictures at one size"):
        replace(TINY, model="yolov1", val_size=96)


@pytest.mark.slow
def test_processes_compose_the_same_scenes_as_threads(tmp_path):
    pictures = read_boxed(shapes(tmp_path / "data", 4)).train
    batches = [
        SceneBatches(pictures, replace(TINY, workers=workers), encode_objects(8))
        for workers in (0, 1)
    ]
    for index in range(len(batches[0])):
        for one, other in zip(batches[0][index], batches[1][index], strict=True):
            np.testing.assert_array_equal(one, other)
    with pytest.raises(UsageError, match="workers must be a whole number from 0"):
        replace(TINY, workers=-1)


def test_the_device_composes_the_same_scenes(tmp_path):
    pictures = read_boxed(shapes(tmp_path / "data", 6)).train
    options = replace(TINY, color=0.4, scale=0.3)
    stored = DevicePictures(
        pictures.paths, lambda path: read_for_scenes(path, options), options.side, GREY
    )
    usual = SceneBatches(pictures, options, encode_objects(8))
    on_device = SceneBatches(pictures, options, encode_objects(8), on_device=stored)
    assert len(on_device) == len(usual)
    for index in range(len(usual)):
        (x, y), (known_x, known_y) = on_device[index], usual[index]
        np.testing.assert_array_equal(y, known_y)
        assert x.shape == known_x.shape
        # Pillow reduces by other means than halves; edges differ a little.
        difference = np.abs(np.asarray(x) - known_x)
        assert difference.mean() < 0.02
        assert (difference > 0.1).mean() < 0.05


@pytest.mark.slow
def test_on_pictures_of_the_device_and_in_16_bits_it_learns_as_usual(tmp_path):
    data = shapes(tmp_path / "data", 8)
    results, losses = {}, {}
    for name, changes in (
        ("usual", {}),
        ("device", {"on_device": True}),
        ("half", {"mixed_precision": "bfloat16"}),
    ):
        results[name] = train_detector(data, tmp_path / name, replace(TINY, **changes))
        [row] = read_results(tmp_path / name)
        losses[name] = row["loss"]
    assert losses["device"] == pytest.approx(losses["usual"], rel=0.1)
    assert losses["half"] == pytest.approx(losses["usual"], rel=0.1)
    # What was trained in 16 bits is kept in 32, and its report is of that, with the same weights.
    result = results["half"]
    model = load_keras_file(result.model, "--model")
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert result.scores["val"]["ap50"] == pytest.approx(row["val_ap50"])
    before = build_trainable(TINY, result.classes).model.get_layer("class8").get_weights()[0]
    assert not np.array_equal(model.get_layer("class8").get_weights()[0], before)
    with pytest.raises(UsageError, match="mixed-precision must be one of auto, on, bfloat16, off"):
        replace(TINY, mixed_precision="half")


def test_boxes_of_which_most_are_bad_stop_a_training_before_it_begins(tmp_path):
    data = shapes(tmp_path / "data", 4)
    values = json.loads((data / "train.json").read_text())
    for note in values["annotations"][1:]:
        note["bbox"] = [100, 100, 5, 5]
    (data / "train.json").write_text(json.dumps(values))
    notes = []
    with pytest.raises(DataError, match=r"has a box outside the picture.*--skip-bad"):
        train_detector(data, tmp_path / "run", TINY, observer=Observer(on_note=notes.append))
    assert any("read as COCO: train.json for train" in line for line in notes)
    assert any("3 classes with their objects" in line for line in notes)
    data = shapes(tmp_path / "data", 4)
    for path in sorted((data / "images").iterdir())[:3]:
        path.write_bytes(b"no")
    with pytest.raises(DataError, match=r"has 3 of 4 files that cannot be used .*--skip-bad"):
        train_detector(data, tmp_path / "other", TINY)


def test_a_few_pictures_that_cannot_be_used_are_left_out(tmp_path, monkeypatch):
    data = shapes(tmp_path / "data", 4)
    (data / "images" / "train1.png").unlink()
    (data / "images" / "train2.png").write_bytes(b"no")
    seen, notes = [], []

    def stop(data, *more):
        seen.append(data)
        raise KeyboardInterrupt

    monkeypatch.setattr("cnnkit.tasks.detect.train._Training", stop)
    with pytest.raises(KeyboardInterrupt):
        train_detector(data, tmp_path / "run", TINY, observer=Observer(on_note=notes.append))
    assert sum(len(one) for one in seen[0].splits.values()) == 2
    assert "2 pictures that cannot be used:" in notes


def test_the_names_of_the_classes_come_from_the_file_that_a_training_begins_with(
    tmp_path, monkeypatch
):
    data = shapes(tmp_path / "data", 4)
    file = tmp_path / "first.keras"
    build_trainable(TINY, ("disc", "square")).scored.save(file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("classes.txt", "disc\nsquare\n")

    def stop(data, sizes, folder, settings, known_classes, observer, team):
        raise KeyboardInterrupt(known_classes)

    monkeypatch.setattr("cnnkit.tasks.detect.train._Training", stop)
    options = replace(TINY, model=str(file))
    with pytest.raises(KeyboardInterrupt, match="'disc', 'square'"):
        train_detector(data, tmp_path / "run", options)
    with pytest.raises(KeyboardInterrupt, match="'star'"):
        train_detector(data, tmp_path / "other", options, known_classes=("star",))


def test_a_folder_without_a_run_cannot_go_on(tmp_path):
    data = shapes(tmp_path / "data", 4)
    with pytest.raises(DataError, match="holds no training run"):
        train_detector(data, tmp_path / "run", TINY, resume=True)
    with pytest.raises(DataError, match="holds no training run"):
        read_run_settings(tmp_path / "run", TrainSettings)


def test_a_classifier_is_no_detector_to_start_from(tmp_path, color_run):
    data = shapes(tmp_path / "data", 4)
    options = TrainSettings(model=f"{color_run}/model.keras", size=64)
    with pytest.raises(UsageError, match="is no detector of 'cnnkit train detect'"):
        train_detector(data, tmp_path / "run", options)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"model": "yolov9"},
            "model must be coco80, efficientnet-lite0, anchors",
        ),
        ({"size": 100}, "size must be a multiple of 32"),
        ({"model": "yolov1", "size": 96}, "size must be a multiple of 64"),
        ({"width": 0.5}, "width must be"),
        ({"mosaic": 2.0}, "mosaic must be between 0 and 1"),
        ({"epochs": 0}, "epochs must be a whole number from 1"),
        ({"time_budget": -1.0}, "time-budget must be more than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TrainSettings(**settings)


def test_of_a_pyramid_the_coarse_stages_and_what_follows_are_trained():
    options = TrainSettings(model="efficientnet-lite0", size=64)
    frozen = build_trainable(options, ("disc", "square"))
    assert frozen.is_scaled
    assert not any(layer.trainable_variables for layer in frozen.backbone)
    found = build_trainable(replace(options, freeze=False), ("disc", "square"))
    trained = {layer.name for layer in found.model.layers if layer.trainable_variables}
    assert {"block4a_dwconv", "block7a_project_conv", "down16", "grid32"} <= trained
    # The fine stages and ImageNet's statistics stay.
    assert not any(name.startswith(("stem", "block1", "block2", "block3")) for name in trained)
    assert "block4a_bn" not in trained
    # Of two strides, 4 x 4 and 2 x 2 places of three anchors each.
    assert found.loss.points.shape == (60, 3)


def test_a_trained_pyramid_is_gone_on_with(tmp_path):
    options = TrainSettings(model="efficientnet-lite0", size=64)
    first = build_trainable(options, ("disc", "square"))
    first.scored.save(tmp_path / "first.keras")
    again = replace(options, model=str(tmp_path / "first.keras"))
    second = build_trainable(again, ("disc", "square"), ("disc", "square"))
    x = np.random.default_rng(0).random((1, 64, 96, 3)).astype(np.float32)
    np.testing.assert_allclose(second.scored(x), first.scored(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_anchors_begin_with_the_stages_of_another_detector_and_what_reads_the_teacher(tmp_path):
    compact = TrainSettings(model="compact", size=64)
    first = build_trainable(compact, COCO_CLASSES)
    first.scored.save(tmp_path / "first.keras")
    options = TrainSettings(model="anchors", size=64, pretrained=str(tmp_path / "first.keras"))
    alone = build_trainable(options, COCO_CLASSES)
    assert alone.is_scaled
    # Of two strides, 4 x 4 and 2 x 2 places of three anchors each.
    assert alone.model.output_shape[1:] == (None, 84)
    assert alone.loss.points.shape == (60, 3)
    for name in ("stage16_in", "stage32_around_expand", "scale_4"):
        for one, other in zip(
            first.model.get_layer(name).get_weights(),
            alone.model.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    alone.scored.save(tmp_path / "teacher.keras")
    kernel = alone.model.get_layer("grid32").get_weights()[0]
    taught = replace(options, teacher=str(tmp_path / "teacher.keras"), labels=0.25)
    keras.utils.set_random_seed(1)
    student = build_trainable(taught, COCO_CLASSES)
    np.testing.assert_array_equal(student.model.get_layer("grid32").get_weights()[0], kernel)
    assert student.loss.weight == 0.25
    assert not np.array_equal(
        student.model.get_layer("features32").get_weights()[0],
        alone.model.get_layer("features32").get_weights()[0],
    )
    # A file is gone on with as it was, its answers too.
    student.scored.save(tmp_path / "student.keras")
    again = replace(taught, model=str(tmp_path / "student.keras"), pretrained=None)
    again = build_trainable(again, COCO_CLASSES, COCO_CLASSES)
    for name in ("features32", "grid16"):
        np.testing.assert_array_equal(
            again.model.get_layer(name).get_weights()[0],
            student.model.get_layer(name).get_weights()[0],
        )
    with pytest.raises(UsageError, match="has other anchors or classes"):
        build_trainable(replace(taught, teacher=str(tmp_path / "first.keras")), COCO_CLASSES)


def test_of_anchors_too_the_classes_of_the_same_name_are_taken_over(tmp_path):
    options = TrainSettings(model="anchors", size=64)
    first = build_trainable(options, ("disc", "square"))
    layer = first.model.get_layer("grid16")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, np.arange(21.0)])
    first.scored.save(tmp_path / "first.keras")
    again = replace(options, model=str(tmp_path / "first.keras"))
    second = build_trainable(again, ("star", "square", "ring"), ("disc", "square"))
    bias = second.model.get_layer("grid16").get_weights()[1].reshape(3, 8)
    # Boxes and how sure they are as before, then a new class, one that was the second, a new one.
    assert bias.tolist() == [[*range(7 * a, 7 * a + 5), 0, 7 * a + 6, 0] for a in range(3)]


@pytest.mark.slow
def test_anchors_are_learned_from_a_teacher_and_labels(tmp_path):
    data = shapes(tmp_path / "data", 12)
    options = replace(TINY, model="anchors")
    teacher = train_detector(data, tmp_path / "teacher", options)
    taught = replace(options, teacher=str(teacher.model), labels=0.5, epochs=3)
    result = train_detector(data, tmp_path / "student", taught)
    rows = read_results(tmp_path / "student")
    assert rows[-1]["loss"] < rows[0]["loss"]
    [found] = detect(data / "images" / "train1.png", model=result.model)
    assert found.size == (64, 64)


def test_stages_alone_are_no_detector_to_start_from(tmp_path):
    trained = build_trainable(TrainSettings(model="compact", size=64), COCO_CLASSES).model
    stages = [trained.get_layer(name).output for name in STAGES]
    keras.Model(trained.inputs[0], stages).save(tmp_path / "stages.keras")
    file = str(tmp_path / "stages.keras")
    for given in ({"model": file}, {"model": "anchors", "pretrained": file}):
        with pytest.raises(UsageError, match="is no detector of 'cnnkit train detect'"):
            build_trainable(TrainSettings(size=64, **given), COCO_CLASSES)
