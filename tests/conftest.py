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


@pytest.fixture(scope="session")
def portraits(tmp_path_factory):
    """A folder of scikit-image's photographs: two people, alone and together, and no face.

    "ada.png" and "ada-mirrored.jpg" are of one person, "bob.png" of another, in "both.png" Ada is
    larger, and "coffee.jpg" has no face.
    """
    from PIL import Image
    from skimage import data

    folder = tmp_path_factory.mktemp("portraits")
    ada = data.astronaut()
    bob = np.repeat(data.camera()[..., None], 3, axis=2)
    Image.fromarray(ada).save(folder / "ada.png")
    Image.fromarray(np.ascontiguousarray(ada[:, ::-1])).save(folder / "ada-mirrored.jpg")
    Image.fromarray(bob).save(folder / "bob.png")
    Image.fromarray(np.concatenate([ada, bob], axis=1)).save(folder / "both.png")
    Image.fromarray(data.coffee()).save(folder / "coffee.jpg")
    return folder
