"""How good the shipped captioner is on the 300 pictures that were held back, and how fast.

    python benchmarks/caption_quality.py --data DIR [--model captions] [--output FOLDER]

DIR is that of `train_captioner.py`. The main object is named right where the sentence has the word
for it: of Caltech's pictures the name of the folder, of ImageNet's the group of the class, of
others the largest object that a detector is sure of, of COCO's a noun that two people used. BLEU is
against the sentences that are put together from the labels; of COCO's pictures against people's.
"""

import argparse
import json
import re
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from _measure import cnnkit, machine, run_process, sample_folder
from _sentences import Described, collect, draw

from cnnkit.data.text import split_text
from cnnkit.images import Picture, read_pixels, write_image
from cnnkit.metrics.captions import corpus_bleu, sentence_variety
from cnnkit.options import CaptionOptions
from cnnkit.pipelines._captioner import Captioner
from cnnkit.plots import draw_captions
from cnnkit.results import Caption


def names_main(sentence: str, picture: Described) -> bool:
    """Whether a sentence has one of the words for the main object."""
    return any(re.search(rf"\b{re.escape(word)}s?\b", sentence) for word in picture.main)


def bleu_of(said: list[str], pictures: list[Described]) -> tuple[float, ...]:
    return corpus_bleu(
        [one.split() for one in said],
        [[split_text(sentence) for sentence in picture.sentences] for picture in pictures],
    )


def warm_milliseconds(captioner: Captioner, paths: list[str], options: CaptionOptions) -> float:
    """The median time of one picture at a time, from the file to the sentence."""
    taken = []
    for path in paths:
        begin = time.perf_counter()
        for _, found in captioner.caption([path], options):
            assert isinstance(found, Caption)
        taken.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(taken[3:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of all data")
    parser.add_argument("--model", default="captions")
    parser.add_argument("--beams", type=int, default=CaptionOptions.beams)
    parser.add_argument("--output", type=Path, help="folder for the sheet and the sentences")
    parser.add_argument("--no-speed", action="store_true", help="measure the quality alone")
    arguments = parser.parse_args()
    held = collect(arguments.data).held_back
    captioner = Captioner(arguments.model)
    options = CaptionOptions(beams=arguments.beams)
    paths = [str(picture.path) for picture in held]
    found = [caption for _, caption in captioner.caption(paths, options)]
    said = [caption.sentence for caption in found]

    groups: dict[str, list[int]] = defaultdict(list)
    for at, picture in enumerate(held):
        groups[picture.group].append(at)
    right = [names_main(one, picture) for one, picture in zip(said, held, strict=True)]
    print(f"main object named right: {sum(right)} of {len(held)}, {np.mean(right):.1%}")
    for group, rows in groups.items():
        print(f"  {group:12} {sum(right[at] for at in rows)} of {len(rows)}")
    variety = sentence_variety(said)
    print(f"different sentences: {variety.distinct} of {variety.count}")
    print(f"most common: {variety.most_common_share:.1%} '{variety.most_common}'")
    composed = [at for at, picture in enumerate(held) if picture.group != "coco"]
    for name, rows in (("composed", composed), ("COCO, true", groups["coco"])):
        scores = bleu_of([said[at] for at in rows], [held[at] for at in rows])
        print(f"BLEU-1 to 4, {name}: {', '.join(f'{score:.3f}' for score in scores)}")
    if not arguments.no_speed:
        print(machine())
        for beams in (1, options.beams):
            taken = warm_milliseconds(captioner, paths[:60], CaptionOptions(beams=beams))
            print(f"warm, {beams} beams: {taken:.0f} ms a picture")
        picture = str(sample_folder() / "chelsea.png")
        command = cnnkit("caption", picture, "--model", arguments.model)
        seconds = [run_process(command)[0] for _ in range(3)]
        print(f"cold process: {statistics.median(seconds):.1f} s")
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        shown = sorted(range(len(held)), key=lambda at: draw(7, str(held[at].path.name)))[:24]
        sheet = draw_captions(
            (read_pixels(paths[at], 416) for at in shown),
            [said[at] + ("" if right[at] else " (wrong)") for at in shown],
            title="Held-back pictures",
            subtitle="24 of 300, drawn by their names",
            columns=6,
        )
        write_image(arguments.output / "captions.png", Picture(sheet.astype(np.float32) / 255.0))
        rows = [
            {"file": str(p.path), "said": one, "right": bool(r), "main": p.main}
            for p, one, r in zip(held, said, right, strict=True)
        ]
        (arguments.output / "captions.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
