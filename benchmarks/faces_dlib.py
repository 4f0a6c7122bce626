"""Compares the face pipeline with dlib itself, step by step and in speed.

    pip install dlib-bin
    python benchmarks/faces_dlib.py --data FOLDER

FOLDER has a folder for each person, as LFW. Of dlib are used the networks of this package's own
dependency, in its exact way: one box, no mirror image, no jitter.
"""

import argparse
import time
from pathlib import Path

import dlib
import face_recognition_models
import numpy as np
from _measure import machine

from cnnkit.images import read_pixels
from cnnkit.tasks.faces.analysis import FaceAnalyzer


class Dlib:
    """dlib's own detector, points and descriptor."""

    def __init__(self, upsample: int):
        self._upsample = upsample
        models = face_recognition_models
        self._detect = dlib.cnn_face_detection_model_v1(models.cnn_face_detector_model_location())
        self._place = dlib.shape_predictor(models.pose_predictor_five_point_model_location())
        self._describe = dlib.face_recognition_model_v1(models.face_recognition_model_location())

    def find(self, pixels: np.ndarray) -> list:
        return [one.rect for one in self._detect(pixels, self._upsample)]

    def describe(self, pixels: np.ndarray, box) -> tuple[np.ndarray, np.ndarray]:
        """The five points, and the 128 numbers."""
        shape = self._place(pixels, box)
        points = [(shape.part(index).x, shape.part(index).y) for index in range(5)]
        return np.array(points), np.array(self._describe.compute_face_descriptor(pixels, shape))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=100, help="evenly spread over the folder")
    parser.add_argument("--upsample", type=int, default=0)
    arguments = parser.parse_args()
    paths = sorted(arguments.data.glob("*/*.jpg"))
    rows = np.linspace(0, len(paths) - 1, min(arguments.pictures, len(paths))).round().astype(int)
    ours = FaceAnalyzer(upsample=arguments.upsample, fallback=False, steady=False, mirror=False)
    theirs = Dlib(arguments.upsample)
    missed, more, boxes, points, descriptors = 0, 0, [], [], []
    ms = {name: [] for name in ("find, ours", "find, dlib", "all, ours", "all, dlib")}

    def timed(name: str, work):
        begin = time.perf_counter()
        found = work()
        ms[name].append(1e3 * (time.perf_counter() - begin))
        return found

    for row in rows:
        pixels = read_pixels(str(paths[row]))
        height, width = pixels.shape[:2]
        timed("find, ours", lambda pixels=pixels: ours.detect(pixels))
        (faces,) = timed("all, ours", lambda pixels=pixels: ours.analyze([pixels]))
        rects = timed("find, dlib", lambda pixels=pixels: theirs.find(pixels))
        begin = time.perf_counter()
        found = [theirs.describe(pixels, rect) for rect in rects]
        ms["all, dlib"].append(ms["find, dlib"][-1] + 1e3 * (time.perf_counter() - begin))
        more += max(0, len(faces) - len(rects))
        for rect, (places, descriptor) in zip(rects, found, strict=True):
            box = np.array([rect.left(), rect.top(), rect.right() + 1, rect.bottom() + 1])
            box = np.clip(box, 0, [width, height] * 2)
            if not faces:
                missed += 1
                continue
            face = min(faces, key=lambda face: np.abs(np.array(face.box_xyxy) - box).max())
            boxes.append(np.abs(np.array(face.box_xyxy) - box).max())
            points.append(np.abs(face.landmarks_xy - places).max())
            descriptors.append(np.linalg.norm(face.embedding - descriptor))
    print(machine(), f"dlib {dlib.__version__}", sep="; ")
    print(
        f"{len(rows)} pictures, {len(boxes) + missed} faces of dlib: {missed} missed, {more} more"
    )
    for name, values, unit in (
        ("boxes", boxes, "px"),
        ("points", points, "px"),
        ("descriptors", descriptors, "Euclidean distance"),
    ):
        values = np.array(values)
        equal = (values < 1e-4).mean()
        print(f"{name}: {equal:.1%} equal, at most {values.max():.2g} {unit} apart")
    for name, values in ms.items():
        print(f"{name}: {np.median(values):.0f} ms (median)")


if __name__ == "__main__":
    main()
