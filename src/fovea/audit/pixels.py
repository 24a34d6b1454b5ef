"""Whether two images are copies of one picture: their pixels, after one has been laid on the other.

The copies are aligned by an affine map (Evangelidis and Psarakis 2008, ECC, through OpenCV), first at a coarse scale,
which dismisses most candidates, then at a fine one. What is compared is fine detail: the light and the round field of
fundus photographs are alike in all of them, their vessels are not.
"""

from typing import NamedTuple

import cv2
import numpy as np

from fovea.decode import decode, decode_small, read_header, upright
from fovea.ingest.digest import array_digest
from fovea.ingest.look import SIDE, without_margins

COARSE = SIDE // 2
DETAIL = {COARSE: 1.5, SIDE: 3.0}  # px at that scale: what is coarser than this is light, not detail
MAYBE = 0.4       # correlation of detail at the coarse scale below which the fine one is not tried
COPIED = 0.75     # at the fine scale: recompressed, resized, cropped, turned copies of fundus photographs reach 0.8
DARKEST = 16      # levels; margins are not compared
OVERLAP = 0.3     # of the square, that must be comparable
SMOOTHED = 5      # px, of the filter before alignment
STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)


class Fit(NamedTuple):
    """How `part` lies on `whole`, roughly: turned by `angle` radians, mirrored, on the middle `zoom` of its side."""

    zoom: float
    mirrored: bool
    angle: float


def small_copy(content: bytes | np.ndarray) -> np.ndarray:
    """uint8 (SIDE, SIDE), grey without dark margins. Raises UserError if the bytes are damaged."""
    return without_margins(decode_small(content, SIDE), SIDE)


def likeness(whole: np.ndarray, part: np.ndarray, fit: Fit) -> float:
    """Correlation of detail of two small copies after alignment, -1 to 1; that of the coarse scale if it is low."""
    coarse = [cv2.resize(copy, (COARSE, COARSE), interpolation=cv2.INTER_AREA) for copy in (whole, part)]
    found, warp = _aligned(coarse[0], coarse[1], _matrix(fit, COARSE))
    if found < MAYBE:
        return found
    warp[:, 2] = (warp[:, 2] + (warp[:, :2].sum(axis=1) - 1) / 2) * 2 - (warp[:, :2].sum(axis=1) - 1) / 2
    return _aligned(whole, part, warp)[0]


def shown(content: bytes | np.ndarray) -> str:
    """Digest of the pixels that a content shows, decoded in full, and of their shape: 40 hex digits."""
    if isinstance(content, np.ndarray):
        return array_digest(decode_small(content, 1))
    header = read_header(content)
    return array_digest(upright(decode(content, header), header.orientation))


def _matrix(fit: Fit, side: int) -> np.ndarray:
    """float32 (2, 3): from x, y in `whole` to x, y in `part`, both around the middle of `side` px."""
    sine, cosine = np.sin(fit.angle), np.cos(fit.angle)
    turn = np.array([[cosine, sine], [sine, -cosine]] if fit.mirrored else [[cosine, sine], [-sine, cosine]])
    middle = np.full(2, (side - 1) / 2)
    turn /= fit.zoom
    return np.column_stack([turn, middle - turn @ middle]).astype(np.float32)


def _aligned(whole: np.ndarray, part: np.ndarray, warp: np.ndarray) -> tuple[float, np.ndarray]:
    """Correlation of detail where both show something, and the map that was found; -1 if none is."""
    one, other = whole.astype(np.float32), part.astype(np.float32)
    everywhere = np.full(part.shape, 255, np.uint8)
    try:
        _, warp = cv2.findTransformECC(one, other, warp, cv2.MOTION_AFFINE, STEPS, everywhere, SMOOTHED)
    except cv2.error:  # does not converge: nothing in common
        return -1.0, warp
    side = len(whole)
    back = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(other, warp, (side, side), flags=back)
    lit = (np.minimum(one, laid) >= DARKEST).astype(np.uint8)
    both = cv2.erode(lit, np.ones((side // 14, side // 14), np.uint8), borderValue=0) > 0
    if both.mean() < OVERLAP:
        return -1.0, warp
    return _correlation(_detail(one, side)[both], _detail(laid, side)[both]), warp


def _detail(image: np.ndarray, side: int) -> np.ndarray:
    return image - cv2.GaussianBlur(image, (0, 0), DETAIL[side])


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one @ other) / np.sqrt((one @ one) * (other @ other) + 1e-6))
