"""How a video moves from one frame to the next, and what of the last frame can still be seen.

Dense inverse search (Kroeger, Timofte, Dai & Van Gool 2016), by OpenCV, forwards and backwards.
Where both disagree something is hidden or comes to light (Sundaram, Brox & Keutzer 2010; the test
with its numbers as in Ruder, Dosovitskiy & Brox 2016). Departures: what looks otherwise than where
it should come from is not trusted either; and where two frames are the same but for noise nothing
moves, so that what is still stays so however long the video is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnnkit.video.formats import import_opencv

# Squared disagreement of both flows, in parts of their squared lengths, and in square pixels.
_DISAGREEMENT, _SLACK = 0.01, 0.5
# Differences of brightness from 0 to 255, after a blur, beside which a place is the same thing; a
# quarter of that and less is noise, where flows are short.
_SAME, _NOISE = 24.0, 3.0
_STILL = 0.75
# Share of such places from which on the camera is held to stand.
_MOSTLY = 0.5
# Blurs of the two, as standard deviations in pixels.
_BLUR, _FEATHER = 1.5, 1.0
# Share of a frame that must come from the last one, and likeness of their brightness, below which
# there is a cut between them.
_LEAST_TRUST, _LEAST_LIKENESS = 0.25, 0.75
_BINS = 32


@dataclass(frozen=True, eq=False)
class Motion:
    """Where a frame comes from.

    Attributes:
        flow: float32 `(height, width, 2)`: where each pixel was in the last frame, in pixels to the
            right and down from where it is.
        trust: float32 `(height, width)` in [0, 1]: 0 where it was not to be seen.
        is_cut: whether the last frame is of another scene.
    """

    flow: npt.NDArray[np.float32]
    trust: npt.NDArray[np.float32]
    is_cut: bool


def find_motion(last: npt.NDArray[np.uint8], frame: npt.NDArray[np.uint8]) -> Motion:
    """How one frame became the next.

    Args:
        last: uint8 `(height, width, 3)`.
        frame: the next, of the same shape.

    Raises:
        VideoError: OpenCV is not installed.
    """
    cv2 = import_opencv()
    before, now = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (last, frame))
    height, width = now.shape
    if min(height, width) < 16:
        # Too small for the coarsest patches of the search.
        flow = back = np.zeros((height, width, 2), np.float32)
    else:
        search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        flow, back = search.calc(now, before, None), search.calc(before, now, None)
    is_same = _blurred_difference(now, before) < _NOISE
    is_still = is_same & (np.hypot(flow[..., 0], flow[..., 1]) < _STILL)
    if is_still.mean() > _MOSTLY:
        # The camera stands: in flat places the search follows the noise.
        is_still = is_same
    flow[is_still] = 0.0
    returned = warp(back, flow)
    disagreement = np.sum((flow + returned) ** 2, axis=-1)
    lengths = np.sum(flow**2, axis=-1) + np.sum(returned**2, axis=-1)
    is_seen = disagreement <= _DISAGREEMENT * lengths + _SLACK
    is_seen |= is_still
    is_seen &= _is_inside(flow)
    changed = _blurred_difference(now, warp(before, flow))
    likeness = np.clip(2.0 - changed / (_SAME / 2.0), 0.0, 1.0)
    seen = cv2.erode(is_seen.astype(np.float32), np.ones((3, 3), np.uint8))
    trust = cv2.GaussianBlur(seen * likeness, (0, 0), _FEATHER) * is_seen
    is_cut = float(trust.mean()) < _LEAST_TRUST and _likeness(before, now) < _LEAST_LIKENESS
    return Motion(flow, trust.astype(np.float32), is_cut)


def warp(picture: npt.NDArray[np.generic], flow: npt.NDArray[np.float32]) -> np.ndarray:
    """A picture of the last frame as it lies in this one.

    Args:
        picture: `(height, width)` or `(height, width, channels)`, uint8 or float32.
        flow: see `Motion`.

    Returns:
        The same shape and type; beyond the edge, the edge goes on.
    """
    cv2 = import_opencv()
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return cv2.remap(
        picture,
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_LANCZOS4,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _is_inside(flow: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    return (x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)


def _blurred_difference(
    one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    cv2 = import_opencv()
    difference = one.astype(np.float32) - other.astype(np.float32)
    # The blur comes first: noise goes away in it, an edge that moved does not.
    return np.abs(cv2.GaussianBlur(difference, (0, 0), _BLUR))


def _likeness(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Share of pixels whose brightness the other picture has too, wherever it is."""
    first, second = (
        np.histogram(picture, bins=_BINS, range=(0, 256))[0] / picture.size
        for picture in (one, other)
    )
    return float(np.minimum(first, second).sum())
