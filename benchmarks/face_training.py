"""How well trained models of similarity tell people apart, on LFW's View 1.

Everything is trained on the people of peopleDevTrain.txt, a part of whom is kept for validation;
the threshold is that of even odds on pairsDevTrain.txt, and it is judged on pairsDevTest.txt, whose
people no training has seen. A thousand pairs tell models apart that differ by a percent, no nearer;
so the last columns are of every pair of the pictures in pairsDevTest.txt, a million and more, of
which the two kinds weigh the same.

    python benchmarks/face_training.py --data DIR [--steps N] [--output DIR] [--only NAME ...]

DIR has the folders of people and the four lists. A run that was stopped goes on.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _measure import machine

from cnnkit.data.pairs import Pair, read_pairs
from cnnkit.data.people import read_people
from cnnkit.engine.observer import Observer
from cnnkit.engine.run import read_results
from cnnkit.metrics.verification import (
    accuracy_at,
    area_under_curve,
    equal_error_rate,
    even_odds_threshold,
    validation_rate,
)
from cnnkit.models.face_similarity import FaceSimilarity, load_face_similarity
from cnnkit.options import FACE_FORMS, MININGS
from cnnkit.tasks.faces.analysis import FaceAnalyzer
from cnnkit.tasks.faces.chips import MainFaces
from cnnkit.tasks.faces.data import prepare_faces
from cnnkit.tasks.faces.settings import TrainSettings
from cnnkit.tasks.faces.train import train_faces


def embed(similarity: FaceSimilarity, faces: dict, paths: Sequence[Path]) -> dict:
    """path -> embedding, NaN where the face was missed."""
    found = [path for path in paths if faces[path][1] is not None]
    values = np.stack([faces[path][1] for path in found])
    if similarity.encoder is not None:
        values = FaceAnalyzer(encoder=similarity.encoder).embed(values)
    embeddings = {path: np.full(values.shape[1], np.nan) for path in paths}
    embeddings.update(zip(found, values, strict=True))
    return embeddings


def pictures_of(pairs: Sequence[Pair]) -> list[Path]:
    """Each picture of the pairs once."""
    return sorted({path for pair in pairs for path in (pair.first, pair.second)})


def distances(
    similarity: FaceSimilarity, embeddings: dict, pairs: Sequence[Pair]
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of pairs, NaN where a face was missed, and their labels."""
    first, second = (
        np.stack([embeddings[getattr(pair, side)] for pair in pairs])
        for side in ("first", "second")
    )
    return similarity.distance(first, second), np.array([pair.same for pair in pairs])


def every_distance(similarity: FaceSimilarity, embeddings: dict) -> tuple[np.ndarray, np.ndarray]:
    """Distances of every two pictures, and whether the person is the same."""
    people = np.array([path.parent.name for path in embeddings])
    values = np.stack(list(embeddings.values()))
    measured = [
        similarity.distance(value[None], values[row + 1 :]) for row, value in enumerate(values[:-1])
    ]
    first, second = np.triu_indices(len(values), 1)
    return np.concatenate(measured), people[first] == people[second]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000, help="of each mining")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/faces"))
    parser.add_argument("--only", nargs="*", help="names of rows")
    arguments = parser.parse_args()
    data, output = arguments.data, arguments.output
    output.mkdir(parents=True, exist_ok=True)
    people = read_people(data / "peopleDevTrain.txt")
    train_pairs, test_pairs = (
        read_pairs(data / name) for name in ("pairsDevTrain.txt", "pairsDevTest.txt")
    )
    paths = pictures_of(train_pairs + test_pairs)
    source = MainFaces()
    runs = {"dlib, Euclidean": None}
    runs |= {f"dlib, {form}": TrainSettings("binary", form=form) for form in FACE_FORMS}
    runs |= {
        # Without restarts: what a mining does by itself.
        f"scratch, {mining}": TrainSettings(mining=mining, steps=arguments.steps, restarts=0)
        for mining in MININGS
    }
    runs["scratch, defaults"] = TrainSettings()
    print(machine())
    print(
        "| model | accuracy | 95 % | AUC | EER | threshold | missed | active | spread | s "
        "| every pair: accuracy | AUC | EER | VAL at FAR 0.001 |"
    )
    print("| --- " * 14 + "|", flush=True)
    for name, options in runs.items():
        if arguments.only and name not in arguments.only:
            continue
        active = spread = seconds = ""
        embeds = options is None or options.loss == "binary"
        cache = output / ("embeddings.npz" if embeds else "chips.npz")
        faces = prepare_faces(paths, source, cache, embeds)
        similarity = load_face_similarity()
        if options is not None:
            run = output / name.replace(", ", "-")
            run.mkdir(parents=True, exist_ok=True)
            if not (run / cache.name).exists():
                # One search for all runs.
                (run / cache.name).hardlink_to(cache)
            begin = time.monotonic()
            result = train_faces(
                [data],
                run,
                options,
                source=source,
                train_people=people,
                observer=Observer(on_note=lambda text: print(text, file=sys.stderr, flush=True)),
            )
            seconds = f"{time.monotonic() - begin:.0f}"
            similarity = load_face_similarity(str(result.model))
            last = read_results(run)[-1]
            if "active" in last:
                active, spread = (f"{last[key]:.2f}" for key in ("active", "distance"))
        embeddings = embed(similarity, faces, paths)
        on_train, same_train = distances(similarity, embeddings, train_pairs)
        on_test, same_test = distances(similarity, embeddings, test_pairs)
        tested = pictures_of(test_pairs)
        every, same_every = every_distance(similarity, {path: embeddings[path] for path in tested})
        accuracy = accuracy_at(on_test, same_test, even_odds_threshold(on_train, same_train))
        low, high = accuracy.interval
        is_near = every < accuracy.threshold
        balanced = (is_near[same_every].mean() + 1.0 - is_near[~same_every].mean()) / 2.0
        print(
            f"| {name} | {accuracy.value:.1%} | {low:.1%} to {high:.1%} "
            f"| {area_under_curve(on_test, same_test):.4f} "
            f"| {equal_error_rate(on_test, same_test)[0]:.1%} | {accuracy.threshold:.3f} "
            f"| {accuracy.missed} | {active} | {spread} | {seconds} "
            f"| {balanced:.2%} | {area_under_curve(every, same_every):.5f} "
            f"| {equal_error_rate(every, same_every)[0]:.2%} "
            f"| {validation_rate(every, same_every).rate:.1%} |",
            flush=True,
        )
        row = {"accuracy": accuracy.value, "right": accuracy.right, "seconds": seconds}
        (output / f"{name.replace(', ', '-')}.json").write_text(json.dumps(row))


if __name__ == "__main__":
    main()
