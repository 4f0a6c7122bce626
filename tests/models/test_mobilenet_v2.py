import keras
import numpy as np
import pytest

from cnnkit import weights as weights_table
from cnnkit.errors import UsageError, WeightsError
from cnnkit.models import mobilenet_v2
from cnnkit.models.mobilenet_v2 import build_mobilenet_v2, load_quantized_weights
from cnnkit.tasks.classify import files
from cnnkit.tasks.classify.network import load_classifier_model
from cnnkit.tasks.classify.trainable import build_pretrained, build_untrained
from cnnkit.tasks.visualize import files as visualize_files
from cnnkit.tasks.visualize.network import load_viewed_network
from tests._tflite_files import Writer, run_tflite
from tests.models._gradients import assert_gradients_reach_every_weight


def test_it_is_that_of_keras():
    theirs = keras.applications.MobileNetV2(weights=None, input_shape=(64, 96, 3), classes=5)
    ours = build_mobilenet_v2((64, 96, 3), classes=5)
    random = np.random.default_rng(0)
    for layer in theirs.layers:
        if layer.get_weights():
            # Variances are positive.
            changed = [one + random.uniform(0.0, 0.1, one.shape) for one in layer.get_weights()]
            layer.set_weights(changed)
            ours.get_layer(layer.name).set_weights(changed)
    assert ours.count_params() == theirs.count_params()
    pictures = random.normal(size=(2, 64, 96, 3)).astype("float32")
    np.testing.assert_allclose(np.array(ours(pictures)), np.array(theirs(pictures)), atol=1e-5)


def test_weights_by_hand():
    # The paper's table 2: a block from c to d channels of width w = 6 c has c w + 9 w + w d weights
    # in its kernels, and four numbers a channel in batch normalisation: w, w and d of them.
    total, channels = 27 * 32 + 4 * 32, 32
    for wider, out, blocks, _ in mobilenet_v2.STAGES:
        for _ in range(blocks):
            width = wider * channels
            if wider > 1:
                total += channels * width + 4 * width
            total += 9 * width + 4 * width + width * out + 4 * out
            channels = out
    total += channels * 1280 + 4 * 1280 + 1281 * 1000
    assert total == 3_538_984
    assert build_mobilenet_v2().count_params() == total


@pytest.mark.slow
def test_it_learns_everywhere():
    assert_gradients_reach_every_weight(build_mobilenet_v2((32, 32, 3), classes=3))


@pytest.fixture
def small(monkeypatch):
    """The same with two blocks, of which one adds what it was given."""
    monkeypatch.setattr(mobilenet_v2, "STAGES", ((1, 8, 1, 1), (2, 8, 2, 2)))
    monkeypatch.setattr(mobilenet_v2, "FIRST_CHANNELS", 8)
    monkeypatch.setattr(mobilenet_v2, "LAST_CHANNELS", 16)


def write_small(path, side=32, classes=4, gain=2.7):
    writer = Writer(gain)
    x = writer.convolution(writer.picture(side), 8, stride=2)
    x = writer.convolution(writer.convolution(x, 0, depthwise=True), 8, 1, relu=False)
    for stride in (2, 1):
        y = writer.convolution(writer.convolution(x, 16, 1), 0, stride=stride, depthwise=True)
        y = writer.convolution(y, 8, 1, relu=False)
        x = y if stride == 2 else writer.add(x, y)
    x = writer.average(writer.convolution(x, 16, 1))
    x = writer.reshape(writer.convolution(x, 1 + classes, 1, relu=False), (1, 1 + classes))
    return writer.write(path, writer.softmax(x))


