"""From a raw image to the square of the cache: decode, crop, resize, normalise.

A function of the content and the parameters.
"""

import numpy as np

from fovea.cache.circle import find_circle
from fovea.cache.crop import Region, around, centre_square, cut
from fovea.cache.field import find_field
from fovea.cache.normalise import normalise
from fovea.cache.resize import Extent, fit_square
from fovea.decode import FACTORS, Header, decode, read_header, upright
from fovea.params.augment import SquareParams
from fovea.raw import Content

SPARE = 1.5        # how many times the target's side must be decoded, or the shrinking decoder would show
FIELD_SHARE = 0.9  # of the frame's shorter side that the fundus circle usually has at least


def make_square(content: Content, params: SquareParams, strict: bool = False) -> tuple[np.ndarray, bool]:
    """RGB uint8 (size, size, 3), upright, and whether the crop that was asked for was possible.

    Raises UserError if the content cannot be decoded; `strict` as in `decode`, for what ingest has not looked at.
    """
    if isinstance(content, np.ndarray):
        pixels = content.reshape(*content.shape[:2], -1)
        image, extent, found = _crop(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), pixels.shape[:2], params)
        return _fit(image, extent, params), found
    header = read_header(content)
    image, extent, found = _decode_and_crop(content, header, params, strict)
    # Turned last: it is cheapest there, and the real part of a shrunk image begins at its stored corner.
    return np.ascontiguousarray(upright(_fit(image, extent, params), header.orientation)), found


def _fit(image: np.ndarray, extent: Extent, params: SquareParams) -> np.ndarray:
    return normalise(fit_square(image, extent, params.image_size, params.fit, params.interpolation), params.normalise)


def _decode_and_crop(
    data: bytes, header: Header, params: SquareParams, strict: bool
) -> tuple[np.ndarray, Extent, bool]:
    side = expected_side(header.height, header.width, params)
    factor = reduction(side, params.image_size) if header.fast and not params.exact else 1
    image, extent, found = _crop(*_decode(data, header, factor, strict), params)
    kept = max(extent) if params.fit == "pad" else min(extent)
    finer = reduction(kept * factor, params.image_size)
    if finer < factor:  # the field is a small part of the frame: few images of a set are decoded twice
        return _crop(*_decode(data, header, finer, strict), params)
    return image, extent, found


def _decode(data: bytes, header: Header, factor: int, strict: bool) -> tuple[np.ndarray, Extent]:
    """Pixels, and how many of them are real: 1205 px at 1/4 are 301.25 px, in an array of 302."""
    pixels = decode(data, header, factor, strict)
    whole = header.height, header.width
    return pixels, pixels.shape[:2] if pixels.shape[:2] == whole else (whole[0] / factor, whole[1] / factor)


def expected_side(height: int, width: int, params: SquareParams) -> float:
    """Side in px, before decoding, of what will become `params.image_size` px."""
    if params.crop == "fundus":
        return FIELD_SHARE * min(height, width)
    return max(height, width) if params.crop == "none" and params.fit == "pad" else min(height, width)


def reduction(side: float, size: int) -> int:
    """The largest of 1, 2, 4, 8 that leaves at least `SPARE` times `size` of `side` px."""
    return max(factor for factor in FACTORS if factor == 1 or side / factor >= SPARE * size)


def _crop(image: np.ndarray, extent: Extent, params: SquareParams) -> tuple[np.ndarray, Extent, bool]:
    """The kept part in C order, its extent in px, and whether it is what was asked for."""
    region: Region | None = None
    if params.crop == "centre":
        region = centre_square(*image.shape[:2])
    if params.crop == "fundus" and (field := find_field(image)) and (circle := find_circle(field)):
        region = around(circle)
        image = image * field.hull(*image.shape[:2])[..., None] if field.white else image
    if region is None:
        return np.ascontiguousarray(image), extent, params.crop == "none"
    return cut(image, region), (region.height, region.width), True
