import keras
import numpy as np
import pytest
from scipy import signal

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.errors import UsageError
from cnnkit.images import Picture
from cnnkit.tasks.visualize.class_maps import Classifier, class_target
from cnnkit.tasks.visualize.gradcam import (
    gradcam,
    last_convolution,
    visualize_gradcam,
)
from cnnkit.tasks.visualize.network import view_model
from cnnkit.tasks.visualize.settings import GradcamSettings

layers = keras.layers


def build_cam_network(activation="softmax", size=(None, None)):
    """Convolution, global average, dense: where Grad-CAM is CAM."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((*size, 3))
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    x = layers.Dense(4, activation=activation, name="scores")(x)
    return keras.Model(inputs, x)


def picture(height=9, width=11, seed=0):
    return np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)


def convolve(pixels, kernel, bias):
    """'same' correlation with zeros around, in NumPy."""
    maps = np.zeros((*pixels.shape[:2], kernel.shape[-1]))
    for out in range(kernel.shape[-1]):
        for channel in range(pixels.shape[-1]):
            maps[..., out] += signal.correlate2d(
                pixels[..., channel], kernel[..., channel, out], mode="same"
            )
    return np.maximum(maps + bias, 0.0)


@pytest.mark.parametrize("activation", ["softmax", "linear"])
@pytest.mark.parametrize("index", [0, 3])
def test_with_a_global_average_it_is_the_class_activation_map(activation, index):
    model = build_cam_network(activation)
    pixels = picture()
    kernel, bias = model.get_layer("conv").get_weights()
    dense = model.get_layer("scores").get_weights()[0]
    maps = convolve(pixels.astype(np.float64), kernel, bias)
    # d score / d A_kij = w_k / (h w), whatever the place and whether or not a softmax follows.
    expected = np.maximum(maps @ dense[:, index] / (9 * 11), 0.0)
    assert expected.max() > 0
    found = gradcam(view_model(model, "own"), pixels[None], "conv", class_target(index))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_gradients_behind_more_layers_are_those_of_finite_differences():
    keras.utils.set_random_seed(2)
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="a")(inputs)
    y = layers.Conv2D(3, 3, padding="same", activation="tanh", name="b")(x)
    # The picture passes the maps by, too.
    joined = layers.Add()([x, y, layers.Conv2D(3, 1, name="shortcut")(inputs)])
    output = layers.Dense(2, name="d")(layers.Flatten()(joined))
    model = keras.Model(inputs, output)
    pixels = picture(6, 6)[None]
    maps = keras.ops.convert_to_numpy(keras.Model(inputs, x)(pixels)).astype(np.float64)
    b, shortcut, d = (model.get_layer(name).get_weights() for name in ("b", "shortcut", "d"))

    def score(maps):
        later = np.tanh(
            sum(
                np.stack(
                    [
                        signal.correlate2d(maps[..., i], b[0][..., i, o], mode="same")
                        for o in range(3)
                    ],
                    axis=-1,
                )
                for i in range(3)
            )
            + b[1]
        )
        total = maps + later + pixels[0] @ shortcut[0][0, 0] + shortcut[1]
        return (total.reshape(-1) @ d[0] + d[1])[1]

    step = 1e-5
    gradient = np.zeros_like(maps[0])
    for place in np.ndindex(gradient.shape):
        ahead, behind = maps[0].copy(), maps[0].copy()
        ahead[place] += step
        behind[place] -= step
        gradient[place] = (score(ahead) - score(behind)) / (2 * step)
    expected = np.maximum(maps[0] @ gradient.mean(axis=(0, 1)), 0.0)
    found = gradcam(view_model(model, "own"), pixels, "a", class_target(1))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_any_score_of_any_output_can_be_explained():
    """A segmenter: the score is the mean of one class over a region."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inputs)
    pixelwise = layers.Conv2D(3, 1, activation="softmax", name="classes")(x)
    network = view_model(keras.Model(inputs, pixelwise), "segmenter")
    region = np.zeros((8, 8), np.float32)
    region[2:5, 1:4] = 1.0
    pixels = picture(8, 8)

    def target(outputs):
        return keras.ops.sum(outputs[..., 2] * region, axis=(1, 2)) / region.sum()

    found = gradcam(network, pixels[None], "conv", target)
    # d score / d A_kij = w_k / 9 inside of the region and 0 outside; the mean over 64 places.
    maps = convolve(pixels, *network.model.get_layer("conv").get_weights())
    kernel = network.model.get_layer("classes").get_weights()[0][0, 0, :, 2]
    expected = np.maximum(maps @ (kernel * (9 / 9) / 64), 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    # The same by the name of the layer that gives the output.
    named = gradcam(network, pixels[None], "conv", target, output="classes")
    np.testing.assert_array_equal(named, found)


def test_the_map_lies_over_the_picture():
    """One bright spot excites the class; the map is strongest there, at any size of the picture."""
    inputs = keras.Input((32, 32, 3))
    conv = layers.Conv2D(1, 3, strides=2, padding="valid", activation="relu", name="conv")
    pooled = layers.GlobalAveragePooling2D()(conv(inputs))
    dense = layers.Dense(2, name="scores")
    model = keras.Model(inputs, dense(pooled))
    conv.set_weights([np.ones((3, 3, 3, 1)), np.zeros(1)])
    dense.set_weights([np.array([[1.0, -1.0]]), np.zeros(2)])
    classifier = Classifier(view_model(model, "own"), ("bright", "dark"))
    pixels = np.zeros((64, 128, 3), np.float32)
    pixels[18:26, 92:104] = 1.0
    found = visualize_gradcam(Picture(pixels), model=classifier)
    assert (found.label, found.class_index, found.layer) == ("bright", 0, "conv")
    assert found.heat.shape == (64, 128)
    assert found.coarse.shape == (15, 15)
    x, y = found.peak_xy
    assert 92 <= x < 104
    assert 18 <= y < 26
    assert found.heat.max() == found.coarse.max() == 1.0
    assert found.heat[50:].max() == 0.0
    # Nothing speaks for the other class.
    other = visualize_gradcam(Picture(pixels), GradcamSettings(class_name="dark"), model=classifier)
    assert other.heat.max() == 0.0


def test_the_best_class_is_explained_unless_another_is_named():
    model = build_cam_network()
    classifier = Classifier(view_model(model, "own"), ("ant", "bee", "cat, kitten", "dog"))
    pixels = picture(40, 50)
    scores = keras.ops.convert_to_numpy(model(pixels[None]))[0]
    found = visualize_gradcam(Picture(pixels), model=classifier)
    assert found.class_index == scores.argmax()
    assert [index for index, _, _ in found.best] == list(np.argsort(-scores))
    assert found.score == pytest.approx(scores.max())
    assert found.input_size == (40, 50)
    named = visualize_gradcam(
        Picture(pixels), GradcamSettings(class_name="Kitten"), model=classifier
    )
    assert (named.class_index, named.label) == (2, "cat, kitten")
    assert named.score == pytest.approx(scores[2])


def test_normalisation_and_activation_belong_to_the_convolution_before_them():
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="n")(layers.Conv2D(4, 3, name="c")(inputs))
    x = layers.ReLU(6.0, name="r")(x)
    both = layers.Add(name="sum")([x, x])
    model = keras.Model(inputs, layers.GlobalAveragePooling2D(name="gap")(both))
    assert last_convolution(view_model(model, "own")) == "r"


