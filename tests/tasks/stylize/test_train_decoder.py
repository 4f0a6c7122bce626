"""Training decoders."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from cnnkit.errors import ImageError, UsageError, WeightsError
from cnnkit.models.decoder import build_decoder, load_decoder
from cnnkit.models.vgg import build_vgg
from cnnkit.ops.inference import compiles_training
from cnnkit.tasks.stylize import train_decoder as training
from cnnkit.tasks.stylize.loss import layer_statistics
from cnnkit.tasks.stylize.settings import BackboneSettings, DecoderSettings
from cnnkit.tasks.stylize.train_decoder import (
    DecoderTrainer,
    fold_input,
    measure_statistics,
    reconstruction_psnr,
    solve_last,
    start_linear,
    train_decoder,
    whitening_matrix,
)
from cnnkit.weights.convolutions import read_convolutions, set_convolution_weights

OPTIONS = DecoderSettings(
    levels=(1, 3),
    steps=6,
    polish_steps=3,
    batch_size=2,
    crop=32,
    steps_per_epoch=3,
    warmup_steps=1,
)
LAYER = "block2_conv1"


@pytest.fixture
def backbone():
    keras.utils.set_random_seed(0)
    return build_vgg((2, 1), (4, 5), outputs=[LAYER], preprocessing=lambda x: x, padding="reflect")


def batches(seed=0, count=3):
    random = np.random.default_rng(seed)
    return [random.random((2, 16, 16, 3)).astype(np.float32) for _ in range(count)]


def test_whitened_activations_have_no_correlations():
    random = np.random.default_rng(0)
    maps = random.normal(size=(1, 5000, 3)) @ np.array([[2.0, 0, 0], [1, 1, 0], [0, 3, 0.5]])
    statistics = layer_statistics(maps.astype(np.float32))
    matrix = whitening_matrix(statistics.covariance)
    np.testing.assert_allclose(matrix @ statistics.covariance @ matrix, np.eye(3), atol=1e-6)
    # A direction without variance is not blown up: 1 / sqrt(4 * 1e-4) = 50.
    assert whitening_matrix(np.diag([4.0, 0.0]))[1, 1] == pytest.approx(50.0)


def test_statistics_of_batches_are_those_of_all_pictures(backbone):
    found = measure_statistics(backbone, LAYER, batches())
    maps = backbone.predict_on_batch(np.concatenate(batches()))[LAYER].reshape(-1, 5)
    np.testing.assert_allclose(found.mean, maps.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.covariance, np.cov(maps.T, bias=True), rtol=1e-3, atol=1e-6)


def test_an_affine_map_of_the_input_moves_into_the_first_convolution():
    keras.utils.set_random_seed(0)
    model = build_decoder(2, (4, 5), (2, 1))
    random = np.random.default_rng(1)
    matrix, offset = random.normal(size=(5, 5)), random.normal(size=5)
    maps = random.normal(size=(1, 6, 4, 5)).astype(np.float32)
    expected = keras.ops.convert_to_numpy(model((maps @ matrix + offset).astype(np.float32)))
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    set_convolution_weights(model, fold_input(weights, matrix, offset))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(maps)), expected, rtol=1e-3, atol=1e-3
    )


def test_the_weights_of_a_trainer_decode_as_the_trainer_does(backbone):
    decoder = build_decoder(2, (4, 5), (2, 1), batch_normalization=True)
    statistics = measure_statistics(backbone, LAYER, batches())
    trainer = DecoderTrainer(
        backbone, LAYER, decoder, statistics, feature_weight=0.1, tv_weight=0.1
    )
    trainer.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=compiles_training())
    trainer.train_on_batch(batches()[0])
    plain = build_decoder(2, (4, 5), (2, 1))
    set_convolution_weights(plain, trainer.decoder_weights())
    image = batches(seed=1)[0]
    found = plain.predict_on_batch(backbone.predict_on_batch(image)[LAYER])
    expected = keras.ops.convert_to_numpy(trainer(image, training=False)["pixels"])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_the_loss_is_that_of_pixels_activations_and_variation(backbone):
    decoder = build_decoder(2, (4, 5), (2, 1))
    statistics = measure_statistics(backbone, LAYER, batches())
    trainer = DecoderTrainer(
        backbone, LAYER, decoder, statistics, feature_weight=0.5, tv_weight=0.25
    )
    image = batches()[0]
    outputs = trainer(image)
    decoded = keras.ops.convert_to_numpy(outputs["pixels"])
    variance = np.diag(statistics.covariance)
    seen, before = (backbone.predict_on_batch(picture)[LAYER] for picture in (decoded, image))
    rows, columns = np.diff(decoded, axis=1), np.diff(decoded, axis=2)
    expected = (
        np.mean((decoded - image) ** 2)
        + 0.5 * np.mean((seen - before) ** 2 / np.maximum(variance, 1e-3 * variance.mean()))
        + 0.25 * (np.mean(rows**2) + np.mean(columns**2))
    )
    found = float(trainer.compute_loss(image, None, outputs))
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_the_last_convolution_is_the_best_there_is(backbone):
    keras.utils.set_random_seed(0)
    decoder = build_decoder(2, (4, 5), (2, 1))
    statistics = measure_statistics(backbone, LAYER, batches())
    trainer = DecoderTrainer(backbone, LAYER, decoder, statistics, whiten=False)

    def error():
        images = np.concatenate(batches())
        return float(np.mean((trainer.predict_on_batch(images)["pixels"] - images) ** 2))

    solve_last(trainer, batches())
    best = error()
    last = decoder.layers[-1]
    kernel, bias = last.get_weights()
    for change in np.random.default_rng(0).normal(0.0, 0.01, (4, *kernel.shape)):
        last.set_weights([kernel + change, bias])
        assert error() > best
    last.set_weights([kernel, bias + 0.01])
    assert error() > best


def test_the_first_level_starts_with_its_activations_handed_on(backbone):
    decoder = build_decoder(1, (4, 5), (2, 1))
    start_linear(decoder)
    maps = np.random.default_rng(0).random((1, 4, 6, 4)).astype(np.float32)
    inner = keras.Model(decoder.inputs[0], decoder.get_layer("extra1_relu").output)
    np.testing.assert_allclose(inner.predict_on_batch(maps), maps, rtol=1e-6)


def test_filters_beside_those_that_hand_on_stay_random():
    decoder = build_decoder(1, (4, 5), (2, 1), extra=(6,))
    before = decoder.get_layer("extra1").get_weights()[0]
    start_linear(decoder)
    after = decoder.get_layer("extra1").get_weights()[0]
    assert after.shape == (3, 3, 4, 6)
    np.testing.assert_array_equal(after[..., 4:], before[..., 4:])
    np.testing.assert_array_equal(after[1, 1, :, :4], np.eye(4))


def test_psnr_of_a_known_error(backbone):
    class Half:
        def predict_on_batch(self, maps):
            return np.full((1, 16, 16, 3), 0.6, np.float32)

    # An error of 0.1 everywhere: -10 log10(0.01) = 20 dB.
    image = np.full((16, 16, 3), 0.5, np.float32)
    assert reconstruction_psnr(backbone, LAYER, Half(), [image]) == pytest.approx(20.0, abs=1e-3)


@pytest.mark.slow
def test_training_writes_all_levels_in_one_file_and_reports_them(pictures, tmp_path):
    rows = []
    report = train_decoder(
        [pictures],
        tmp_path / "run",
        OPTIONS,
        ["*/test/*"],
        lambda level, epoch, row: rows.append((level, epoch)),
    )
    assert list(report) == [1, 3]
    assert all(np.isfinite(value) for value in report.values())
    # The first level is only polished.
    assert rows == [(1, 0), (3, 0), (3, 1), (3, 2)]
    assert (
        len((tmp_path / "run" / "level3" / "trained" / "results.csv").read_text().splitlines()) == 3
    )
    file = tmp_path / "run" / "decoder.npz"
    assert {name.split("/")[0] for name in read_convolutions(file)} == {"decoder1", "decoder3"}
    assert load_decoder(3, file)(np.zeros((1, 2, 2, 64), np.float32)).shape == (1, 8, 8, 3)
    # What is done is not done again.
    again = train_decoder([pictures], tmp_path / "run", OPTIONS, ["*/test/*"])
    assert again == pytest.approx(report, abs=1e-3)


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_weights_of_an_unbroken_one(pictures, tmp_path):
    class Stopped(Exception):
        pass

    def stop(level, epoch, row):
        raise Stopped

    options = DecoderSettings(
        levels=(2,),
        steps=6,
        polish_steps=6,
        batch_size=2,
        crop=32,
        steps_per_epoch=3,
        warmup_steps=1,
    )
    train_decoder([pictures], tmp_path / "whole", options)
    with pytest.raises(Stopped):
        train_decoder([pictures], tmp_path / "broken", options, on_epoch=stop)
    train_decoder([pictures], tmp_path / "broken", options)
    whole = read_convolutions(tmp_path / "whole" / "decoder.npz")
    broken = read_convolutions(tmp_path / "broken" / "decoder.npz")
    for layer in whole:
        for expected, got in zip(whole[layer], broken[layer], strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-3, atol=2e-4)


@pytest.mark.slow
def test_decoders_that_are_there_are_polished(pictures, tmp_path):
    options = replace(OPTIONS, levels=(1, 2))
    with pytest.MonkeyPatch.context() as patch:
        # Narrower than those that are trained anew.
        patch.setattr(training, "_WIDTHS", (5, 6, 7, 8))
        patch.setattr(training, "_FIRST_EXTRA", (9,))
        train_decoder([pictures], tmp_path / "first", options)
    file = tmp_path / "first" / "decoder.npz"
    rows = []
    train_decoder(
        [pictures],
        tmp_path / "second",
        replace(options, polish_learning_rate=1e-12),
        ["*/test/*"],
        on_epoch=lambda level, epoch, row: rows.append((level, epoch)),
        start=file,
    )
    assert rows == [(1, 0), (2, 0)]
    before, after = (
        read_convolutions(tmp_path / name / "decoder.npz") for name in ("first", "second")
    )
    # Steps of next to nothing, but from where the first run ended.
    for layer, arrays in before.items():
        for expected, got in zip(arrays, after[layer], strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-6)
    with pytest.raises(WeightsError, match="has no decoder of level 3; train it"):
        train_decoder([pictures], tmp_path / "third", OPTIONS, start=file)


@pytest.mark.slow
def test_a_level_ends_in_its_time(pictures, tmp_path):
    rows = []
    options = replace(OPTIONS, levels=(2,), steps=3000, polish_steps=1500, time_budget=0.5)
    train_decoder(
        [pictures], tmp_path / "run", options, on_epoch=lambda level, *row: rows.append(row)
    )
    # 1,500 epochs of three steps would be all.
    assert len(rows) < 1000
    assert (tmp_path / "run" / "decoder.npz").exists()
    with pytest.raises(UsageError, match="time-budget must be more than 0"):
        replace(options, time_budget=0.0)


def test_what_cannot_be_trained_is_one_clear_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"no JPEG or PNG pictures below .*empty; check --data"):
        train_decoder([tmp_path / "empty"], tmp_path / "run", OPTIONS)
    with pytest.raises(UsageError, match=r"levels must be among 1 to 5, not \(6,\)"):
        DecoderSettings(levels=(6,))
    with pytest.raises(UsageError, match="workers must be a whole number from 0, not -1"):
        DecoderSettings(workers=-1)
    with pytest.raises(UsageError, match="workers must be a whole number from 0, not -1"):
        BackboneSettings(workers=-1)
    with pytest.raises(UsageError, match="crop must be a multiple of 16, not 100"):
        DecoderSettings(crop=100)
