import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnkit.data.samples import find_sample, load_sample
from cnnkit.engine.networks import Networks
from cnnkit.errors import WeightsError
from cnnkit.images import to_uint8
from cnnkit.ops.alignment import chip_points
from cnnkit.tasks.faces import analysis as module
from cnnkit.tasks.faces.analysis import (
    FaceAnalyzer,
    assess_quality,
    laplacian_variance,
    main_face,
)
from cnnkit.tasks.faces.results import Face

GOLDEN = Path(__file__).parents[2] / "models" / "face_golden.npz"
# Box of the astronaut's face, right and bottom just outside.
EDGE = np.array([168, 69, 264, 165])


@pytest.fixture(scope="module")
def astronaut():
    return to_uint8(load_sample(find_sample("astronaut")).pixels)


@pytest.fixture(scope="module")
def analyzer():
    return FaceAnalyzer()


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name: file[name] for name in file.files}


def scaled(pixels, scale):
    size = [round(side * scale) for side in pixels.shape[1::-1]]
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def distance(face, other):
    return float(np.linalg.norm(face.embedding - other.embedding))


def test_the_astronaut_is_found_and_described_as_by_dlib(astronaut, golden):
    ((face,),) = FaceAnalyzer(steady=False, mirror=False).analyze([astronaut])
    assert face.box_xyxy == (168.0, 69.0, 264.0, 165.0)
    assert face.landmarks_xy.tolist() == golden["landmarks"][0].tolist()
    np.testing.assert_allclose(face.embedding, golden["descriptor"][0], atol=1e-4)
    assert face.confidence == pytest.approx(1.0625, abs=2e-3)
    assert (face.upsample, face.is_fallback) == (0, False)
    assert face.quality.side == 96.0
    assert face.quality.warnings == ()


def test_a_doubled_picture_gives_dlibs_face_too(astronaut, golden):
    (face,) = FaceAnalyzer(upsample=1, steady=False).detect(astronaut)
    # dlib's box is (165, 73, 264, 172). Its neighbour, one step of the network higher, scores as
    # much to the second decimal, and wins here.
    np.testing.assert_allclose(face.box_xyxy, [165, 73, 264, 172], atol=10)
    np.testing.assert_allclose(face.landmarks_xy, golden["landmarks"][1], atol=3)
    assert face.upsample == 1


def test_detect_gives_the_same_faces_without_embeddings(analyzer, astronaut):
    (face,) = analyzer.detect(astronaut)
    assert face.embedding is None
    ((other,),) = analyzer.analyze([astronaut], embed=False)
    assert other.embedding is None
    assert face.box_xyxy == other.box_xyxy


def test_a_large_picture_is_searched_small_and_described_whole(analyzer, astronaut):
    large = scaled(astronaut, 4.0)
    ((face,),) = analyzer.analyze([large])
    np.testing.assert_allclose(np.array(face.box_xyxy) / 4, EDGE, atol=12)
    ((small,),) = analyzer.analyze([astronaut])
    assert distance(face, small) < 0.3
    # Points of the whole picture lie on single pixels of it, not on every fourth.
    assert (face.landmarks_xy % 4 != 0).any()


def test_a_small_face_is_found_by_the_fallback(analyzer, astronaut):
    half = scaled(astronaut, 0.5)
    assert FaceAnalyzer(fallback=False).detect(half) == []
    (face,) = analyzer.detect(half)
    assert (face.upsample, face.is_fallback) == (1, True)
    np.testing.assert_allclose(np.array(face.box_xyxy) * 2, EDGE, atol=16)
    assert "small" in face.quality.warnings


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.0])
def test_a_picture_that_is_nothing_but_a_face(analyzer, astronaut, scale):
    left, top, right, bottom = EDGE
    crop = scaled(astronaut[top + 8 : bottom - 8, left + 8 : right - 8], scale)
    ((face,),) = analyzer.analyze([crop])
    # Where it is small too, only by the fallback.
    assert len(FaceAnalyzer(fallback=False).detect(crop)) == (scale >= 1.0)
    assert face.is_fallback == (scale < 1.0)
    # Nearly all of the picture is the face.
    left, top, right, bottom = face.box_xyxy
    assert (right - left) * (bottom - top) > 0.7 * crop.shape[0] * crop.shape[1]
    if scale == 1.0:
        assert distance(face, analyzer.analyze([astronaut])[0][0]) < 0.45


