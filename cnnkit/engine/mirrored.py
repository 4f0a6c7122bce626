"""Several GPUs of one machine on TensorFlow: the file that names it, for Keras has none for it."""

from collections.abc import Sequence
from typing import Any


def mirrored_strategy(devices: Sequence[str]) -> Any:
    """Weights on each of several devices, kept the same; each computes a part of every batch.

    Unlike on JAX, where the devices compute what one would, each mirror normalises its own part of
    a batch, draws its own dropout, and clips its own gradients.

    They are summed device by device: TensorFlow's collectives took gradients of different
    variables for one another.

    Args:
        devices: such as "gpu:0".

    Returns:
        A `tf.distribute.MirroredStrategy`: models and optimizers are made in its `scope()`.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(
        [name.upper() for name in devices], tf.distribute.HierarchicalCopyAllReduce()
    )
