"""The losses of style transfer by hand, against SciPy, and by finite differences."""

import keras
import numpy as np
import pytest
import scipy.linalg

from cnnkit.ops.gradients import value_and_gradient
from cnnkit.ops.statistics import covariance_matrix, gram_matrix, mean_vector, precise_dtype
from cnnkit.tasks.stylize.layer_statistics import (
    LayerStatistics,
    feature_transform,
    interpolate_statistics,
    mask_at,
    mix_statistics,
)
from cnnkit.tasks.stylize.loss import (
    StylizeLoss,
    content_loss,
    content_loss_scale,
    gram_style_loss,
    layer_statistics,
    total_variation,
    wasserstein_style_loss,
)

CHANNELS = 4


def random(seed, *shape):
    return np.random.default_rng(seed).random(shape).astype("float32")


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def gaussian(seed, channels=CHANNELS, rank=None):
    """A random mean, and a random covariance of trace about `channels`."""
    generator = np.random.default_rng(seed)
    factor = generator.normal(size=(channels, rank or channels)) / np.sqrt(rank or channels)
    return generator.normal(size=channels), factor @ factor.T


def statistics(mean, covariance):
    return LayerStatistics(mean, covariance + np.outer(mean, mean))


def wasserstein_by_scipy(mean, covariance, other_mean, other_covariance):
    root = scipy.linalg.sqrtm(other_covariance)
    middle = scipy.linalg.sqrtm(root @ covariance @ root).real
    return np.sum((mean - other_mean) ** 2) + np.trace(covariance + other_covariance - 2.0 * middle)


def wasserstein(mean, covariance, other_mean, other_covariance):
    """The loss under test, from float64 arguments."""
    root = scipy.linalg.sqrtm(other_covariance).real
    arguments = (mean, covariance, other_mean, other_covariance, root)
    return float(wasserstein_style_loss(*(np.asarray(a, "float32") for a in arguments)))


def central_difference(function, point, direction, step):
    return (function(point + step * direction) - function(point - step * direction)) / (2 * step)


# Content -------------------------------------------------------------------------------------


def test_the_content_loss_is_half_the_sum_of_squares():
    generated = np.array([[[1.0, 2.0]], [[3.0, 4.0]]], "float32")
    content = np.array([[[1.0, 0.0]], [[0.0, 3.0]]], "float32")
    # (0 + 4 + 9 + 1) / 2
    assert float(content_loss(generated, content)) == 7.0


def test_the_scale_of_the_content_is_the_loss_of_its_mean():
    activations = random(0, 6, 5, 3)
    mean = np.broadcast_to(activations.mean(axis=(0, 1)), activations.shape)
    assert content_loss_scale(activations) == pytest.approx(
        float(content_loss(mean, activations)), rel=1e-5
    )


def test_a_flat_content_has_a_hundredth_of_its_energy_for_a_scale():
    # 1/2 * 1/100 * (4 * 5 positions) * (2^2 + 1^2)
    flat = np.broadcast_to(np.array([2.0, 1.0], "float32"), (4, 5, 2))
    assert content_loss_scale(flat) == pytest.approx(0.5 * 0.01 * 20 * 5)


def test_a_content_without_any_activation_has_a_scale_too():
    assert content_loss_scale(np.zeros((2, 2, 3), "float32")) == 1e-6


# Gram ----------------------------------------------------------------------------------------


def test_the_gram_loss_by_hand():
    generated = np.array([[2.0, 1.0], [1.0, 0.0]], "float32")
    style = np.array([[1.0, 1.0], [1.0, 2.0]], "float32")
    # ((2-1)^2 + 0 + 0 + (0-2)^2) / (2 * 2)^2 = 5 / 16
    assert float(gram_style_loss(generated, style)) == 5.0 / 16.0


def test_the_gram_loss_is_the_papers_where_the_sizes_are_equal():
    generated, style = random(1, 6, 7, CHANNELS), random(2, 6, 7, CHANNELS)
    summed = [np.einsum("ijk,ijl->kl", a, a) for a in (generated, style)]
    paper = np.sum((summed[0] - summed[1]) ** 2) / (2 * 6 * 7 * CHANNELS) ** 2
    ours = gram_style_loss(gram_matrix(generated), gram_matrix(style))
    assert float(ours) == pytest.approx(paper, rel=1e-4)


def test_a_style_picture_tiled_to_another_size_has_no_gram_loss():
    style = random(3, 4, 4, CHANNELS)
    tiled = np.tile(style, (2, 3, 1))
    assert float(gram_style_loss(gram_matrix(tiled), gram_matrix(style))) == pytest.approx(
        0.0, abs=1e-10
    )