def test_the_usual_classifier_is_explained_at_the_size_that_it_was_trained_on():
    cat = load_sample(find_sample("chelsea"))
    found = visualize_gradcam(cat)
    assert (found.model, found.layer) == ("imagenet", "top_activation")
    assert found.input_size == (224, 336)
    assert found.coarse.shape == (7, 11)
    assert found.label.endswith(" cat")
    assert found.heat.shape == cat.pixels.shape[:2]
    other = visualize_gradcam(cat, GradcamSettings(class_name="plastic bag"))
    assert np.abs(found.coarse - other.coarse).mean() > 0.1


def test_the_last_convolution_is_the_default():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(2, 3, name="a")(inputs)
    x = layers.ReLU(name="r")(layers.DepthwiseConv2D(3, name="b")(x))
    # A convolution that is a dense layer has one place, and nothing to show.
    x = layers.Conv2D(5, 4, name="as_dense")(x)
    model = keras.Model(inputs, layers.Flatten()(x))
    # Of "b", as the paper weighs it: rectified.
    assert last_convolution(view_model(model, "own")) == "r"
    dense = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inputs)))
    with pytest.raises(UsageError, match="own has no convolution"):
        last_convolution(view_model(dense, "own"))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("gap", "gap has no maps but an output of shape \\(5,\\); use a convolution, such as conv"),
        ("cnv", "own has no layer 'cnv'; it has: conv, "),
    ],
)
def test_a_layer_without_maps_is_refused(layer, message):
    classifier = Classifier(view_model(build_cam_network(), "own"))
    with pytest.raises(UsageError, match=message):
        visualize_gradcam(Picture(picture(40, 40)), GradcamSettings(layer=layer), model=classifier)


def test_a_layer_behind_the_score_is_refused():
    inputs = keras.Input((8, 8, 3))
    first = layers.Conv2D(2, 3, name="first")(inputs)
    second = layers.Conv2D(2, 3, name="second")(first)
    network = view_model(keras.Model(inputs, second), "own")
    with pytest.raises(UsageError, match="second comes behind the scores; use second"):
        gradcam(network, picture(8, 8)[None], "second", class_target(0), output="first")