def test_the_largest_face_comes_first_and_others_can_be_left_out(analyzer, astronaut):
    small = np.zeros_like(astronaut)
    small[:410, :410] = scaled(astronaut, 0.85)[:410, :410]
    # The large one is on the right, the surer on the left or not.
    both = np.concatenate([small, scaled(astronaut, 1.3)[:512, :512]], axis=1)
    faces, main = analyzer.analyze([both], embed=False)[0], analyzer.analyze([both], max_faces=1)[0]
    assert len(faces) == 2
    assert faces[0].box_xyxy[0] > 512 > faces[1].box_xyxy[0]
    assert [face.box_xyxy for face in main] == [faces[0].box_xyxy]


def test_a_face_at_the_edge_keeps_what_is_inside(analyzer, astronaut):
    cut = astronaut[78:, 175:]
    (face,) = analyzer.detect(cut)
    left, top, right, bottom = face.box_xyxy
    assert left >= 0.0
    assert top == 0.0
    assert right <= cut.shape[1]
    assert bottom > 60
    # The quality knows the whole face.
    assert face.quality.side >= max(right - left, bottom - top)


def test_pictures_of_all_kinds_go_through_in_one_call(astronaut):
    cup = to_uint8(load_sample(find_sample("coffee")).pixels)
    pictures = [astronaut, cup, scaled(astronaut, 0.8), astronaut[:, ::-1]]
    together = FaceAnalyzer(batch_size=2, fallback=False).analyze(iter(pictures))
    assert [len(faces) for faces in together] == [1, 0, 1, 1]
    alone = FaceAnalyzer(batch_size=1, fallback=False)
    for pixels, faces in zip(pictures, together, strict=True):
        for face, other in zip(faces, alone.analyze([pixels])[0], strict=True):
            np.testing.assert_allclose(face.embedding, other.embedding, atol=1e-5)
    assert distance(together[0][0], together[3][0]) < 0.6


def test_no_pictures_give_no_results(analyzer):
    assert analyzer.analyze([]) == []
    assert analyzer.embed([]).shape == (0, 128)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (28, 28)])
def test_tiny_pictures_have_no_faces(analyzer, size):
    assert analyzer.detect(np.full((*size, 3), 128, np.uint8)) == []


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((9, 9, 3), np.float32),
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((0, 9, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(analyzer, pixels):
    with pytest.raises(ValueError, match=r"uint8 \(height, width, 3\)\. Received: "):
        analyzer.detect(pixels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"upsample": 3}, r"upsample must be 0 to 2\. Received: 3"),
        ({"upsample": -1}, r"upsample must be 0 to 2\. Received: -1"),
        ({"max_side": 0}, r"must be at least 1\. Received: 0, 16"),
        ({"batch_size": 0}, r"must be at least 1\. Received: 1000, 0"),
    ],
)
def test_wrong_options_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FaceAnalyzer(**arguments)


def test_the_settings_tell_searches_apart():
    texts = {
        FaceAnalyzer(**options).settings
        for options in (
            {},
            {"upsample": 1},
            {"fallback": False},
            {"max_side": 640},
            {"turn": False},
        )
    }
    assert len(texts) == 5
    usual = "mmod max_side=1000 upsample=0 fallback=1 threshold=0 steady=1 mirror=1 turn=1"
    assert usual in texts


def test_a_higher_threshold_finds_less(astronaut):
    assert FaceAnalyzer(threshold=1.2).detect(astronaut) == []


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    # What this process has loaded already would do.
    module._networks.cache_clear()
    with pytest.raises(WeightsError, match="pip install face_recognition_models"):
        FaceAnalyzer()


def test_the_callers_picture_stays_as_it_was(analyzer, astronaut):
    before = astronaut.copy()
    analyzer.analyze([astronaut])
    np.testing.assert_array_equal(astronaut, before)


# Quality -------------------------------------------------------------------------------------


def quality(points, side=100, chip=None):
    if chip is None:
        chip = np.random.default_rng(0).integers(0, 256, (150, 150, 3), np.uint8)
    return assess_quality(np.array([0, 0, side, side]), np.asarray(points), chip)


def test_an_upright_face_from_the_front_has_no_angles():
    found = quality(chip_points())
    assert found.yaw == pytest.approx(0.0, abs=0.1)
    assert found.roll == pytest.approx(0.0, abs=0.1)
    assert found.warnings == ()


@pytest.mark.parametrize("angle", [-60.0, 20.0, 50.0])
def test_roll_is_the_angle_of_the_eyes_and_leaves_the_yaw_alone(angle):
    radians = np.radians(angle)
    # y points down: a positive angle turns clockwise, so that the line falls to the right.
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    found = quality(chip_points() @ turn.T)
    assert found.roll == pytest.approx(angle, abs=0.1)
    assert found.yaw == pytest.approx(0.0, abs=0.1)
    assert ("turned" in found.warnings) == (abs(angle) > 45)


