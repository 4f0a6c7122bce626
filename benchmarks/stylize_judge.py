"""How near stylised pictures come to their style, by three networks, and how clean they are.

python benchmarks/stylize_judge.py --data DIR --teacher FILE [--pairs report] [--output DIR]
    [--csv FILE] [--float32] SETTINGS...

Each of SETTINGS is a name and options of `StylizeSettings`, as "fine:quality=fine" or
"small:backbone=compact,quality=standard", or a folder of pictures that were painted before, by
another commit or program, as "before:@runs/before": files are named CONTENT--STYLE.png.

- style distance: relative squared error of the second moments of activations, mean of five layers,
  by VGG-16, by a compressed VGG-19 (`--teacher`, an .npz of kernels) and by EfficientNet-Lite0, on
  which nothing is optimised. The style picture is seen at the size of the result.
- content distance: squared distance at VGG-16's block4_conv2 over the photograph's own spread.
- colour noise: second differences of Cb and Cr over those of luma, divided by the style picture's
  (1: as in the style; none where the style has no colour).
- specks: the second differences of Cb and Cr themselves, in steps of 1/255.
"""

import argparse
import csv
import functools
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _measure import machine, sample, write_sheet

import keras  # isort: skip  (after the runtime is configured)

from cnnkit import Stylizer, StylizeSettings
from cnnkit.images import Picture, fit_size, read_pixels, resize, write_image
from cnnkit.models.efficientnet_lite import build_features
from cnnkit.models.vgg import build_feature_network, build_vgg, layer_names
from cnnkit.ops.statistics import gram_matrix
from cnnkit.tasks.stylize import style as style_module
from cnnkit.tasks.stylize.loss import content_loss, content_loss_scale

SIDE = 512
STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_LAYER = "block4_conv2"
# The deepest maps at strides 2 to 32 that a ReLU6 has made positive, as VGG's are.
LITE0_LAYERS = tuple(
    f"{block}_activation" for block in ("stem", "block2b", "block3b", "block5c", "block7a")
)
# Photographs and paintings by name in `DIR/contents` and `DIR/paintings`, or samples. Settings are
# chosen on "tune" and reported on the others: no photograph and no painting is in both.
PAIRS = {
    "tune": (
        ("golden_gate", "starry_night"),
        ("taj_mahal", "la_forma"),
        ("cottage_garden", "japanese_winter_birds"),
        ("toy_figures", "van_gogh_self_portrait"),
        ("taj_mahal", "church_ruin_pencil"),
        ("golden_gate", "frida_kahlo_thorn_necklace"),
    ),
    "report": (
        ("butterfly", "olive_trees"),
        ("new_york_night", "delaunay_metzinger_portrait"),
        ("sailboat", "water_lilies"),
        ("yosemite", "wheat_field_with_cypresses"),
        ("bamboo_grove", "woodcut_portrait"),
        ("cherry_blossom", "klee_clouds_over_bor"),
        ("country_house", "auvers_houses"),
        ("milford_sound", "impasto_palette"),
        ("sailboat", "contrast_of_forms"),
        ("yosemite", "roman_mosaic_ducks"),
        ("new_york_night", "gauguin_tahiti"),
        ("butterfly", "mountain_pencil"),
        ("astronaut", "waves"),
        ("chelsea", "impasto"),
        ("coffee", "mosaic"),
        ("rocket", "stained-glass"),
    ),
}
COLUMNS = ("vgg16", "vgg19", "lite0", "content", "colour_noise", "specks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--pairs", choices=PAIRS, default="report")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/judge"))
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--float32", action="store_true", help="never compute in bfloat16")
    arguments = parser.parse_args()
    if arguments.float32:
        style_module.has_fast_bfloat16 = lambda: False
    judge = Judge(arguments.teacher)
    rows = []
    for text in arguments.settings:
        name, _, given = text.partition(":")
        for content_name, style_name in PAIRS[arguments.pairs]:
            content = _read(arguments.data / "contents", content_name)
            style = _read(arguments.data / "paintings", style_name)
            begin = time.monotonic()
            file_name = f"{content_name}--{style_name}.png"
            if given.startswith("@"):
                image = read_pixels(Path(given[1:]) / file_name) / np.float32(255.0)
            else:
                options = StylizeSettings(size=SIDE, **_parse(given))
                image = Stylizer(style, options).run(content).image
            seconds = time.monotonic() - begin
            found = judge(image, content, style)
            rows.append({"settings": name, "content": content_name, "style": style_name, **found})
            write_image(arguments.output / name / file_name, Picture(image))
            print(
                f"{name:12} {content_name:15} {style_name:28} "
                + " ".join(f"{found[column]:7.3f}" for column in COLUMNS)
                + f" {seconds:6.1f} s",
                flush=True,
            )
    _print_summary(rows)
    _write_sheets(arguments, rows)
    if arguments.csv:
        with arguments.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    print(machine())


