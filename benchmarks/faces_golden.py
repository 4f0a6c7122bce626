"""Compares every step of the face pipeline with numbers that dlib itself gave.

    python benchmarks/faces_golden.py --golden FILE.npz --data FOLDER

FILE holds, for each face, `images` ("astronaut" or a path below FOLDER), `upsample`,
`boxes_ltrb_inclusive`, `confidence`, `landmarks_xy`, `chips` and `descriptors`. Each step gets
dlib's own result of the step before, so that differences do not add up; the last column goes all
the way. Pictures that were compressed again since dlib saw them differ in the steps that look at
pixels, but not in the descriptors of dlib's chips.
"""

import argparse
from pathlib import Path

import numpy as np
from _measure import machine, sample

from cnnkit.images import read_image, to_uint8
from cnnkit.models.shape_predictor import ShapePredictor, load_shape_predictor_weights
from cnnkit.ops.alignment import extract_chip
from cnnkit.tasks.faces.analysis import FaceAnalyzer

# dlib's box holds its last pixel.
INCLUSIVE = np.array([0, 0, 1, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    with np.load(arguments.golden) as file:
        golden = {name: file[name] for name in file.files}
    predictor = ShapePredictor(load_shape_predictor_weights())
    analyzers = {
        upsample: FaceAnalyzer(upsample=upsample, fallback=False, steady=False, mirror=False)
        for upsample in sorted({int(value) for value in golden["upsample"]})
    }
    print(machine())
    print(
        "| picture | upsample | box, px | confidence | points, px | chip, mean | "
        "descriptor | all steps |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for index, name in enumerate(golden["images"].tolist()):
        one = {key: values[index] for key, values in golden.items()}
        if name == "astronaut":
            pixels = to_uint8(sample("astronaut"))
        else:
            pixels = to_uint8(read_image(arguments.data / name).pixels)
        upsample = int(one["upsample"])
        box = one["boxes_ltrb_inclusive"] + INCLUSIVE
        analyzer = analyzers[upsample]
        (faces,) = analyzer.analyze([pixels])
        face = min(faces, key=lambda face: np.abs(np.array(face.box_xyxy) - box).max())
        points = predictor.predict(pixels, box[None])[0]
        chip = extract_chip(pixels, one["landmarks_xy"])
        descriptor = analyzer.embed([one["chips"]])[0]
        differences = (
            f"{np.abs(np.array(face.box_xyxy) - box).max():.0f}",
            f"{abs(face.confidence - one['confidence']):.4f}",
            f"{np.abs(points - one['landmarks_xy']).max():.0f}",
            f"{np.abs(chip.astype(int) - one['chips']).mean():.3f}",
            f"{np.abs(descriptor - one['descriptors']).max():.1e}",
            f"{np.linalg.norm(face.embedding - one['descriptors']):.4f}",
        )
        print(f"| {Path(name).stem} | {upsample} | {' | '.join(differences)} |")


if __name__ == "__main__":
    main()
