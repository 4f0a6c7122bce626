"""Finds faces, their points, their quality and their embeddings: what all face commands share."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cnnkit.engine.networks import Networks, NetworkSource, open_networks
from cnnkit.images import fit_size
from cnnkit.models._face_windows import Detections, decode_scores, window_count
from cnnkit.models.shape_predictor import ShapePredictor, load_shape_predictor_weights
from cnnkit.ops.alignment import FIVE_POINTS, chip_points, extract_chip, fit_similarity
from cnnkit.ops.boxes import areas
from cnnkit.ops.tiles import draw_tiles, enlarge, plan_tiles, to_small
from cnnkit.tasks.faces.results import Face, FaceQuality
from cnnkit.weights import locate

if TYPE_CHECKING:
    import keras

MAX_UPSAMPLE = 2
# The network needs 29 pixels; smaller pictures get a wider margin.
_LEAST_CANVAS = 32
# Canvases grow to multiples of this, so that there are few sizes: what oneDNN keeps for each size
# would fill the memory, and JAX compiles each.
_CANVAS_STEP, _COMPILED_STEP = 32, 64
_BATCH_STEPS = (1, 4, 16)
# A picture that may be nothing but a face is searched at this size, within a frame of this width.
_FRAMED_SIDE, _FRAME = 250, 75
# Boxes for the five points: shift to the right, shift down, and size, in sides of the face's box.
_JITTER = np.array(
    [[0, 0, 1], [0.06, 0, 1], [-0.06, 0, 1], [0, 0.06, 1], [0, -0.06, 1], [0, 0, 1.1], [0, 0, 0.92]]
)
# A face is seen in four directions with so much around it; its box is as wide as dlib's window.
_ROUND_SIDE, _ROUND_PADDING = 80, 0.4
# The points of faces that are turned further are looked for again, upright: those of dlib hold up
# to 50 degrees, and the first estimate is at most 45 off.
_MOST_ROLL = 25.0
_UPRIGHT_SIDE, _UPRIGHT_PADDING = 150, 0.6
# What is found only with the picture on its side or upside down must be surer.
_TURNED_THRESHOLD = 0.5
# On LFW's training pairs up to 0.5 are as good as nearness to the middle alone, and more is less
# good (benchmarks/faces_main.py). LFW's faces stand in the middle; in other pictures size tells.
_REACH = 0.3
# Taken off the corners of a box whose right and bottom edges lie just outside of it.
_INCLUSIVE = np.array([[0.0, 0.0], [1.0, 1.0]])

# A face of this many pixels is enlarged twice for the encoder, whose chip shows it 100 wide.
SMALL_SIDE = 50.0
# Of a hundred photographs of Labeled Faces in the Wild one is less sharp, and a few more turned.
BLURRED_SHARPNESS = 10.0
TURNED_YAW = 40.0
TURNED_ROLL = 45.0
# How far the base of the nose stands before the eyes, as a part of the distance between them.
_NOSE_DEPTH = 0.3


@dataclass(frozen=True, eq=False)
class _Found:
    """A face that has no embedding yet, and the chip to make it from."""

    face: Face
    chip: np.ndarray


class FaceAnalyzer:
    """Finds and describes faces with dlib's networks.

    Args:
        max_side: pictures whose longer side is longer are shrunk for the search, in pixels; points
            and embeddings come from the whole picture. The smallest face that is found is 80
            pixels wide in the shrunk picture.
        upsample: how often the picture is doubled before the search, 0 to 2. Each finds faces half
            as large and takes four times as long.
        fallback: where nothing is found, look for one face that fills the picture, then with the
            picture turned by 90, 270 and 180 degrees, then double once more.
        threshold: faces score higher than this; 0 is dlib's own.
        batch_size: how many faces are encoded at a time.
        steady: find the five points from several boxes around the face and take their mean. dlib
            uses one box; the points then hang on where its coarse grid put it.
        mirror: the embedding is the mean of those of the face and its mirror image. dlib's
            published figures are without.
        turn: find out how far a face is turned by what the detector says of it in four directions,
            and look for the points with the face upright. dlib's points are upright ones.
        encoder: a `keras.Model`, chips `(N, 150, 150, 3)` in 0..255 -> embeddings `(N, D)`; dlib's
            by default.

    Raises:
        WeightsError: the package `face_recognition_models` is missing or damaged.
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        max_side: int = 1000,
        upsample: int = 0,
        fallback: bool = True,
        threshold: float = 0.0,
        batch_size: int = 16,
        steady: bool = True,
        mirror: bool = True,
        turn: bool = True,
        encoder: "keras.Model | None" = None,
    ):
        if max_side < 1 or batch_size < 1:
            raise ValueError(
                f"max_side and batch_size must be at least 1. Received: {max_side}, {batch_size}"
            )
        if upsample not in range(MAX_UPSAMPLE + 1):
            raise ValueError(f"upsample must be 0 to {MAX_UPSAMPLE}. Received: {upsample}")
        self.max_side = max_side
        self.upsample = upsample
        self.fallback = fallback
        self.threshold = threshold
        self.batch_size = batch_size
        self.steady = steady
        self.mirror = mirror
        self.turn = turn
        self._encoder = encoder
        self._networks = _networks()
        self._score = self._networks["detector"]
        self._predictor = _predictor()

    @property
    def settings(self) -> str:
        """What the search depends on, in a few words."""
        return (
            f"mmod max_side={self.max_side} upsample={self.upsample} "
            f"fallback={int(self.fallback)} threshold={self.threshold:g} "
            f"steady={int(self.steady)} mirror={int(self.mirror)} turn={int(self.turn)}"
        )

    def detect(self, pixels: np.ndarray) -> list[Face]:
        """Finds the faces of a picture, without embeddings.

        Args:
            pixels: uint8 `(height, width, 3)`, upright RGB.

        Returns:
            Faces, the largest first.

        Raises:
            ValueError: the picture is of another kind.
        """
        return [found.face for found in self._find(pixels, None)]

    def analyze(
        self,
        pictures: Iterable[np.ndarray],
        *,
        max_faces: int | None = None,
        embed: bool = True,
    ) -> list[list[Face]]:
        """Finds the faces of several pictures and their embeddings.

        Args:
            pictures: uint8 `(height, width, 3)` each, upright RGB. A generator is read one
                picture at a time.
            max_faces: keep no more than this many of a picture, the largest.
            embed: compute embeddings; they are what takes the time once faces are found.

        Returns:
            For each picture its faces, the largest first.

        Raises:
            ValueError: a picture is of another kind.
        """
        results: list[list[Face]] = []
        waiting: list[tuple[int, int, np.ndarray]] = []
        for pixels in pictures:
            found = self._find(pixels, max_faces)
            results.append([one.face for one in found])
            if embed:
                picture = len(results) - 1
                waiting += [(picture, index, one.chip) for index, one in enumerate(found)]
            while len(waiting) >= self.batch_size:
                self._finish(results, waiting[: self.batch_size])
                del waiting[: self.batch_size]
        self._finish(results, waiting)
        return results

    def embed(self, chips: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Embeddings of chips, see `alignment.extract_chip`.

        Args:
            chips: uint8 `(N, 150, 150, 3)`.

        Returns:
            float32 `(N, D)`; dlib's has 128.
        """
        facts = self._networks.facts
        if not len(chips):
            size = self._encoder.output_shape[-1] if self._encoder else facts["embedding"]
            return np.zeros((0, size), np.float32)
        if self.mirror:
            plain, mirrored = (
                self._embed_as_they_are(side) for side in (chips, [chip[:, ::-1] for chip in chips])
            )
            return (plain + mirrored) / np.float32(2.0)
        return self._embed_as_they_are(chips)

    def _embed_as_they_are(self, chips: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        batches = []
        for begin in range(0, len(chips), self.batch_size):
            batch = np.stack(list(chips[begin : begin + self.batch_size]))
            count = len(batch)
            if self._networks.compiles_each_size:
                padded = min((step for step in _BATCH_STEPS if step >= count), default=count)
                batch = np.pad(batch, [(0, padded - count), (0, 0), (0, 0), (0, 0)])
            batches.append(self._encode(batch)[:count])
        return np.concatenate(batches)

    @functools.cached_property
    def _encode(self) -> Callable[[np.ndarray], np.ndarray]:
        if self._encoder is None:
            return self._networks["encoder"]
        from cnnkit.ops.inference import compile_inference

        return compile_inference(self._encoder)

    def _finish(
        self, results: list[list[Face]], waiting: Sequence[tuple[int, int, np.ndarray]]
    ) -> None:
        embeddings = self.embed([chip for *_, chip in waiting])
        for (picture, index, _), embedding in zip(waiting, embeddings, strict=True):
            results[picture][index] = replace(results[picture][index], embedding=embedding)

    def _find(self, pixels: np.ndarray, max_faces: int | None) -> list[_Found]:
        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise ValueError(
                "a picture must be uint8 (height, width, 3). "
                f"Received: {pixels.dtype} {pixels.shape}"
            )
        upsample = self.upsample
        detections = self._search(pixels, upsample)
        is_fallback = self.fallback and not detections.scores.size
        if is_fallback:
            detections = self._search_framed(pixels)
            if self.turn and not detections.scores.size:
                detections = self._search_turned(pixels)
            if not detections.scores.size:
                upsample += 1
                detections = self._search(pixels, upsample)
        height, width = pixels.shape[:2]
        boxes = detections.boxes_xyxy
        # The largest first, by what the picture shows of it; a face that its edge cuts off counts
        # for less than its area. The sort is stable, so of equal faces the surer.
        shown = areas(np.clip(boxes, 0, [width, height, width, height])) / areas(boxes)
        order = np.argsort(-areas(boxes) * shown**3, kind="stable")[:max_faces]
        boxes = boxes[order]
        found = []
        for box, score, landmarks in zip(
            boxes, detections.scores[order], self._landmarks(pixels, boxes), strict=True
        ):
            chip = extract_chip(pixels, landmarks)
            face = Face(
                box_xyxy=tuple(
                    np.clip(box, 0, [width, height, width, height]).astype(float).tolist()
                ),
                confidence=float(score),
                landmarks_xy=landmarks.astype(np.float32),
                quality=assess_quality(box, landmarks, chip),
                upsample=upsample,
                is_fallback=is_fallback,
            )
            found.append(_Found(face, chip))
        return found

    def _landmarks(self, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """The five points of each box, `(N, 5, 2)`."""
        points = self._upright_landmarks(pixels, boxes)
        if not self.turn:
            return points
        return np.array(
            [self._turned_landmarks(pixels, *one) for one in zip(boxes, points, strict=True)]
        ).reshape(points.shape)

    def _turned_landmarks(
        self, pixels: np.ndarray, box: np.ndarray, points: np.ndarray
    ) -> np.ndarray:
        """The points of a face, looked for anew where it is turned far."""
        roll = self._roll(pixels, box)
        if abs(roll) <= _MOST_ROLL:
            return points
        # The second time from nearer by.
        for _ in range(2):
            square = _turned_square(box, roll)
            size = round(_UPRIGHT_SIDE * (1.0 + 2.0 * _UPRIGHT_PADDING))
            chip = extract_chip(pixels, square, size, _UPRIGHT_PADDING)
            edge = _UPRIGHT_SIDE * _UPRIGHT_PADDING
            inside = np.array([[edge, edge, size - edge, size - edge]]).round().astype(np.int64)
            found = self._upright_landmarks(chip, inside)[0]
            linear, shift = fit_similarity(chip_points(size, _UPRIGHT_PADDING), square)
            points = found @ linear.T + shift
            roll = eye_line(points)
        return points

    def _roll(self, pixels: np.ndarray, box: np.ndarray) -> float:
        """How far a face is turned clockwise, in degrees, by what the detector says of it.

        It takes a face for one up to some 75 degrees to either side, so the middle of the
        directions in which it does is the face's own.
        """
        size = round(_ROUND_SIDE * (1.0 + 2.0 * _ROUND_PADDING))
        chip = extract_chip(pixels, _turned_square(box, 0.0), size, _ROUND_PADDING)
        # Turned back by 0, 90, 180 and 270 degrees.
        turned = np.stack([np.rot90(chip, quarters) for quarters in range(4)])
        windows = window_count(size)
        scores = self._score(turned.astype(np.float32), np.full((4, 2), windows, np.int32))
        up, right, down, left = np.maximum(scores[:, :windows, :windows].max(axis=(1, 2)), 0.0)
        return math.degrees(math.atan2(right - left, up - down))

    def _upright_landmarks(self, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """The five points of each box of a face that is not turned far, `(N, 5, 2)`."""
        if not self.steady or not len(boxes):
            return self._predictor.predict(pixels, boxes)
        centers = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2.0
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)[:, None, None]
        # (N, 7, 2): one box as it is, four shifted, two of another size.
        centers = centers + sides * _JITTER[:, :2]
        halves = sides * _JITTER[:, 2:] / 2.0
        jittered = np.concatenate([centers - halves, centers + halves], axis=-1)
        jittered = np.floor(jittered + 0.5).astype(np.int64)
        points = self._predictor.predict(pixels, jittered.reshape(-1, 4))
        return points.reshape(len(boxes), len(_JITTER), *points.shape[1:]).mean(axis=1)

    def _search(self, pixels: np.ndarray, upsample: int) -> Detections:
        """Boxes in pixels of the picture, which may reach over its edge."""
        height, width = pixels.shape[:2]
        resized, doublings = self._resize(pixels, upsample)
        found = self._scan(resized)
        boxes = found.boxes_xyxy.astype(np.float64)
        for _ in range(doublings):
            # dlib maps and rounds corners that are themselves part of the box.
            corners = to_small(boxes.reshape(-1, 2, 2) - _INCLUSIVE)
            boxes = (np.floor(corners + 0.5) + _INCLUSIVE).reshape(-1, 4)
        if not doublings:
            boxes = boxes * ([width / resized.shape[1], height / resized.shape[0]] * 2)
        return _within(Detections(boxes, found.scores), height, width)

    def _search_framed(self, pixels: np.ndarray) -> Detections:
        """Finds what fills the picture: the network wants to see something around a face."""
        height, width = pixels.shape[:2]
        rows, columns = fit_size(height, width, _FRAMED_SIDE)
        image = Image.fromarray(np.ascontiguousarray(pixels))
        resized = image.resize((columns, rows), Image.Resampling.BILINEAR, reducing_gap=2.0)
        found = self._scan(
            np.pad(np.asarray(resized), [(_FRAME, _FRAME), (_FRAME, _FRAME), (0, 0)])
        )
        boxes = (found.boxes_xyxy - float(_FRAME)) * ([width / columns, height / rows] * 2)
        return _within(Detections(boxes, found.scores), height, width)

    def _search_turned(self, pixels: np.ndarray) -> Detections:
        """The faces of the first direction that shows any: on either side, then upside down."""
        height, width = pixels.shape[:2]
        for quarters in (1, 3, 2):
            found = self._search(np.rot90(pixels, quarters), self.upsample)
            sure = found.scores > _TURNED_THRESHOLD
            if sure.any():
                boxes = _turn_boxes(found.boxes_xyxy[sure], quarters, height, width)
                return Detections(boxes, found.scores[sure])
        return Detections(np.zeros((0, 4), np.int64), np.zeros(0, np.float32))

    def _scan(self, pixels: np.ndarray) -> Detections:
        facts = self._networks.facts
        plan = plan_tiles(*pixels.shape[:2])
        step = _COMPILED_STEP if self._networks.compiles_each_size else _CANVAS_STEP
        canvas = draw_tiles(
            pixels,
            plan,
            -(-max(plan.height, _LEAST_CANVAS) // step) * step,
            -(-max(plan.width, _LEAST_CANVAS) // step) * step,
            background=tuple(facts["mean_rgb"]),
        )
        rows, columns = (
            window_count(max(side, _LEAST_CANVAS)) for side in (plan.height, plan.width)
        )
        scores = self._score(canvas[None], np.array([[rows, columns]], np.int32))[0]
        scores = scores[:rows, :columns]
        return decode_scores(scores, plan, facts["window"], facts["overlap"], self.threshold)

    def _resize(self, pixels: np.ndarray, upsample: int) -> tuple[np.ndarray, int]:
        """The picture to search, and how often it was doubled as dlib does."""
        height, width = pixels.shape[:2]
        if max(height, width) <= self.max_side:
            for _ in range(upsample):
                pixels = enlarge(pixels)
            return pixels, upsample
        # Shrinking and doubling again would lose what is there: go to the final size at once.
        size = fit_size(height, width, self.max_side << upsample)
        image = Image.fromarray(np.ascontiguousarray(pixels))
        image = image.resize(size[::-1], Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(image), 0


def main_face(faces: Sequence[Face], height: int, width: int, reach: float = _REACH) -> Face:
    """The face that a picture is of: a large one, and near the middle.

    `log(side) - (distance / reach)^2 / 2` is the largest, with the distance of the face's middle
    from the picture's in long sides of the picture: a face beside the middle must be so many times
    larger than the one in it, however small both are.

    Args:
        faces: one at least.
        height: of the picture, in pixels.
        width: of the picture, in pixels.
        reach: in long sides of the picture; infinity gives the largest face.
    """

    def score(face: Face) -> float:
        left, top, right, bottom = face.box_xyxy
        beside = math.hypot(left + right - width, top + bottom - height) / 2.0 / max(height, width)
        return math.log((right - left) * (bottom - top)) / 2.0 - (beside / reach) ** 2 / 2.0

    return max(faces, key=score)


def _within(found: Detections, height: int, width: int) -> Detections:
    """Boxes in whole pixels, without those of which the picture shows next to nothing.

    dlib keeps them; they are patterns of the black margin.
    """
    boxes = np.floor(found.boxes_xyxy + 0.5)
    shown = areas(np.clip(boxes, 0, [width, height, width, height]))
    is_shown = shown > 0.25 * areas(boxes)
    return Detections(boxes[is_shown].astype(np.int64), found.scores[is_shown])


def _turn_boxes(boxes: np.ndarray, quarters: int, height: int, width: int) -> np.ndarray:
    """Boxes of a picture that was turned by `np.rot90(picture, quarters)`, in the picture itself.

    >>> _turn_boxes(np.array([[0, 1, 2, 4]]), 1, height=10, width=20).tolist()
    [[16, 0, 19, 2]]
    """
    left, top, right, bottom = np.moveaxis(boxes, -1, 0)
    turned = {
        1: (width - bottom, left, width - top, right),
        2: (width - right, height - bottom, width - left, height - top),
        3: (top, height - right, bottom, height - left),
    }
    return np.stack(turned[quarters], axis=-1)


def _turned_square(box: np.ndarray, roll: float) -> np.ndarray:
    """`FIVE_POINTS` in the square of a box turned clockwise about its middle, in degrees."""
    centre = (box[:2] + box[2:]) / 2.0
    side = float(max(box[2:] - box[:2]))
    cosine, sine = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return centre + side * (FIVE_POINTS - 0.5) @ turn.T


# One process needs each network once, however many analyzers it makes.
@functools.cache
def _networks() -> Networks:
    files = [locate(name) for name in ("face-detector", "face-encoder")]
    return open_networks(NetworkSource("faces dlib", "cnnkit.tasks.faces.network:build", files))


@functools.cache
def _predictor() -> ShapePredictor:
    return ShapePredictor(load_shape_predictor_weights())


def assess_quality(box_xyxy: np.ndarray, landmarks_xy: np.ndarray, chip: np.ndarray) -> FaceQuality:
    """Measures what makes a face hard to recognise.

    The yaw is read from how far the base of the nose lies beside the middle of the eyes, taking it
    to stand 0.3 eye distances before them: a rough estimate, which no measured heads back.

    Args:
        box_xyxy: `(4,)`, of the whole face, in pixels.
        landmarks_xy: `(5, 2)` in pixels, see `Face`.
        chip: uint8 `(150, 150, 3)`, the upright face.

    >>> chip = np.zeros((150, 150, 3), np.uint8)
    >>> points = np.array([[90, 40], [70, 40], [10, 40], [30, 40], [50, 80]])
    >>> quality = assess_quality(np.array([0, 0, 40, 40]), points, chip)
    >>> quality.yaw, quality.roll, quality.warnings
    (0.0, 0.0, ('small', 'blurred'))
    """
    points = np.asarray(landmarks_xy, np.float64)
    right_eye, left_eye = points[2:4].mean(axis=0), points[0:2].mean(axis=0)
    across = left_eye - right_eye
    distance = max(float(np.hypot(*across)), 1e-6)
    beside = float((points[4] - (left_eye + right_eye) / 2.0) @ across) / distance**2
    yaw = math.degrees(math.atan(beside / _NOSE_DEPTH))
    roll = eye_line(points)
    side = float(max(box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]))
    sharpness = laplacian_variance(chip)
    warnings = {
        "small": side < SMALL_SIDE,
        "blurred": sharpness < BLURRED_SHARPNESS,
        "turned": abs(yaw) > TURNED_YAW or abs(roll) > TURNED_ROLL,
    }
    applying = tuple(name for name, applies in warnings.items() if applies)
    return FaceQuality(side, sharpness, yaw, roll, applying)


def eye_line(landmarks_xy: np.ndarray) -> float:
    """The angle of the line through the eyes, in degrees; positive where it falls to the right.

    >>> eye_line(np.array([[10, 8], [10, 6], [10, 0], [10, 2], [0, 5]]))
    90.0
    """
    points = np.asarray(landmarks_xy, np.float64)
    across = points[0:2].mean(axis=0) - points[2:4].mean(axis=0)
    return math.degrees(math.atan2(across[1], across[0]))


def laplacian_variance(pixels: np.ndarray) -> float:
    """Variance of the Laplacian [0 1 0; 1 -4 1; 0 1 0] of the grey picture, edges left out.

    >>> laplacian_variance(np.zeros((5, 5, 3), np.uint8))
    0.0
    """
    grey = pixels.mean(axis=-1, dtype=np.float32)
    inner = grey[1:-1, 1:-1]
    sides = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.var(sides - 4.0 * inner))
