"""Rendered variants: flips, rotation, scale, brightness, contrast, saturation, blur.

A variant is a function of the square, (seed, digest, number) and the strengths. The draws do not depend on the
strengths, so that a changed strength changes its own effect and leaves the others as they were.
"""

import cv2
import numpy as np

from fovea.params.augment import VariantParams
from fovea.seeds import uniforms

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's and torchvision's grey


def render(square: np.ndarray, seed: int, digest: str, variant: int, strengths: VariantParams) -> np.ndarray:
    """Variant `variant` (1, 2, ...) of a square uint8 (size, size, 3), the same shape."""
    draws = uniforms(seed, "variant", digest, variant)
    image = _move(square, draws[:4], strengths)
    image = cv2.transform(image, colour_matrix(square, draws[4:7], strengths))
    blur = draws[7] * strengths.blur
    return cv2.GaussianBlur(image, (0, 0), blur, borderType=cv2.BORDER_REFLECT_101) if blur > 0 else image


def _move(image: np.ndarray, draws: np.ndarray, strengths: VariantParams) -> np.ndarray:
    """One interpolation for all. Black border: outside the field it is black already; a mirrored rim is no retina."""
    mirror = [-1 if draws[0] < strengths.hflip else 1, -1 if draws[1] < strengths.vflip else 1]
    angle = np.deg2rad(strengths.rotation) * (2 * draws[2] - 1)
    low, high = strengths.scale
    factor = low * (high / low) ** draws[3]  # as often twice as half the size
    cosine, sine = factor * np.cos(angle), factor * np.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]]) * mirror
    middle = (image.shape[0] - 1) / 2
    shift = middle - turn @ np.array([middle, middle])
    return cv2.warpAffine(image, np.column_stack([turn, shift]), image.shape[1::-1], flags=cv2.INTER_LINEAR)


def colour_matrix(image: np.ndarray, draws: np.ndarray, strengths: VariantParams) -> np.ndarray:
    """3x4: brightness (a factor), then contrast about the mean grey, then saturation about each pixel's grey."""
    brightness, contrast, saturation = (
        1 + strength * (2 * draw - 1)
        for strength, draw in zip((strengths.brightness, strengths.contrast, strengths.saturation), draws, strict=True)
    )
    mean = brightness * float(np.dot(cv2.mean(image)[:3], LUMA))
    mix = saturation * np.eye(3) + (1 - saturation) * LUMA  # rows sum to 1, so the grey offset passes unchanged
    return np.column_stack([brightness * contrast * mix, np.full(3, (1 - contrast) * mean)])
