"""Distilling a compact VGG-19."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.errors import CnnkitError, ImageError, WeightsError
from cnnkit.models.vgg import (
    build_vgg,
)
from cnnkit.ops.inference import compiles_training
from cnnkit.tasks.stylize import train_backbone as backbone
from cnnkit.tasks.stylize.crops import RandomCrops, find_pictures
from cnnkit.tasks.stylize.settings import BackboneSettings
from cnnkit.tasks.stylize.train_backbone import (
    STUDENT_LAYERS,
    build_teacher,
    explained_variance,
    rescale_channels,
    train_backbone,
)
from cnnkit.weights.convolutions import (
    convolution_weights,
    read_convolutions,
    set_convolution_weights,
)

TINY = (2, 2, 3, 3, 3)
OPTIONS = BackboneSettings(steps=6, batch_size=2, crop=32, steps_per_epoch=3, warmup_steps=1)


@pytest.fixture
def teacher(tmp_path):
    """A compressed VGG-19 with random weights in the published layout."""
    random = np.random.default_rng(1)
    arrays = {"input/kernel": np.eye(3)[None, None] * 2.0, "input/bias": np.full(3, -1.0)}
    channels = 3
    for layer in STUDENT_LAYERS:
        width = TINY[int(layer[5]) - 1]
        arrays[f"{layer}/kernel"] = random.normal(0, 0.5, (3, 3, channels, width))
        arrays[f"{layer}/bias"] = random.normal(0.5, 0.1, width)
        channels = width
        if layer.endswith("_conv1"):
            arrays[f"{layer}_to_vgg19/kernel"] = random.normal(0, 0.5, (1, 1, width, 5))
            arrays[f"{layer}_to_vgg19/bias"] = random.normal(0.5, 0.1, 5)
    path = tmp_path / "teacher.npz"
    np.savez(path, **{name: value.astype(np.float32) for name, value in arrays.items()})
    return path


@pytest.fixture
def tiny_student(monkeypatch):
    monkeypatch.setattr(backbone, "COMPACT_WIDTHS", TINY)


def test_pictures_held_out_are_never_trained_on(pictures):
    training, held_out = find_pictures([pictures], ["*/test/*"])
    assert [path.name for path in training] == ["a.png", "b.jpg"]
    assert [path.name for path in held_out] == ["c.png"]


def test_batches_are_the_same_in_every_run_and_differ_between_epochs(pictures):
    training, _ = find_pictures([pictures])
    first, again = (RandomCrops(training, OPTIONS) for _ in range(2))
    np.testing.assert_array_equal(first[1][0], again[1][0])
    later = RandomCrops(training, OPTIONS, epoch=1)
    assert not np.array_equal(first[1][0], later[1][0])
    # Batch 0 of epoch 1 is batch 3 counted from the start: a resumed run sees what it would have.
    first.on_epoch_end()
    np.testing.assert_array_equal(first[0][0], later[0][0])


def test_processes_make_the_same_crops(pictures):
    training, _ = find_pictures([pictures])
    here = RandomCrops(training, OPTIONS)
    beside = RandomCrops(training, replace(OPTIONS, workers=1))
    # Jumps too: what was made ahead is not taken for another batch.
    for index in (0, 2, 1):
        np.testing.assert_array_equal(here[index][0], beside[index][0])


def test_crops_that_are_not_recoloured_are_of_the_colours_that_are_there(tmp_path):
    colors = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    path = tmp_path / "two.png"
    Image.fromarray(np.repeat(colors[None], 40, axis=0).repeat(20, axis=1)).save(path)
    crops = np.concatenate(
        [RandomCrops([path], OPTIONS, recolor=False)[index][0] for index in range(3)]
    )
    # Between the two there are mixtures; there is no green anywhere.
    assert crops[..., 1].max() == 0.0
    assert RandomCrops([path], OPTIONS)[0][0][..., 1].max() > 0.0


def test_crops_are_pictures_in_range(pictures):
    training, _ = find_pictures([pictures])
    crops = np.concatenate([RandomCrops(training, OPTIONS)[index][0] for index in range(3)])
    assert crops.shape == (6, 32, 32, 3)
    assert crops.dtype == np.float32
    assert crops.min() >= 0.0
    assert crops.max() <= 1.0


def test_an_npz_teacher_gives_compact_layers_and_heads(teacher):
    model = build_teacher(teacher)
    outputs = model.predict_on_batch(np.zeros((1, 32, 32, 3), np.float32))
    assert outputs["block3_conv2"].shape == (1, 8, 8, 3)
    assert outputs["block5_conv1_to_vgg19"].shape == (1, 2, 2, 5)
    assert not model.trainable_weights


def test_a_keras_teacher_gives_its_layers(tmp_path):
    source = build_vgg(widths=TINY, outputs=STUDENT_LAYERS, preprocessing=lambda x: x)
    source.save(tmp_path / "teacher.keras")
    model = build_teacher(tmp_path / "teacher.keras")
    picture = np.random.default_rng(0).random((1, 32, 32, 3)).astype(np.float32)
    for layer, value in source.predict_on_batch(picture).items():
        np.testing.assert_allclose(model.predict_on_batch(picture)[layer], value, rtol=1e-5)


def test_a_missing_teacher_is_one_clear_line(tmp_path):
    with pytest.raises(WeightsError, match=r"missing\.npz does not exist; give --teacher"):
        build_teacher(tmp_path / "missing.npz")


def test_a_teacher_of_another_kind_is_refused(tmp_path):
    (tmp_path / "teacher.txt").write_text("")
    with pytest.raises(WeightsError, match="is no teacher"):
        build_teacher(tmp_path / "teacher.txt")


def test_a_student_equal_to_its_teacher_explains_all_variance(teacher):
    teacher_model = build_teacher(teacher, ["block1_conv1", "block2_conv1"])
    with np.load(teacher) as file:
        arrays = dict(file)

    def first(images):
        return keras.layers.Conv2D(3, 1, name="input")(images)

    student = build_vgg(
        widths=TINY,
        outputs=["block1_conv1", "block2_conv1"],
        preprocessing=first,
        padding="reflect",
    )
    names = {name.split("/")[0] for name in arrays}
    set_convolution_weights(
        student, {name: (arrays[f"{name}/kernel"], arrays[f"{name}/bias"]) for name in names}
    )
    ones = {name: np.ones(output.shape[-1]) for name, output in teacher_model.output.items()}
    heads = {
        name: (arrays[f"{name}/kernel"], arrays[f"{name}/bias"])
        for name in ones
        if name.endswith("_to_vgg19")
    }
    distiller = backbone.Distiller(student, teacher_model, ones, heads)
    distiller.compile(jit_compile=compiles_training())
    pictures = [np.random.default_rng(seed).random((32, 32, 3)).astype("f4") for seed in (0, 1)]
    report = explained_variance(distiller, pictures)
    assert set(report) == set(ones)
    assert all(value == pytest.approx(1.0, abs=1e-5) for value in report.values())


def test_rescaled_channels_multiply_the_activations_and_nothing_else():
    names = ["block1_conv1", "block1_conv2", "block2_conv1"]
    model = build_vgg((2, 1), (3, 4), outputs=names, preprocessing=lambda x: x)
    scales = {
        name: np.random.default_rng(index).uniform(0.5, 2.0, width).astype(np.float32)
        for index, (name, width) in enumerate(zip(names, (3, 3, 4), strict=True))
    }
    picture = np.random.default_rng(3).random((1, 8, 8, 3)).astype(np.float32)
    before = model.predict_on_batch(picture)
    set_convolution_weights(model, rescale_channels(convolution_weights(model), scales))
    after = model.predict_on_batch(picture)
    for name in names:
        np.testing.assert_allclose(after[name], before[name] * scales[name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_training_writes_weights_a_report_and_a_curve(pictures, teacher, tmp_path, tiny_student):
    rows = []
    run = tmp_path / "run"
    report = train_backbone(
        [pictures], teacher, run, OPTIONS, ["*/test/*"], lambda epoch, row: rows.append(row)
    )
    assert set(report) >= {"block1_conv1_to_vgg19", "block5_conv1_to_vgg19"}
    assert len(rows) == 2
    assert len((run / "results.csv").read_text().splitlines()) == 3
    weights = read_convolutions(run / "compact.npz")
    assert list(weights) == list(STUDENT_LAYERS)
    assert weights["block2_conv1"][0].shape == (3, 3, 2, 2)


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_weights_of_an_unbroken_one(
    pictures, teacher, tmp_path, tiny_student
):
    class Stopped(Exception):
        pass

    def stop(epoch, row):
        raise Stopped

    train_backbone([pictures], teacher, tmp_path / "whole", OPTIONS)
    with pytest.raises(Stopped):
        train_backbone([pictures], teacher, tmp_path / "broken", OPTIONS, on_epoch=stop)
    train_backbone([pictures], teacher, tmp_path / "broken", OPTIONS)
    whole = read_convolutions(tmp_path / "whole" / "compact.npz")
    broken = read_convolutions(tmp_path / "broken" / "compact.npz")
    for layer in whole:
        for expected, got in zip(whole[layer], broken[layer], strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-4)


def test_a_folder_with_another_run_is_refused(pictures, teacher, tmp_path):
    (tmp_path / "args.json").write_text('{"steps": 1}')
    with pytest.raises(CnnkitError, match="holds a run with other settings"):
        train_backbone([pictures], teacher, tmp_path, OPTIONS)


def test_a_folder_without_pictures_is_one_clear_line(teacher, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"no JPEG or PNG pictures below .*empty; check --data"):
        train_backbone([tmp_path / "empty"], teacher, tmp_path / "run", OPTIONS)
