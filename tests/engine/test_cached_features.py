import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.data.labelled import LabelledFiles, read_example
from cnnkit.engine.cached_features import cache_features


@pytest.fixture
def files(tmp_path):
    random = np.random.default_rng(0)
    paths = tuple(str(tmp_path / f"{number}.png") for number in range(3))
    for path in paths:
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return LabelledFiles(paths, np.zeros(3, np.int64))


@pytest.mark.parametrize("maps", [False, True])
def test_vectors_and_maps_are_kept_of_each_picture_and_its_mirror_image(files, tmp_path, maps):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2)(inputs)
    model = keras.Model(inputs, x if maps else keras.layers.GlobalMaxPooling2D()(x))
    path = tmp_path / "features" / "train.npy"
    found = cache_features(model, files, path, mirrored=True, fingerprint="a")
    pictures = np.stack([read_example(one, (8, 8, 3)) for one in files.paths])
    for side, seen in enumerate((pictures, pictures[:, :, ::-1])):
        expected = np.array(model(np.ascontiguousarray(seen)))
        assert found[:, side].shape == expected.shape
        np.testing.assert_allclose(found[:, side], expected, atol=2e-3)
    before = path.stat().st_mtime_ns
    cache_features(model, files, path, mirrored=True, fingerprint="a")
    assert path.stat().st_mtime_ns == before
    other = cache_features(model, files, path, mirrored=False, fingerprint="a")
    assert other.shape[1] == 1
