"""What several rooms of the tests share."""

import os
import signal

import numpy as np
import pytest

from cnnkit.runtime import import_keras

# First of all, so that networks run on the backend of Keras in every test that does not ask for
# another engine, whatever ran before it.
import_keras()
# What a shell runs in the background ignores Ctrl-C, and so would the programs that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Several processes of tests share a GPU, where there is one.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


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


@pytest.fixture(scope="session")
def dot_detector(tmp_path_factory):
    """The folder of a run whose detector finds red and blue dots of 8x8 pixels in black pictures.

    Each place of 8x8 pixels has a box of 16x16 around its middle; the scores of "red" and "blue"
    are near 1 where it is all of that colour, and near 0 where it is black.
    """
    import json
    import zipfile

    import keras

    from cnnkit.models.detector import BoxesAtPoints, with_scores

    inputs = keras.Input((None, None, 3))
    means = keras.layers.AveragePooling2D(8)(inputs)
    logits = keras.layers.Conv2D(2, 1, name="colors")(means)
    sides = keras.layers.Conv2D(4, 1, name="sides")(means)
    parts = [BoxesAtPoints(8)(sides), keras.layers.Reshape((-1, 2))(logits)]
    predictions = keras.layers.Concatenate(name="predictions")(parts)
    model = keras.Model(inputs, predictions)
    red, blue = [8.0, -8.0, -8.0], [-8.0, -8.0, 8.0]
    kernel = np.array([red, blue]).T[None, None]
    model.get_layer("colors").set_weights([kernel, np.full(2, -4.0)])
    # softplus(0.5413) is 1, a stride.
    model.get_layer("sides").set_weights([np.zeros((1, 1, 3, 4)), np.full(4, np.log(np.e - 1))])
    folder = tmp_path_factory.mktemp("runs") / "dots"
    folder.mkdir()
    with_scores(model).save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras", "a") as archive:
        archive.writestr("classes.txt", "red\nblue\n")
        archive.writestr("settings.json", json.dumps({"kind": "detector", "size": 64}))
    return str(folder)


@pytest.fixture(scope="session")
def dotted_pictures(tmp_path_factory):
    """Pictures of 64x64 and 64x32 pixels with dots, and where they are, as a COCO file beside them.

    "two.png" has a red dot at (8, 16) and a blue one at (40, 48), "tall.png", which is as wide as
    half its height, a blue one at (16, 24), and "none.png" nothing.
    """
    import json

    from PIL import Image

    folder = tmp_path_factory.mktemp("dots")
    dots = {"two": [("red", 8, 16), ("blue", 40, 48)], "tall": [("blue", 16, 24)], "none": []}
    images, notes = [], []
    for key, (name, some) in enumerate(dots.items(), 1):
        width = 32 if name == "tall" else 64
        pixels = np.zeros((64, width, 3), np.uint8)
        for color, x, y in some:
            pixels[y : y + 8, x : x + 8, 0 if color == "red" else 2] = 255
            box = [x - 4, y - 4, 16, 16]
            category = ("red", "blue").index(color)
            notes.append(
                {"id": len(notes) + 1, "image_id": key, "category_id": category, "bbox": box}
            )
        Image.fromarray(pixels).save(folder / f"{name}.png")
        images.append({"id": key, "file_name": f"{name}.png", "width": width, "height": 64})
    categories = [{"id": index, "name": name} for index, name in enumerate(("red", "blue"))]
    (folder / "train.json").write_text(
        json.dumps({"images": images, "annotations": notes, "categories": categories})
    )
    return folder


@pytest.fixture(scope="session")
def color_segmenter(tmp_path_factory):
    """The folder of a run whose segmenter tells red and blue pixels from dark ones.

    The scores are 20 * (0.5, red, blue) at each pixel.
    """
    import zipfile

    import keras

    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(3, 1)(inputs))
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 0, 1] = kernel[0, 0, 2, 2] = 20.0
    model.set_weights([kernel, np.array([10.0, 0.0, 0.0])])
    folder = tmp_path_factory.mktemp("runs") / "paint"
    folder.mkdir()
    model.save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras", "a") as archive:
        archive.writestr("classes.txt", "background\nred\nblue\n")
        archive.writestr("settings.json", '{"pixels": "unit", "kind": "segments"}')
    return str(folder)


@pytest.fixture(scope="session")
def painted(tmp_path_factory):
    """A dark picture of 60 x 80 pixels with a red square, a red bar and a blue one.

    Red: rows 10 to 30, columns 10 to 40, and rows 40 to 44, columns 10 to 20. Blue: rows 10 to 50,
    columns 50 to 70.
    """
    from PIL import Image

    pixels = np.full((60, 80, 3), 20, np.uint8)
    pixels[10:30, 10:40, 0] = pixels[40:44, 10:20, 0] = 250
    pixels[10:50, 50:70, 2] = 250
    path = tmp_path_factory.mktemp("painted") / "painted.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def color_captioner(tmp_path_factory):
    """The folder of a run whose captioner says "a red picture", or green or blue, by the means.

    Its decoder knows for each word which may follow; among the colours the picture decides.
    """
    import zipfile

    import keras

    from cnnkit.data.text import END, START, Vocabulary
    from cnnkit.models.captioner import build_captioner

    colors = ("red", "green", "blue")
    vocabulary = Vocabulary(("", "[UNK]", START, END, "a", *colors, "picture"))
    size = len(vocabulary)
    picture = keras.Input((16, 16, 3))
    means = keras.layers.GlobalAveragePooling2D()(picture)
    settings = {"cell": "rnn", "units": size, "embedding": size, "attention": False}
    model = build_captioner(picture, means, None, size, **settings)
    follows = np.full((size, size), -2.0)
    for word, after in [(START, "a"), ("a", "red"), ("a", "green"), ("a", "blue"),
                        *((color, "picture") for color in colors), ("picture", END)]:  # fmt: skip
        follows[vocabulary.index(word), vocabulary.index(after)] = 0.2
    seen = np.zeros((3, size))
    seen[np.arange(3), [vocabulary.index(color) for color in colors]] = 1.0
    weights = {
        "summary": [seen, np.zeros(size)],
        "first_state_0": [np.zeros((size, size)), np.zeros(size)],
        "embedding": [4 * np.eye(size)],
        "recurrent": [np.eye(size), np.zeros((size, size)), np.zeros(size)],
        "state": [follows, np.zeros(size)],
        "seen": [np.eye(size)],
        "next_word": [8 * np.eye(size), np.zeros(size)],
    }
    for name, values in weights.items():
        model.get_layer(name).set_weights(values)
    folder = tmp_path_factory.mktemp("runs") / "colors"
    folder.mkdir()
    model.save(folder / "model.keras")
    with zipfile.ZipFile(folder / "model.keras", "a") as archive:
        archive.writestr("vocabulary.txt", vocabulary.to_text())
        archive.writestr("settings.json", '{"kind": "captions"}')
    return str(folder)
