"""The round field of a fundus photograph.

Points on the rim come from the outermost bright pixels of each row and column. Those on the frame's edge are left
out, because there the field is cut off. A circle through three of them that most others agree with (RANSAC, Fischler
and Bolles 1981; the same draws for every image) is then fitted by least squares to those that agree.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from fovea.cache.field import Field

TRIPLES = 100
VOTERS = 200          # points of the rim that vote on the triples; all of them are fitted
AGREEMENT = 0.7       # share of the rim's points that must lie on the circle, or it is none
TOLERANCE = (0.75, 0.012)  # px of the sample, share of the radius: the larger one counts


@dataclass(frozen=True)
class Circle:
    """Centre and radius in px of the image; pixel (0, 0) covers 0 to 1."""

    x: float
    y: float
    radius: float

    def times(self, factor: float) -> "Circle":
        return Circle(self.x * factor, self.y * factor, self.radius * factor)


def find_circle(field: Field) -> Circle | None:
    """Circle in px of the image, None if the field is not round.

    A field that is squashed to an ellipse gives the circle around its visible part.
    """
    circle = fit_circle(rim_points(field.mask)) or around_ellipse(field.mask)
    return circle.times(field.step) if circle is not None and is_filled(circle, field.mask) else None


def rim_points(mask: np.ndarray) -> np.ndarray:
    """Where the mask begins and ends in each row and column, but for the frame's edge: float64 (n, 2) of x, y."""
    across = _ends(mask)
    down = _ends(cv2.transpose(mask.view(np.uint8)).view(bool))
    return np.concatenate([across, down[:, ::-1]])


def _ends(mask: np.ndarray) -> np.ndarray:
    """First and last edges (position, row + 0.5) of each row; those of an empty row are the frame's."""
    width = mask.shape[1]
    rows = np.arange(len(mask)) + 0.5
    positions = np.concatenate([mask.argmax(axis=1), width - mask[:, ::-1].argmax(axis=1)])
    inner = (positions > 0) & (positions < width)
    return np.stack([positions, np.concatenate([rows, rows])], axis=1)[inner]


def fit_circle(points: np.ndarray) -> Circle | None:
    """Circle that at least `AGREEMENT` of points (n, 2) lie on; None if there is none."""
    if len(points) < 12:
        return None
    voters = points[:: -(-len(points) // VOTERS)].astype(np.float32)  # half the memory of float64
    x, y, radius = _through(voters[_triples(len(voters))])
    best = np.count_nonzero(_agree(voters, x[:, None], y[:, None], radius[:, None]), axis=1).argmax()
    on_rim = _agree(points, x[best], y[best], radius[best])
    for _ in range(3):
        if np.count_nonzero(on_rim) < AGREEMENT * len(points):
            return None
        circle = _least_squares(points[on_rim])
        on_rim = _agree(points, circle.x, circle.y, circle.radius)
    return circle


@cache
def _triples(count: int) -> np.ndarray:
    """int64 (TRIPLES, 3) below `count`: a generator for each image would take longer than its draws."""
    return np.random.default_rng(0).integers(0, count, (TRIPLES, 3))


def _through(triples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres and radii of the circles through triples (n, 3, 2); far away where the points lie on a line."""
    first = triples[:, 0]
    second, third = triples[:, 1] - first, triples[:, 2] - first
    area = 2 * (second[:, 0] * third[:, 1] - second[:, 1] * third[:, 0])
    area[np.abs(area) < 1e-6] = 1e-6
    squares = (second**2).sum(axis=1), (third**2).sum(axis=1)
    x = (third[:, 1] * squares[0] - second[:, 1] * squares[1]) / area
    y = (second[:, 0] * squares[1] - third[:, 0] * squares[0]) / area
    return x + first[:, 0], y + first[:, 1], np.hypot(x, y)


def _agree(points: np.ndarray, x: np.ndarray | float, y: np.ndarray | float, radius: np.ndarray | float) -> np.ndarray:
    """Whether points (n, 2) are at most the tolerance off the circle, bool (n,), or (triples, n) for (triples, 1).

    Compares squares, (r - off)^2 <= d^2 <= (r + off)^2: a root of each distance would take longest.
    """
    squares = (points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2
    off = np.maximum(TOLERANCE[0], TOLERANCE[1] * radius)
    agree: np.ndarray = np.abs(squares - (radius**2 + off**2)) <= 2 * radius * off
    return agree


def _least_squares(points: np.ndarray) -> Circle:
    """Kasa 1976: linear in 2x, 2y and r^2 - x^2 - y^2, solved about the mean, where the last is by itself."""
    middle = points.mean(axis=0)
    x, y = (points - middle).T
    squares = x * x + y * y
    xx, xy, yy, right, down = x @ x, x @ y, y @ y, x @ squares, y @ squares
    area = 2 * (xx * yy - xy * xy) + 1e-9
    x, y = (right * yy - down * xy) / area, (down * xx - right * xy) / area
    return Circle(float(x + middle[0]), float(y + middle[1]), float(np.sqrt(squares.mean() + x * x + y * y)))


def around_ellipse(mask: np.ndarray) -> Circle | None:
    """Smallest circle as wide and as high as the mask's box, if the mask fills it as an ellipse would, cut or not."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    filled = mask.sum() / ((bottom - top) * (right - left))
    if not 0.65 < filled < 0.995:  # an ellipse fills 0.785 of its box, more if cut off; a rectangle all of it
        return None
    return Circle(float(left + right) / 2, float(top + bottom) / 2, float(max(bottom - top, right - left)) / 2)


def is_filled(circle: Circle, mask: np.ndarray) -> bool:
    """Whether the circle is a sensible size, centred in the frame, and the visible part of it mostly bright."""
    height, width = mask.shape
    if not (0 < circle.x < width and 0 < circle.y < height and 0.1 < circle.radius / min(height, width) < 1.5):
        return False
    down, across = (np.arange(side, dtype=np.float32) + 0.5 for side in mask.shape)
    inside = (down[:, None] - circle.y) ** 2 + (across - circle.x) ** 2 < circle.radius**2
    return bool(np.count_nonzero(mask & inside) > 0.5 * np.count_nonzero(inside))
