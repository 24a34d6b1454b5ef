"""Retinal vessels as curves: four arcades from the optic disc, each an artery and a vein, with their branches.

Coordinates are field units: the centre of the field of view is (0, 0), its edge is at radius 1, y points down.
"""

from dataclasses import dataclass

import cv2
import numpy as np

STEP = 0.02            # distance between two points of a vessel, field units
AVASCULAR_ZONE = 0.10  # no vessel comes nearer to the fovea, field units
SUBPIXEL_BITS = 4      # polygons are drawn to 1/16 pixel, so that thin vessels keep their width


@dataclass(frozen=True)
class Vessel:
    """A centre line (n, 2) with its half-widths (n,), float64, field units."""

    points: np.ndarray
    half_widths: np.ndarray

    def outline(self) -> np.ndarray:
        """The polygon (2n, 2) around the vessel."""
        along = np.empty_like(self.points)
        along[1:-1] = self.points[2:] - self.points[:-2]
        along[0], along[-1] = self.points[1] - self.points[0], self.points[-1] - self.points[-2]
        reach = self.half_widths / np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)
        across = np.stack([-along[:, 1] * reach, along[:, 0] * reach], axis=1)
        return np.concatenate([self.points + across, (self.points - across)[::-1]])


def fill(layer: np.ndarray, outline: np.ndarray, opacity: float) -> None:
    """Fill a polygon given in field units on a square uint8 layer that spans the field of view."""
    half = layer.shape[0] / 2
    corners = np.round(((outline + 1) * half - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(layer, [corners], 255 * opacity, cv2.LINE_AA, SUBPIXEL_BITS)


def tapered(first: float, last: float, points: int) -> np.ndarray:
    """Half-widths (n,) from the first to the last, and to nothing over the last few points."""
    widths = first + np.arange(points) * ((last - first) / max(points - 1, 1))
    ending = min(6, points)
    widths[-ending:] *= np.linspace(0.95, 0.2, ending)
    return widths


def wander(rng: np.random.Generator, start: np.ndarray, heading: float, length: float, bend: float,
           restlessness: float) -> np.ndarray:
    """A curve (n, 2) from `start`: it turns by `bend` radians over its length, and at random."""
    steps = max(int(length / STEP), 3)
    turns = rng.normal(0, restlessness, steps)
    headings = heading + np.cumsum(turns + (bend - turns.sum() / 2) / steps)
    course = np.empty((steps + 1, 2))
    course[0] = start
    course[1:, 0], course[1:, 1] = STEP * np.cos(headings), STEP * np.sin(headings)
    return np.cumsum(course, axis=0)


def arcade(rng: np.random.Generator, disc: np.ndarray, fovea: np.ndarray, temporal: bool, up: int) -> np.ndarray:
    """The course (n, 2) of one main vessel of a left eye; `up` is -1 above the disc and 1 below."""
    if temporal:  # around the macula
        anchors = np.array([disc] * 3 + [fovea] * 4)
        offsets = [(0.02, 0), (0.05, 0.16), (0.19, 0.36), (-0.10, 0.52), (0.28, 0.48), (0.56, 0.34), (0.85, 0.30)]
    else:
        anchors = np.array([disc] * 5)
        offsets = [(-0.02, 0), (-0.06, 0.14), (-0.16, 0.33), (-0.34, 0.55), (-0.44, 0.85)]
    knots = anchors + np.array(offsets) * (1, up)
    knots[1:] += rng.normal(0, 0.025, (len(knots) - 1, 2)) * np.linspace(0.5, 2.0, len(knots) - 1)[:, None]
    course = smooth_curve(knots)
    wobble = np.cumsum(rng.normal(0, 0.0035, course.shape), axis=0)
    return course + wobble - np.linspace(0, 1, len(wobble))[:, None] * wobble[-1] * 0.7


def smooth_curve(knots: np.ndarray) -> np.ndarray:
    """A smooth curve (n, 2) from the first knot to the last, passing near those between (Chaikin's corner cutting)."""
    for _ in range(4):
        first, second = knots[:-1], knots[1:]
        cut = np.stack([0.75 * first + 0.25 * second, 0.25 * first + 0.75 * second], axis=1).reshape(-1, 2)
        knots = np.concatenate([knots[:1], cut, knots[-1:]])
    travelled = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
    even = np.arange(0, travelled[-1], STEP)
    return np.stack([np.interp(even, travelled, knots[:, 0]), np.interp(even, travelled, knots[:, 1])], axis=1)


def inside(points: np.ndarray, fovea: np.ndarray) -> np.ndarray:
    """The points of a curve before it leaves the field or enters the avascular zone."""
    stop = (np.hypot(*points.T) > 1.04) | (np.hypot(*(points - fovea).T) < AVASCULAR_ZONE)
    return points[: int(np.argmax(stop))] if stop.any() else points


def branches(rng: np.random.Generator, parent: Vessel, fovea: np.ndarray, depth: int) -> list[Vessel]:
    """The side vessels of a vessel, and theirs, down to `depth` generations."""
    grown: list[Vessel] = []
    position, side = int(rng.integers(6, 14)), 1 if rng.random() < 0.5 else -1
    while depth and position < len(parent.points) - 3:
        along = parent.points[position + 1] - parent.points[position]
        heading = np.arctan2(along[1], along[0]) + side * rng.uniform(0.45, 0.95)
        length = rng.uniform(0.22, 0.5) * (0.5 + 0.3 * depth)
        course = wander(rng, parent.points[position], heading, length, -side * rng.uniform(0.2, 0.9), 0.10)
        course = inside(course, fovea)
        if len(course) > 4:
            width = parent.half_widths[position] * rng.uniform(0.45, 0.72)
            child = Vessel(course, tapered(width, max(width * 0.4, 0.0011), len(course)))
            grown += [child, *branches(rng, child, fovea, depth - 1)]
        position, side = position + int(rng.integers(7, 17)), -side if rng.random() < 0.75 else side
    return grown


def vessel_tree(rng: np.random.Generator, disc: np.ndarray, fovea: np.ndarray, half_width: float) -> list[Vessel]:
    """The arteries or the veins of a left eye; the first four are the main vessels, one a quadrant."""
    trunks = []
    for temporal in (True, False):
        for up in (-1, 1):
            course = inside(arcade(rng, disc, fovea, temporal, up), fovea)
            width = half_width * (1.0 if temporal else 0.72) * rng.uniform(0.88, 1.12)
            trunks.append(Vessel(course, tapered(width, width * 0.45, len(course))))
    return trunks + [branch for trunk in trunks for branch in branches(rng, trunk, fovea, depth=2)]
