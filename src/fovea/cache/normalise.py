"""Normalisations of the square: they take out what differs between cameras and keep what is in the field.

What lies outside the field is black in each of them, as variants and transforms fill with black.
"""

from collections.abc import Callable

import cv2
import numpy as np

from fovea.cache.field import find_field

RIM = 0.01  # of the square's side
CLIP = 2.0  # limit of CLAHE's slope
TILES = 8   # of CLAHE along a side, each of at least as many px


def normalise(square: np.ndarray, how: str) -> np.ndarray:
    """RGB uint8 (size, size, 3) to the same shape. `how`: none, or a key of `NORMALISATIONS`.

    Without a surround of black or white, as on most photographs of skin, the field is the whole square.
    """
    if how == "none":
        return square
    field = find_field(square, detail=len(square))
    inside = np.ones(square.shape[:2], bool) if field is None else trim(field.hull(*square.shape[:2]))
    normalised = NORMALISATIONS[how](square, inside)
    return cv2.bitwise_and(normalised, normalised, mask=inside.view(np.uint8))


def trim(inside: np.ndarray) -> np.ndarray:
    """bool (size, size) without its rim, whose pixels are half surround. The frame's edge is no rim."""
    width = 2 * round(RIM * len(inside)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return cv2.erode(inside.view(np.uint8), kernel).view(bool)


def ben_graham(square: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Four times the difference from the local mean, plus 128, of uint8 (size, size, 3) and bool (size, size).

    B. Graham, "Kaggle diabetic retinopathy detection competition report", 2015: a Gaussian with a deviation of 1/30 of
    the field's radius. There the outer tenth of the field is cut off, because the mean falls off at the rim. Here the
    mean is that of the pixels inside, so that the field can stay.
    """
    mean = local_mean(square, inside, len(square) / 60)
    return cv2.addWeighted(square.astype(np.float32), 4, mean, -4, 128, dtype=cv2.CV_8U)


def local_mean(square: np.ndarray, inside: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian mean of the pixels inside, float32 (size, size, 3); `deviation` in px.

    From a smaller copy: blurring in full takes longer than all else.
    """
    size = len(square)
    small = max(1, round(size / max(1.0, deviation / 2)))
    mask = inside.astype(np.float32)
    pixels = cv2.multiply(square, cv2.merge([mask] * 3), dtype=cv2.CV_32F)
    shrunk = [cv2.resize(plane, (small, small), interpolation=cv2.INTER_AREA) for plane in (pixels, mask)]
    total, weights = (cv2.GaussianBlur(plane, (0, 0), deviation * small / size) for plane in shrunk)
    mean = total / np.maximum(weights, 1e-6)[..., None]
    return cv2.resize(mean, (size, size), interpolation=cv2.INTER_LINEAR)


def clahe_lightness(square: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """CLAHE on L of CIE Lab: colours keep their hue."""
    lab = cv2.cvtColor(square, cv2.COLOR_RGB2LAB)
    lab[..., 0] = equalise(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def clahe_green(square: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """CLAHE on green, repeated in three channels: a red-free picture. Vessels have the most contrast in green."""
    return cv2.merge([equalise(square[..., 1])] * 3)


def equalise(plane: np.ndarray) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) of uint8 (size, size)."""
    tiles = min(TILES, max(1, len(plane) // TILES))
    return cv2.createCLAHE(CLIP, (tiles, tiles)).apply(np.ascontiguousarray(plane))


NORMALISATIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "ben_graham": ben_graham,
    "clahe_lightness": clahe_lightness,
    "clahe_green": clahe_green,
}
