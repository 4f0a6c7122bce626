"""Gradients of a network's loss, on any backend."""

import keras
import numpy as np


def gradients_of(model, seed=0, batch=4):
    """Gradient of the cross-entropy of random inputs and classes, by path of the weight.

    SGD's momentum after one step at a learning rate of 1 is the negative gradient.
    """
    generator = np.random.default_rng(seed)
    optimizer = keras.optimizers.SGD(1.0, momentum=0.5)
    inputs = generator.random((batch, *model.input_shape[1:])).astype("float32")
    outputs = model.output
    if isinstance(outputs, dict):
        targets = {
            name: generator.integers(output.shape[-1], size=batch)
            for name, output in outputs.items()
        }
        loss = dict.fromkeys(outputs, "sparse_categorical_crossentropy")
    else:
        targets = generator.integers(outputs.shape[-1], size=batch)
        loss = "sparse_categorical_crossentropy"
    # One step is not worth compiling for.
    model.compile(optimizer, loss, run_eagerly=True)
    model.train_on_batch(inputs, targets)
    return {
        weight.path: -keras.ops.convert_to_numpy(momentum)
        for weight, momentum in zip(model.trainable_variables, optimizer.momentums, strict=True)
    }


def assert_gradients_reach_every_weight(model, **options):
    gradients = gradients_of(model, **options)
    assert gradients
    for path, gradient in gradients.items():
        assert np.isfinite(gradient).all(), path
        assert np.any(gradient), path
