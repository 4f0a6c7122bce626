"""How alike two faces are: an encoder of chips, and a distance between its embeddings.

A file of `cnnkit train faces` is a `.keras` file of Keras' own layers with one member more,
`cnnkit.json`: what kind of model it is, what its distances mean, and a hash. Its kinds are

- "encoder": chips -> embeddings, compared by Euclidean distance;
- "pairs": `pair_features` of two embeddings of dlib's -> logit that they are different people.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnkit.errors import WeightsError
from cnnkit.images import write_bytes
from cnnkit.ops.alignment import CHIP_SIZE
from cnnkit.options import FACE_FORMS
from cnnkit.weights import entry
from cnnkit.weights.keras_file import DAMAGED_ARCHIVE

if TYPE_CHECKING:
    import keras

DLIB = "dlib"
FORMAT = "cnnkit/face-similarity/2"
MEMBER = "cnnkit.json"

_DLIB_SIZE = 128
# Forms of features in which the difference is squared.
_SQUARED = ("chi-square", "squared")
# Of all members of a file, unpacked: far more than any model here has, far less than a bomb.
_MOST_BYTES = 1 << 30
# Where the layers that a file may name come from; none of these runs code of the file.
_MODULES = (
    "keras",
    "keras.layers",
    "keras.initializers",
    "keras.constraints",
    "keras.regularizers",
    "keras.src.models.functional",
)
_FOREIGN_LAYERS = ("Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class FaceSimilarity:
    """A model of similarity.

    Attributes:
        name: for people.
        hash: of all that the distance depends on.
        encoder_hash: of what makes the embeddings; those of different encoders are not compared.
        encoder: a `keras.Model`, chips `(N, 150, 150, 3)` in 0..255 -> embeddings `(N, D)`; None
            for dlib's.
        distance: embeddings `(N, D)` and `(N, D)` -> float64 `(N,)`.
        is_euclidean: whether the distance is the Euclidean one.
        calibration: what the distances mean, as plain JSON types; None for what is shipped.
    """

    name: str
    hash: str
    encoder_hash: str
    encoder: Any
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray]
    is_euclidean: bool
    calibration: Mapping[str, Any] | None


def euclidean_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`||a - b||`, row by row, in float64.

    >>> euclidean_distance(np.array([[0.0, 3.0]]), np.array([[4.0, 0.0]])).tolist()
    [5.0]
    """
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return np.sqrt(np.sum(difference**2, axis=-1))


