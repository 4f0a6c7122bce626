"""The ImageNet classifier: accuracy, calibration, doubt and time, by what it sees of a picture.

    python benchmarks/classify_imagenet.py --data DIR [--calibrate]

DIR holds pictures of ImageNet's classes whose names, sorted, are in the order of the classes: one
for each class, or as many for each. The second, fourth, ... picture is what is reported on; the
others are what the temperature, the views and the thresholds are chosen on. `--calibrate` writes
the choice into the package.
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from _measure import machine
from PIL import Image

from cnnkit.data.imagenet import imagenet_groups, imagenet_names
from cnnkit.data.labelled import stretch_pixels
from cnnkit.images import read_pixels
from cnnkit.metrics.classification import calibration, log_loss
from cnnkit.tasks.classify.calibration import (
    ENOUGH_PIXELS,
    SIDE,
    AnswerCalibration,
    central_view,
    read_calibration,
    whole_view,
    write_calibration,
)
from cnnkit.tasks.classify.predict import Classifier
from cnnkit.tasks.classify.settings import ClassifySettings

TEMPERATURES = np.arange(0.4, 1.21, 0.02)
# An answer is sure where it is more probable than all others together, and where the picture is
# as similar as nine tenths of those that are right at such a probability.
THRESHOLD, KEPT = 0.5, 0.9
# What scikit-image's photographs show, in words of the table of classes or of groups; what is none
# of them has no right answer.
PHOTOGRAPHS = {
    "astronaut.png": (),
    "camera.png": ("tripod", "camera"),
    "chelsea.png": ("cat",),
    "clock_motion.png": ("clock",),
    "coffee.png": ("espresso", "cup"),
    "coins.png": (),
    "hubble_deep_field.jpg": (),
    "moon.png": (),
    "motorcycle_left.png": ("motorcycle",),
    "motorcycle_right.png": ("motorcycle",),
    "retina.jpg": (),
    "rocket.jpg": ("missile", "projectile"),
}
VIEWS = {
    "stretched": lambda image: stretch_pixels(np.asarray(image), (SIDE, SIDE, 3)),
    "central": central_view,
    "whole": whole_view,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--calibrate", action="store_true")
    arguments = parser.parse_args()
    print(machine())
    paths = sorted(map(str, arguments.data.glob("*.jpg")))
    labels = np.arange(len(paths)) * 1000 // len(paths)
    classifier = Classifier("imagenet")
    images = [Image.fromarray(read_pixels(path, ENOUGH_PIXELS)) for path in paths]
    rows = {
        name: classifier._outputs([view(image) for image in images], 32)
        for name, view in VIEWS.items()
    }
    chosen, reported = slice(0, None, 2), slice(1, None, 2)
    print("| what it sees | temperature | top-1, % | top-5, % | log loss | calibration error, % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for views in (("stretched",), ("central",), ("whole",), ("central", "whole")):
        seen = np.stack([rows[view] for view in views], axis=1)
        best = fit_temperature(seen[chosen], labels[chosen])
        for part, name in ((chosen, "chosen on"), (reported, "reported on")):
            found, _ = best.combine(seen[part])
            print(
                f"| {' and '.join(views)}, {name} | {best.temperature:.2f} "
                f"| {figures(found, labels[part])} |"
            )
    similarity = best.combine(seen)[1]
    if arguments.calibrate:
        write_calibration(with_doubt(best, seen[chosen], labels[chosen]))
    shipped = read_calibration()
    print(f"shipped: {shipped}")
    found, similarity = shipped.combine(seen[reported])
    right = found.argmax(axis=1) == labels[reported]
    sure = np.array([shipped.is_sure(p, s) for p, s in zip(found.max(1), similarity, strict=True)])
    print(f"pictures: {len(right)}, sure of {sure.mean():.1%}")
    print(f"right: {right[sure].mean():.1%} of those, {right[~sure].mean():.1%} of the others")
    show_calibration("reported on", found, labels[reported])
    halves = [
        fit_temperature(seen[one], labels[one]).combine(seen[other])[0]
        for one, other in ((chosen, reported), (reported, chosen))
    ]
    show_calibration(
        "both halves, each by the temperature of the other",
        np.concatenate(halves),
        np.concatenate([labels[reported], labels[chosen]]),
    )
    print(f"groups right: {groups_right(found, labels[reported]):.1%}")
    show_photographs(classifier)
    times = time_of_one(classifier, paths[:60])
    print(f"ms a picture, warm, one at a time: {np.median(times):.0f} (median of {len(times)})")


def fit_temperature(views: np.ndarray, labels: np.ndarray) -> AnswerCalibration:
    """The temperature of least log loss."""
    candidates = [AnswerCalibration(float(one), 0, 0, len(labels), "") for one in TEMPERATURES]
    return min(candidates, key=lambda one: log_loss(one.combine(views)[0], labels))


def with_doubt(best: AnswerCalibration, views: np.ndarray, labels: np.ndarray) -> AnswerCalibration:
    """The thresholds below which an answer is not sure."""
    found, similarity = best.combine(views)
    right = (found.argmax(axis=1) == labels) & (found.max(axis=1) >= THRESHOLD)
    least = float(np.quantile(similarity[right], 1 - KEPT))
    note = "every second of 1,000 pictures, one of each class of ImageNet, longest side 320"
    return AnswerCalibration(
        round(best.temperature, 2), THRESHOLD, round(least, 3), len(labels), note
    )


def figures(found: np.ndarray, labels: np.ndarray) -> str:
    order = np.argsort(-found, axis=1)[:, :5]
    top1, top5 = (order[:, 0] == labels).mean(), (order == labels[:, None]).any(axis=1).mean()
    error = calibration(found, labels).error
    return f"{top1:.1%} | {top5:.1%} | {log_loss(found, labels):.3f} | {error:.1%}".replace("%", "")


def show_calibration(name: str, found: np.ndarray, labels: np.ndarray) -> None:
    error, noise = calibration(found, labels).error, expected_error_of_perfect(found)
    excess = found.max(axis=1).mean() - (found.argmax(axis=1) == labels).mean()
    print(
        f"calibration error, {name}: {error:.1%} of {len(labels)} pictures; a perfect classifier "
        f"would have {noise:.1%} by chance; mean probability less accuracy {excess:+.1%}"
    )


def expected_error_of_perfect(found: np.ndarray, repeats: int = 200) -> float:
    """What chance alone makes of the calibration error on so few pictures."""
    random = np.random.default_rng(0)
    draws = []
    for _ in range(repeats):
        truth = [random.choice(len(row), p=row / row.sum()) for row in found.astype(np.float64)]
        draws.append(calibration(found, np.array(truth)).error)
    return float(np.mean(draws))


def groups_right(found: np.ndarray, labels: np.ndarray) -> float:
    """Share whose best group, or best class that is in none, is the picture's."""
    group_of = {name: group for group, names in imagenet_groups().items() for name in names}
    words = [group_of.get(name, name) for name in imagenet_names()]
    known = sorted(set(words))
    sums = np.zeros((len(found), len(known)))
    for index, word in enumerate(words):
        sums[:, known.index(word)] += found[:, index]
    truth = np.array([known.index(words[label]) for label in labels])
    return float((sums.argmax(axis=1) == truth).mean())


def show_photographs(classifier: Classifier) -> None:
    (folder,) = find_spec("skimage").submodule_search_locations
    paths = [str(Path(folder) / "data" / name) for name in PHOTOGRAPHS]
    settings = ClassifySettings(top=1, group=True)
    for path, result in zip(paths, classifier.classify(paths, settings), strict=True):
        words = {result.best[0].label, result.groups[0].label}
        wanted = PHOTOGRAPHS[Path(path).name]
        doubt = "" if result.groups[0].is_sure else "not sure: "
        state = "right" if words & set(wanted) else "not sure" if doubt else "WRONG"
        print(f"{Path(path).name}: {doubt}{result.best[0].label} ({state})")


def time_of_one(classifier: Classifier, paths: list[str]) -> list[float]:
    times = []
    for path in paths:
        begin = time.perf_counter()
        list(classifier.predict([path], batch=1))
        times.append(1e3 * (time.perf_counter() - begin))
    return times[10:]


if __name__ == "__main__":
    main()
