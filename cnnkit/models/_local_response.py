"""Local response normalisation, as AlexNet and GoogLeNet have it."""

import keras


@keras.saving.register_keras_serializable(package="cnnkit")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each activation by what its neighbours among the channels do at the same place.

    `b[c] = a[c] / (k + alpha * sum_{j = c - n/2}^{c + n/2} a[j]^2)^beta`, the sum cut off at the
    first and last channel (Krizhevsky, Sutskever & Hinton 2012, section 3.3). Some frameworks
    divide alpha by n; the paper does not, and neither does this.

    Args:
        size: n, the number of channels in the sum; odd.
        k: keeps the divisor from 0.
        alpha: weight of the sum.
        beta: exponent.

    Input and output: `(..., channels)`.

    Raises:
        ValueError: an even size, or one below 1.

    Example:

    >>> layer = LocalResponseNormalization(size=3, k=1.0, alpha=1.0, beta=1.0)
    >>> # 1 / (1 + 1 + 0), 0 / (1 + 1 + 0 + 9), 3 / (1 + 0 + 9 + 1), 1 / (1 + 9 + 1)
    >>> keras.ops.convert_to_numpy(layer(keras.ops.array([[1.0, 0.0, 3.0, 1.0]])))
    array([[0.5 , 0. , 0.272727..., 0.090909...]], dtype=float32)
    """

    def __init__(
        self,
        size: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        **options,
    ):
        super().__init__(**options)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size must be odd and at least 1. Received: {size}")
        self.size, self.k, self.alpha, self.beta = size, k, alpha, beta

    def call(self, inputs):
        reach = self.size // 2
        channels = inputs.shape[-1]
        squares = keras.ops.pad(
            keras.ops.square(inputs), [(0, 0)] * (len(inputs.shape) - 1) + [(reach, reach)]
        )
        total = sum(squares[..., shift : shift + channels] for shift in range(self.size))
        return inputs / keras.ops.power(self.k + self.alpha * total, self.beta)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        numbers = {"size": self.size, "k": self.k, "alpha": self.alpha, "beta": self.beta}
        return {**super().get_config(), **numbers}