@dataclass(frozen=True, eq=False)
class PairDistance:
    """`w . pair_features(f, g)` of embeddings brought to 0..1: what a head of pairs has learnt.

    No weight is below 0, so the distance is symmetric, not negative, and zero for equal
    embeddings. The head's `logit(different)` is this plus a constant. Of features with the square
    of the difference it is the root, a length again: equal weights of squared differences give the
    Euclidean distance, and the logistic curve of a calibration fits lengths better.

    Attributes:
        form: of the features, see `pair_features`.
        low: `(D,)`, least value of each dimension in training, which becomes 0.
        high: `(D,)`, largest value, which becomes 1.
        weights: `(D,)`, not negative.
    """

    form: str
    low: np.ndarray
    high: np.ndarray
    weights: np.ndarray

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Distances of embeddings `(N, D)` and `(N, D)`, row by row: float64 `(N,)`."""
        import keras

        from cnnkit.losses.faces import pair_features

        first, second = np.broadcast_arrays(
            scale_to_range(first, self.low, self.high), scale_to_range(second, self.low, self.high)
        )
        features = keras.ops.convert_to_numpy(pair_features(first, second, self.form))
        distances = features.astype(np.float64) @ self.weights
        return np.sqrt(distances) if self.form in _SQUARED else distances


def scale_to_range(embeddings: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """`(f - low) / (high - low)` in each dimension, cut off at 0 and 1; float32.

    Args:
        embeddings: `(N, D)`.
        low: `(D,)`.
        high: `(D,)`; a dimension in which it is not above `low` becomes 0.

    >>> scale_to_range([[0.5, 3.0]], np.array([0.0, 1.0]), np.array([2.0, 2.0])).tolist()
    [[0.25, 1.0]]
    """
    width = np.asarray(high, np.float64) - low
    scaled = (np.asarray(embeddings, np.float64) - low) / np.where(width > 0.0, width, np.inf)
    return np.clip(scaled, 0.0, 1.0).astype(np.float32)


def encoder_similarity(
    encoder: "keras.Model", name: str, calibration: Mapping[str, Any] | None = None
) -> FaceSimilarity:
    """The similarity that an encoder of chips makes, by Euclidean distance.

    Args:
        encoder: chips `(N, 150, 150, 3)` in 0..255 -> embeddings `(N, D)`.
        name: for people.
        calibration: what its distances mean, as plain JSON types.
    """
    digest = _hash({"kind": "encoder"}, encoder)
    return FaceSimilarity(name, digest, digest, encoder, euclidean_distance, True, calibration)


def pair_similarity(
    head: "keras.Model",
    form: str,
    low: np.ndarray,
    high: np.ndarray,
    name: str,
    calibration: Mapping[str, Any] | None = None,
) -> FaceSimilarity:
    """The similarity that a head makes of dlib's embeddings.

    Args:
        head: of `build_pair_head`.
        form: of the features, see `pair_features`.
        low: `(128,)`, see `PairDistance`.
        high: `(128,)`.
        name: for people.
        calibration: what its distances mean, as plain JSON types.
    """
    kernel = head.get_layer("logit").get_weights()[0][:, 0].astype(np.float64)
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    settings = {"kind": "pairs", "form": form, "low": low.tolist(), "high": high.tolist()}
    return FaceSimilarity(
        name,
        _hash(settings, head),
        entry("face-encoder").digest,
        None,
        PairDistance(form, low, high, kernel),
        False,
        calibration,
    )


def save_face_similarity(
    path: str | Path, similarity: FaceSimilarity, model: "keras.Model"
) -> None:
    """Writes a model of similarity as one `.keras` file.

    Args:
        path: ends in ".keras".
        similarity: of `encoder_similarity` or `pair_similarity`, with its calibration.
        model: the encoder or the head that it was made of.

    Raises:
        ValueError: there is no calibration, or the model is another one.
        ImageError: the place cannot be written.
    """
    if similarity.calibration is None:
        raise ValueError("a model of similarity needs a calibration. Received: None")
    values = {
        "format": FORMAT,
        "kind": "encoder",
        "name": similarity.name,
        "hash": similarity.hash,
        "calibration": similarity.calibration,
    }
    settings: dict[str, Any] = {"kind": "encoder"}
    if isinstance(similarity.distance, PairDistance):
        settings = {
            "kind": "pairs",
            "form": similarity.distance.form,
            "low": similarity.distance.low.tolist(),
            "high": similarity.distance.high.tolist(),
        }
    if _hash(settings, model) != similarity.hash:
        raise ValueError("expected the model that the similarity was made of. Received: another")
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "model.keras"
        model.save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            members = {name: _sha256(archive.read(name)) for name in archive.namelist()}
            text = json.dumps({**values, **settings, "members": members}, indent=1)
            archive.writestr(MEMBER, text)
        write_bytes(path, temporary.read_bytes())


def load_face_similarity(model: str = DLIB) -> FaceSimilarity:
    """Loads a model of similarity.

    Nothing that a file may hold is run: it may name layers of Keras only, and no `Lambda`.

    Args:
        model: "dlib", or a `.keras` file of `cnnkit train faces`.

    Raises:
        WeightsError: there is no such model, it is of another kind, or it is damaged.
    """
    if model == DLIB:
        digest = entry("face-encoder").digest
        return FaceSimilarity(
            "dlib-resnet-29", digest, digest, None, euclidean_distance, True, None
        )
    path = Path(model)
    if path.suffix != ".keras":
        raise WeightsError(
            f"there is no model '{model}'; give dlib, or a .keras file of `cnnkit train faces`"
        )
    if not path.is_file():
        raise WeightsError(f"{path} does not exist; make it with `cnnkit train faces -o DIR`")
    other = WeightsError(
        f"{path} is no model of faces; give dlib, or a .keras file of `cnnkit train faces`"
    )
    damaged = WeightsError(f"{path} is damaged; copy it again, or train it again")
    try:
        members = _read_archive(path)
        if MEMBER not in members:
            raise other
        values = json.loads(members.pop(MEMBER))
        configuration = json.loads(members.get("config.json", b""))
    except DAMAGED_ARCHIVE:
        raise damaged from None
    kind = str(values.get("format"))
    if kind != FORMAT and kind.startswith(FORMAT.rpartition("/")[0] + "/"):
        raise WeightsError(f"{path} was made by another version of cnnkit; train it again")
    if kind != FORMAT or not _names_keras_only(configuration):
        raise other
    if values.get("members") != {name: _sha256(data) for name, data in members.items()}:
        raise damaged
    import keras

    try:
        network = keras.models.load_model(path, compile=False, safe_mode=True)
    except (TypeError, ValueError):
        # The file is whole: this Keras does not know what another wrote.
        made_by = json.loads(members["metadata.json"]).get("keras_version", "another version")
        raise WeightsError(
            f"{path} was made with Keras {made_by}, and Keras {keras.__version__} cannot read it; "
            "update Keras, or train it again"
        ) from None
    try:
        similarity = _restore(network, values)
    except (KeyError, TypeError, ValueError):
        raise damaged from None
    if similarity.hash != values.get("hash"):
        raise damaged
    return similarity


def _read_archive(path: Path) -> dict[str, bytes]:
    """The members of a file, by name.

    Raises:
        ValueError: it would unpack to too much, or is packed in a way that Keras does not use;
            what else a damaged archive raises stands in `DAMAGED_ARCHIVE`.
    """
    with zipfile.ZipFile(path) as archive:
        listed = archive.infolist()
        if sum(member.file_size for member in listed) > _MOST_BYTES:
            raise ValueError("too large")
        if any(member.compress_type not in _PACKINGS for member in listed):
            raise ValueError("packed in another way")
        return {member.filename: archive.read(member) for member in listed}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _restore(network: "keras.Model", values: Mapping[str, Any]) -> FaceSimilarity:
    name, calibration = str(values["name"]), dict(values["calibration"])
    if values["kind"] == "encoder":
        chips = (None, CHIP_SIZE, CHIP_SIZE, 3)
        if network.input_shape != chips or len(network.output_shape) != 2:
            raise ValueError("no encoder")
        return encoder_similarity(network, name, calibration)
    low, high = (np.array(values[key], np.float64) for key in ("low", "high"))
    features = network.input_shape[-1]
    if values["kind"] != "pairs" or values["form"] not in FACE_FORMS:
        raise ValueError("another kind")
    if not low.shape == high.shape == (features,) == (_DLIB_SIZE,):
        raise ValueError("another number of features")
    similarity = pair_similarity(network, values["form"], low, high, name, calibration)
    if similarity.distance.weights.min() < 0:
        raise ValueError("weights below 0")
    return similarity


def _names_keras_only(configuration: Any) -> bool:
    """Whether all objects of a configuration are layers and the like of Keras itself."""
    if isinstance(configuration, list):
        return all(map(_names_keras_only, configuration))
    if not isinstance(configuration, dict):
        return True
    name, module = configuration.get("class_name"), configuration.get("module")
    is_object = name is not None and name != "__keras_tensor__"
    if is_object and (module not in _MODULES or name in _FOREIGN_LAYERS):
        return False
    return all(map(_names_keras_only, configuration.values()))


def _hash(settings: Mapping[str, Any], model: "keras.Model") -> str:
    """SHA-256 of what a model computes: its settings and weights, not how they are stored."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in model.get_weights():
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()