@pytest.mark.parametrize("yaw", [-50.0, -10.0, 30.0])
def test_yaw_is_read_from_a_turned_head(yaw):
    # Eyes one apart in a plane, the base of the nose 0.3 before it; seen from far away.
    head = np.array(
        [[0.65, 0.0, 0], [0.35, 0.0, 0], [-0.65, 0.0, 0], [-0.35, 0.0, 0], [0.0, 0.7, 0.3]]
    )
    sine, cosine = np.sin(np.radians(yaw)), np.cos(np.radians(yaw))
    seen = np.stack([head[:, 0] * cosine + head[:, 2] * sine, head[:, 1]], axis=-1)
    found = quality(seen)
    assert found.yaw == pytest.approx(yaw, abs=0.1)
    assert ("turned" in found.warnings) == (abs(yaw) > 40)


def test_small_and_blurred_faces_are_named():
    assert quality(chip_points(), side=49).warnings == ("small",)
    flat = np.full((150, 150, 3), 90, np.uint8)
    assert quality(chip_points(), chip=flat).warnings == ("blurred",)


def test_points_that_coincide_do_not_divide_by_zero():
    assert np.isfinite(dataclasses.astuple(quality(np.zeros((5, 2))))[:4]).all()


def test_a_blurred_astronaut_is_less_sharp(analyzer, astronaut):
    (sharp,) = analyzer.detect(astronaut)
    blurred = scaled(scaled(astronaut, 0.2), 5.0)
    (soft,) = FaceAnalyzer().detect(blurred)
    assert soft.quality.sharpness < sharp.quality.sharpness / 10
    assert soft.quality.warnings == ("blurred",)


def test_the_laplacian_by_hand():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[1, 1] = 9
    # Inner 2x2: -36 at the pixel itself, 9 right of it and below, 0 across. Mean -4.5.
    expected = np.mean((np.array([-36.0, 9.0, 9.0, 0.0]) + 4.5) ** 2)
    assert laplacian_variance(pixels) == pytest.approx(expected)


# Other backends ------------------------------------------------------------------------------


def test_canvases_and_batches_come_in_few_sizes_where_each_is_compiled(monkeypatch, astronaut):
    monkeypatch.setattr(Networks, "compiles_each_size", True)
    analyzer = FaceAnalyzer()
    sizes = set()
    score, encode = analyzer._score, analyzer._encode

    def note(run):
        def noted(pixels, *counts):
            sizes.add(pixels.shape)
            return run(pixels, *counts)

        return noted

    analyzer._score, analyzer._encode = note(score), note(encode)
    results = analyzer.analyze([astronaut, astronaut[:508], astronaut[2:, :510]])
    assert [len(faces) for faces in results] == [1, 1, 1]
    # One canvas in steps of 64 pixels, four directions of each face, one batch of 4.
    assert {shape for shape in sizes if shape[1] != 150} == {(1, 1920, 576, 3), (4, 144, 144, 3)}
    assert {shape for shape in sizes if shape[1] == 150} == {(4, 150, 150, 3)}


