"""From a raw image to the square of the cache: decode, crop, resize. A function of the content and the parameters."""

import numpy as np

from fovea.cache.circle import find_circle
from fovea.cache.crop import Region, around, centre_square, cut
from fovea.cache.decode import FACTORS, decode, read_header
from fovea.cache.resize import fit_square
from fovea.params.augment import AugmentParams
from fovea.raw import Content

SPARE = 1.5        # how many times the target's side must be decoded, or the shrinking decoder would show
FIELD_SHARE = 0.9  # of the frame's shorter side that the fundus circle usually has at least


def make_square(content: Content, params: AugmentParams) -> tuple[np.ndarray, bool]:
    """RGB uint8 (size, size, 3), and whether the crop that was asked for was possible.

    Raises UserError if the content cannot be decoded.
    """
    image, found = _cropped(content, params)
    return fit_square(image, params.size, params.fit, params.interpolation), found


def _cropped(content: Content, params: AugmentParams) -> tuple[np.ndarray, bool]:
    if isinstance(content, np.ndarray):
        pixels = content.reshape(*content.shape[:2], -1)
        return _crop(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))), params)
    header = read_header(content)
    factor = 1 if params.exact else reduction(expected_side(header.height, header.width, params), params.size)
    image, found = _crop(decode(content, header, factor), params)
    side = max(image.shape[:2]) if params.fit == "pad" else min(image.shape[:2])
    finer = reduction(side * factor, params.size)
    if factor > 1 and finer < factor:  # the field is a small part of the frame; a few images in a set
        image, found = _crop(decode(content, header, finer), params)
    return image, found


def expected_side(height: int, width: int, params: AugmentParams) -> float:
    """Side in px, before decoding, of what will become `params.size` px."""
    if params.crop == "fundus":
        return FIELD_SHARE * min(height, width)
    return max(height, width) if params.crop == "none" and params.fit == "pad" else min(height, width)


def reduction(side: float, size: int) -> int:
    """The largest of 1, 2, 4, 8 that leaves at least `SPARE` times `size` of `side` px."""
    return max(factor for factor in FACTORS if factor == 1 or side / factor >= SPARE * size)


def _crop(image: np.ndarray, params: AugmentParams) -> tuple[np.ndarray, bool]:
    region: Region | None = Region(0, 0, image.shape[1], image.shape[0])
    if params.crop == "centre":
        region = centre_square(*image.shape[:2])
    if params.crop == "fundus":
        circle = find_circle(image)
        region = around(circle) if circle else None
    return (np.ascontiguousarray(image), False) if region is None else (cut(image, region), True)
