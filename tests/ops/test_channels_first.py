import numpy as np
import pytest

openvino = pytest.importorskip("openvino")
opset = pytest.importorskip("openvino.opset16")

from cnnkit.ops._channels_first import put_channels_first  # noqa: E402

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def convolve(x, filters, channels, seed=0):
    """A convolution as Keras makes it: of the channels last, between two transpositions."""
    kernel = np.random.default_rng(seed).normal(size=(filters, channels, 3, 3)).astype(np.float32)
    x = opset.transpose(x, np.array(TO_FIRST))
    x = opset.convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    return opset.transpose(x, np.array(TO_LAST))


def run(graph, x):
    # By itself it computes in bfloat16 where the processor can.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(graph, "CPU", exact)([x]).to_tuple()


def count(graph):
    return sum(one.get_type_name() == "Transpose" for one in graph.get_ops())


def pictures():
    return opset.parameter([-1, -1, -1, 2], np.float32)


BIAS = np.array([0.5, -1.0, 2.0], np.float32)
BETWEEN = {
    "bias": lambda x: opset.add(x, BIAS),
    "reshaped bias": lambda x: opset.add(
        x, opset.reshape(opset.constant(BIAS), np.array([1, 1, 1, 3]), False)
    ),
    "scalar before": lambda x: opset.subtract(opset.constant(np.float32(3.0)), x),
    "relu": opset.relu,
    "relu6": lambda x: opset.clamp(x, 0.0, 6.0),
    "silu": opset.swish,
    "gate": lambda x: opset.multiply(x, opset.sigmoid(x)),
    "pad": lambda x: opset.pad(x, np.array([0, 1, 2, 0]), np.array([0, 0, 3, 0]), "reflect"),
    "concatenation": lambda x: opset.concat([x, opset.relu(x)], 3),
    "softmax": lambda x: opset.softmax(x, -1),
    "places": lambda x: opset.gather(x, np.array([0, 0, 1, 3]), np.int64(2)),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_lies_between_two_convolutions_gives_the_same_without_transpositions(name):
    def build():
        inputs = pictures()
        x = BETWEEN[name](convolve(inputs, 3, 2))
        channels = 6 if name == "concatenation" else 3
        return openvino.Model([convolve(x, 2, channels, 1)], [inputs])

    x = np.random.default_rng(2).normal(size=(2, 5, 7, 2)).astype(np.float32)
    plain, changed = build(), build()
    assert put_channels_first(changed)
    # What is left is that of the input and that of the output.
    assert (count(plain), count(changed)) == (4, 2)
    np.testing.assert_allclose(run(changed, x)[0], run(plain, x)[0], rtol=1e-5, atol=1e-5)


def test_shapes_are_those_of_the_channels_last():
    inputs = pictures()
    x = convolve(inputs, 3, 2)
    graph = openvino.Model([opset.shape_of(x), convolve(x, 1, 3)], [inputs])
    put_channels_first(graph)
    found = run(graph, np.zeros((1, 4, 6, 2), np.float32))
    assert found[0].tolist() == [1, 4, 6, 3]


def test_what_treats_channels_in_another_way_is_left_alone():
    def build():
        inputs = pictures()
        x = convolve(inputs, 4, 2)
        flat = opset.reshape(x, np.array([0, -1]), True)
        mean = opset.reduce_mean(x, np.array([1, 2]), True)
        return openvino.Model([flat, opset.multiply(x, mean)], [inputs])

    x = np.random.default_rng(0).normal(size=(1, 3, 4, 2)).astype(np.float32)
    plain, changed = build(), build()
    put_channels_first(changed)
    for ours, theirs in zip(run(changed, x), run(plain, x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
