"""The recipe of the shipped captioner: sentences that people wrote, and others put together.

    python benchmarks/train_captioner.py --data DIR [-- --epochs 30 ...]

DIR holds coco/val2017, coco/tiny_coco, images/imagenet, images/caltech101 (with train.txt), labels
(boxes of a detector), lfw and camvid; see `_caption_data.py`, also for the pictures that are kept
apart. What comes after "--" goes to `cnnkit train caption`. Writes captions.keras, with weights
rounded to 16 bits and the least likelihood of an answer without a question mark, into the run
folder.
"""

import argparse
import csv
import json
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _caption_data import collect_captions, is_named, read_coco, read_imagenet
from _measure import cnnkit
from _sentences import nouns_in
from train_segmenter import pack

from cnnkit.data.imagenet import SeenName, name_seen
from cnnkit.data.labelled import read_example
from cnnkit.data.text import split_text
from cnnkit.models.caption_encoder import SIDE, build_lite0_encoder, seen_parts
from cnnkit.ops.inference import compile_inference
from cnnkit.tasks.caption.data import shares_word
from cnnkit.tasks.caption.predict import Captioner
from cnnkit.weights.keras_file import SETTINGS_FILE

RECIPE = (
    *("--max-words", "18", "--min-count", "4", "--units", "256", "--embedding", "128"),
    *("--dropout", "0.5", "--label-smoothing", "0.1", "--learning-rate", "0.002"),
    *("--epochs", "12", "--patience", "0"),
)
_BATCH = 32


def names_of(paths: Sequence[Path]) -> list[SeenName]:
    """What the encoder's classifier calls the things in pictures."""
    see, parts = compile_inference(build_lite0_encoder(), "float32"), seen_parts()
    found = []
    for first in range(0, len(paths), _BATCH):
        pictures = [read_example(str(path), (SIDE, SIDE, 3)) for path in paths[first:][:_BATCH]]
        found += [name_seen(one) for one in parts.names_of(see(np.stack(pictures)))]
    return found


# Of 0.34, 0.36, 0.38 and 0.40 for the likelihood, with 0.7 for the name, the largest with which on
# the pictures to choose by BLEU-4 does not fall and CIDEr-D by less than 1 %.
_NAMING = {"least_likelihood_unnamed": 0.36, "least_name_to_say": 0.7}


def least_right(scores: np.ndarray, right: np.ndarray) -> float:
    """The least score from which on more are right than wrong, by isotonic regression.

    >>> least_right(np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0, 0, 1, 0, 1]))
    0.3
    """
    order = np.argsort(scores)
    blocks: list[list[float]] = []
    for score, value in zip(scores[order], right[order], strict=True):
        # Number, right ones, and least score of a block; those that do not rise become one.
        blocks.append([1, float(value), float(score)])
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][0] >= blocks[-1][1] * blocks[-2][0]:
            count, hits, _ = blocks.pop()
            blocks[-1][0] += count
            blocks[-1][1] += hits
    return next((least for count, hits, least in blocks if 2 * hits >= count), float("inf"))


def calibrate(model: Path, data: Path) -> dict[str, float]:
    """Likelihoods from which on sentences about the pictures to choose by are right.

    A sentence about a scene is right where it has one of the nouns that two people used. Sentences
    with the name of a thing are only as right as the name: how probable that must be is chosen on
    all pictures of ImageNet that are not to test with, which say nothing of the words around it.
    """
    captioner = Captioner(str(model))
    people = [one for one in read_coco(data) if one.split == "val"]
    known = {path: index for path, (index, split) in read_imagenet(data).items() if split != "test"}
    names = names_of([*known])
    are_named = [is_named(one.phrase, at) for one, at in zip(names, known.values(), strict=True)]
    said = list(captioner.caption_each([str(one.path) for one in people]))
    # Sentences that have a word of what the classifier calls the thing are right more often.
    agree = [
        shares_word(name.phrase, one.sentence)
        for name, one in zip(names_of([one.path for one in people]), said, strict=True)
    ]
    of_scenes = [
        (
            agrees,
            one.candidates[0].likelihood,
            bool(
                {*split_text(one.sentence)} & {*nouns_in(picture.sentences)} - {"person", "people"}
            ),
        )
        for agrees, one, picture in zip(agree, said, people, strict=True)
        if one.candidates[0].name_probability is None
    ]
    least = {}
    for key, wanted in (("least_likelihood", True), ("least_likelihood_apart", False)):
        rows = [(likelihood, right) for agrees, likelihood, right in of_scenes if agrees == wanted]
        least[key] = round(least_right(*(np.array(part) for part in zip(*rows, strict=True))), 3)
    probabilities = [one.probability for one in names]
    return {
        **least,
        **_NAMING,
        "least_name_probability": round(
            least_right(np.array(probabilities), np.array(are_named)), 3
        ),
    }


def set_settings(model: Path, values: dict[str, float]) -> None:
    """Adds to what a `.keras` file says of itself."""
    with zipfile.ZipFile(model) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    settings = json.loads(content[SETTINGS_FILE])
    content[SETTINGS_FILE] = json.dumps({**settings, **values}).encode()
    with zipfile.ZipFile(model, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, one in content.items():
            # The same bytes whenever it is made.
            archive.writestr(zipfile.ZipInfo(name), one, zipfile.ZIP_DEFLATED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of all data")
    parser.add_argument("--output", type=Path, default=Path("runs/captions"))
    parser.add_argument("--table-only", action="store_true", help="write the sentences and stop")
    parser.add_argument("--pack-only", action="store_true", help="of a run that is there")
    parser.add_argument("options", nargs="*", help="for cnnkit train caption")
    arguments = parser.parse_args()
    if not arguments.pack_only:
        found = collect_captions(arguments.data, names_of)
        table = arguments.output.with_suffix(".csv")
        rows = [
            [one.path.resolve(), sentence, one.split] for one in found for sentence in one.sentences
        ]
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([["file", "sentence", "split"], *rows])
        print(f"{table}: {len(found)} pictures, {len(rows)} sentences")
        if arguments.table_only:
            return
        command = cnnkit("train", "caption", str(table), "-o", str(arguments.output))
        subprocess.run([*command, *RECIPE, *arguments.options], check=True)
    packed = arguments.output / "captions.keras"
    pack(arguments.output / "model.keras", packed)
    values = calibrate(packed, arguments.data)
    set_settings(packed, values)
    print(f"{packed}: {packed.stat().st_size:,} bytes, {values}")


if __name__ == "__main__":
    main()
