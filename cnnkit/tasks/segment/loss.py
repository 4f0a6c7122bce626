"""The loss of networks that label every pixel."""

from collections.abc import Sequence
from typing import Any

import keras

from cnnkit.data._class_names import IGNORE


@keras.saving.register_keras_serializable(package="cnnkit")
class SegmentationLoss(keras.losses.Loss):
    r"""Cross-entropy of each pixel's class, and perhaps the dice loss beside it.

    .. math:: L = \frac{\sum_p w_{y_p} (-\log s_{p, y_p})}{\sum_p w_{y_p}}
        + \lambda \Big(1 - \frac1{|C|} \sum_{c \in C}
        \frac{2 \sum_p s_{p, c} [y_p = c] + 1}{\sum_p s_{p, c} + \sum_p [y_p = c] + 1}\Big)

    with the softmax s of the scores and the sums over all pixels p of a batch whose label is not
    to be ignored; C are the classes that occur among them.

    Args:
        class_weights: w of each class; 1 of all by default.
        dice: lambda, the dice loss's weight.
        ignore: label of the pixels that do not count.

    `y_true` is `(batch, height, width)` with class indices, `y_pred` `(batch, height, width,
    classes)` with scores before the softmax.

    Example:

    >>> loss = SegmentationLoss()
    >>> y_true = keras.ops.array([[[0, 255]]])
    >>> # -log(1/2) of the one pixel that counts
    >>> round(float(loss(y_true, keras.ops.zeros((1, 1, 2, 2)))), 4)
    0.6931

    The dice loss is that of Milletari et al., "V-Net" (2016), without the squares.
    """

    def __init__(
        self,
        class_weights: Sequence[float] | None = None,
        dice: float = 0.0,
        ignore: int = IGNORE,
        name: str = "segmentation_loss",
        **options: Any,
    ):
        super().__init__(name=name, reduction="sum", **options)
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]
        self.dice, self.ignore = dice, ignore

    def call(self, y_true: Any, y_pred: Any) -> Any:
        ops = keras.ops
        classes = y_pred.shape[-1]
        scores = ops.cast(y_pred, "float32")
        labels = ops.cast(y_true, "int32")
        counts = labels != self.ignore
        known = ops.where(counts, labels, 0)
        weights = ops.cast(counts, "float32")
        if self.class_weights is not None:
            weights *= ops.take(ops.array(self.class_weights, "float32"), known, axis=0)
        entropy = keras.losses.sparse_categorical_crossentropy(known, scores, from_logits=True)
        # A batch of ignored pixels alone has the loss 0.
        loss = ops.sum(entropy * weights) / ops.maximum(ops.sum(weights), 1e-6)
        if self.dice:
            mask = ops.cast(counts, "float32")[..., None]
            probabilities = ops.softmax(scores) * mask
            truth = ops.one_hot(known, classes) * mask
            axes = (0, 1, 2)
            both = ops.sum(probabilities * truth, axis=axes)
            present = ops.sum(truth, axis=axes)
            shares = (2.0 * both + 1.0) / (ops.sum(probabilities, axis=axes) + present + 1.0)
            occurs = ops.cast(present > 0, "float32")
            mean = ops.sum(shares * occurs) / ops.maximum(ops.sum(occurs), 1.0)
            loss += self.dice * (1.0 - mean)
        return loss

    def get_config(self) -> dict[str, Any]:
        numbers = {
            "class_weights": self.class_weights,
            "dice": self.dice,
            "ignore": self.ignore,
        }
        config = super().get_config()
        config.pop("reduction", None)
        return {**config, **numbers}
