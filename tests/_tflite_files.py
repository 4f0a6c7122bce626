"""Writes small networks of 8 bits as TensorFlow Lite files, by TensorFlow's own schema."""

import warnings

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

_KINDS = schema.BuiltinOperator
_RELU6 = schema.ActivationFunctionType.RELU6


class Writer:
    """A network that grows layer by layer; tensors are told by their numbers.

    Numbers of layers with an activation go from 0 to 6, of others from about -8 to 8.
    """

    def __init__(self, gain=2.7):
        self._gain = gain
        self._random = np.random.default_rng(0)
        self._buffers = [schema.BufferT()]
        self.tensors, self.operators, self._codes = [], [], []
        self.input = None

    def buffer_of(self, number):
        """The bytes of a constant."""
        return self._buffers[self.tensors[number].buffer].data.tobytes()

    def picture(self, side, channels=3):
        self.input = self.tensor((1, side, side, channels), 1 / 128, 128)
        return self.input

    def tensor(self, shape, scale, zero, values=None, kind=schema.TensorType.UINT8):
        one = schema.TensorT()
        one.shape, one.type, one.buffer = list(shape), kind, 0
        one.name = f"tensor{len(self.tensors)}".encode()
        if scale is not None:
            one.quantization = schema.QuantizationParametersT()
            one.quantization.scale, one.quantization.zeroPoint = [scale], [zero]
        if values is not None:
            one.buffer = len(self._buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            self._buffers.append(buffer)
        self.tensors.append(one)
        return len(self.tensors) - 1

    def _add(self, kind, inputs, shape, options=None, relu=False, linear=(16 / 255, 128)):
        scale, zero = (6 / 255, 0) if relu else linear
        output = self.tensor(shape, scale, zero)
        if kind not in self._codes:
            self._codes.append(kind)
        one = schema.OperatorT()
        one.opcodeIndex = self._codes.index(kind)
        one.inputs, one.outputs = list(inputs), [output]
        if options is not None:
            one.builtinOptions = options
            name = type(options).__name__.removesuffix("T")
            one.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        self.operators.append(one)
        return output

    def _weights(self, source, kernel_shape, count):
        """A kernel whose sums stay within reach, and a bias."""
        scale = self._gain / np.sqrt(np.prod(kernel_shape) / max(kernel_shape[0], 1)) / 128
        kernel = self._random.integers(0, 256, kernel_shape).astype(np.uint8)
        steps = self.tensors[source].quantization.scale[0] * scale
        bias = self._random.integers(-500, 500, count).astype(np.int32)
        return (
            self.tensor(kernel_shape, scale, 120, kernel),
            self.tensor((count,), steps, 0, bias, schema.TensorType.INT32),
        )

    def convolution(self, source, filters, size=3, stride=1, relu=True, depthwise=False, holes=1):
        _, height, width, channels = self.tensors[source].shape
        if depthwise:
            kernel, filters = (1, size, size, channels), channels
            options, kind = schema.DepthwiseConv2DOptionsT(), _KINDS.DEPTHWISE_CONV_2D
            options.depthMultiplier = 1
        else:
            kernel = (filters, size, size, channels)
            options, kind = schema.Conv2DOptionsT(), _KINDS.CONV_2D
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = holes
        if relu:
            options.fusedActivationFunction = _RELU6
        inputs = (source, *self._weights(source, kernel, filters))
        shape = (1, -(-height // stride), -(-width // stride), filters)
        return self._add(kind, inputs, shape, options, relu)

    def add(self, first, second):
        return self._add(
            _KINDS.ADD, (first, second), self.tensors[first].shape, schema.AddOptionsT()
        )

    def average(self, source):
        _, height, width, channels = self.tensors[source].shape
        options = schema.Pool2DOptionsT()
        options.filterHeight, options.filterWidth = height, width
        options.strideH = options.strideW = options.padding = 1
        same = self.tensors[source].quantization
        linear = (same.scale[0], same.zeroPoint[0])
        shape = (1, 1, 1, channels)
        return self._add(_KINDS.AVERAGE_POOL_2D, (source,), shape, options, linear=linear)

    def enlarge(self, source, side):
        options = schema.ResizeBilinearOptionsT()
        options.alignCorners = True
        sides = np.array([side, side], np.int32)
        size = self.tensor((2,), None, 0, sides, schema.TensorType.INT32)
        same = self.tensors[source].quantization
        linear = (same.scale[0], same.zeroPoint[0])
        shape = (1, side, side, self.tensors[source].shape[3])
        return self._add(_KINDS.RESIZE_BILINEAR, (source, size), shape, options, linear=linear)

    def concatenation(self, first, second):
        shapes = [self.tensors[one].shape for one in (first, second)]
        options = schema.ConcatenationOptionsT()
        options.axis = 3
        shape = (*shapes[0][:3], shapes[0][3] + shapes[1][3])
        same = self.tensors[first].quantization
        linear = (same.scale[0], same.zeroPoint[0])
        return self._add(_KINDS.CONCATENATION, (first, second), shape, options, linear=linear)

    def logistic(self, source):
        return self._add(_KINDS.LOGISTIC, (source,), self.tensors[source].shape)

    def reshape(self, source, shape):
        size = self.tensor(
            (len(shape),), None, 0, np.array(shape, np.int32), schema.TensorType.INT32
        )
        same = self.tensors[source].quantization
        linear = (same.scale[0], same.zeroPoint[0])
        return self._add(_KINDS.RESHAPE, (source, size), shape, linear=linear)

    def softmax(self, source):
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        shape = self.tensors[source].shape
        return self._add(_KINDS.SOFTMAX, (source,), shape, options, linear=(1 / 256, 0))

    def write(self, path, *outputs):
        """The file; its outputs are these tensors."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [self.input], list(outputs)
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self._buffers
        model.operatorCodes = []
        for kind in self._codes:
            code = schema.OperatorCodeT()
            code.deprecatedBuiltinCode = code.builtinCode = kind
            code.version = 1
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def run_tflite(path, pictures):
    """What TensorFlow itself makes of uint8 pictures: real numbers."""
    from tensorflow.lite.python.interpreter import Interpreter

    with warnings.catch_warnings():
        # It tells of a package with the runtime alone.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    [source] = interpreter.get_input_details()
    [target] = interpreter.get_output_details()
    scale, zero = target["quantization"]
    found = []
    for picture in pictures:
        interpreter.set_tensor(source["index"], picture[None])
        interpreter.invoke()
        raw = interpreter.get_tensor(target["index"])[0]
        found.append((raw.astype(np.float32) - zero) * (scale or 1.0))
    return np.array(found)
