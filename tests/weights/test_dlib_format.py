"""The reader against files written here, part by part, from the description of dlib's format."""

import contextlib
import dataclasses
import re

import numpy as np
import pytest

from cnnkit.errors import ExitCode, WeightsError
from cnnkit.weights import entry, locate, package_dir
from cnnkit.weights.dlib_format import (
    FaceDetectorWeights,
    FaceEncoderWeights,
    ShapePredictorWeights,
    read_face_detector,
    read_face_encoder,
    read_shape_predictor,
)

# Writing --------------------------------------------------------------------------------------


def integer(value):
    magnitude = abs(value)
    data = magnitude.to_bytes(max(1, (magnitude.bit_length() + 7) // 8), "little")
    return bytes([len(data) | (0x80 if value < 0 else 0)]) + data


def integers(*values):
    return b"".join(map(integer, values))


def real(value):
    # A float32 has 24 bits of mantissa.
    mantissa, exponent = np.frexp(value)
    return integers(int(mantissa * 2**24), int(exponent) - 24)


def reals(*values):
    return b"".join(map(real, values))


def boolean(value):
    return b"1" if value else b"0"


def text(value):
    return integer(len(value)) + value.encode()


def tensor(array, shape=None):
    array = np.asarray(array, "<f4")
    sizes = shape or (array.shape if array.ndim == 4 else (1, array.size, 1, 1))
    return integers(2, *sizes) + array.tobytes()


def shape(*sizes):
    return integers(1, *sizes)


EMPTY = integers(2, 0, 0, 0, 0)


def convolution(kernel, bias, stride=1, padding=0, tag="con_4"):
    """`kernel` is `(out, in, rows, columns)`, as dlib has it."""
    filters, _, rows, columns = kernel.shape
    parameters = np.concatenate([kernel.ravel(), np.ravel([] if bias is None else bias)])
    data = text(tag) + tensor(parameters)
    data += integers(filters, rows, columns, stride, stride, padding, padding)
    data += shape(*kernel.shape)
    data += shape(0, 0, 0, 0) if bias is None else shape(1, filters, 1, 1)
    data += reals(1, 1, 1, 0)
    if tag != "con_4":
        data += boolean(bias is not None)
    return data + (boolean(False) if tag == "con_6" else b"")


def affine(gain, offset, tag="affine_"):
    data = text(tag) + tensor(np.concatenate([gain, offset]))
    data += shape(1, len(gain), 1, 1) * 2 + integer(0)
    return data + (boolean(False) if tag == "affine_2" else b"")


def normalisation(gain, offset, mean, variance, epsilon):
    data = text("bn_con2") + tensor(np.concatenate([gain, offset])) + shape(1, len(gain), 1, 1) * 2
    data += EMPTY * 2 + tensor(mean) + tensor(variance)
    return data + integers(5, 100) + reals(1, 1, 1, 0) + real(epsilon)


def projection(kernel, tag="fc_2"):
    inputs, outputs = kernel.shape
    data = text(tag) + integers(outputs, inputs) + tensor(kernel, (inputs, outputs, 1, 1))
    data += shape(inputs, outputs, 1, 1) + shape(0, 0, 0, 0) + integer(1) + reals(1, 1, 1, 0)
    return data + (boolean(True) if tag == "fc_3" else b"")


STATE = b"110" + EMPTY * 3
STATE_WITHOUT_GRADIENT = b"110" + EMPTY * 2


def encoder_layers(dialect=0):
    """`(wrapper, details)` from the output to the input; all layers have one or two channels."""
    generator = np.random.default_rng(0)
    tags = ("con_4", "con_5", "con_6")
    relu = text("relu_") if dialect == 0 else text("relu_2") + boolean(False)
    add = text("add_prev_")
    average = text("avg_pool_2") + integers(2, 2, 2, 2, 0, 0)
    channels = [3, 1] + [2] * 28

    def two(index, is_smaller):
        """The convolutions of a block, numbered in forward order, output first."""
        for number in (index + 1, index):
            out = channels[number + 1]
            kernel = generator.normal(size=(out, channels[number], 3, 3)).astype("f4")
            stride = 2 if is_smaller and number == index else 1
            yield convolution(kernel, np.arange(out), stride, stride == 1, tags[dialect])

    def scaling(number):
        out = channels[number + 1]
        return affine(np.full(out, 2.0), np.full(out, 3.0), "affine_2" if dialect else "affine_")

    def block(index, is_smaller):
        second, first = two(index, is_smaller)
        layers = [("layer", relu), ("layer", add)]
        if is_smaller:
            layers += [("layer", average), ("skip", b""), ("tag", b"")]
        layers += [("layer", scaling(index + 1)), ("layer", second), ("layer", relu)]
        return [*layers, ("layer", scaling(index)), ("layer", first), ("tag", b"")]

    # 14 blocks in forward order; the stem is convolution 0.
    smaller = [False] * 3 + [True] + [False] * 3 + [True] + [False] * 2 + [True] + [False] * 2
    smaller.append(True)
    fc = projection(np.arange(6.0).reshape(2, 3), "fc_3" if dialect else "fc_2")
    layers = [("layer", fc), ("layer", text("avg_pool_2") + integers(0, 0, 1, 1, 0, 0))]
    for number in reversed(range(14)):
        layers += block(1 + 2 * number, smaller[number])
    layers += [("layer", text("max_pool_2") + integers(3, 3, 2, 2, 0, 0)), ("layer", relu)]
    layers += [("layer", affine([2.0], [3.0]))]
    stem = np.arange(3 * 49).reshape(1, 3, 7, 7).astype("f4")
    return [*layers, ("layer", convolution(stem, [5.0], 2, 0, "con_4"))]


def network(layers, start, first_version=2, layer_version=2):
    """Versions outside in, payloads inside out."""
    *wrappers, (_, first) = layers
    data = b"".join(integer(layer_version if kind == "layer" else 1) for kind, _ in wrappers)
    data += integer(first_version) + start + first + STATE
    if first_version == 3:
        data += integer(1)
    state = STATE if layer_version == 2 else STATE_WITHOUT_GRADIENT
    for kind, details in reversed(wrappers):
        data += details + state if kind == "layer" else b""
    return data


SIZED = text("input_rgb_image_sized") + reals(122.5, 117.0, 104.25) + integers(150, 150)


def encoder_file(dialect=0):
    loss = text("loss_metric_") if dialect else text("loss_metric_2") + reals(0.04, 0.6)
    versions = {"first_version": 3, "layer_version": 1} if dialect else {}
    return integer(1) + loss + network(encoder_layers(dialect), SIZED, **versions)


DETECTOR_START = text("input_rgb_image_pyramid") + reals(122.5, 117.0, 104.25)
DETECTOR_LOSS = text("loss_mmod_") + integers(1, 80, 80)


def detector_file(start=DETECTOR_START, overlap=0.375):
    relu = text("relu_")
    layers = [("layer", convolution(np.ones((1, 1, 9, 9), "f4"), [0.5], 1, 4))]
    for number in reversed(range(6)):
        kernel = np.ones((1, 1 if number else 3, 5, 5), "f4")
        norm = normalisation([6.0], [0.5], [2.0], [3.75], 0.25)
        conv = convolution(kernel, [1.0], 2 if number < 3 else 1, 2 if number > 2 else 0)
        layers += [("layer", relu), ("layer", norm), ("layer", conv)]
    loss = DETECTOR_LOSS + reals(1, 1, 0.5) + reals(overlap, 1) + reals(0.5, 1)
    return integer(1) + loss + network(layers, start, first_version=3)


def matrix(values):
    return integers(-len(values), -1) + reals(*values)


def predictor_file(points=2, cascades=2, trees=2, leaf=1.0):
    generator = np.random.default_rng(1)
    data = integer(1) + matrix(np.arange(2 * points) / 8)
    data += integer(cascades)
    for _ in range(cascades):
        data += integer(trees)
        for _ in range(trees):
            data += integer(3)
            for _ in range(3):
                data += integers(*generator.integers(0, 4, 2).tolist()) + real(0.5)
            data += integer(4)
            data += b"".join(matrix([leaf * index] * (2 * points)) for index in range(4))
    data += integer(cascades) + (integer(4) + integers(0, 1, 0, 1)) * cascades
    return data + integer(cascades) + (integer(4) + reals(*np.arange(8) / 16)) * cascades


FILES = {
    "encoder": (encoder_file, read_face_encoder),
    "detector": (detector_file, read_face_detector),
    "predictor": (predictor_file, read_shape_predictor),
}


@pytest.fixture
def written(tmp_path):
    def write(data):
        path = tmp_path / "weights.dat"
        path.write_bytes(data)
        return path

    return write


# Reading what was written ---------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [0, 1, 2])
def test_the_encoder_is_read_in_every_dialect(written, dialect):
    weights = read_face_encoder(written(encoder_file(dialect)))
    assert len(weights.convolutions) == 29
    assert weights.size == 150
    assert weights.mean_rgb == (122.5, 117.0, 104.25)
    np.testing.assert_array_equal(weights.projection, np.arange(6.0).reshape(2, 3))
    strides = [convolution.stride for convolution in weights.convolutions]
    # The stem and the first convolution of the blocks 4, 8, 11 and 14.
    assert [index for index, stride in enumerate(strides) if stride == 2] == [0, 7, 15, 21, 27]


def test_the_scaling_is_folded_into_the_convolution(written):
    stem = read_face_encoder(written(encoder_file())).convolutions[0]
    # dlib's (out, in, row, column) holds 0, 1, 2, ...: channel 1, row 2, column 3 is 49 + 14 + 3,
    # times the gain 2.
    assert stem.kernel.shape == (7, 7, 3, 1)
    assert stem.kernel[2, 3, 1, 0] == 132.0
    # Bias 5 times gain 2 plus offset 3.
    assert stem.bias.tolist() == [13.0]


def test_a_convolution_without_bias_gets_that_of_the_scaling(written):
    layers = encoder_layers(1)
    kind, _ = layers[-1]
    stem = convolution(np.ones((1, 3, 7, 7), "f4"), None, 2, 0, "con_5")
    loss = integer(1) + text("loss_metric_")
    weights = read_face_encoder(written(loss + network([*layers[:-1], (kind, stem)], SIZED)))
    assert weights.convolutions[0].bias.tolist() == [3.0]


@pytest.mark.parametrize(
    "start",
    [
        DETECTOR_START,
        text("input_rgb_image_pyramid2") + reals(122.5, 117.0, 104.25) + integers(10, 11),
        # Very old files hold numbers as text.
        text("input_rgb_image_pyramid") + b"122.5 117 104.25 ",
    ],
)
def test_the_detector_is_read_with_batch_normalisation_folded(written, start):
    weights = read_face_detector(written(detector_file(start)))
    assert weights.mean_rgb == (122.5, 117.0, 104.25)
    assert (weights.window, weights.overlap) == (80, 0.375)
    assert [one.padding for one in weights.convolutions] == [0, 0, 0, 2, 2, 2, 4]
    first, last = weights.convolutions[0], weights.convolutions[-1]
    # gain 6 / sqrt(3.75 + 0.25) = 3; bias 1 * 3 + 0.5 - 3 * 2
    np.testing.assert_array_equal(first.kernel, np.full((5, 5, 3, 1), 3.0))
    assert first.bias.tolist() == [-2.5]
    assert last.bias.tolist() == [0.5]


def test_the_trees_are_read_in_order(written):
    weights = read_shape_predictor(written(predictor_file()))
    assert weights.initial_shape.tolist() == [[0.0, 0.125], [0.25, 0.375]]
    assert weights.anchors.tolist() == [[0, 1, 0, 1]] * 2
    assert weights.offsets[1].tolist() == (np.arange(8) / 16).reshape(4, 2).tolist()
    assert weights.first.shape == weights.second.shape == weights.thresholds.shape == (2, 2, 3)
    assert weights.leaves.shape == (2, 2, 4, 2, 2)
    assert weights.leaves[1, 1, :, 1, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    # The same generator as the writer's, which draws both pixels of a split at a time.
    drawn = np.random.default_rng(1)
    expected = np.array([drawn.integers(0, 4, 2) for _ in range(12)])
    np.testing.assert_array_equal(weights.first.ravel(), expected[:, 0])
    np.testing.assert_array_equal(weights.second.ravel(), expected[:, 1])


@pytest.mark.parametrize("value", [0.0, 1.0, -0.375, 1e-30, 3e38, 122.78199768066406])
def test_floats_come_back_exactly(written, value):
    start = text("input_rgb_image_pyramid") + real(np.float32(value)) + reals(0, 0)
    assert read_face_detector(written(detector_file(start))).mean_rgb[0] == np.float32(value)


@pytest.mark.parametrize(
    ("exponent", "value"), [(32000, np.inf), (32001, -np.inf), (32002, np.nan)]
)
def test_numbers_that_are_not_finite_have_an_exponent_of_their_own(written, exponent, value):
    start = text("input_rgb_image_pyramid") + integers(0, exponent) + reals(0, 0)
    mean = read_face_detector(written(detector_file(start))).mean_rgb
    np.testing.assert_equal(mean[0], value)


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("encoder", FaceEncoderWeights),
        ("detector", FaceDetectorWeights),
        ("predictor", ShapePredictorWeights),
    ],
)
def test_arrays_give_the_weights_back(written, kind, weights):
    make, read = FILES[kind]
    before = read(written(make()))
    after = weights.from_arrays(before.to_arrays())
    for field in dataclasses.fields(weights):
        one, other = getattr(before, field.name), getattr(after, field.name)
        if field.name == "convolutions":
            for left, right in zip(one, other, strict=True):
                assert (left.stride, left.padding) == (right.stride, right.padding)
                np.testing.assert_array_equal(left.kernel, right.kernel)
                np.testing.assert_array_equal(left.bias, right.bias)
        else:
            np.testing.assert_array_equal(one, other)
            assert type(one) is type(other)


# Refusing what is not whole -------------------------------------------------------------------


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_cut_off_anywhere_is_refused_in_one_line(written, kind):
    make, read = FILES[kind]
    whole = make()
    offsets = {0, 1, 2, len(whole) - 1, *range(3, len(whole), max(1, len(whole) // 150))}
    for offset in offsets:
        path = written(whole[:offset])
        with pytest.raises(WeightsError, match=re.escape(str(path))) as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith(
            "run: pip install --force-reinstall face_recognition_models"
        )
        assert caught.value.exit_code == ExitCode.WEIGHTS_MISSING


@pytest.mark.parametrize("kind", FILES)
def test_bytes_after_the_end_are_refused(written, kind):
    make, read = FILES[kind]
    with pytest.raises(WeightsError, match="too many at its end"):
        read(written(make() + integer(0)))


@pytest.mark.parametrize("kind", FILES)
def test_another_version_is_refused(written, kind):
    make, read = FILES[kind]
    with pytest.raises(WeightsError, match="version"):
        read(written(integer(9) + make()[2:]))


@pytest.mark.parametrize("kind", FILES)
def test_the_file_of_another_model_is_refused(written, kind):
    _, read = FILES[kind]
    for other, (make, _) in FILES.items():
        if other != kind:
            with pytest.raises(WeightsError, match="cannot be read as dlib's"):
                read(written(make()))


@pytest.mark.parametrize("kind", FILES)
def test_a_changed_byte_is_either_harmless_or_refused(written, kind):
    make, read = FILES[kind]
    whole = make()
    generator = np.random.default_rng(2)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[generator.integers(len(whole))] = generator.integers(256)
        # Any other error, and any warning, fails the test.
        with contextlib.suppress(WeightsError):
            read(written(bytes(damaged)))


def test_an_absurd_count_is_refused_before_memory_is_taken(written):
    # A tensor of 2^40 numbers in a file of some bytes.
    huge = text("con_4") + integers(2, 2**20, 2**20, 1, 1)
    layers = [*encoder_layers()[:-1], ("layer", huge)]
    data = integer(1) + text("loss_metric_") + network(layers, SIZED)
    with pytest.raises(WeightsError, match="impossible sizes"):
        read_face_encoder(written(data))
    with pytest.raises(WeightsError, match="impossible number of cascades: 1099511627776"):
        read_shape_predictor(written(integer(1) + matrix([0, 0]) + integer(2**40)))


def test_layers_that_do_not_fit_together_are_refused(written):
    layers = encoder_layers()
    stem = convolution(np.ones((1, 4, 7, 7), "f4"), [0.0], 2)
    data = integer(1) + text("loss_metric_") + network([*layers[:-1], ("layer", stem)], SIZED)
    with pytest.raises(WeightsError, match="do not fit together"):
        read_face_encoder(written(data))


def test_trees_that_look_at_no_pixel_are_refused(written):
    # The last list of offsets has one pixel too few for the splits.
    data = predictor_file(cascades=1)
    few = data.replace(integer(4) + integers(0, 1, 0, 1), integer(1) + integers(0))
    few = few.replace(integer(4) + reals(*np.arange(8) / 16), integer(1) + reals(0, 0))
    assert few != data
    with pytest.raises(WeightsError, match="looks at no pixel"):
        read_shape_predictor(written(few))


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(WeightsError, match="No such file or directory"):
        read_face_encoder(tmp_path / "none.dat")


# The files themselves -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["face-encoder", "face-detector", "face-landmarks"])
def test_dlibs_own_files_are_the_pinned_ones(name):
    assert locate(name) == package_dir("face_recognition_models") / entry(name).file_name


def test_dlibs_encoder_has_5_6_million_parameters():
    weights = read_face_encoder(locate("face-encoder"))
    count = sum(one.kernel.size + one.bias.size for one in weights.convolutions)
    assert count + weights.projection.size == 5_607_488
    assert weights.projection.shape == (256, 128)
    np.testing.assert_allclose(weights.mean_rgb, (122.782, 117.001, 104.298), rtol=1e-6)


def test_dlibs_detector_has_180_711_parameters():
    weights = read_face_detector(locate("face-detector"))
    assert sum(one.kernel.size + one.bias.size for one in weights.convolutions) == 180_711
    assert weights.window == 80
    assert weights.overlap == pytest.approx(0.338276)


def test_dlibs_predictor_has_15_cascades_of_500_trees():
    weights = read_shape_predictor(locate("face-landmarks"))
    assert weights.leaves.shape == (15, 500, 16, 5, 2)
    assert weights.anchors.shape == (15, 800)