def test_its_published_file_gives_what_tensorflow_lite_does(small, tmp_path):
    # So much that classes differ, and so little that no layer leaves the range of its 8 bits.
    path = write_small(tmp_path / "x.tflite", gain=3.6)
    model = build_mobilenet_v2((32, 32, 3), 4, batch_normalization=False, signed=True)
    load_quantized_weights(model, path)
    pictures = np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
    pictures = pictures.repeat(4, axis=1).repeat(4, axis=2)
    # Dark ones, and a red one.
    pictures[::2] //= 4
    pictures[1, ..., 0] = 250
    expected = run_tflite(path, pictures)[:, 1:]
    expected = expected / expected.sum(axis=1, keepdims=True)
    found = np.array(model(pictures / np.float32(255)))
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert expected.std(axis=0).max() > 0.1


@pytest.fixture
def published(small, tmp_path, monkeypatch):
    """A file of 1,000 classes where the published one is looked for."""
    path = write_small(tmp_path / "published.tflite", classes=1000)
    for module in (mobilenet_v2, weights_table, files, visualize_files):
        monkeypatch.setattr(module, "locate", lambda name: path)
    return path


def test_a_trained_one_is_taken_by_its_name(published):
    trained = load_classifier_model("mobilenet-v2")
    classifier = trained.file
    assert (classifier.classes, classifier.input_shape) == (1000, (224, 224, 3))
    network = load_viewed_network("mobilenet-v2")
    assert network.outputs["block_1_project"].shape[-1] == 8
    pictures = np.random.default_rng(0).random((1, 224, 224, 3)).astype(np.float32)
    found = [np.array(one.model(pictures)) for one in (trained, network)]
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_a_new_head_goes_on_a_trained_one(published):
    trainable = build_pretrained("mobilenet-v2", 3, (64, 64, 3))
    # The first convolution, two blocks of two and of three, one more without block, the last.
    assert [layer.name for layer in trainable.pretrained] == [
        *("Conv1", "expanded_conv_depthwise", "expanded_conv_project"),
        *("block_1_expand", "block_1_depthwise", "block_1_project"),
        *("block_2_expand", "block_2_depthwise", "block_2_project", "Conv_1"),
    ]
    assert trainable.features.shape == (None, 16)
    assert trainable.model.output_shape == (None, 3)
    pictures = np.random.default_rng(0).random((2, 64, 64, 3)).astype(np.float32)
    whole = mobilenet_v2.build_trained_mobilenet_v2((64, 64, 3))
    features = keras.Model(whole.inputs[0], whole.get_layer("global_average_pooling2d").output)
    np.testing.assert_allclose(
        np.array(trainable.feature_model()(pictures)), np.array(features(pictures)), rtol=1e-4
    )
    with pytest.raises(UsageError, match=r"mobilenet-v2 cannot see 16x64x3: .* at least 32"):
        build_pretrained("mobilenet-v2", 3, (16, 64, 3))
    with pytest.raises(UsageError, match=r"mobilenet-v2 cannot see 64x64x1: .* 3 channels"):
        build_pretrained("mobilenet-v2", 3, (64, 64, 1))


def test_from_scratch_it_is_built_by_its_name():
    model = build_untrained("mobilenet-v2", 3, (64, 64, 1)).model
    assert (model.input_shape, model.output_shape) == ((None, 64, 64, 1), (None, 3))


def test_files_of_other_networks_are_refused(small, tmp_path):
    path = write_small(tmp_path / "x.tflite", classes=5)
    model = build_mobilenet_v2((32, 32, 3), 4, batch_normalization=False)
    with pytest.raises(WeightsError, match=r"not the mobilenet-v2 file: predictions is another"):
        load_quantized_weights(model, path)
    writer = Writer()
    path = writer.write(tmp_path / "y.tflite", writer.convolution(writer.picture(32), 8))
    with pytest.raises(WeightsError, match=r"not the mobilenet-v2 file: it has 1 convolutions"):
        load_quantized_weights(model, path)


def test_shapes_that_cannot_be_seen_are_refused():
    with pytest.raises(ValueError, match="at least 32"):
        build_mobilenet_v2((16, 64, 3))
    with pytest.raises(ValueError, match="classes"):
        build_mobilenet_v2(classes=0)
