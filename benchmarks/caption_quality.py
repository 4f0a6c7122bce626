"""How good a captioner is on photographs with sentences that people wrote, and on single things.

    python benchmarks/caption_quality.py --data DIR [--model captions] [--output FOLDER]

DIR is that of `train_captioner.py`. BLEU, CIDEr-D and variety are of the 300 photographs of COCO
val2017 whose names have the smallest SHA-1, against people's sentences in neutral words; how often
the thing is named is of the 500 pictures of ImageNet chosen in this way, see
`_caption_data.is_named`. None of these was trained or chosen on. --part val measures on those that
were chosen on.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage.data
from _caption_data import by_name_hash, is_named, read_coco, read_imagenet
from _measure import machine
from _sentences import nouns_in

from cnnkit.data.text import split_text
from cnnkit.images import Picture, read_pixels, write_image
from cnnkit.tasks.caption.metrics import cider_d, corpus_bleu, sentence_variety
from cnnkit.tasks.caption.plots import draw_captions
from cnnkit.tasks.caption.predict import Captioner
from cnnkit.tasks.caption.results import Caption
from cnnkit.tasks.caption.settings import CaptionSettings
from cnnkit.tasks.classify.predict import classify

_SAMPLES = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "camera.png", "horse.png"),
    *("motorcycle_left.png", "page.png", "retina.jpg", "coins.png", "hubble_deep_field.jpg"),
)
_TIMED = 60


def said_of(
    captioner: Captioner, paths: Sequence[Path], settings: CaptionSettings
) -> list[Caption]:
    found = list(captioner.caption_each([str(path) for path in paths], settings))
    assert all(isinstance(one, Caption) for one in found)
    return found


def warm_milliseconds(
    captioner: Captioner, paths: Sequence[Path], settings: CaptionSettings
) -> str:
    """The median time of one picture at a time, from the file to the sentence, and its spread."""
    taken = []
    for path in paths:
        begin = time.perf_counter()
        said_of(captioner, [path], settings)
        taken.append(1e3 * (time.perf_counter() - begin))
    low, middle, high = statistics.quantiles(taken[3:], n=4)
    return f"{middle:.0f} ms (middle half {low:.0f} to {high:.0f})"


def doubt(caption: Caption) -> str:
    return f"not sure: {caption.sentence}?" if caption.is_sure is False else caption.sentence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of all data")
    parser.add_argument("--model", default="captions")
    parser.add_argument("--part", default="test", choices=("test", "val"))
    parser.add_argument("--beams", type=int, default=CaptionSettings.beams)
    parser.add_argument("--length-penalty", type=float, default=CaptionSettings.length_penalty)
    parser.add_argument("--output", type=Path, help="folder for the sheet and the sentences")
    parser.add_argument("--no-speed", action="store_true", help="measure the quality alone")
    arguments = parser.parse_args()
    captioner = Captioner(arguments.model)
    settings = CaptionSettings(beams=arguments.beams, length_penalty=arguments.length_penalty)

    people = [one for one in read_coco(arguments.data) if one.split == arguments.part]
    scenes = said_of(captioner, [one.path for one in people], settings)
    candidates = [split_text(one.sentence) for one in scenes]
    references = [[split_text(one) for one in picture.sentences] for picture in people]
    variety = sentence_variety([one.sentence for one in scenes])
    scores = ", ".join(f"{score:.3f}" for score in corpus_bleu(candidates, references))
    print(f"COCO, {len(people)} pictures: BLEU-1 to 4 {scores}")
    print(f"  CIDEr-D {cider_d(candidates, references):.3f}")
    print(f"  {variety.distinct} different sentences")
    print(f"  most common: {variety.most_common_share:.1%} '{variety.most_common}'")
    # A sentence about a scene is right where it has one of the nouns that two people used.
    nouns = [{*nouns_in(picture.sentences)} - {"person", "people"} for picture in people]
    print_doubts(
        "  ", scenes, np.array([bool({*c} & n) for c, n in zip(candidates, nouns, strict=True)])
    )

    classes = read_imagenet(arguments.data)
    single = [path for path in by_name_hash(classes) if classes[path][1] == arguments.part]
    things = said_of(captioner, single, settings)
    named = np.array(
        [is_named(one.sentence, classes[path][0]) for one, path in zip(things, single, strict=True)]
    )
    answers = classify([str(path) for path in single], model="imagenet")
    right = np.array(
        [
            one.best[0].class_id == classes[path][0]
            for one, path in zip(answers, single, strict=True)
        ]
    )
    print(
        f"ImageNet, {len(single)} pictures: named {named.mean():.1%}; classifier {right.mean():.1%}"
    )
    print(f"  named where the classifier is right: {named[right].mean():.1%}")
    print_doubts("  ", things, named)

    folder = Path(skimage.data.__file__).parent
    samples = [folder / name for name in _SAMPLES]
    for path, one in zip(samples, said_of(captioner, samples, settings), strict=True):
        print(f"  {path.name:26} {one.candidates[0].likelihood:.2f} {doubt(one)}")
    if not arguments.no_speed:
        timed = [one.path for one in people[: _TIMED // 2]] + single[: _TIMED // 2]
        print(machine())
        print(f"warm, one picture at a time: {warm_milliseconds(captioner, timed, settings)}")
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        write_sheet(arguments.output / "captions.png", [*scenes[:24], *things[:16]])
        rows = [
            {
                "file": Path(one.source).name,
                "said": one.sentence,
                "likelihood": one.candidates[0].likelihood,
                "name": one.candidates[0].name_probability,
                "true": true,
            }
            for one, true in zip(
                [*scenes, *things],
                [*(picture.sentences for picture in people), *(bool(one) for one in named)],
                strict=True,
            )
        ]
        (arguments.output / "captions.json").write_text(json.dumps(rows, indent=1))


def print_doubts(indent: str, captions: Sequence[Caption], right: np.ndarray | None = None) -> None:
    """How many sentences are sure, and how many of the sure ones and of the others are right."""
    if captions[0].is_sure is None:
        return
    sure = np.array([one.is_sure for one in captions])
    text = f"{indent}sure of {sure.mean():.1%}"
    if right is not None:
        text += f"; right {right[sure].mean():.1%} of these and {right[~sure].mean():.1%} of others"
    print(text)


def write_sheet(path: Path, captions: Sequence[Caption]) -> None:
    sheet = draw_captions(
        (read_pixels(one.source, 416) for one in captions),
        [doubt(one) for one in captions],
        title="Pictures not trained on",
        subtitle="the first 24 of COCO's and 16 of ImageNet's, by the hash of their names",
        columns=8,
    )
    write_image(path, Picture(sheet.astype(np.float32) / 255.0))


if __name__ == "__main__":
    main()
