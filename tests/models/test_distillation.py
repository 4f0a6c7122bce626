import keras
import numpy as np
import pytest

from cnnkit.models.detector import build_anchor_detector
from cnnkit.models.distillation import (
    DetectionDistillation,
    FeatureDistillation,
    FusedFeatureDistillation,
    LogitDistillation,
    detection_heads,
    last_maps,
)
from cnnkit.ops.inference import compiles_training


def student_and_teacher(weight):
    keras.utils.set_random_seed(0)
    predictions, own, wanted = (keras.Input(shape) for shape in ((5,), (4, 4, 3), (4, 4, 2)))
    layer = FeatureDistillation(weight)
    return layer, keras.Model([predictions, own, wanted], layer([predictions, own, wanted]))


def arrays():
    random = np.random.default_rng(0)
    shapes = ((2, 5), (2, 4, 4, 3), (2, 4, 4, 2))
    return [random.normal(3.0, 2.0, shape).astype("float32") for shape in shapes]


def test_the_loss_is_the_share_of_the_teacher_that_is_not_explained():
    layer, model = student_and_teacher(2.0)
    given = arrays()
    np.testing.assert_array_equal(np.array(model(given)), given[0])
    kernel, bias = (np.array(one) for one in layer.weights)
    teacher = given[2].astype(float)
    wanted = (teacher - teacher.mean((0, 1, 2))) / np.sqrt(teacher.var((0, 1, 2)) + 1e-4)
    expected = 2.0 * np.mean((given[1] @ kernel[0, 0] + bias - wanted) ** 2)
    assert float(model.losses[0]) == pytest.approx(expected, rel=1e-4)


def test_channels_of_the_teacher_weigh_alike_and_one_that_is_flat_is_no_number_less():
    _, model = student_and_teacher(1.0)
    given = arrays()
    model(given)
    before = float(model.losses[0])
    given[2] = given[2] * np.array([1000.0, 0.1], "float32") + 7.0
    model(given)
    assert float(model.losses[0]) == pytest.approx(before, rel=1e-2)
    given[2][:] = 4.0
    model(given)
    assert np.isfinite(float(model.losses[0]))


def test_what_can_be_explained_is_learned():
    _, model = student_and_teacher(1.0)
    given = arrays()
    given[2] = given[1] @ np.array([[1.0, -2], [0.5, 0], [0, 1]], "float32")
    model.compile(
        optimizer=keras.optimizers.Adam(0.05),
        loss=lambda true, found: 0.0 * found,
        jit_compile=compiles_training(),
    )
    before = model.evaluate(given, np.zeros((2, 5)), verbose=0)
    # One epoch of 300 steps.
    often = [np.tile(one, (300, *[1] * (one.ndim - 1))) for one in given]
    model.fit(often, np.zeros((600, 5)), batch_size=2, shuffle=False, verbose=0)
    assert model.evaluate(given, np.zeros((2, 5)), verbose=0) < 0.05 < 0.5 < before


def test_the_last_maps_of_each_stride_are_found_behind_padding_and_activations():
    layers = keras.layers
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 2, 2, name="to2")(inputs)
    x = layers.Conv2D(5, 2, 2, name="to4")(x)
    last = keras.ops.relu(layers.Conv2D(6, 1, name="last4")(x))
    x = layers.ZeroPadding2D(1)(last)
    x = layers.Conv2D(7, 3, 2, name="to8")(x)
    up = layers.UpSampling2D(2)(x)
    layers.Conv2D(9, 1, name="beside")(last)
    both = layers.Concatenate()([up, last])
    model = keras.Model(inputs, layers.GlobalMaxPooling2D()(both))
    found = last_maps(model, (2, 4, 8))
    assert [one.shape[-1] for one in found] == [4, 6, 7]
    assert found[1] is last
    with pytest.raises(ValueError, match="no maps of stride 16"):
        last_maps(model, (16,))


