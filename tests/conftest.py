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


@pytest.fixture(scope="session")
def color_run(tmp_path_factory):
    """The folder of a run whose classifier tells the most of blue, green and red in a picture.

    The probability of a colour is its share in exp(8 * mean of the channel).
    """
    import zipfile

    import keras

    inputs = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(means))
    # Sorted names: blue, green, red.
    model.set_weights([8 * np.eye(3)[::-1], np.zeros(3)])
    folder = tmp_path_factory.mktemp("runs") / "colors"
    folder.mkdir()
    model.save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras", "a") as archive:
        archive.writestr("classes.txt", "blue\ngreen\nred\n")
        archive.writestr("settings.json", '{"pixels": "unit", "kind": "pictures"}')
    return str(folder)


@pytest.fixture(scope="session")
def color_pictures(tmp_path_factory):
    """A folder per colour of four pictures; one of the red ones is blue."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("colors")
    for channel, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir()
        for number in range(4):
            pixels = np.full((20, 30, 3), 40, np.uint8)
            is_odd = name == "red" and number == 3
            pixels[..., 2 if is_odd else channel] = 150 + 20 * number
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder
