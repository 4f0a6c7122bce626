"""Boxes that a map tells as changes of a few boxes of known sizes, the anchors."""

from collections.abc import Sequence
from typing import Any

import keras

# Of a score: logits end at about 16.
_LEAST_UNSURE = 1e-7


@keras.saving.register_keras_serializable("cnnkit")
class AnchorBoxes(keras.layers.Layer):
    r"""What a `[yolo]` or `[region]` layer makes of its map: boxes in pixels, and scores.

    For the anchor (a, b) at the place (row, column) of a map of stride s:

    .. math:: x = (c + k\,\sigma(t_x) - (k - 1) / 2) s, \quad w = a e^{t_w}

    and the same for y and h; the score of a class is the objectness times its probability.

    Args:
        anchors: width and height of each, in pixels.
        stride: s.
        scale_xy: k, 1 in YOLOv3.
        softmax: classes exclude each other, as in YOLOv2.
        logits: give the logits of the scores, to be trained with.

    Call: `(B, H, W, anchors (5 + classes))` -> `(B, H W anchors, 4 + classes)`.

    Redmon & Farhadi, "YOLO9000" (2017) and "YOLOv3" (2018).
    """

    def __init__(
        self,
        anchors: Sequence[Sequence[float]],
        stride: int,
        scale_xy: float = 1.0,
        softmax: bool = False,
        logits: bool = False,
        **settings: Any,
    ):
        super().__init__(**settings)
        self.anchors = [tuple(map(float, pair)) for pair in anchors]
        self.stride, self.scale_xy, self.softmax = stride, scale_xy, softmax
        self.logits = logits

    def call(self, maps: Any) -> Any:
        ops = keras.ops
        height, width, channels = *ops.shape(maps)[1:3], maps.shape[-1]
        count = len(self.anchors)
        x = ops.reshape(maps, (-1, height, width, count, channels // count))
        columns = ops.cast(ops.arange(width), "float32")[None, None, :, None]
        rows = ops.cast(ops.arange(height), "float32")[None, :, None, None]
        shift = (self.scale_xy - 1.0) / 2.0
        centre_x = (columns + self.scale_xy * ops.sigmoid(x[..., 0]) - shift) * self.stride
        centre_y = (rows + self.scale_xy * ops.sigmoid(x[..., 1]) - shift) * self.stride
        sizes = ops.convert_to_tensor(self.anchors, dtype="float32")
        half_wide = ops.exp(x[..., 2]) * sizes[:, 0] / 2
        half_high = ops.exp(x[..., 3]) * sizes[:, 1] / 2
        boxes = ops.stack(
            [
                centre_x - half_wide,
                centre_y - half_high,
                centre_x + half_wide,
                centre_y + half_high,
            ],
            axis=-1,
        )
        found = ops.concatenate([boxes, self._scores(x[..., 4:5], x[..., 5:])], axis=-1)
        return ops.reshape(found, (-1, height * width * count, channels // count - 1))

    def _scores(self, sure: Any, classes: Any) -> Any:
        ops = keras.ops
        if not self.logits:
            classes = ops.softmax(classes) if self.softmax else ops.sigmoid(classes)
            return ops.sigmoid(sure) * classes
        # With the score e^-u, its logit is -log(e^u - 1).
        known = ops.log_softmax(classes) if self.softmax else -ops.softplus(-classes)
        unsure = ops.maximum(ops.softplus(-sure) - known, _LEAST_UNSURE)
        return -unsure - ops.log(-ops.expm1(-unsure))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        count = len(self.anchors)
        places = None if None in shape[1:3] else shape[1] * shape[2] * count
        return shape[0], places, shape[-1] // count - 1

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "anchors": self.anchors,
            "stride": self.stride,
            "scale_xy": self.scale_xy,
            "softmax": self.softmax,
            "logits": self.logits,
        }
