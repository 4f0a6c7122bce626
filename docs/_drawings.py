"""Figures of the course that no command makes: what the package's code computes, as curves."""

import csv
from collections import Counter
from pathlib import Path

import keras
import matplotlib
import numpy as np
from matplotlib import pyplot

from cnnkit.data.reviews import generate_reviews
from cnnkit.losses.faces import pair_features
from cnnkit.tasks.visualize.shapes import visualize_shapes

ROOT = Path(__file__).parents[1]
_SIZE = (7.0, 2.8)


def draw(name: str, path: Path) -> None:
    """Writes one of `DRAWINGS`."""
    matplotlib.use("agg")
    figure, axes = pyplot.subplots(figsize=_SIZE, dpi=110, layout="constrained")
    DRAWINGS[name](axes)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path)
    pyplot.close(figure)


def _padding(axes: pyplot.Axes) -> None:
    sides = np.arange(0, 13)
    for size in (3, 5, 7):
        left = 64 - (size - 1) * sides
        axes.plot(sides[left > 0], left[left > 0], marker="o", label=f"{size} x {size}, valid")
    axes.plot(sides, np.full(len(sides), 64), color="grey", linestyle="--", label="any, same")
    axes.set(xlabel="convolutions one after the other", ylabel="pixels along a side")
    axes.legend(frameon=False)


def _one_by_one(axes: pyplot.Axes) -> None:
    words = {
        "5 x 5 alone": "28x28x192 conv5-32p",
        "1 x 1 to 16 channels, then 5 x 5": "28x28x192 conv1-16 conv5-32p",
    }
    costs = [visualize_shapes(one).multiply_adds / 1e6 for one in words.values()]
    bars = axes.barh(list(words), costs, color=("#c44e52", "#4c72b0"))
    axes.bar_label(bars, fmt="%.1f", padding=4)
    axes.set(xlabel="millions of multiplications", xlim=(0, 1.15 * max(costs)))
    axes.invert_yaxis()


def _transfer(axes: pyplot.Axes) -> None:
    with (ROOT / "benchmarks/results/classify.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = "mean accuracy of the categories"
    shown = {
        one["case"]: float(one["value"])
        for one in rows
        if one["quantity"] == wanted and one["table"].startswith("caltech101")
    }
    names = {
        "scratch": "scratch, compact network",
        "all": "all, compact network",
        "last:4": "last:4, compact network",
        "head": "head, compact network",
        "EfficientNet-Lite0, seed 0": "head, ImageNet features",
    }
    bars = axes.barh(list(names.values()), [shown[one] for one in names], color="#4c72b0")
    axes.bar_label(bars, fmt="%.1f %%", padding=4)
    axes.set(xlabel="27 pictures of each of Caltech-101's categories: right, %", xlim=(0, 108))


def _triplets(axes: pyplot.Axes) -> None:
    margin, positive = 0.2, 0.5
    negative = np.linspace(0.0, 1.1, 200)
    loss = np.maximum(positive - negative + margin, 0.0)
    axes.plot(negative, loss, color="black")
    parts = (
        (0.0, positive, "hard", "#c44e52"),
        (positive, positive + margin, "semi-hard", "#dd8452"),
        (positive + margin, 1.1, "easy: nothing to learn", "#55a868"),
    )
    for begin, end, name, color in parts:
        axes.axvspan(begin, end, alpha=0.2, color=color)
        axes.text((begin + end) / 2, 0.62, name, ha="center")
    axes.set(
        xlabel=f"squared distance to the negative (to the positive: {positive})",
        ylabel="loss", xlim=(0, 1.1),
    )  # fmt: skip


def _similarity(axes: pyplot.Axes) -> None:
    second = np.linspace(0.02, 1.0, 200).astype(np.float32)
    for first, style in ((0.2, "-"), (0.6, "--")):
        other = np.full_like(second, first)
        for form in ("absolute", "chi-square"):
            values = pair_features(other[:, None], second[:, None], form)
            color = "#4c72b0" if form == "absolute" else "#c44e52"
            values = keras.ops.convert_to_numpy(values)[:, 0]
            axes.plot(second, values, style, color=color, label=f"{form}, f = {first}")
    axes.set(xlabel="g", ylabel="of one number of the embeddings")
    axes.legend(frameon=False)


def _one_dimension(axes: pyplot.Axes) -> None:
    random = np.random.default_rng(0)
    time = np.arange(160)
    signal = np.sign(np.sin(time / 14)) + 0.25 * random.standard_normal(160)
    kernel = np.array([1, 1, 1, 0, -1, -1, -1], np.float32) / 3
    slid = keras.ops.conv(
        signal[None, :, None].astype(np.float32), kernel[::-1, None, None].copy(), padding="same"
    )
    axes.plot(time, signal, color="grey", linewidth=1, label="signal")
    edges = keras.ops.convert_to_numpy(slid)[0, :, 0]
    axes.plot(time, edges, color="#c44e52", label="after an edge kernel of 7 numbers")
    axes.set(xlabel="time")
    axes.legend(frameon=False, loc="upper right")


def _text_counts(axes: pyplot.Axes) -> None:
    words = Counter(word for text, _ in generate_reviews(500) for word in text.split())
    best = words.most_common(40)
    axes.bar([word for word, _ in best], [count for _, count in best], color="#4c72b0")
    axes.tick_params("x", rotation=90, labelsize=7)
    axes.set(ylabel="times in 1,000 reviews", xlim=(-0.7, len(best) - 0.3))


def _recurrent(axes: pyplot.Axes) -> None:
    """How much the state after the last word depends on each word, of networks before training."""
    steps, width, inputs = 40, 32, 16
    keras.utils.set_random_seed(0)
    layers = {
        "RNN": keras.layers.SimpleRNN(width),
        "LSTM, which forgets little at first": keras.layers.LSTM(width, unit_forget_bias=True),
    }
    words = np.random.default_rng(0).standard_normal((16, steps, inputs)).astype(np.float32)
    for name, layer in layers.items():
        plain = keras.ops.convert_to_numpy(layer(words))
        moved = []
        for step in range(steps):
            other = words.copy()
            other[:, step] += 0.1 * np.random.default_rng(1).standard_normal(inputs)
            changed = keras.ops.convert_to_numpy(layer(other)) - plain
            moved.append(float(np.linalg.norm(changed, axis=1).mean()))
        axes.semilogy(np.arange(steps) - steps, moved, label=name)
    axes.set(xlabel="word, counted from the last one", ylabel="change of the last state")
    axes.legend(frameon=False)


DRAWINGS = {
    "padding.png": _padding,
    "one_by_one.png": _one_by_one,
    "transfer.png": _transfer,
    "triplets.png": _triplets,
    "similarity.png": _similarity,
    "one_dimension.png": _one_dimension,
    "text_counts.png": _text_counts,
    "recurrent.png": _recurrent,
}