# Wasserstein ---------------------------------------------------------------------------------


def test_the_wasserstein_loss_is_scipys():
    a, b = gaussian(4), gaussian(5)
    assert wasserstein(*a, *b) == pytest.approx(wasserstein_by_scipy(*a, *b), rel=1e-4)


@pytest.mark.skipif(precise_dtype() == "float32", reason="this backend has no float64")
def test_small_variances_do_not_make_the_wasserstein_loss_tremble():
    """As of activations: most directions of most channels vary little."""
    channels = 64
    spectrum = np.geomspace(1.0, 1e-6, channels)
    turned = [np.linalg.qr(gaussian(seed, channels)[1])[0] for seed in (20, 21)]
    first, second = (q @ np.diag(spectrum) @ q.T for q in turned)
    # What float32 keeps of it.
    first, second = (matrix.astype("float32").astype(float) for matrix in (first, second))
    zero = np.zeros(channels)
    expected = wasserstein_by_scipy(zero, first, zero, second)
    assert wasserstein(zero, first, zero, second) == pytest.approx(expected, rel=3e-6)


def test_the_wasserstein_loss_of_shifted_gaussians_is_the_squared_shift():
    mean, covariance = gaussian(6)
    # 3^2 in each of four directions
    assert wasserstein(mean + 3.0, covariance, mean, covariance) == pytest.approx(36.0, rel=1e-4)


def test_equal_gaussians_have_no_wasserstein_loss():
    mean, covariance = gaussian(7)
    assert wasserstein(mean, covariance, mean, covariance) == pytest.approx(0.0, abs=1e-4)


def test_the_wasserstein_loss_is_symmetric():
    a, b = gaussian(8), gaussian(9)
    assert wasserstein(*a, *b) == pytest.approx(wasserstein(*b, *a), rel=1e-3)


def test_the_gradient_of_the_wasserstein_loss_is_that_of_finite_differences():
    mean, covariance = gaussian(10)
    target_mean, target = gaussian(11)
    root = scipy.linalg.sqrtm(target).real
    constants = [np.asarray(a, "float32") for a in (target_mean, target, root)]

    def loss(x):  # (C + 1, C): the covariance, and the mean below it
        return wasserstein_style_loss(x[CHANNELS], x[:CHANNELS], *constants)

    point = np.concatenate([covariance, mean[None]])
    _, gradient = value_and_gradient(loss)(point)

    def by_scipy(x):
        return wasserstein_by_scipy(x[CHANNELS], x[:CHANNELS], target_mean, target)

    for seed in range(5):
        direction = np.random.default_rng(seed).normal(size=point.shape)
        direction[:CHANNELS] += direction[:CHANNELS].T
        expected = central_difference(by_scipy, point, direction, 1e-6)
        # PyTorch's float32 eigenvectors are less exact: 1.5e-3 off where others are 0.9e-3.
        near = 4e-3 if keras.backend.backend() == "torch" else 1e-3
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-3, abs=near)


def test_the_gradient_through_the_activations_is_that_of_finite_differences():
    activations = random(12, 5, 6, 3)
    target_mean, target = gaussian(13, channels=3)
    root = scipy.linalg.sqrtm(target).real
    constants = [np.asarray(a, "float32") for a in (target_mean, target, root)]

    def loss(x):
        return wasserstein_style_loss(mean_vector(x), covariance_matrix(x), *constants)

    def by_scipy(x):
        flat = x.reshape(-1, 3)
        covariance = np.cov(flat, rowvar=False, bias=True)
        return wasserstein_by_scipy(flat.mean(axis=0), covariance, target_mean, target)

    _, gradient = value_and_gradient(loss)(activations)
    for seed in range(3):
        direction = np.random.default_rng(seed).normal(size=activations.shape)
        expected = central_difference(by_scipy, activations.astype(float), direction, 1e-5)
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("kind", ["wasserstein", "gram"])
@pytest.mark.parametrize("style", ["random", "flat", "black"])
@pytest.mark.parametrize("image", ["random", "flat", "black", "one row"])
def test_value_and_gradient_are_finite_for_any_picture(kind, style, image):
    def picture(name, seed):
        pixels = random(seed, 8, 8, 3)
        if name == "flat":
            pixels[:] = 0.5
        elif name == "black":
            pixels[:] = 0.0
        elif name == "one row":
            pixels[1:] = pixels[:1]
        return pixels

    # Twelve channels that depend on three colours alone: a covariance of rank 3.
    mixing = random(14, 3, 12)

    def network(images):
        return {"layer": keras.ops.matmul(images, mixing)}

    target = layer_statistics(network(picture(style, 15)[None])["layer"][0])
    loss = StylizeLoss(
        network, picture(image, 16), "layer", {"layer": target}, {"layer": 1.0}, kind, gamma=1.0
    )
    value, gradient = value_and_gradient(lambda x: loss(x)[0])(picture(image, 16))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


