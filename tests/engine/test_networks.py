import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import skimage.data

from cnnkit.cli.app import run
from cnnkit.data.samples import find_sample, load_sample
from cnnkit.engine import choice
from cnnkit.engine.choice import configure_inference
from cnnkit.engine.network_cache import network_cache_dir
from cnnkit.engine.networks import Networks, NetworkSource
from cnnkit.errors import WeightsError
from cnnkit.images import to_uint8
from cnnkit.tasks.caption.predict import Captioner
from cnnkit.tasks.classify.predict import Classifier
from cnnkit.tasks.detect.predict import Detector
from cnnkit.tasks.faces.analysis import FaceAnalyzer, _networks
from cnnkit.tasks.segment.predict import Segmenter

pytest.importorskip("openvino")

CAT = Path(skimage.data.__file__).parent / "chelsea.png"


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path_factory):
    """A cache that the tests of this file share, and no choice of an engine outside of them."""
    monkeypatch.setattr(choice, "_choice", [choice.Choice()])
    folder = tmp_path_factory.getbasetemp() / "network-home"
    monkeypatch.setenv("CNNKIT_HOME", str(folder))
    return folder


def on_openvino(make):
    """What `make` gives where OpenVINO computes."""
    configure_inference("openvino", note=pytest.fail)
    return make()


def on_keras(make):
    configure_inference("auto", note=pytest.fail)
    return make()


def classify_in_another_process(model, picture, home, code=""):
    """What `cnnkit classify --json` says there, and the modules that it has imported."""
    script = (
        f"{code}\nimport sys\nfrom cnnkit.cli.app import run\n"
        f"assert run(['classify', {str(picture)!r}, '--model', {str(model)!r}, '--json']) == 0\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    environment = {**os.environ, "CNNKIT_HOME": str(home)}
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    return json.loads(found.stdout), found.stderr.split()


def test_the_second_process_needs_no_keras(color_run, color_pictures, tmp_path):
    picture = color_pictures / "red" / "0.png"
    first, _ = classify_in_another_process(color_run, picture, tmp_path)
    second, modules = classify_in_another_process(color_run, picture, tmp_path)
    assert first["engine"] == second["engine"] == "openvino"
    assert first["items"] == second["items"]
    assert first["items"][0]["label"] == "red"
    assert not HEAVY & set(modules)


HEAVY = {"keras", "tensorflow", "scipy", "skimage", "matplotlib", "h5py", "pandas", "requests"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["detect", "IMAGE", "-o", "out.jpg", "--overwrite"], set()),
        (["classify", "IMAGE"], set()),
        (["caption", "IMAGE"], set()),
        (["verify", "IMAGE", "IMAGE"], set()),
        (["embed", "IMAGE"], set()),
        # Connected components, and the grain under a draft.
        (["segment", "IMAGE", "-o", "out.png", "--overwrite"], {"scipy"}),
        (["cutout", "IMAGE", "-o", "out.png", "--overwrite"], {"scipy"}),
        (
            ["stylize", "IMAGE", "waves", "--quality", "draft", "-o", "out.png", "--overwrite"],
            {"scipy"},
        ),
    ],
)
def test_a_command_imports_no_more_than_it_needs(monkeypatch, tmp_path, arguments, needed):
    monkeypatch.chdir(tmp_path)
    picture = str(Path(skimage.data.__file__).parent / "astronaut.png")
    arguments = [picture if one == "IMAGE" else one for one in arguments]
    script = (
        "import sys\nfrom cnnkit.cli.app import run\n"
        f"assert run({[*arguments, '-q']!r}) == 0\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    for _ in range(2):
        found = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        modules = set(found.stderr.splitlines()[-1].split())
    assert modules & HEAVY <= needed


@pytest.mark.parametrize("suffix", [".program", ".bin", ".xml", "networks.json"])
def test_what_is_damaged_in_the_cache_is_made_again(color_run, color_pictures, tmp_path, suffix):
    picture = color_pictures / "blue" / "1.png"
    whole = classify_in_another_process(color_run, picture, tmp_path)[0]["items"]
    for path in tmp_path.rglob(f"*{suffix}"):
        path.write_bytes(path.read_bytes()[:-7] + b"damaged")
        if suffix in (".bin", ".xml"):
            # These are read only where no program is kept.
            for program in path.parent.glob("*.program"):
                program.unlink()
    assert classify_in_another_process(color_run, picture, tmp_path)[0]["items"] == whole


def test_where_openvino_cannot_be_imported_tensorflow_takes_over(
    color_run, color_pictures, tmp_path
):
    code = "import sys; sys.modules['openvino'] = None"
    picture = color_pictures / "green" / "1.png"
    script_home = tmp_path / "home"
    found, modules = classify_in_another_process(
        color_run,
        picture,
        script_home,
        # Installed as far as one can see, and broken.
        code + "\nfrom cnnkit.engine import choice\nchoice.is_installed = lambda: True",
    )
    assert found["engine"] == "tensorflow"
    assert found["items"][0]["label"] == "green"
    assert "tensorflow" in modules
    said = " ".join(modules)
    assert said.startswith("OpenVINO cannot run this (")
    assert said.count("TensorFlow takes over") == 1


def test_an_operation_that_openvino_has_not_is_left_to_keras(tmp_path, monkeypatch):
    inputs = keras.Input((4,))
    outputs = keras.ops.svd(inputs[:, :, None] * inputs[:, None, :], compute_uv=False)
    path = tmp_path / "odd.keras"
    keras.Model(inputs, keras.layers.Softmax()(outputs)).save(path)
    source = NetworkSource(
        "odd",
        "cnnkit.tasks.classify.network:build",
        (path,),
        {"known": "", "name": "odd", "kind": "arrays", "pixels": "unit", "says_pixels": True},
    )
    notes = []
    monkeypatch.setattr(choice, "resolve_engine", lambda engine, device: "openvino")
    monkeypatch.setattr("cnnkit.engine.networks.current_engine", lambda: "openvino")
    choice._choice[0] = choice.Choice(note=notes.append)
    networks = Networks(source)
    found = networks["classifier"](np.eye(4, dtype=np.float32))
    assert networks.engine == keras.backend.backend()
    assert found.shape == (4, 4)
    assert len(notes) == 1
    assert notes[0].startswith("OpenVINO cannot run this (")


def test_what_the_builder_says_is_wrong_is_what_the_user_reads(tmp_path):
    path = tmp_path / "x.keras"
    path.write_bytes(b"no archive")
    configure_inference("openvino", note=pytest.fail)
    with pytest.raises(WeightsError, match=r"x\.keras"):
        Networks(NetworkSource("x", "cnnkit.tasks.detect.network:build", (path,)))
    assert not [one for one in network_cache_dir().iterdir() if one.name.startswith(".")]


def test_many_shapes_and_threads_get_their_answers(color_run):
    from concurrent.futures import ThreadPoolExecutor

    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.ops.sum(inputs, axis=(1, 2, 3)))
    path = Path(color_run).parent / "sum.keras"
    model.save(path)
    configure_inference("openvino", note=pytest.fail)
    networks = Networks(NetworkSource("sum", "cnnkit.tasks.text.network:build", (path,)))
    total = networks["classifier"]

    def count(size):
        height, width = size
        return total(np.ones((2, height, width, 1), np.float32)).tolist()

    sizes = [(height, width) for height in range(1, 7) for width in (3, 5)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(count, sizes)) == [[float(h * w)] * 2 for h, w in sizes]


