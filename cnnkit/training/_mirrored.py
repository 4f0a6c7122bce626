"""Several GPUs of one machine on TensorFlow: the file that names it, for Keras has none for it."""

from collections.abc import Sequence
from typing import Any


def mirrored_strategy(devices: Sequence[str]) -> Any:
    """Weights on each of several devices, kept the same; each computes a part of every batch.

    Batch normalisation sees the part of one device, not the whole batch as on JAX.

    Args:
        devices: such as "gpu:0".

    Returns:
        A `tf.distribute.MirroredStrategy`: models and optimizers are made in its `scope()`.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(
        [name.upper() for name in devices], tf.distribute.HierarchicalCopyAllReduce()
    )
