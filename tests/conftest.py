"""What several rooms of the tests share."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory):
    """A `.keras` file of two random convolutions, "first" and "second": a run takes a moment."""
    import keras

    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(inputs)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    x = keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="second")(x)
    model = keras.Model(inputs, x)
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(0.05, 0.3, w.shape) for w in model.get_weights()])
    path = tmp_path_factory.mktemp("backbone") / "tiny.keras"
    model.save(path)
    return str(path)