@pytest.mark.slow
def test_the_same_face_on_jax():
    pytest.importorskip("jax")
    code = (
        "import numpy as np\n"
        "from cnnkit.data.samples import find_sample, load_sample\n"
        "from cnnkit.images import to_uint8\n"
        "from cnnkit.tasks.faces.analysis import FaceAnalyzer\n"
        "import keras\n"
        "assert keras.backend.backend() == 'jax'\n"
        "pixels = to_uint8(load_sample(find_sample('astronaut')).pixels)[30:210, 130:310]\n"
        "((face,),) = FaceAnalyzer().analyze([pixels])\n"
        f"golden = np.load({str(GOLDEN)!r})\n"
        "print(*face.box_xyxy, np.linalg.norm(face.embedding - golden['descriptor'][0]))\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    *box, apart = map(float, done.stdout.split())
    np.testing.assert_allclose(box, EDGE - [130, 30] * 2, atol=16)
    assert apart < 0.3


def test_steady_points_are_the_mean_over_boxes_around_the_face(analyzer, astronaut):
    (steady,) = analyzer.detect(astronaut)
    (plain,) = FaceAnalyzer(steady=False).detect(astronaut)
    assert steady.box_xyxy == plain.box_xyxy
    # dlib's are whole pixels; the mean of seven is not, and is near.
    assert (plain.landmarks_xy == np.round(plain.landmarks_xy)).all()
    np.testing.assert_allclose(
        7 * steady.landmarks_xy, np.round(7 * steady.landmarks_xy), atol=1e-3
    )
    assert 0 < np.abs(steady.landmarks_xy - plain.landmarks_xy).max() < 2


@pytest.mark.parametrize("degrees", [40, 75, 90, 135, 180, 270, 310])
def test_a_face_that_is_turned_by_any_angle_is_described_as_upright(analyzer, astronaut, degrees):
    turned = Image.fromarray(astronaut).rotate(-degrees, Image.Resampling.BICUBIC, expand=True)
    (upright,), (face,) = analyzer.analyze([astronaut, np.asarray(turned)], max_faces=1)
    assert distance(upright, face) < 0.2
    roll = (face.quality.roll - upright.quality.roll - degrees + 180) % 360 - 180
    assert abs(roll) < 4
    assert ("turned" in face.quality.warnings) == (degrees not in (40,))
    # dlib's points are those of an upright face.
    if degrees in (90, 270):
        (plain,) = FaceAnalyzer(turn=False).analyze([np.asarray(turned)], max_faces=1)[0]
        assert distance(upright, plain) > 0.5


def test_boxes_that_were_found_in_a_turned_picture_lie_where_they_were(analyzer, astronaut):
    (upright,) = analyzer.detect(astronaut)
    for quarters in (1, 2, 3):
        (face,) = analyzer.detect(np.rot90(astronaut, quarters))
        # Painted where it should be, and turned back.
        mask = np.zeros((512, 512), bool)
        left, top, right, bottom = (int(edge) for edge in face.box_xyxy)
        mask[top:bottom, left:right] = True
        rows, columns = np.nonzero(np.rot90(mask, -quarters))
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(found, upright.box_xyxy, atol=24)


def test_a_picture_without_a_face_has_none_in_any_direction(analyzer):
    for name in ("coffee", "rocket"):
        assert analyzer.detect(to_uint8(load_sample(find_sample(name)).pixels)) == []


def test_a_face_and_its_mirror_image_have_one_embedding(analyzer):
    chips = np.random.default_rng(0).integers(0, 256, (3, 150, 150, 3), np.uint8)
    mirrored = np.ascontiguousarray(chips[:, :, ::-1])
    np.testing.assert_allclose(analyzer.embed(chips), analyzer.embed(mirrored), atol=1e-6)
    plain = FaceAnalyzer(mirror=False)
    mean = (plain.embed(chips) + plain.embed(mirrored)) / 2
    np.testing.assert_allclose(analyzer.embed(chips), mean, atol=1e-6)


def _face_at(x, y, side):
    half = side / 2
    quality = assess_quality(np.array([0, 0, side, side]), chip_points(), np.zeros((9, 9, 3)))
    return Face((x - half, y - half, x + half, y + half), 1.0, chip_points(), quality)


def test_the_main_face_is_large_and_near_to_the_middle_whatever_the_size_of_the_picture():
    for scale in (1, 10):
        # A tenth of a long side beside the middle it must be exp(0.1^2 / 0.3^2 / 2) = 1.057 times
        # as large.
        middle = _face_at(100 * scale, 50 * scale, 20 * scale)
        for side, is_main in ((20 * 1.05, False), (20 * 1.065, True)):
            beside = _face_at(120 * scale, 50 * scale, side * scale)
            main = main_face([middle, beside], 100 * scale, 200 * scale)
            assert (main is beside) == is_main
    # A passer-by behind the middle is not meant.
    assert main_face([_face_at(40, 50, 40), _face_at(102, 50, 8)], 100, 200).box_xyxy[2] == 60
    assert main_face([middle, beside], 1000, 2000, math.inf) is beside


def test_a_face_cut_by_the_edge_is_not_the_main_one(analyzer, astronaut):
    # The same face twice; of the larger one the edge leaves a half.
    small = scaled(astronaut[:256, 96:352], 0.9)
    large = scaled(astronaut[:256, 96:352], 1.2)
    canvas = np.zeros((320, 520, 3), np.uint8)
    cut = large[:, : int(0.55 * large.shape[1])]
    canvas[: small.shape[0], : small.shape[1]] = small
    canvas[: cut.shape[0], 520 - cut.shape[1] :] = cut
    faces = analyzer.detect(canvas)
    assert len(faces) == 2
    assert faces[0].box_xyxy[2] < 230
    assert faces[1].box_xyxy[2] == 520
