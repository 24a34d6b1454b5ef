"""The part of a photograph that is kept: a square around the fundus circle, the centre, or all of it."""

from typing import NamedTuple

import numpy as np

from fovea.cache.circle import Circle


class Region(NamedTuple):
    """A rectangle in px, which may reach over the frame."""

    left: int
    top: int
    width: int
    height: int


def around(circle: Circle) -> Region:
    """Square around a circle."""
    side = max(round(2 * circle.radius), 1)
    return Region(round(circle.x - side / 2), round(circle.y - side / 2), side, side)


def centre_square(height: int, width: int) -> Region:
    """The largest square in the middle of a frame."""
    side = min(height, width)
    return Region((width - side) // 2, (height - side) // 2, side, side)


def cut(image: np.ndarray, region: Region) -> np.ndarray:
    """`region` of RGB uint8 (h, w, 3), C order; black where it reaches over the frame."""
    height, width = image.shape[:2]
    left, top = max(region.left, 0), max(region.top, 0)
    right, bottom = min(region.left + region.width, width), min(region.top + region.height, height)
    inside = image[top:bottom, left:right]
    if inside.shape[:2] == (region.height, region.width):
        return np.ascontiguousarray(inside)
    square = np.zeros((region.height, region.width, 3), np.uint8)
    square[top - region.top : bottom - region.top, left - region.left : right - region.left] = inside
    return square
