"""How much of the teacher's activations the compact backbone explains, and what that looks like.

Explained variance per layer, on pictures that were not trained on: of the teacher's own compact
activations, and of VGG-19's through the teacher's 1x1 heads. Then the same stylisation with the
teacher and with the student as feature network, side by side.

    python benchmarks/backbone_quality.py --data DIR --teacher FILE.npz [--output DIR]
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
from _measure import machine, sample, write_sheet

from cnnkit import Stylizer, StylizeSettings, weights
from cnnkit.images import read_image
from cnnkit.models.vgg import (
    build_vgg,
    unit_preprocessing,
)
from cnnkit.tasks.stylize.crops import find_pictures, read_for_report
from cnnkit.tasks.stylize.train_backbone import (
    STUDENT_LAYERS,
    Distiller,
    build_teacher,
    explained_variance,
    teacher_heads,
)
from cnnkit.weights.convolutions import (
    read_convolutions,
    set_convolution_weights,
)

HELD_OUT_PAINTINGS = (
    "bamboo_ink",
    "delaunay_metzinger_portrait",
    "frida_kahlo_thorn_necklace",
    "impasto_palette",
    "olive_trees",
    "roman_mosaic_ducks",
    "starry_night",
    "water_lilies",
    "woodcut_portrait",
    "zigzag_colour",
)
HELD_OUT = ("*/bsds/*", *(f"*/paintings/{name}.jpg" for name in HELD_OUT_PAINTINGS))


def load_student(path: Path) -> keras.Model:
    """The shipped network with all its layers as outputs."""
    arrays = read_convolutions(path)
    student = build_vgg(
        widths=[arrays[f"block{block}_conv1"][1].shape[0] for block in range(1, 6)],
        outputs=STUDENT_LAYERS,
        preprocessing=unit_preprocessing,
        padding="reflect",
        name="compact",
    )
    set_convolution_weights(student, arrays)
    return student


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="images/bsds and paintings below")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="another compact.npz than the shipped one")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--no-pictures", action="store_true")
    arguments = parser.parse_args()
    teacher = build_teacher(arguments.teacher)
    student = load_student(arguments.weights or weights.locate("compact"))
    ones = {name: np.ones(output.shape[-1]) for name, output in teacher.output.items()}
    distiller = Distiller(student, teacher, ones, teacher_heads(teacher))
    distiller.compile()
    _, held_out = find_pictures([arguments.data / "images", arguments.data / "paintings"], HELD_OUT)
    report = explained_variance(distiller, (read_for_report(path) for path in held_out))
    print(machine())
    print(f"{len(held_out)} pictures held out")
    print("| layer | teacher's compact activations | VGG-19's, through the teacher's heads |")
    print("| --- | --- | --- |")
    for layer in STUDENT_LAYERS:
        head = report.get(f"{layer}_to_vgg19")
        print(f"| {layer} | {report[layer]:.3f} | {'' if head is None else f'{head:.3f}'} |")
    if arguments.no_pictures:
        return
    folder = Path(tempfile.mkdtemp(prefix="cnnkit-benchmark-"))
    # A .keras file cannot hold a second output of the same name: the trunk is enough.
    trunk = keras.Model(teacher.inputs[0], {name: teacher.output[name] for name in STUDENT_LAYERS})
    trunk.save(folder / "teacher.keras")
    starry = read_image(arguments.data / "paintings" / "starry_night.jpg").pixels
    pairs = [
        (sample("astronaut"), starry),
        (sample("rocket"), sample("impasto")),
        (sample("chelsea"), sample("stained-glass")),
    ]
    rows = []
    for content, style in pairs:
        row = [content, style]
        for backbone in (str(folder / "teacher.keras"), "compact"):
            result = Stylizer(style, StylizeSettings(backbone=backbone)).run(content)
            row.append(result.image)
        rows.append(row)
    titles = ("content", "style", "teacher", "student")
    write_sheet(arguments.output / "teacher_student.png", rows, titles, cell=448)


if __name__ == "__main__":
    main()
