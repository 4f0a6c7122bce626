import dataclasses
import json
import math

import numpy as np
import pytest

from cnnkit.errors import DataError
from cnnkit.tasks.faces.calibration import (
    FaceCalibration,
    calibration_to_json,
    fit_face_calibration,
    read_calibration,
    shipped_calibration,
    write_calibration,
)

TWO_POINTS = FaceCalibration("ab", 0.6, 40.0, -24.0, ((0.4, 1e-4), (0.6, 1e-2)), 10, 10)


def made_up(count=4000, seed=0):
    random = np.random.default_rng(seed)
    same = np.arange(count) % 2 == 0
    return np.where(same, random.normal(0.4, 0.08, count), random.normal(0.8, 0.08, count)), same


def test_the_threshold_lies_between_the_two_kinds():
    distances, same = made_up()
    calibration = fit_face_calibration(distances, same, distances[~same], "ab", "made up")
    # Two normal distributions of one width: the middle of 0.4 and 0.8 is best.
    assert calibration.threshold == pytest.approx(0.6, abs=0.02)
    assert calibration.probability(0.6) == pytest.approx(0.5, abs=0.1)
    # The log odds of two such distributions: (0.8 - 0.4) / 0.08^2 = 62.5 a unit.
    assert calibration.slope == pytest.approx(62.5, rel=0.15)
    assert calibration.pairs == 4000
    assert calibration.note == "made up"


def test_the_false_accept_rates_are_those_counted():
    distances, same = made_up(40_000)
    strangers = distances[~same]
    calibration = fit_face_calibration(distances, same, strangers, "ab")
    for threshold in (0.58, 0.6, 0.65, 0.7, 0.8):
        counted = np.mean(strangers < threshold)
        assert calibration.false_accept_rate(threshold) == pytest.approx(counted, rel=0.35)


def test_between_the_points_the_logarithm_is_interpolated():
    assert TWO_POINTS.false_accept_rate(0.5) == pytest.approx(1e-3)
    assert TWO_POINTS.false_accept_rate(0.3) == pytest.approx(1e-5)
    assert TWO_POINTS.false_accept_rate(0.9) == pytest.approx(1e-2)


def test_the_probability_is_the_logistic_curve():
    # 1 / (1 + exp(40 * 0.5 - 24)) = 1 / (1 + exp(-4))
    assert TWO_POINTS.probability(0.5) == pytest.approx(1 / (1 + math.exp(-4)))


def test_missed_pairs_are_left_out_and_too_few_refused():
    distances, same = made_up(100)
    distances[:50] = np.nan
    strangers = distances[~same]
    assert fit_face_calibration(distances, same, strangers, "ab").pairs == 50
    distances[:90] = np.nan
    with pytest.raises(DataError, match="5 pairs of one person and 5 of different people"):
        fit_face_calibration(distances, same, strangers, "ab")


def test_a_model_to_which_all_look_alike_is_refused():
    same = np.arange(40) % 2 == 0
    with pytest.raises(DataError, match="look the same"):
        fit_face_calibration(np.zeros(40), same, np.zeros(20), "ab")


def test_what_was_written_is_read_again(tmp_path):
    write_calibration(tmp_path / "c.json", TWO_POINTS)
    assert read_calibration(tmp_path / "c.json") == TWO_POINTS


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"false_accepts": [[0.5, 0.1]]},
        {"false_accepts": [[0.5, 0.1], [0.6, 0.05]]},
        {"false_accepts": [[0.5, 0.0], [0.6, 0.05]]},
        {"threshold": math.nan},
        {"more": 1},
        {"threshold": "much"},
    ],
)
def test_anything_else_is_refused(tmp_path, change):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**calibration_to_json(TWO_POINTS), **change}))
    with pytest.raises(DataError, match="is no calibration; make one with"):
        read_calibration(path)


def test_a_file_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_calibration(tmp_path / "missing.json")


def test_the_shipped_one_is_what_the_card_says():
    shipped = shipped_calibration()
    assert 0.58 < shipped.threshold < 0.63
    assert shipped.pairs == 2200
    assert shipped.strangers > 5_000_000
    assert 0.005 < shipped.false_accept_rate(0.6) < 0.02
    assert shipped.probability(0.3) > 0.999
    assert shipped.probability(0.9) < 0.001
    assert dataclasses.replace(shipped) == shipped