# Total variation -----------------------------------------------------------------------------


def total_variation_by_numpy(image):
    down, right = np.diff(image, axis=0), np.diff(image, axis=1)
    return (np.sum(down**2) + np.sum(right**2)) / (image.shape[0] * image.shape[1])


@pytest.mark.parametrize("shape", [(2, 2, 3), (5, 7, 3), (6, 4, 1)])
def test_total_variation_is_numpys(shape):
    image = random(17, *shape)
    assert float(total_variation(image)) == pytest.approx(total_variation_by_numpy(image), rel=1e-4)


def test_a_flat_picture_has_no_total_variation():
    assert float(total_variation(np.full((4, 6, 3), 0.7, "float32"))) == pytest.approx(0, abs=1e-6)


def test_the_gradient_of_the_total_variation_is_that_of_finite_differences():
    image = random(18, 5, 4, 3)
    _, gradient = value_and_gradient(total_variation)(image)
    for index in [(0, 0, 0), (4, 3, 2), (2, 0, 1), (2, 2, 0)]:
        direction = np.zeros(image.shape)
        direction[index] = 1.0
        expected = central_difference(
            total_variation_by_numpy, image.astype(float), direction, 1e-5
        )
        assert gradient[index] == pytest.approx(expected, abs=1e-5)


# Statistics ----------------------------------------------------------------------------------


def distance(a, b):
    return np.sqrt(wasserstein_by_scipy(a.mean, a.covariance, b.mean, b.covariance))


def test_layer_statistics_are_the_moments_in_float64():
    activations = random(19, 3, 4, 2)
    found = layer_statistics(activations)
    np.testing.assert_allclose(found.mean, activations.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(
        found.covariance, np.cov(activations.reshape(-1, 2).T, bias=True), atol=1e-6
    )
    assert found.gram.dtype == found.mean.dtype == np.float64


def test_mixed_statistics_are_those_of_the_pictures_side_by_side():
    left, right = random(20, 4, 3, 2), random(21, 4, 9, 2)
    mixed = mix_statistics([layer_statistics(left), layer_statistics(right)], [3.0, 9.0])
    together = layer_statistics(np.concatenate([left, right], axis=1))
    np.testing.assert_allclose(mixed.mean, together.mean, rtol=1e-5)
    np.testing.assert_allclose(mixed.gram, together.gram, rtol=1e-5)


def test_only_the_ratio_of_the_shares_counts():
    parts = [statistics(*gaussian(22)), statistics(*gaussian(23))]
    a, b = mix_statistics(parts, [0.7, 0.3]), mix_statistics(parts, [7, 3])
    np.testing.assert_allclose(a.gram, b.gram)


def test_one_style_is_itself():
    only = statistics(*gaussian(24))
    np.testing.assert_array_equal(mix_statistics([only], [0.4]).gram, only.gram)


def test_strength_one_is_the_style_and_zero_the_content():
    content, style = statistics(*gaussian(25)), statistics(*gaussian(26))
    assert interpolate_statistics(content, style, 1.0) is style
    assert interpolate_statistics(content, style, 0.0) is content


def test_the_path_reaches_its_ends_without_a_jump():
    content, style = statistics(*gaussian(25)), statistics(*gaussian(26))
    for strength, end in ((1e-6, content), (1 - 1e-6, style)):
        near = interpolate_statistics(content, style, strength)
        np.testing.assert_allclose(near.gram, end.gram, atol=1e-4)


@pytest.mark.parametrize("rank", [CHANNELS, 2])
def test_the_distance_from_the_content_grows_in_proportion_to_strength(rank):
    content = statistics(*gaussian(27, rank=rank))
    style = statistics(*gaussian(28))
    whole = distance(content, style)
    for strength in (0.25, 0.5, 0.75):
        between = interpolate_statistics(content, style, strength)
        # The ridge that keeps roots differentiable bends the path by a little.
        assert distance(content, between) == pytest.approx(strength * whole, rel=0.02)
        assert distance(between, style) == pytest.approx((1 - strength) * whole, rel=0.03)


def test_flat_contents_and_styles_have_a_path_between_them():
    zero = np.zeros((CHANNELS, CHANNELS))
    content, style = statistics(np.ones(CHANNELS), zero), statistics(np.zeros(CHANNELS), zero)
    half = interpolate_statistics(content, style, 0.5)
    assert np.isfinite(half.gram).all()
    np.testing.assert_allclose(half.mean, 0.5)


# The whole loss ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    """Two layers of random filters, the second at half the size."""
    inputs = keras.Input((None, None, 3))
    fine = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    coarse = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(
        keras.layers.AveragePooling2D(2)(fine)
    )
    model = keras.Model(inputs, {"fine": fine, "coarse": coarse})
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(0, 0.3, w.shape) for w in model.get_weights()])
    return model


