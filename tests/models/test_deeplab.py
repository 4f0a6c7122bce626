import keras
import numpy as np
import pytest

from cnnkit.errors import WeightsError
from cnnkit.models.deeplab import build_deeplab
from tests._tflite_files import Writer, run_tflite

SIDE = 49


def write_network(path, classes=21):
    """Like the published one, in small: strides, holes, a sum, and the whole picture beside."""
    writer = Writer()
    x = writer.convolution(writer.picture(SIDE), 4, stride=2)
    x = writer.convolution(x, 0, stride=2, depthwise=True)
    x = writer.convolution(x, 6, 1, stride=2)
    x = writer.convolution(x, 6, 3, stride=2, relu=False)
    y = writer.convolution(x, 12, 1)
    y = writer.convolution(y, 0, depthwise=True, holes=2)
    y = writer.convolution(y, 6, 1, relu=False)
    x = writer.add(x, y)
    whole = writer.enlarge(writer.convolution(writer.average(x), 5, 1), 4)
    x = writer.concatenation(whole, writer.convolution(x, 5, 1))
    scores = writer.convolution(x, classes, 1, relu=False)
    return writer.write(path, writer.enlarge(writer.enlarge(scores, 4), SIDE))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("deeplab") / "deeplab.tflite")


@pytest.fixture(scope="module")
def pictures():
    generator = np.random.default_rng(1)
    coarse = generator.integers(0, 256, (3, 7, 7, 3)).astype(np.uint8)
    return coarse.repeat(7, axis=1).repeat(7, axis=2)


def seen(model, pictures):
    return keras.ops.convert_to_numpy(model(pictures.astype(np.float32) / 255.0))


def test_the_network_gives_what_tensorflow_lite_does(file, pictures):
    expected = run_tflite(file, pictures)
    found = seen(build_deeplab(file), pictures)
    assert found.shape == expected.shape == (3, SIDE, SIDE, 21)
    # A step of the file's 8 bits is 16 / 255; the rounding of a dozen layers adds up to a few.
    step, difference = 16 / 255, np.abs(found - expected)
    assert np.abs(expected).max() < 8 - step
    assert difference.mean() < 1.5 * step < 0.05 * expected.std()
    assert difference.max() < 6 * step


def test_pictures_of_any_size_come_back_at_their_size(file, pictures):
    model = build_deeplab(file)
    whole = seen(model, pictures[:1])
    # 40 rows are padded to 49 with grey: near the upper border the same, but for the mean of all.
    grey = pictures[:1].copy()
    grey[:, 40:], grey[:, :, 38:] = 127, 127
    small = seen(model, pictures[:1, :40, :38])
    assert small.shape == (1, 40, 38, 21)
    np.testing.assert_allclose(small, seen(model, grey)[:, :40, :38], atol=1e-4)
    assert not np.allclose(small, whole[:, :40, :38], atol=1e-2)
    assert seen(model, pictures[:2, :1, :1]).shape == (2, 1, 1, 21)


def test_coarse_scores_are_those_of_the_middles_of_their_places(file, pictures):
    fine = seen(build_deeplab(file), pictures)
    coarse = seen(build_deeplab(file, step=4, side=SIDE), pictures)
    assert coarse.shape == (3, 13, 13, 21)
    # The middle of the pixels 4 to 7 lies between 5 and 6; grid points are no less than 2 away.
    between = 0.25 * sum(fine[:, 4 * 1 + y, 4 * 2 + x] for y in (1, 2) for x in (1, 2))
    np.testing.assert_allclose(coarse[:, 1, 2], between, atol=1e-4)


def test_a_model_of_it_is_kept_in_a_file(file, pictures, tmp_path):
    model = build_deeplab(file, step=2)
    model.save(tmp_path / "deeplab.keras")
    again = keras.models.load_model(tmp_path / "deeplab.keras")
    np.testing.assert_allclose(seen(again, pictures), seen(model, pictures), atol=1e-5)


def test_other_networks_are_refused(tmp_path):
    path = write_network(tmp_path / "x.tflite", classes=20)
    with pytest.raises(WeightsError, match=r"x.tflite is not the deeplab file: operator 14"):
        build_deeplab(path)
    writer = Writer()
    x = writer.logistic(writer.convolution(writer.picture(33), 4))
    path = writer.write(tmp_path / "y.tflite", x)
    with pytest.raises(WeightsError, match=r"operator 1, unknown 14, is not known here"):
        build_deeplab(path)


def test_the_file_is_a_teacher(file):
    from cnnkit.tasks.segment.settings import TrainSettings
    from cnnkit.tasks.segment.trainable import load_teacher

    teacher = load_teacher(TrainSettings(teacher=str(file)), 21, "float32")
    assert teacher(np.zeros((1, 64, 64, 3), np.float32)).shape == (1, 16, 16, 21)
