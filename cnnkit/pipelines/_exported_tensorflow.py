"""Runs exported models, and converts to TensorFlow Lite: what only TensorFlow itself can do."""

from pathlib import Path

import numpy as np


def run_savedmodel(folder: Path, batch: np.ndarray) -> np.ndarray:
    """The outputs of a SavedModel that Keras exported."""
    import tensorflow as tf

    # Its variables live as long as this name.
    loaded = tf.saved_model.load(str(folder))
    return loaded.serve(tf.constant(batch)).numpy()


def run_tflite(path: Path, batch: np.ndarray) -> np.ndarray:
    """The outputs of a TensorFlow Lite model of one input and one output."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], batch.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], batch)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])


def plain_tflite_operations() -> dict[str, list]:
    """What restricts a conversion to operations that every TensorFlow Lite runtime has.

    Keras allows those of TensorFlow too, which the runtimes on phones lack, and the one here.
    """
    import tensorflow as tf

    return {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