class Judge:
    """Measures a stylised picture with three networks.

    Args:
        teacher: kernels and biases of the compressed VGG-19, an .npz.
    """

    def __init__(self, teacher: Path):
        layers = [*STYLE_LAYERS, CONTENT_LAYER]
        self._content = build_feature_network("vgg16-hed", layers, "max").model
        self._networks: dict[str, Callable[[Any], Mapping[str, Any]]] = {
            "vgg16": build_feature_network("vgg16-hed", [*STYLE_LAYERS], "max").model,
            "vgg19": load_compressed_vgg19(teacher),
            "lite0": build_features(LITE0_LAYERS)[0],
        }

    def __call__(self, image: np.ndarray, content: np.ndarray, style: np.ndarray) -> dict:
        """The columns of the table for pictures `(height, width, 3)` in [0, 1]."""
        side = max(image.shape[:2])
        style = _whole(_fitted(style, min(side, max(style.shape[:2]))))
        content = _whole(np.clip(resize(content, *image.shape[:2]), 0.0, 1.0))
        image = _whole(image)
        found = {
            name: style_distance(network, image, style) for name, network in self._networks.items()
        }
        seen = [
            keras.ops.convert_to_numpy(self._content(one[None])[CONTENT_LAYER])[0]
            for one in (image, content)
        ]
        lost = float(content_loss(*seen)) / content_loss_scale(seen[1])
        return {
            **found,
            "content": lost,
            "colour_noise": colour_noise(image, style),
            "specks": 255.0 * _roughness(image)[1],
        }


def style_distance(network: Callable, image: np.ndarray, style: np.ndarray) -> float:
    """`||G - G_s||^2 / ||G_s||^2` of Gram matrices, mean over the network's layers."""
    grams = [
        {layer: keras.ops.convert_to_numpy(gram_matrix(maps[0])) for layer, maps in seen.items()}
        for seen in (network(image[None]), network(style[None]))
    ]
    errors = [
        np.sum((grams[0][layer] - wanted) ** 2) / np.sum(wanted**2)
        for layer, wanted in grams[1].items()
    ]
    return float(np.mean(errors))


def colour_noise(image: np.ndarray, style: np.ndarray) -> float:
    """Fine differences of chroma over those of luma, relative to the style's; NaN if it is grey."""
    (luma, chroma), (style_luma, style_chroma) = _roughness(image), _roughness(style)
    if style_chroma < 0.02 * style_luma:
        return math.nan
    return (chroma / luma) / (style_chroma / style_luma)


def _roughness(image: np.ndarray) -> tuple[float, float]:
    """Mean absolute second differences, along rows and columns, of Y and of Cb and Cr."""
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = [luma, (blue - luma) / 1.772, (red - luma) / 1.402]
    rough = [
        np.mean([np.abs(np.diff(plane, 2, axis)).mean() for axis in (0, 1)]) for plane in planes
    ]
    return rough[0], (rough[1] + rough[2]) / 2


def load_compressed_vgg19(path: Path) -> keras.Model:
    """RGB `(1, height, width, 3)` in [0, 1] -> maps of `STYLE_LAYERS`."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    preprocessing = keras.layers.Conv2D(3, 1, name="input")
    names = [name for name in layer_names() if f"{name}/kernel" in arrays]
    model = build_vgg(
        widths=[arrays[f"block{block}_conv1/bias"].shape[0] for block in range(1, 6)],
        outputs=STYLE_LAYERS,
        preprocessing=preprocessing,
        padding="reflect",
    )
    for name in ("input", *names):
        model.get_layer(name).set_weights([arrays[f"{name}/kernel"], arrays[f"{name}/bias"]])
    return model


@functools.lru_cache
def _read(folder: Path, name: str) -> np.ndarray:
    path = folder / f"{name}.jpg"
    return read_pixels(path) / np.float32(255.0) if path.is_file() else sample(name)


def _fitted(pixels: np.ndarray, side: int) -> np.ndarray:
    return np.clip(resize(pixels, *fit_size(*pixels.shape[:2], side)), 0.0, 1.0)


def _whole(pixels: np.ndarray) -> np.ndarray:
    """Without the last rows and columns that five poolings would drop."""
    height, width = (side // 16 * 16 for side in pixels.shape[:2])
    return pixels[:height, :width]


def _parse(text: str) -> dict[str, Any]:
    """Options out of "name=value,name=value"."""
    defaults = StylizeSettings()
    found = {}
    for item in filter(None, text.split(",")):
        name, _, value = item.partition("=")
        if name == "scale_steps":
            found[name] = tuple(map(int, value.split("/")))
        else:
            kind = type(getattr(defaults, name))
            found[name] = float(value) if kind is float else int(value) if kind is int else value
    return found


def _print_summary(rows: list[dict]) -> None:
    names = list(dict.fromkeys(row["settings"] for row in rows))
    print(f"\n{'mean (worst)':14}" + " ".join(f"{column:>15}" for column in COLUMNS))
    for name in names:
        values = {
            column: [row[column] for row in rows if row["settings"] == name] for column in COLUMNS
        }
        print(
            f"{name:14}"
            + " ".join(
                f"{np.nanmean(values[column]):7.3f} ({np.nanmax(values[column]):.3f})"
                for column in COLUMNS
            )
        )


def _write_sheets(arguments: argparse.Namespace, rows: list[dict]) -> None:
    names = list(dict.fromkeys(row["settings"] for row in rows))
    sheet = []
    for content_name, style_name in PAIRS[arguments.pairs]:
        content = _read(arguments.data / "contents", content_name)
        style = _read(arguments.data / "paintings", style_name)
        file_name = f"{content_name}--{style_name}.png"
        made = [read_pixels(arguments.output / name / file_name) for name in names]
        sheet.append([style, content, *made])
    write_sheet(arguments.output / "sheet.jpg", sheet, ("style", "content", *names), cell=SIDE)


if __name__ == "__main__":
    main()
