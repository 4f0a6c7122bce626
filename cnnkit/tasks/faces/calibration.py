"""What a distance between faces means: the threshold, the odds, and how often strangers pass."""

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnkit.errors import DataError
from cnnkit.images import write_bytes
from cnnkit.metrics.verification import (
    Calibration,
    even_odds_threshold,
    fit_calibration,
)
from cnnkit.weights import embedded_dir

FORMAT = "cnnkit/face-calibration/1"
# Beside the cards of the weights, measured on LFW (View 1) with `cnnkit faces calibrate`.
SHIPPED = embedded_dir().parent / "calibrations" / "face-encoder.json"
_RATES = (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.5, 0.9)


@dataclass(frozen=True)
class FaceCalibration:
    """How to read the distances of one model.

    Attributes:
        model_hash: of the model whose distances these are.
        threshold: faces nearer than this are of one person.
        slope: of the logistic curve, see `Calibration`.
        intercept: of the same.
        false_accepts: pairs (distance, share of strangers nearer than it), rising.
        pairs: number of labelled pairs that the threshold and the curve come from.
        strangers: number of pairs of different people that the shares come from.
        note: what it was measured on, for people.
    """

    model_hash: str
    threshold: float
    slope: float
    intercept: float
    false_accepts: tuple[tuple[float, float], ...]
    pairs: int
    strangers: int
    note: str = ""

    def probability(self, distance: float) -> float:
        """Probability in [0, 1] that two faces at this distance are of one person, at even odds."""
        return float(Calibration(self.slope, self.intercept).probability(distance))

    def false_accept_rate(self, threshold: float) -> float:
        """Expected share of pairs of strangers nearer than `threshold`.

        Between the measured distances the logarithm is interpolated; below the first one the line
        of the first two goes on.
        """
        distances = np.array([distance for distance, _ in self.false_accepts])
        logs = np.log([rate for _, rate in self.false_accepts])
        if threshold >= distances[0]:
            return float(np.exp(np.interp(threshold, distances, logs)))
        fall = (logs[1] - logs[0]) / (distances[1] - distances[0])
        return float(math.exp(logs[0] + fall * (threshold - distances[0])))


def fit_face_calibration(
    distances: np.ndarray,
    same: np.ndarray,
    strangers: np.ndarray,
    model_hash: str,
    note: str = "",
) -> FaceCalibration:
    """Measures what distances mean.

    Args:
        distances: `(N,)` of labelled pairs, NaN where a face was missed.
        same: `(N,)` booleans.
        strangers: distances of any number of pairs of different people.
        model_hash: of the model.
        note: what the pairs are, for people.

    Returns:
        The calibration; its threshold is where the curve of the odds says that both are as likely.

    Raises:
        DataError: too few pairs of either kind.
    """
    measured = ~np.isnan(distances)
    distances, same = distances[measured], np.asarray(same, bool)[measured]
    strangers = np.sort(strangers[~np.isnan(strangers)])
    if min(same.sum(), (~same).sum()) < 10 or len(strangers) < 10:
        raise DataError(
            f"{int(same.sum())} pairs of one person and {int((~same).sum())} of different people "
            "with faces are too few to calibrate with; give at least 10 of each"
        )
    curve = fit_calibration(distances, same)
    rates = [rate for rate in _RATES if rate * len(strangers) >= 3]
    quantiles = np.quantile(strangers, rates, method="higher")
    points: list[tuple[float, float]] = []
    for quantile, rate in zip(quantiles, rates, strict=True):
        if not points or quantile > points[-1][0] + 1e-6:
            points.append((round(float(quantile), 6), rate))
    if len(points) < 2:
        raise DataError("all faces look the same to this model; it is of no use")
    return FaceCalibration(
        model_hash,
        round(even_odds_threshold(distances, same), 4),
        curve.slope,
        curve.intercept,
        tuple(points),
        len(distances),
        len(strangers),
        note,
    )


def shipped_calibration() -> FaceCalibration:
    """That of dlib's network."""
    return read_calibration(SHIPPED)


def read_calibration(path: str | Path) -> FaceCalibration:
    """Reads a file of `write_calibration`.

    Raises:
        DataError: it cannot be read or is something else.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; make it with `cnnkit faces calibrate`"
        ) from None
    except (ValueError, RecursionError):
        values = None
    try:
        return calibration_from_json(values)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise DataError(
            f"{path} is no calibration; make one with `cnnkit faces calibrate -o {path}`"
        ) from None


def calibration_from_json(values: Mapping[str, Any]) -> FaceCalibration:
    """The calibration in plain JSON types.

    Raises:
        KeyError, TypeError, ValueError: it is something else.
    """
    values = dict(values)
    if values.pop("format") != FORMAT:
        raise ValueError("another format")
    points = tuple((float(distance), float(rate)) for distance, rate in values["false_accepts"])
    rising = all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(points))
    if len(points) < 2 or not rising or not 0.0 < points[0][1] <= points[-1][1] <= 1.0:
        raise ValueError("false accept rates must rise")
    calibration = FaceCalibration(**{**values, "false_accepts": points})
    numbers = (calibration.threshold, calibration.slope, calibration.intercept)
    if not all(math.isfinite(float(number)) for number in numbers):
        raise ValueError("not finite")
    return calibration


def calibration_to_json(calibration: FaceCalibration) -> dict[str, Any]:
    """The calibration as plain JSON types."""
    return {"format": FORMAT, **asdict(calibration)}


def write_calibration(
    path: str | Path, calibration: FaceCalibration, *, overwrite: bool = True
) -> None:
    """Writes a calibration as JSON.

    Raises:
        ImageError: the place cannot be written, or has a file that must not be replaced.
    """
    text = json.dumps(calibration_to_json(calibration), indent=2, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode(), overwrite=overwrite)