def small_detector(seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((None, None, 3))
    fine = keras.layers.Conv2D(4, 4, 4)(inputs)
    anchors = {32: [(50, 50), (90, 60)], 16: [(9, 9), (12, 30)]}
    small = {"widths": (8, 8, 8), "depths": (1, 1, 1), "neck": 8}
    model = build_anchor_detector(inputs, fine, 3, anchors, {32: 6, 16: 5}, **small)
    for one in detection_heads(model).values():
        # As if it were trained: answers that differ.
        kernel, bias = one.convolution.get_weights()
        one.convolution.set_weights([40 * kernel, bias])
    return model


def taught(weight):
    student, teacher = small_detector(1), small_detector(2)
    own, wanted = (
        [tensor for one in detection_heads(model).values() for tensor in one.tensors]
        for model in (student, teacher)
    )
    wanted = keras.Model(teacher.inputs[0], wanted)(student.inputs[0])
    layer = DetectionDistillation(2, weight)
    model = keras.Model(student.inputs[0], layer([student.outputs[0], *own, *wanted]))
    return student, teacher, model


def answers(model, pixels):
    parts = keras.Model(model.inputs[0], [one.tensors for one in detection_heads(model).values()])
    return [[np.array(one, float) for one in stride] for stride in parts(pixels)]


def giou(first, second):
    left_top = np.maximum(first[..., :2], second[..., :2])
    right_bottom = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.clip(right_bottom - left_top, 0, None).prod(-1)
    union = sum((one[..., 2:] - one[..., :2]).prod(-1) for one in (first, second)) - shared
    around = np.maximum(first[..., 2:], second[..., 2:]) - np.minimum(
        first[..., :2], second[..., :2]
    )
    return shared / union - 1 + union / around.prod(-1)


def test_the_loss_of_answers_is_what_its_formula_says():
    student, teacher, model = taught(0.5)
    pixels = np.random.default_rng(0).random((2, 64, 96, 3)).astype("float32")
    np.testing.assert_array_equal(np.array(model(pixels)), np.array(student(pixels)))

    def entropy(wanted, logits):
        wanted, found = (1 / (1 + np.exp(-one)) for one in (wanted, logits))
        cross = -wanted * np.log(found) - (1 - wanted) * np.log(1 - found)
        return cross + wanted * np.log(wanted) + (1 - wanted) * np.log(1 - wanted)

    told = norm = far = 0.0
    for own, theirs in zip(answers(student, pixels), answers(teacher, pixels), strict=True):
        (features, grid, boxes), (wanted_features, wanted_grid, wanted_boxes) = own, theirs
        grid, wanted_grid = (one.reshape(*one.shape[:3], 2, 8) for one in (grid, wanted_grid))
        sure = 1 / (1 + np.exp(-wanted_grid[..., 4]))
        norm += sure.sum()
        told += entropy(wanted_grid[..., 4], grid[..., 4]).sum()
        told += (sure[..., None] * entropy(wanted_grid[..., 5:], grid[..., 5:])).sum()
        miss = 1 - giou(boxes[..., :4], wanted_boxes[..., :4])
        told += 4 * (sure.reshape(miss.shape) * miss).sum()
        error = (features - wanted_features) ** 2 / (wanted_features.var((0, 1, 2)) + 1e-4)
        error, seen = error.mean(-1), sure.max(-1)
        far += error.mean() / 2 + (seen * error).sum() / seen.sum() / 2
    expected = 0.5 * (told / norm + 4 * far)
    assert float(model.losses[0]) == pytest.approx(expected, rel=1e-3)


def test_there_is_nothing_to_learn_from_the_same_answers():
    student, teacher, model = taught(1.0)
    pixels = np.random.default_rng(0).random((1, 64, 64, 3)).astype("float32")
    model(pixels)
    assert float(model.losses[0]) > 0.01
    student.set_weights(teacher.get_weights())
    model(pixels)
    assert float(model.losses[0]) == pytest.approx(0.0, abs=1e-4)


def log_softmax(scores):
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_scores_are_drawn_by_how_far_their_softmax_diverges(temperature):
    random = np.random.default_rng(0)
    scores, teacher = random.normal(0.0, 2.0, (2, 2, 3, 4, 5))
    layer = LogitDistillation(0.5, temperature)
    given = layer([scores.astype("float32"), teacher.astype("float32")])
    np.testing.assert_allclose(np.array(given), scores, rtol=1e-6)
    wanted, found = log_softmax(teacher / temperature), log_softmax(scores / temperature)
    divergence = (np.exp(wanted) * (wanted - found)).sum(axis=-1)
    expected = 0.5 * temperature**2 * divergence.mean()
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-4)


def test_scores_that_are_the_teachers_have_nothing_to_learn():
    scores = np.random.default_rng(0).normal(size=(1, 2, 2, 3)).astype("float32")
    layer = LogitDistillation()
    # The same for all classes is no difference.
    layer([scores, scores + 5.0])
    assert float(layer.losses[0]) == pytest.approx(0.0, abs=1e-6)


def test_scores_of_a_coarser_teacher_are_enlarged_in_place():
    teacher = np.zeros((1, 1, 2, 2), "float32")
    teacher[0, 0, 1, 0] = 4.0
    # Between the middles of its two squares: a quarter and three quarters of the way.
    fine = np.array([0.0, 1.0, 3.0, 4.0], "float32")
    scores = np.zeros((1, 1, 4, 2), "float32")
    scores[0, 0, :, 0] = fine
    layer = LogitDistillation()
    layer([scores, teacher])
    assert float(layer.losses[0]) == pytest.approx(0.0, abs=1e-6)


def test_scores_count_by_the_weight_of_their_place():
    random = np.random.default_rng(0)
    scores, teacher = random.normal(size=(2, 2, 3, 4, 5)).astype("float32")
    weights = (random.random((2, 3, 4)) < 0.4).astype("float32")
    layer, alone = LogitDistillation(0.7), LogitDistillation(0.7)
    layer([scores, teacher, weights])
    chosen = weights > 0
    alone([one[chosen][None, None] for one in (scores, teacher)])
    assert float(layer.losses[0]) == pytest.approx(float(alone.losses[0]), rel=1e-5)
    nothing = LogitDistillation()
    nothing([scores, teacher, np.zeros_like(weights)])
    assert float(nothing.losses[0]) == 0.0


def test_maps_of_several_strides_are_put_together_towards_the_teachers_features():
    random = np.random.default_rng(0)
    predictions = random.normal(size=(2, 7)).astype("float32")
    wanted = random.normal(size=(2, 4, 6, 3)).astype("float32")
    weights = random.random((2, 4, 6)).astype("float32")
    coarse = random.normal(size=(2, 2, 3, 5)).astype("float32")
    fine = random.normal(size=(2, 4, 6, 2)).astype("float32")
    layer = FusedFeatureDistillation(1.5, (2, 1))
    given = layer([predictions, wanted, weights, coarse, fine])
    np.testing.assert_array_equal(np.array(given), predictions)
    first, bias, second, other = (np.array(one) for one in layer.weights)
    found = (coarse @ first[0, 0] + bias).repeat(2, axis=1).repeat(2, axis=2)
    found += fine @ second[0, 0] + other
    squares = ((found - wanted) ** 2).mean(axis=-1)
    expected = 1.5 * (squares * weights).sum() / weights.sum()
    assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-4)
    again = FusedFeatureDistillation.from_config(layer.get_config())
    assert (again.weight, again.factors) == (1.5, (2, 1))