# Equal answers -------------------------------------------------------------------------------


def both(make):
    return on_openvino(make), on_keras(make)


@pytest.mark.slow
def test_the_detector_gives_the_same_boxes():
    pictures = [to_uint8(load_sample(find_sample(name)).pixels) for name in ("chelsea", "rocket")]
    found = [one.predict(pictures, one.facts.size) for one in both(lambda: Detector("coco80"))]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours[0], theirs[0], atol=0.02)
        np.testing.assert_allclose(ours[1], theirs[1], atol=2e-4)


@pytest.mark.slow
def test_the_segmenter_gives_the_same_probabilities():
    pixels = load_sample(find_sample("astronaut")).pixels[:480, :500]
    ours, theirs = (one.probabilities(pixels) for one in both(Segmenter))
    np.testing.assert_allclose(ours, theirs, atol=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["imagenet", "caltech101"])
def test_classifiers_give_the_same_probabilities(model):
    ours, theirs = (next(one.predict([str(CAT)])) for one in both(lambda: Classifier(model)))
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
    if model == "imagenet":
        assert ours.similarity == pytest.approx(theirs.similarity, rel=1e-4)


@pytest.mark.slow
def test_the_captioner_says_the_same():
    ours, theirs = (captioner.caption(CAT)[0] for captioner in both(Captioner))
    assert ours.sentence == theirs.sentence
    assert ours.candidates[0].log_probability == pytest.approx(
        theirs.candidates[0].log_probability, rel=1e-3
    )


@pytest.mark.slow
def test_faces_have_the_same_embeddings():
    pixels = to_uint8(load_sample(find_sample("astronaut")).pixels)

    def analyze():
        _networks.cache_clear()
        return FaceAnalyzer().analyze([pixels])[0][0]

    ours, theirs = both(analyze)
    _networks.cache_clear()
    assert ours.box_xyxy == theirs.box_xyxy
    assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-4)
    np.testing.assert_allclose(ours.embedding, theirs.embedding, atol=1e-4)
    # dlib's own figure, see tests/models/test_face_detector.py.
    assert ours.confidence == pytest.approx(1.0625123977661133, abs=1e-3)


# Ahead ----------------------------------------------------------------------------------------


def test_what_cannot_be_compiled_ahead_is_one_line(capsys):
    assert run(["weights", "warm", "train"]) == 2
    assert "nothing to compile for 'train'; give some of: detect," in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "title"),
    [
        *(("detect", "detector coco80"), ("segment", "segmenter voc21")),
        *(("classify", "classifier imagenet"), ("caption", "captioner captions")),
        *(("faces", "faces dlib"), ("stylize", "drafts")),
    ],
)
def test_networks_are_compiled_ahead_and_listed(monkeypatch, tmp_path, command, title):
    monkeypatch.setenv("CNNKIT_HOME", str(tmp_path))
    program = [sys.executable, "-m", "cnnkit", "weights"]
    warmed = subprocess.run([*program, "warm", command], capture_output=True, text=True, check=True)
    assert f"{network_cache_dir()}: 1 set of networks, " in warmed.stderr
    assert list(tmp_path.rglob("*.program"))
    listed = subprocess.run([*program, "list"], capture_output=True, text=True, check=True)
    assert f"compiled: {title} (" in " ".join(listed.stdout.split())