LAYERS = {"fine": 1.0, "coarse": 3.0}


def measure(network, image, weights=None):
    return {
        layer: layer_statistics(
            maps[0], None if weights is None else mask_at(weights, *maps.shape[1:3])
        )
        for layer, maps in network(image[None]).items()
    }


def whole_loss(network, content, style, kind="wasserstein", mask=None, **weights):
    return StylizeLoss(
        network, content, "coarse", measure(network, style), LAYERS, kind, mask=mask, **weights
    )


def parts(loss, image):
    total, found = loss(image)
    numbers = {name: float(keras.ops.convert_to_numpy(value)) for name, value in found.items()}
    return float(keras.ops.convert_to_numpy(total)), numbers


@pytest.mark.parametrize("kind", ["wasserstein", "gram"])
def test_the_style_picture_itself_has_no_style_loss(network, kind):
    content, style = random(30, 16, 12, 3), random(31, 16, 12, 3)
    _, found = parts(whole_loss(network, content, style, kind), style)
    assert found["style"] == pytest.approx(0.0, abs=2e-4)
    assert found["content"] > 0.1


@pytest.mark.parametrize("kind", ["wasserstein", "gram"])
def test_the_content_itself_has_no_content_loss(network, kind):
    content, style = random(30, 16, 12, 3), random(31, 16, 12, 3) ** 3
    _, found = parts(whole_loss(network, content, style, kind), content)
    assert found["content"] == 0.0
    assert found["style"] > 1e-3


@pytest.mark.parametrize("kind", ["wasserstein", "gram"])
def test_activations_that_are_all_zero_have_a_style_loss_of_one(network, kind):
    style = random(32, 16, 16, 3)

    def dead(images):
        return {layer: 0.0 * maps for layer, maps in network(images).items()}

    loss = StylizeLoss(dead, style, "coarse", measure(network, style), LAYERS, kind)
    # The ridge stands in for the missing variance: 1 - O(sqrt(1e-3)).
    assert parts(loss, style)[1]["style"] == pytest.approx(1.0, abs=0.05)


def test_a_picture_without_its_content_has_a_content_loss_of_one():
    # The identity as a network: the mean colour has lost all content.
    content = random(33, 8, 8, 3)
    target = {"rgb": layer_statistics(content)}
    loss = StylizeLoss(lambda images: {"rgb": images}, content, "rgb", target, {"rgb": 1.0})
    mean = np.broadcast_to(content.mean(axis=(0, 1)), content.shape).astype("float32")
    assert parts(loss, mean)[1]["content"] == pytest.approx(1.0, rel=1e-4)


def test_the_total_is_the_weighted_sum(network):
    content, style, image = (random(seed, 16, 12, 3) for seed in (34, 35, 36))
    loss = whole_loss(network, content, style, alpha=0.3, beta=2.0, gamma=5.0)
    total, found = parts(loss, image)
    assert total == pytest.approx(
        0.3 * found["content"] + 2.0 * found["style"] + 5.0 * found["tv"], rel=1e-5
    )
    assert found["tv"] == pytest.approx(total_variation_by_numpy(image), rel=1e-4)


def test_layers_count_by_their_share(network):
    content, style, image = (random(seed, 16, 12, 3) ** (seed - 33) for seed in (34, 35, 36))
    target = measure(network, style)

    def style_loss(weights):
        loss = StylizeLoss(network, content, "coarse", target, weights)
        return parts(loss, image)[1]["style"]

    fine, coarse = style_loss({"fine": 1.0}), style_loss({"coarse": 1.0, "fine": 0.0})
    assert style_loss({"fine": 1.0, "coarse": 3.0}) == pytest.approx(
        0.25 * fine + 0.75 * coarse, rel=1e-3
    )


@pytest.mark.parametrize("kind", ["wasserstein", "gram"])
def test_a_mask_of_ones_is_no_mask(network, kind):
    content, style, image = (random(seed, 16, 16, 3) for seed in (37, 38, 39))
    ones = np.ones((16, 16), "float32")
    with_mask = parts(whole_loss(network, content, style, kind, mask=ones), image)
    without = parts(whole_loss(network, content, style, kind), image)
    assert with_mask[0] == pytest.approx(without[0], rel=1e-3)


