"""Whether `--strength` is one dial: how much of the way to the style each strength goes.

python benchmarks/stylize_strength.py --teacher FILE [--size 384]

The way is the style distance of `stylize_judge.py` by the two networks that nothing here is
optimised on alone, a compressed VGG-19 (`--teacher`) and EfficientNet-Lite0: 0 is the photograph,
1 what strength 1 comes to. Photographs and styles that come with cnnkit.
"""

import argparse
from pathlib import Path

import numpy as np
from _measure import machine, sample
from stylize_judge import Judge

from cnnkit import Stylizer, StylizeSettings
from cnnkit.images import fit_size, resize

PAIRS = (("astronaut", "waves"), ("chelsea", "impasto"), ("coffee", "mosaic"))
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
JUDGES = ("vgg19", "lite0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--size", type=int, default=384)
    arguments = parser.parse_args()
    judge = Judge(arguments.teacher)
    print(machine())
    print("| backbone | strength | share of the way, by pair (VGG-19, Lite0) | mean |")
    print("| --- | --- | --- | --- |")
    for backbone in ("auto", "compact"):
        ways = {}
        for content_name, style_name in PAIRS:
            content, style = sample(content_name), sample(style_name)
            height, width = fit_size(*content.shape[:2], arguments.size)
            content = np.clip(resize(content, height, width), 0.0, 1.0)
            found = [judge(content, content, style)]
            for strength in STRENGTHS:
                options = StylizeSettings(size=arguments.size, backbone=backbone, strength=strength)
                found.append(judge(Stylizer(style, options).run(content).image, content, style))
            for name in JUDGES:
                distances = np.array([one[name] for one in found])
                way = (distances[0] - distances) / (distances[0] - distances[-1])
                ways[content_name, name] = way[1:]
        for index, strength in enumerate(STRENGTHS):
            shares = [ways[content, name][index] for content, _ in PAIRS for name in JUDGES]
            text = ", ".join(f"{share:.2f}" for share in shares)
            print(f"| {backbone} | {strength} | {text} | {np.mean(shares):.2f} |", flush=True)


if __name__ == "__main__":
    main()
