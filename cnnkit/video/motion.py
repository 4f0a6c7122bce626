"""How a video moves from one frame to the next, and what of the last frame can still be seen.

Dense inverse search (Kroeger, Timofte, Dai & Van Gool 2016), by OpenCV, forwards and backwards.
Where both disagree something is hidden or comes to light (Sundaram, Brox & Keutzer 2010; the test
with its numbers as in Ruder, Dosovitskiy & Brox 2016). Departures: what looks otherwise than where
it should come from is not trusted either; and where two frames are the same but for noise nothing
moves, so that what is still stays so however long the video is. In flat places the search follows
the noise: they go along with the camera, whose motion, an affine map, textured places show.
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
# Of a frame: the share that must be textured, so that a shift by one pixel would show, to tell by
# it whether the camera stands. It does if this share of what is textured is the same as before, and
# its median flow is no longer than this, in pixels. Where less is textured: if most is still.
_LEAST_TEXTURE, _LEAST_SAME, _STANDING, _MOSTLY = 0.002, 0.25, 0.3, 0.5
# How far the flow of a place that shows the camera's motion may be from it, in pixels; the share of
# textured places that must show it; and how many places it is found from, at most.
_FITTING, _LEAST_FITTING, _PLACES = 0.5, 0.3, 2000
# Steps of the alignment.
_ALIGNMENTS = 8
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
        camera_stands: whether only things move.
    """

    flow: npt.NDArray[np.float32]
    trust: npt.NDArray[np.float32]
    is_cut: bool
    camera_stands: bool


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
    is_textured = np.hypot(*np.gradient(blur(now))) > _NOISE
    lengths = np.hypot(flow[..., 0], flow[..., 1])
    camera_stands = _camera_stands(is_same, is_textured, lengths)
    camera = None if camera_stands else _camera_motion(before, now, flow, is_textured)
    if camera is None:
        camera = np.zeros_like(flow)
        follows = is_same if camera_stands else is_same & (lengths < _STILL)
    else:
        is_near = np.hypot(*np.moveaxis(flow - camera, -1, 0)) < _STILL
        follows = _blurred_difference(now, warp(before, camera)) < _NOISE
        follows &= is_near | ~is_textured
    flow[follows] = camera[follows]
    returned = warp(back, flow)
    disagreement = np.sum((flow + returned) ** 2, axis=-1)
    squares = np.sum(flow**2, axis=-1) + np.sum(returned**2, axis=-1)
    is_seen = disagreement <= _DISAGREEMENT * squares + _SLACK
    is_seen |= follows
    is_seen &= _is_inside(flow)
    changed = _blurred_difference(now, warp(before, flow))
    likeness = np.clip(2.0 - changed / (_SAME / 2.0), 0.0, 1.0)
    seen = cv2.erode(is_seen.astype(np.float32), np.ones((3, 3), np.uint8))
    trust = cv2.GaussianBlur(seen * likeness, (0, 0), _FEATHER) * is_seen
    is_cut = float(trust.mean()) < _LEAST_TRUST and _likeness(before, now) < _LEAST_LIKENESS
    return Motion(flow, trust.astype(np.float32), is_cut, camera_stands)


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


def distance_from_motion(motion: Motion, reach: int) -> npt.NDArray[np.float32]:
    """How far each pixel is from all that moves or comes to light.

    Args:
        motion: of a frame.
        reach: pixels.

    Returns:
        `(height, width)` in [0, 1]: 0 within half of the reach, 1 beyond it, smooth between them.
    """
    cv2 = import_opencv()
    is_moving = np.any(motion.flow != 0.0, axis=-1) | (motion.trust < 0.5)
    # A speck is noise.
    without_specks = cv2.medianBlur(is_moving.astype(np.uint8), 5)
    pixels = cv2.distanceTransform(1 - without_specks, cv2.DIST_L2, 3)
    # Where nothing moves all are as far away as floats go.
    return np.clip(2.0 / reach * np.minimum(pixels, reach) - 1.0, 0.0, 1.0).astype(np.float32)


def blur(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """A picture in which noise is gone, and a thing that moved is not."""
    return import_opencv().GaussianBlur(picture.astype(np.float32), (0, 0), _BLUR)


def _camera_stands(
    is_same: npt.NDArray[np.bool_],
    is_textured: npt.NDArray[np.bool_],
    lengths: npt.NDArray[np.float32],
) -> bool:
    """By what is textured and the same as before, whatever else moves."""
    if is_textured.mean() < _LEAST_TEXTURE:
        return bool((is_same & (lengths < _STILL)).mean() > _MOSTLY)
    # The middle of what turns stays where it is too: it is no witness for all of the frame.
    is_witness = is_same & is_textured
    if is_witness.sum() < _LEAST_SAME * is_textured.sum():
        return False
    return bool(np.median(lengths[is_witness]) < _STANDING)


def _camera_motion(
    before: npt.NDArray[np.uint8],
    now: npt.NDArray[np.uint8],
    flow: npt.NDArray[np.float32],
    is_textured: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32] | None:
    """The affine map that most of the textured places follow, as a flow; None where there is none.

    It is found by random samples (RANSAC), which OpenCV draws the same way each time, and then by
    what aligns the frames best (Evangelidis & Psarakis 2008), since along an edge flow is not sure.
    """
    cv2 = import_opencv()
    places = np.argwhere(is_textured)
    if len(places) < _LEAST_TEXTURE * is_textured.size:
        return None
    places = places[:: 1 + len(places) // _PLACES]
    here = places[:, ::-1].astype(np.float32)
    there = here + flow[places[:, 0], places[:, 1]]
    matrix, fits = cv2.estimateAffine2D(here, there, ransacReprojThreshold=_FITTING)
    if matrix is None or fits.mean() < _LEAST_FITTING:
        return None
    camera = _as_flow(matrix, flow.shape)
    fits = _blurred_difference(now, warp(before, camera)) < _SAME / 2.0
    end = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ALIGNMENTS, 1e-4)
    try:
        _, matrix = cv2.findTransformECC(
            now, before, matrix.astype(np.float32), cv2.MOTION_AFFINE, end, fits.astype(np.uint8), 5
        )
    except cv2.error:
        # It does not converge: the samples' map is good enough.
        return camera
    return _as_flow(matrix, flow.shape)


def _as_flow(matrix: npt.NDArray[np.floating], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    pixels = np.stack([columns, rows], axis=-1)
    return (pixels @ matrix[:, :2].T + matrix[:, 2] - pixels).astype(np.float32)


def _is_inside(flow: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    return (x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)


def _blurred_difference(
    one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    return np.abs(blur(one) - blur(other))


def _likeness(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    """Share of pixels whose brightness the other picture has too, wherever it is."""
    first, second = (
        np.histogram(picture, bins=_BINS, range=(0, 256))[0] / picture.size
        for picture in (one, other)
    )
    return float(np.minimum(first, second).sum())
