"""The field of a photograph: what lies within the camera's surround of black, or a page's of white.

Found on a small sample, in about a millisecond. Averages of neighbours in it keep the noise of very dark photographs
down; steps between them keep large photographs cheap: a full-size mask of 24 megapixels takes 100 times as long.
"""

from dataclasses import dataclass

import cv2
import numpy as np

DETAIL = 128             # px that the shorter side of the sample has at least, if the image has them
AVERAGED = 2             # px of the image, in each direction, that make one of the sample at most
LEVELS = 4               # grey levels by which the field differs from its surround; twice as bright, too
SURROUND = 24            # grey levels from black or white that a surround has at most
ISLAND = 0.1             # of the largest part's area; a smaller part is writing, a larger one is cut off by a hair
THRESHOLD = (0.12, 0.3)  # of the way from the surround to the field's median; more than the least if noise asks for it


@dataclass(frozen=True)
class Field:
    """`mask`, bool (h, w), is what is not surround, small islands left out; its pixels are `step` px of the image."""

    mask: np.ndarray
    step: int
    white: bool  # the surround

    def hull(self, height: int, width: int) -> np.ndarray:
        """The convex hull in the whole image, bool (height, width): dark vessels, lesions and rims are part of it."""
        rows = np.flatnonzero(self.mask.any(axis=1))
        first = self.mask[rows].argmax(axis=1)
        last = self.mask.shape[1] - 1 - self.mask[rows, ::-1].argmax(axis=1)
        ends = np.concatenate([np.stack([first, rows], axis=1), np.stack([last, rows], axis=1)])
        pixels = np.concatenate([ends * self.step, (ends + 1) * self.step - 1])
        filled = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(filled, cv2.convexHull(pixels.astype(np.int32)), 1)
        return filled.view(bool)


def find_field(image: np.ndarray, detail: int = DETAIL) -> Field | None:
    """Field of RGB uint8 (h, w, 3), None if it has neither a dark surround nor a white one.

    `detail` is the shorter side in px of the sample that is looked at, at least.
    """
    sample, step = shrink(image, detail)
    red, green, blue = cv2.split(sample)  # a maximum along the last axis would take ten times as long
    mask = field_mask(cv2.max(cv2.max(red, green), blue))
    if mask is not None:
        return Field(mask, step, white=False)
    darkness = 255 - cv2.min(cv2.min(red, green), blue)
    if max(float(np.median(corner)) for corner in corners(darkness)) > SURROUND:
        return None
    mask = field_mask(darkness)
    return None if mask is None else Field(mask, step, white=True)


def shrink(image: np.ndarray, detail: int) -> tuple[np.ndarray, int]:
    """A sample of averages, of at least `detail` px if the image has them, and the px of the image in one of them."""
    step = max(1, min(image.shape[:2]) // (AVERAGED * detail))
    spread = image[step // 2 :: step, step // 2 :: step]
    block = max(1, min(spread.shape[:2]) // detail)
    height, width = (side // block for side in spread.shape[:2])
    spread = np.ascontiguousarray(spread[: height * block, : width * block])
    return cv2.resize(spread, (width, height), interpolation=cv2.INTER_AREA), step * block


def field_mask(brightness: np.ndarray) -> np.ndarray | None:
    """The large bright parts, bool (h, w), of uint8 (h, w); None if no corner is dark."""
    height, width = brightness.shape
    if min(height, width) >= 96:
        brightness = cv2.medianBlur(np.ascontiguousarray(brightness), 5)
    darkest = min(corners(brightness), key=np.median)
    dark = float(np.median(darkest))
    middle = brightness[height // 4 : height - height // 4, width // 4 : width - width // 4]
    lit = middle[middle >= dark + LEVELS]
    if dark > SURROUND or lit.size < 0.1 * middle.size or (field := float(np.median(lit))) < 2 * dark:
        return None
    least, most = (dark + share * (field - dark) for share in THRESHOLD)
    bright = (brightness > np.clip(float(darkest.max()) + 1, least, most)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA] * (np.arange(len(stats)) > 0)  # 0 is the surround
    mask: np.ndarray = (areas >= ISLAND * areas.max())[labels]
    return mask


def corners(brightness: np.ndarray) -> list[np.ndarray]:
    """Four patches of 1/28 of the sides."""
    high, wide = (max(1, side // 28) for side in brightness.shape)
    return [rows[:, part] for rows in (brightness[:high], brightness[-high:]) for part in np.s_[:wide, -wide:]]
