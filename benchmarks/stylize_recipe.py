"""The published best recipe against ours: the same loss, the same network, whose time?

The recipe (style-transfer-pytorch): scales from 128 by sqrt(2), 1000 Adam steps at the first and
500 at each other, step size 0.02, betas (0.9, 0.99), pixels clamped, an average with decay 0.99 as
the result, max pooling; Wasserstein-2 style loss on block{1..5}_conv1 weighted 256:64:16:4:1,
content loss on block4_conv2 weighted 0.015, total variation weighted 2, activations divided by
their mean. Its loss is turned into weights of our loss for each pair of pictures, so that all
runs minimise the very same function; what is compared is that function at the finished pictures.
None has our margin, since the recipe has none.

    python benchmarks/stylize_recipe.py [--data DIR] [--output DIR]
"""

import argparse
import math
from pathlib import Path

import numpy as np
from _measure import machine, sample, write_sheet

from cnnkit import Stylizer, StylizeSettings
from cnnkit.images import fit_size, read_image, resize

RECIPE_LAYERS = dict(
    zip((f"block{b}_conv1" for b in range(1, 6)), (256, 64, 16, 4, 1), strict=True)
)
RECIPE_CONTENT_WEIGHT, RECIPE_TV_WEIGHT = 0.015, 2.0
CONTENT_LAYER = "block4_conv2"


def recipe_weights(stylizer: Stylizer, content: np.ndarray, size: int) -> dict:
    """The recipe's loss as weights of ours, for one pair of pictures at one size.

    Per layer the recipe has w / C * W2(a / m) = w / (C m^2) * W2(a), m the mean activation; ours
    has w' * W2(a) / E with E the style's mean squared activation, summed over channels; and so on.
    """
    activations = stylizer.style.network.model(content[None])
    style = stylizer.style.style_statistics(size, content)
    total = sum(RECIPE_LAYERS.values())
    layers = {}
    for layer, weight in RECIPE_LAYERS.items():
        mean = float(np.mean(activations[layer]))
        gram = style[layer].gram
        layers[layer] = weight / total * np.trace(gram) / (len(gram) * mean**2)
    maps = np.asarray(activations[CONTENT_LAYER][0])
    spread = np.mean((maps - maps.mean(axis=(0, 1))) ** 2)
    return {
        "style_layers": layers,
        "style_weight": sum(layers.values()),
        "content_weight": RECIPE_CONTENT_WEIGHT * float(spread / maps.mean() ** 2),
        # The recipe's is a mean over channels as well.
        "tv_weight": RECIPE_TV_WEIGHT / 3,
    }


def loss_at(picture: np.ndarray, content: np.ndarray, style: np.ndarray, common: dict) -> float:
    """The common loss of a finished picture."""
    judge = Stylizer(style, StylizeSettings(**common, smallest_scale=10_000))
    from cnnkit.tasks.stylize.loss import StylizeLoss

    long_side = max(content.shape[:2])
    loss = StylizeLoss(
        judge.style.network.model,
        content,
        CONTENT_LAYER,
        judge.style.style_statistics(long_side, content),
        common["style_layers"],
        alpha=common["content_weight"],
        beta=common["style_weight"],
        gamma=common["tv_weight"],
    )
    return float(loss(picture)[0])


def compare(
    name: str, content: np.ndarray, style: np.ndarray, size: int, backbone: str, only: list[str]
) -> tuple[list[np.ndarray], list[str]]:
    """Runs all, or those that are named; prints rows of the table and returns titled pictures."""
    height, width = fit_size(*content.shape[:2], size)
    # Multiples of 16, so that the judge sees the picture without a canvas around it.
    height, width = height // 16 * 16, width // 16 * 16
    content = np.clip(resize(content, height, width), 0, 1)
    probe = Stylizer(style, StylizeSettings(backbone=backbone, pooling="max"))
    common = {
        "size": max(height, width),
        "backbone": backbone,
        "pooling": "max",
        "margin": 0,
        # As the recipe does.
        "init": "content",
        **recipe_weights(probe, content, max(height, width)),
    }
    scales = 1 + int(math.log(size / 128) / math.log(math.sqrt(2)) + 0.01)
    runs = {
        "recipe": {
            "scale_factor": math.sqrt(2),
            "scale_steps": (1000,) + (500,) * (scales - 1),
            "parameterization": "pixels",
            "learning_rate": 0.02,
            "ema": 0.99,
        },
        "L-BFGS, few steps": {"optimizer": "lbfgs", "scale_steps": (40, 20, 40)},
        "L-BFGS, more steps": {"optimizer": "lbfgs", "scale_steps": (100, 80, 70)},
        "standard from the photograph": {},
        "standard": {"init": "fast"},
        "standard, more steps": {"init": "fast", "scale_steps": (40, 40)},
    }
    pictures, titles, first = [content, style], ["content", "style"], None
    for label, settings in runs.items():
        if only and label not in only:
            continue
        result = Stylizer(style, StylizeSettings(**{**common, **settings})).run(content)
        if label == "recipe":
            first = result.seconds
        share = f"1/{first / result.seconds:.1f}" if first else ""
        loss = loss_at(result.image, content, style, common)
        print(
            f"| {name} | {width}x{height} | {label} | {sum(s.steps for s in result.scales)} "
            f"| {result.seconds:.1f} | {share} | {loss:.4f} |",
            flush=True,
        )
        pictures.append(result.image)
        titles.append(label)
    return pictures, titles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with paintings/ and contents/")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--backbone", default="compact")
    parser.add_argument("--only", nargs="+", default=[], help="names of runs, such as 'standard'")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    arguments = parser.parse_args()
    pairs = [
        ("astronaut x impasto", sample("astronaut"), sample("impasto")),
        ("rocket x waves", sample("rocket"), sample("waves")),
    ]
    if arguments.data:
        data = arguments.data
        metzinger = "delaunay_metzinger_portrait.jpg"
        pairs = [
            (
                "astronaut x starry night",
                sample("astronaut"),
                read_image(data / "paintings" / "starry_night.jpg").pixels,
            ),
            (
                "golden gate x metzinger",
                read_image(data / "contents" / "golden_gate.jpg").pixels,
                read_image(data / "paintings" / metzinger).pixels,
            ),
        ]
    print(machine())
    print("| pair | size | run | steps | seconds | of its time | final loss |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    rows, titles = [], []
    for name, content, style in pairs:
        pictures, titles = compare(
            name, content, style, arguments.size, arguments.backbone, arguments.only
        )
        rows.append(pictures)
    write_sheet(arguments.output / "recipe.png", rows, titles, cell=512)


if __name__ == "__main__":
    main()
