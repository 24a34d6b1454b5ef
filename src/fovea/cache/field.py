"""The field of a photograph: what lies within the camera's surround of black, or a page's of white.

Found on a small sample. Averages of neighbours in it keep the noise of very dark photographs
down; steps between them keep large photographs cheap.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

DETAIL = 128             # px that the shorter side of the sample has at least, if the image has them
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
    red, green, blue = cv2.split(sample)  # a maximum along the last axis is slow in numpy
    mask = field_mask(cv2.max(cv2.max(red, green), blue))
    if mask is not None:
        return Field(mask, step, white=False)
    darkness = 255 - cv2.min(cv2.min(red, green), blue)
    if np.median(corners(darkness), axis=1).max() > SURROUND:
        return None
    mask = field_mask(darkness)
    return None if mask is None else Field(mask, step, white=True)


def shrink(image: np.ndarray, detail: int) -> tuple[np.ndarray, int]:
    """A sample of at least `detail` px if the image has them, and the step between its pixels in px of the image.

    An even step ends between two pixels, so that linear interpolation is the average of the four in the middle.
    """
    step = min(image.shape[:2]) // detail // 2 * 2 or 1
    height, width = (side // step for side in image.shape[:2])
    return cv2.resize(image[: height * step, : width * step], (width, height), interpolation=cv2.INTER_LINEAR), step


def field_mask(brightness: np.ndarray) -> np.ndarray | None:
    """The large bright parts, bool (h, w), of uint8 (h, w); None if no corner is dark."""
    height, width = brightness.shape
    if min(height, width) >= 96:
        brightness = cv2.medianBlur(brightness, 5)
    patches = corners(brightness)
    medians = np.median(patches, axis=1)
    dark = float(medians.min())
    middle = brightness[height // 4 : height - height // 4, width // 4 : width - width // 4]
    lit, field = lit_part(middle, math.ceil(dark) + LEVELS)
    if dark > SURROUND or lit < 0.1 * middle.size or field < 2 * dark:
        return None
    least, most = (dark + share * (field - dark) for share in THRESHOLD)
    noise = float(patches[medians.argmin()].max()) + 1
    return large_parts(brightness > np.clip(noise, least, most))


def lit_part(middle: np.ndarray, least: int) -> tuple[int, int]:
    """How many pixels of uint8 (h, w) have at least this level, and their median. By counts: `np.median` would sort."""
    counts = cv2.calcHist([middle], [0], None, [256], [0, 256]).ravel()[least:].cumsum()
    lit = int(counts[-1]) if counts.size else 0
    return lit, least + int(np.searchsorted(counts, lit / 2))


def large_parts(bright: np.ndarray) -> np.ndarray:
    """bool (h, w) without its islands. Counts areas itself: OpenCV's statistics are slower."""
    parts, labels = cv2.connectedComponents(bright.view(np.uint8), connectivity=4)
    if parts == 2:  # 0 is the surround
        return bright
    areas = np.bincount(labels.ravel(), minlength=parts)
    areas[0] = 0
    mask: np.ndarray = (areas >= ISLAND * areas.max())[labels]
    return mask


def corners(brightness: np.ndarray) -> np.ndarray:
    """Four patches of 1/28 of the sides, (4, n)."""
    high, wide = (max(1, side // 28) for side in brightness.shape)
    patches = [rows[:, part] for rows in (brightness[:high], brightness[-high:]) for part in np.s_[:wide, -wide:]]
    return np.stack(patches).reshape(4, -1)
