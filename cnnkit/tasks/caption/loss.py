"""What a network that writes sentences is trained to make small."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="cnnkit")
class WordCrossEntropy(keras.losses.Loss):
    r"""The mean of -log p of the next word, over all words that are no padding.

    With smoothing s the target is 1 - s for the true word and s for all words alike:
    L = -(1 - s) \log p_{true} - (s / V) \sum_v \log p_v.

    Padding, index 0, changes nothing: neither the sum nor what it is divided by.

    Args:
        smoothing: s, from 0 to below 1.

    Example:

    >>> import numpy as np
    >>> logits = np.log([[[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]]])
    >>> round(float(WordCrossEntropy()(np.array([[2, 0]]), logits)), 4)  # -log 0.7
    0.3567
    """

    def __init__(self, smoothing: float = 0.0, name: str = "word_cross_entropy"):
        if not 0.0 <= smoothing < 1.0:
            raise ValueError(f"smoothing must be from 0 to below 1. Received: {smoothing}")
        super().__init__(name=name)
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The mean as a scalar.

        Args:
            y_true: indices of the words `(batch, T)`, 0 for padding.
            y_pred: logits `(batch, T, V)`.
        """
        losses, counts = word_losses(y_true, y_pred, self.smoothing)
        total = keras.ops.sum(counts)
        return keras.ops.sum(losses) / keras.ops.maximum(total, keras.ops.ones_like(total))

    def get_config(self) -> dict[str, Any]:
        return {"smoothing": self.smoothing, "name": self.name}


def word_losses(y_true: Any, y_pred: Any, smoothing: float = 0.0) -> tuple[Any, Any]:
    """-log p of each next word, and 1 where it counts; both are 0 for padding.

    Args:
        y_true: indices of the words `(batch, T)`, 0 for padding.
        y_pred: logits `(batch, T, V)`.
        smoothing: share of the target that goes to all words alike.

    Returns:
        float32 `(batch, T)` twice.
    """
    ops = keras.ops
    y_true = ops.cast(y_true, "int32")
    counts = ops.cast(y_true != 0, "float32")
    log_p = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)
    losses = -ops.take_along_axis(log_p, y_true[..., None], axis=-1)[..., 0]
    if smoothing:
        losses = (1.0 - smoothing) * losses - smoothing * ops.mean(log_p, axis=-1)
    return losses * counts, counts
