"""Whether two pictures show the same person."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnnkit.data.face_pictures import FacePicture, read_face_picture
from cnnkit.ops.alignment import chip_points, extract_chip, fit_similarity
from cnnkit.plots import FacePanel, plot_verification
from cnnkit.tasks.faces.recognition import FaceRecognizer, face_warnings
from cnnkit.tasks.faces.results import VerifyResult
from cnnkit.tasks.faces.settings import FaceSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def verify(
    first: Any,
    second: Any,
    settings: FaceSettings | None = None,
    *,
    faces: tuple[int | None, int | None] = (None, None),
    on_note: Callable[[str], None] | None = None,
) -> VerifyResult:
    """Compares the faces of two pictures.

    Args:
        first: a path, a `PIL.Image`, or an array `(height, width, 3)` of uint8.
        second: the same.
        settings: see `FaceSettings`.
        faces: which face of each picture, 1 for the largest; None for the main
            one, large and near to the middle, with a note where there are more.
        on_note: called with a line of text where several faces were found.

    Returns:
        A `VerifyResult`.

    Raises:
        CnnkitError: a picture cannot be read, shows no face, or the model is not there.

    Example:

    >>> from skimage import data
    >>> result = verify(data.astronaut(), data.astronaut()[:, ::-1])
    >>> result.same, result.distance < 0.4
    (True, True)
    """
    return Verifier(settings, on_note=on_note).run(first, second, faces=faces)


class Verifier:
    """Compares faces of any number of pairs, with the networks loaded once.

    Args:
        settings: see `FaceSettings`.
        on_note: as in `verify`.
    """

    def __init__(
        self,
        settings: FaceSettings | None = None,
        on_note: Callable[[str], None] | None = None,
    ):
        self.recognizer = FaceRecognizer(settings, on_note)

    def run(
        self,
        first: Any,
        second: Any,
        *,
        faces: tuple[int | None, int | None] = (None, None),
    ) -> VerifyResult:
        """As `verify`."""
        recognizer = self.recognizer
        pictures = [
            picture if isinstance(picture, FacePicture) else read_face_picture(picture)
            for picture in (first, second)
        ]
        chosen = [
            recognizer.pick(picture, candidates, number)
            for picture, candidates, number in zip(
                pictures, recognizer.faces(pictures, embed=False), faces, strict=True
            )
        ]
        a, b = recognizer.describe(pictures, chosen)
        distance = float(recognizer.distance(a.vector[None], b.vector[None])[0])
        same = distance < recognizer.threshold
        probability = recognizer.calibration.probability(distance)
        return VerifyResult(
            a,
            b,
            distance,
            recognizer.threshold,
            same,
            probability if same else 1.0 - probability,
            recognizer.calibration.false_accept_rate(recognizer.threshold),
            recognizer.model,
        )

    def explain(self, first: Any, second: Any, result: VerifyResult) -> "Figure":
        """The pictures with their faces, the faces as the network sees them, and the verdict.

        Args:
            first: as in `run`.
            second: as in `run`.
            result: of `run` for these pictures.

        Returns:
            A matplotlib Figure.
        """
        panels = []
        for source, face in ((first, result.first), (second, result.second)):
            picture = source if isinstance(source, FacePicture) else read_face_picture(source)
            linear, shift = fit_similarity(face.landmarks_xy, chip_points())
            panels.append(
                FacePanel(
                    picture.source,
                    picture.pixels,
                    face.box_xyxy,
                    extract_chip(picture.pixels, face.landmarks_xy),
                    face.landmarks_xy @ linear.T + shift,
                    tuple(face_warnings(face)),
                )
            )
        return plot_verification(
            panels[0],
            panels[1],
            verdict="same person" if result.same else "different people",
            lines=verdict_lines(result),
            distance=result.distance,
            threshold=result.threshold,
        )


def verdict_lines(result: VerifyResult) -> tuple[str, str]:
    """The figures behind the verdict, in words.

    >>> face = None
    >>> result = VerifyResult(face, face, 0.312, 0.57, True, 0.998, 1.3e-4, "dlib")
    >>> verdict_lines(result)[1]
    'at this threshold 1 of 7,700 pairs of strangers passes'
    """
    rate = result.false_accept_rate
    if rate >= 0.1:
        strangers = f"{rate:.0%} of pairs of strangers pass"
    else:
        count = 1.0 / max(rate, 1e-9)
        step = 10.0 ** max(0, len(str(int(count))) - 2)
        strangers = f"1 of {round(count / step) * step:,.0f} pairs of strangers passes"
    return (
        f"distance {result.distance:.3f}, threshold {result.threshold:.3f}, "
        f"confidence {min(result.confidence, 0.999):.1%}",
        f"at this threshold {strangers}",
    )