def test_style_is_measured_inside_of_the_mask_only(network):
    content, style = random(40, 32, 32, 3), random(41, 32, 32, 3)
    mask = np.zeros((32, 32), "float32")
    mask[:, 16:] = 1.0
    loss = whole_loss(network, content, style, mask=mask)
    image = content.copy()
    before = parts(loss, image)[1]["style"]
    # Six columns away from the mask no filter sees the change.
    image[:, :10] = 0.0
    assert parts(loss, image)[1]["style"] == pytest.approx(before, rel=1e-4)
    image[:, 26:] = 0.0
    assert parts(loss, image)[1]["style"] != pytest.approx(before, rel=1e-2)


def test_a_mask_is_averaged_down_to_a_layer():
    mask = np.array([[1, 0, 1, 1], [0, 0, 1, 1]], "float32")
    # (1 + 0 + 0 + 0) / 4 and 4 / 4
    np.testing.assert_array_equal(mask_at(mask, 1, 2), [[0.25, 1.0]])
    np.testing.assert_array_equal(mask_at(mask, 2, 4), mask)


@pytest.mark.parametrize("kind", ["wasserstein", "gram"])
def test_the_gradient_of_the_whole_loss_is_that_of_finite_differences(network, kind):
    # Smooth activations: a ReLU that switches would spoil the differences.
    def smooth(images):
        return {layer: keras.ops.tanh(maps) + 0.3 for layer, maps in network(images).items()}

    content, style, image = (random(seed, 12, 12, 3) for seed in (42, 43, 44))
    target = {layer: layer_statistics(maps[0]) for layer, maps in smooth(style[None] ** 2).items()}
    loss = StylizeLoss(smooth, content, "coarse", target, LAYERS, kind, gamma=0.1)
    evaluate = value_and_gradient(lambda x: loss(x)[0])
    _, gradient = evaluate(image)
    # Along the gradient the slope is its length, and float32 can tell.
    direction = gradient / np.linalg.norm(gradient)
    slope = central_difference(lambda x: evaluate(x)[0], image, direction, 1e-2)
    assert slope == pytest.approx(np.linalg.norm(gradient), rel=0.03)


def transform_ridge(target):
    """What `feature_transform` adds to both covariances."""
    return 1e-2 * np.trace(target.gram) / CHANNELS


def test_a_transported_distribution_has_the_moments_of_the_target():
    source, target = statistics(*gaussian(1)), statistics(*gaussian(2))
    matrix, offset = feature_transform(source, target)
    np.testing.assert_allclose(source.mean @ matrix + offset, target.mean, atol=1e-5)
    ridge = transform_ridge(target) * np.eye(CHANNELS)
    mapped = matrix.T @ (source.covariance + ridge) @ matrix
    np.testing.assert_allclose(mapped, target.covariance + ridge, atol=1e-4)


def test_adain_reaches_the_variance_of_each_channel_by_itself():
    source, target = statistics(*gaussian(3)), statistics(*gaussian(4))
    matrix, offset = feature_transform(source, target, "adain")
    np.testing.assert_array_equal(matrix, np.diag(np.diag(matrix)))
    np.testing.assert_allclose(source.mean @ matrix + offset, target.mean, atol=1e-5)
    ridge = transform_ridge(target)
    mapped = np.diag(matrix) ** 2 * (np.diag(source.covariance) + ridge)
    np.testing.assert_allclose(mapped, np.diag(target.covariance) + ridge, atol=1e-4)


@pytest.mark.parametrize("kind", ["wct", "adain"])
def test_a_direction_without_variance_is_not_amplified(kind):
    mean, covariance = gaussian(5)
    covariance[0] = covariance[:, 0] = 0.0
    target = statistics(*gaussian(6))
    matrix, _ = feature_transform(statistics(mean, covariance), target, kind)
    ridge = transform_ridge(target)
    most = np.sqrt((np.linalg.eigvalsh(target.covariance)[-1] + ridge) / ridge)
    assert np.linalg.norm(matrix, 2) <= 1.001 * most


def test_a_held_picture_adds_its_weighted_squared_difference(network):
    content, style, image, held = (random(seed, 16, 12, 3) for seed in (50, 51, 52, 53))
    loss = whole_loss(network, content, style)
    before, _ = parts(loss, image)
    weight = random(54, 16, 12)
    loss.hold(held, weight)
    after, _ = parts(loss, image)
    expected = np.mean(weight * np.sum((image - held) ** 2, axis=-1))
    assert after - before == pytest.approx(expected, rel=1e-4)
