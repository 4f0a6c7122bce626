"""Models of similarity: what their distances are, and files of them."""

import contextlib
import json
import zipfile

import keras
import numpy as np
import pytest

from cnnkit.errors import WeightsError
from cnnkit.models.face_siamese import build_face_trunk, build_pair_head, build_siamese_encoder
from cnnkit.models.face_similarity import (
    MEMBER,
    encoder_similarity,
    euclidean_distance,
    load_face_similarity,
    pair_similarity,
    save_face_similarity,
    scale_to_range,
)
from cnnkit.options import FACE_FORMS
from cnnkit.weights import entry

CALIBRATION = {"threshold": 0.9, "pairs": 20}


def embeddings(seed, count=4):
    return np.random.default_rng(seed).normal(0, 0.1, (count, 128)).astype(np.float32)


def make_head(seed=0):
    head = build_pair_head(128)
    random = np.random.default_rng(seed)
    head.set_weights([random.random((128, 1)), np.array([-20.0])])
    return head


@pytest.fixture(scope="module")
def encoder():
    return build_siamese_encoder(build_face_trunk((2, 3, 3, 4), 5, seed=0))


@pytest.fixture(scope="module")
def encoder_file(encoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "faces.keras"
    save_face_similarity(path, encoder_similarity(encoder, "tiny", CALIBRATION), encoder)
    return path


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "faces.keras"
    head = make_head()
    similarity = pair_similarity(
        head, "chi-square", np.full(128, -0.3), np.full(128, 0.3), "head", CALIBRATION
    )
    save_face_similarity(path, similarity, head)
    return path


def rewrite(source, target, **members):
    """A copy of an archive with some members replaced, or left out where None."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = members.get(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return str(target)


# Distances -----------------------------------------------------------------------------------


def test_dlib_is_the_shipped_network():
    similarity = load_face_similarity()
    assert similarity.hash == similarity.encoder_hash == entry("face-encoder").digest
    assert similarity.encoder is None
    assert similarity.is_euclidean
    assert similarity.calibration is None


def test_the_distance_of_a_head_by_hand():
    head = build_pair_head(2)
    head.set_weights([np.array([[2.0], [3.0]]), np.array([-1.0])])
    # To 0..1: (0.5, 0.25) and (1, 0.75); absolute: 2 * 0.5 + 3 * 0.5
    low, high = np.array([0.0, 1.0]), np.array([2.0, 5.0])
    first, second = np.array([[1.0, 2.0]]), np.array([[2.0, 4.0]])
    absolute = pair_similarity(head, "absolute", low, high, "a")
    np.testing.assert_allclose(absolute.distance(first, second), [2.5], rtol=1e-5)
    # 2 * 0.25 / 1.5 + 3 * 0.25 / 1, and of what is squared the root
    chi_square = pair_similarity(head, "chi-square", low, high, "c")
    np.testing.assert_allclose(
        chi_square.distance(first, second), [np.sqrt(1 / 3 + 0.75)], rtol=1e-5
    )
    squared = pair_similarity(head, "squared", low, high, "s")
    np.testing.assert_allclose(
        squared.distance(first, second), [np.sqrt(2 * 0.25 + 3 * 0.25)], rtol=1e-5
    )


def test_equal_weights_of_squared_differences_are_the_euclidean_distance():
    head = build_pair_head(128)
    head.set_weights([np.full((128, 1), 4.0), np.array([-1.0])])
    similarity = pair_similarity(head, "squared", np.full(128, -1.0), np.full(128, 1.0), "s")
    first, second = embeddings(0), embeddings(1)
    np.testing.assert_allclose(
        similarity.distance(first, second), euclidean_distance(first, second), rtol=1e-5
    )


@pytest.mark.parametrize("form", FACE_FORMS)
def test_the_distance_of_a_head_is_symmetric_and_zero_for_one_face(form):
    similarity = pair_similarity(make_head(), form, np.full(128, -0.3), np.full(128, 0.3), "h")
    first, second = embeddings(0), embeddings(1)
    distances = similarity.distance(first, second)
    assert distances.dtype == np.float64
    assert (distances > 0).all()
    np.testing.assert_array_equal(distances, similarity.distance(second, first))
    np.testing.assert_array_equal(similarity.distance(first, first), np.zeros(4))


def test_the_distance_of_a_head_is_its_logit_but_for_a_constant():
    low, high = np.full(128, -0.3), np.full(128, 0.3)
    head = make_head()
    first, second = embeddings(0), embeddings(1)
    features = abs(scale_to_range(first, low, high) - scale_to_range(second, low, high))
    logits = head.predict_on_batch(features)[:, 0]
    similarity = pair_similarity(head, "absolute", low, high, "h")
    np.testing.assert_allclose(similarity.distance(first, second) - 20.0, logits, atol=1e-4)


def test_a_missed_face_has_no_distance():
    similarity = pair_similarity(make_head(), "chi-square", np.zeros(128), np.ones(128), "h")
    missed = embeddings(0)
    missed[1] = np.nan
    found = np.isnan(similarity.distance(missed, embeddings(1)))
    assert found.tolist() == [False, True, False, False]


def test_a_dimension_that_never_changed_counts_nothing():
    scaled = scale_to_range([[5.0, 1.0]], np.array([2.0, 0.0]), np.array([2.0, 2.0]))
    assert scaled.tolist() == [[0.0, 0.5]]


# Files ---------------------------------------------------------------------------------------


def test_an_encoder_comes_back_as_it_was(encoder, encoder_file):
    similarity = load_face_similarity(str(encoder_file))
    assert similarity.name == "tiny"
    assert similarity.calibration == CALIBRATION
    assert similarity.hash == similarity.encoder_hash == encoder_similarity(encoder, "x").hash
    assert similarity.is_euclidean
    chips = np.random.default_rng(0).integers(0, 256, (2, 150, 150, 3)).astype(np.float32)
    np.testing.assert_allclose(
        similarity.encoder.predict_on_batch(chips), encoder.predict_on_batch(chips), atol=1e-6
    )


def test_a_head_comes_back_as_it_was_and_keeps_the_embeddings_of_dlib(pairs_file):
    similarity = load_face_similarity(str(pairs_file))
    expected = pair_similarity(
        make_head(), "chi-square", np.full(128, -0.3), np.full(128, 0.3), "head"
    )
    assert similarity.hash == expected.hash
    assert similarity.encoder_hash == load_face_similarity().encoder_hash
    assert similarity.encoder is None
    assert not similarity.is_euclidean
    first, second = embeddings(2), embeddings(3)
    np.testing.assert_array_equal(
        similarity.distance(first, second), expected.distance(first, second)
    )


def test_a_file_saved_again_keeps_its_hash(encoder_file, tmp_path):
    similarity = load_face_similarity(str(encoder_file))
    again = tmp_path / "again.keras"
    save_face_similarity(again, similarity, similarity.encoder)
    assert load_face_similarity(str(again)).hash == similarity.hash


def test_other_weights_have_another_hash():
    low, high = np.zeros(128), np.ones(128)
    first = pair_similarity(make_head(0), "absolute", low, high, "h")
    other = pair_similarity(make_head(1), "absolute", low, high, "h")
    form = pair_similarity(make_head(0), "chi-square", low, high, "h")
    assert len({first.hash, other.hash, form.hash}) == 3


def test_a_file_is_a_model_that_keras_reads(encoder_file):
    assert keras.models.load_model(encoder_file).input_shape == (None, 150, 150, 3)


def test_a_model_is_saved_with_what_its_distances_mean(encoder, tmp_path):
    with pytest.raises(ValueError, match="needs a calibration"):
        save_face_similarity(tmp_path / "a.keras", encoder_similarity(encoder, "x"), encoder)


def test_the_model_must_be_the_one_of_the_similarity(encoder, tmp_path):
    other = build_siamese_encoder(build_face_trunk((2, 3, 3, 4), 5, seed=9))
    with pytest.raises(ValueError, match="Received: another"):
        save_face_similarity(
            tmp_path / "a.keras", encoder_similarity(encoder, "x", CALIBRATION), other
        )


# What is wrong with files --------------------------------------------------------------------


def test_an_unknown_name_is_one_clear_line():
    with pytest.raises(WeightsError, match=r"there is no model 'facenet'; give dlib, or a \.keras"):
        load_face_similarity("facenet")


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(WeightsError, match=r"a\.keras does not exist; make it with `cnnkit train"):
        load_face_similarity(str(tmp_path / "a.keras"))


def test_other_peoples_keras_files_are_refused(tiny_backbone):
    with pytest.raises(WeightsError, match="is no model of faces"):
        load_face_similarity(tiny_backbone)


def test_a_file_of_another_version_is_one_clear_line(pairs_file, tmp_path):
    with zipfile.ZipFile(pairs_file) as archive:
        text = archive.read(MEMBER).decode()
    # Its distances were others: the threshold that it has is not for those of today.
    older = text.replace("face-similarity/2", "face-similarity/1")
    assert older != text
    path = rewrite(pairs_file, tmp_path / "old.keras", **{MEMBER: older})
    with pytest.raises(
        WeightsError, match=r"old\.keras was made by another version of cnnkit; tra"
    ):
        load_face_similarity(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_one_clear_line(pairs_file, tmp_path, share):
    data = pairs_file.read_bytes()
    path = tmp_path / "cut.keras"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(WeightsError, match=r"cut\.keras is damaged; copy it again"):
        load_face_similarity(str(path))


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_file_is_one_clear_line_or_gives_what_it_gave(pairs_file, tmp_path, seed):
    random = np.random.default_rng(seed)
    data = bytearray(pairs_file.read_bytes())
    for at in random.integers(0, len(data), 30):
        data[at] ^= int(random.integers(1, 256))
    path = tmp_path / "damaged.keras"
    path.write_bytes(bytes(data))
    # Some bytes of an archive mean nothing: what lies in it may still be whole.
    with contextlib.suppress(WeightsError):
        found = load_face_similarity(str(path))
        assert found.hash == load_face_similarity(str(pairs_file)).hash


def test_changed_weights_are_noticed(pairs_file, encoder_file, tmp_path):
    with zipfile.ZipFile(pairs_file) as archive:
        values = json.loads(archive.read(MEMBER))
    values["low"][0] = -0.4
    path = rewrite(pairs_file, tmp_path / "a.keras", **{MEMBER: json.dumps(values)})
    with pytest.raises(WeightsError, match="is damaged"):
        load_face_similarity(path)


@pytest.mark.parametrize("missing", ["config.json", "model.weights.h5"])
def test_a_file_without_a_part_is_damaged(pairs_file, tmp_path, missing):
    path = rewrite(pairs_file, tmp_path / "a.keras", **{missing: None})
    with pytest.raises(WeightsError, match="is damaged"):
        load_face_similarity(path)


@pytest.mark.parametrize(
    "layer",
    [
        {"module": "keras.layers", "class_name": "Lambda", "config": {}},
        {"module": "builtins", "class_name": "function", "config": "eval"},
        {"module": "os", "class_name": "system", "config": "true"},
        {"module": "keras.utils", "class_name": "get_file", "config": {}},
        {"class_name": "Custom", "registered_name": "mine>Custom", "config": {}},
    ],
)
def test_a_file_that_names_more_than_layers_of_keras_is_refused_unread(
    pairs_file, tmp_path, monkeypatch, layer
):
    with zipfile.ZipFile(pairs_file) as archive:
        configuration = json.loads(archive.read("config.json"))
    configuration["config"]["layers"].append(layer)
    path = rewrite(pairs_file, tmp_path / "a.keras", **{"config.json": json.dumps(configuration)})

    def never(*args, **kwargs):
        raise AssertionError("it was loaded")

    monkeypatch.setattr(keras.models, "load_model", never)
    with pytest.raises(WeightsError, match="is no model of faces"):
        load_face_similarity(path)


def test_a_file_of_another_keras_says_which_one(pairs_file, monkeypatch):
    def unknown(*args, **kwargs):
        raise TypeError("unexpected keyword argument 'quantization'")

    monkeypatch.setattr(keras.models, "load_model", unknown)
    with pytest.raises(WeightsError, match=rf"was made with Keras {keras.__version__}, and Keras"):
        load_face_similarity(str(pairs_file))


def test_a_fault_of_ours_is_not_called_damage(pairs_file, monkeypatch):
    def fault(*args, **kwargs):
        raise AttributeError("a bug")

    monkeypatch.setattr(keras.models, "load_model", fault)
    with pytest.raises(AttributeError, match="a bug"):
        load_face_similarity(str(pairs_file))


@pytest.mark.parametrize("member", ["config.json", "metadata.json", "model.weights.h5"])
def test_every_part_is_held_to_its_hash(pairs_file, tmp_path, member):
    with zipfile.ZipFile(pairs_file) as archive:
        data = archive.read(member)
    changed = data[:-1] + b" " + data[-1:] if member.endswith("json") else data + b"\0"
    path = rewrite(pairs_file, tmp_path / "a.keras", **{member: changed})
    with pytest.raises(WeightsError, match="is damaged"):
        load_face_similarity(path)


def test_an_encoder_of_other_chips_is_refused(tmp_path):
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs))
    path = tmp_path / "a.keras"
    save_face_similarity(path, encoder_similarity(model, "other", CALIBRATION), model)
    with pytest.raises(WeightsError, match="is damaged"):
        load_face_similarity(str(path))
