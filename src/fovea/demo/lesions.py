"""The lesions of diabetic retinopathy: their shapes, and how they are painted.

Sizes and contrast are on the generous side of what is seen in patients, so that the grades survive shrinking to about
112 pixels. Coordinates are field units, as in `anatomy`.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from fovea.demo.anatomy import Eye, absorb, cover
from fovea.demo.vessels import Vessel, fill, tapered, wander

BLOOD_ABSORPTION = np.array([0.50, 1.15, 1.05])
BRIGHT = (  # kind, softness of the edge in widths of the field, painted how many times smaller, colour
    ("cotton_wool_spot", 0.010, 3, np.array([0.97, 0.88, 0.68])),
    ("hard_exudates", 0.0015, 1, np.array([1.0, 0.88, 0.45])),
)
MAP_CELLS = 192           # resolution of the map of free places
TRIES = 60                # places looked at for one lesion
LESION_EDGE = 0.80        # no lesion is centred farther out: cameras may cut the poles of the field off
TURN, WAVES = np.arange(24) * np.pi / 12, np.arange(2, 6)
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)
CENTRE_AND_RIM = np.concatenate([np.zeros((1, 2)), CIRCLE[::3]])


@dataclass(frozen=True)
class Lesion:
    """One lesion: its kind, centre and radius, and the polygons (n, 2) it is painted with."""

    kind: str
    x: float
    y: float
    radius: float
    opacity: float = 1.0
    outlines: list[np.ndarray] = field(default_factory=list, repr=False, compare=False)


def lesion_at(place: np.ndarray, kind: str, opacity: float, outlines: list[np.ndarray]) -> Lesion:
    """A lesion whose radius reaches the farthest point of its outlines."""
    reach = np.hypot(*(np.concatenate(outlines) - place).T).max()
    return Lesion(kind, float(place[0]), float(place[1]), float(reach), opacity, outlines)


class FreePlaces:
    """Where a lesion can still go: not on the disc, the fovea, a larger vessel or another lesion."""

    def __init__(self, rng: np.random.Generator, eye: Eye) -> None:
        self.rng = rng
        self.taken = np.zeros((MAP_CELLS, MAP_CELLS), np.uint8)
        for vessel in eye.arteries + eye.veins:
            if vessel.half_widths[0] > 0.005:
                fill(self.taken, vessel.outline(), 1.0)
        self.take(eye.disc, 1.25 * float(eye.disc_axes[1]))
        self.take(eye.fovea, 0.05)

    def take(self, place: np.ndarray, radius: float) -> None:
        fill(self.taken, place + radius * CIRCLE, 1.0)

    def find(self, radius: float, edge: float = LESION_EDGE, quadrant: int | None = None) -> np.ndarray:
        """A free place (2,) for a lesion of this radius; if 60 tries find none, one that is not."""
        distances, turns = edge * np.sqrt(self.rng.random(TRIES)), self.rng.uniform(0, 2 * np.pi, TRIES)
        if quadrant is not None:
            turns = quadrant * np.pi / 2 + turns / 4
        places = np.stack([distances * np.cos(turns), distances * np.sin(turns)], axis=1)
        place = places[np.argmax(~self.blocked(places, radius))]
        self.take(place, radius * 1.1)
        return place

    def blocked(self, places: np.ndarray, radius: float) -> np.ndarray:
        """Whether something is at the centre or on the rim of each of the places (n, 2)."""
        cells = ((places[:, None] + radius * CENTRE_AND_RIM + 1) * (MAP_CELLS / 2)).astype(int)
        return self.taken[cells[..., 1], cells[..., 0]].any(axis=1)


def blob(rng: np.random.Generator, place: np.ndarray, radius: float, roughness: float,
         stretch: float = 1.0, heading: float = 0.0) -> np.ndarray:
    """An irregular round outline (24, 2)."""
    swing = (rng.normal(0, roughness, 4) / WAVES) @ np.cos(WAVES[:, None] * TURN + rng.uniform(0, 2 * np.pi, (4, 1)))
    reach = radius * np.minimum(np.maximum(1 + swing, 0.4), 1.5)
    shape = CIRCLE * [stretch, 1 / stretch] * reach[:, None]
    cosine, sine = np.cos(heading), np.sin(heading)
    return place + shape @ np.array([[cosine, sine], [-sine, cosine]])


def microaneurysm(rng: np.random.Generator, free: FreePlaces) -> Lesion:
    radius = rng.uniform(0.019, 0.026)
    place = free.find(radius, edge=0.7)
    return lesion_at(place, "microaneurysm", rng.uniform(0.9, 1.0), [blob(rng, place, radius, 0.1)])


def haemorrhage(rng: np.random.Generator, free: FreePlaces, disc: np.ndarray, quadrant: int | None = None) -> Lesion:
    """A dot or blot haemorrhage, or one in three a flame, which lies along the nerve fibres."""
    radius = 0.017 * float(np.exp(1.05 * rng.beta(1.4, 1.8)))
    place = free.find(radius, quadrant=quadrant)
    away = place - disc
    flame = rng.random() < 1 / 3
    outline = blob(rng, place, radius, 0.35, 1.55 if flame else rng.uniform(1.0, 1.15), np.arctan2(away[1], away[0]))
    return lesion_at(place, "haemorrhage", rng.uniform(0.8, 1.0), [outline])


def hard_exudates(rng: np.random.Generator, free: FreePlaces) -> Lesion:
    """A cluster of small bright spots, often in a ring."""
    radius = rng.uniform(0.05, 0.09)
    place = free.find(radius, edge=0.6)
    ring = rng.random() < 0.5
    spots = [blob(rng, place, rng.uniform(0.010, 0.018), 0.3)]
    for _ in range(int(rng.integers(9, 20))):
        turn, distance = rng.uniform(0, 2 * np.pi), radius * (rng.uniform(0.75, 1) if ring else np.sqrt(rng.random()))
        spot = place + 0.9 * distance * np.array([np.cos(turn), np.sin(turn)])
        spots.append(blob(rng, spot, rng.uniform(0.006, 0.015), 0.4))
    return lesion_at(place, "hard_exudates", rng.uniform(0.8, 1.0), spots)


def cotton_wool_spot(rng: np.random.Generator, free: FreePlaces) -> Lesion:
    radius = rng.uniform(0.04, 0.065)
    place = free.find(radius, edge=0.7)
    outline = blob(rng, place, radius, 0.4, rng.uniform(1.0, 1.3), rng.uniform(0, np.pi))
    return lesion_at(place, "cotton_wool_spot", rng.uniform(0.65, 0.85), [outline])


def tangle(rng: np.random.Generator, place: np.ndarray, radius: float, strands: int, half_width: float
           ) -> list[np.ndarray]:
    """Fine curled vessels (outlines) that grow from around a place."""
    outlines = []
    for heading in rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, strands, endpoint=False):
        root = place + rng.normal(0, radius * 0.12, 2)
        length, bend = radius * rng.uniform(0.9, 1.6), rng.choice([-1, 1]) * rng.uniform(1, 4)
        course = wander(rng, root, heading, length, bend, 0.4)
        course = course[np.hypot(*(course - place).T) < radius]
        if len(course) > 2:
            outlines.append(Vessel(course, tapered(half_width, half_width * 0.6, len(course))).outline())
    return outlines


def irma(rng: np.random.Generator, free: FreePlaces) -> Lesion:
    radius = rng.uniform(0.06, 0.09)
    place = free.find(radius * 0.6)
    return lesion_at(place, "irma", 0.8, tangle(rng, place, radius, 7, 0.0045))


def new_vessels(rng: np.random.Generator, free: FreePlaces, at: np.ndarray | None) -> Lesion:
    """A frond of fine tangled vessels, on the disc if `at` says where that is, or elsewhere."""
    radius = rng.uniform(0.19, 0.28)
    place = free.find(radius * 0.5, edge=0.65) if at is None else at
    outlines = tangle(rng, place, radius, int(rng.integers(20, 28)), 0.0052)
    return lesion_at(place, "new_vessels", rng.uniform(0.8, 0.95), outlines)


def preretinal_haemorrhage(rng: np.random.Generator, free: FreePlaces) -> Lesion:
    """Blood that sank before the retina: boat-shaped, with a level upper edge."""
    radius = rng.uniform(0.13, 0.2)
    place = free.find(radius * 0.5, edge=0.5)
    hull = blob(rng, place, radius, 0.15, 1.15)
    hull[:, 1] = np.maximum(hull[:, 1], place[1] - radius * 0.25)
    return lesion_at(place, "preretinal_haemorrhage", rng.uniform(0.9, 1.0), [hull])


def venous_beading(rng: np.random.Generator, vein: Vessel) -> Lesion:
    """A stretch of a main vein that swells and narrows like a string of beads."""
    length = min(18, len(vein.points) - 12)
    start = int(rng.integers(9, max(len(vein.points) - length - 2, 10)))
    stretch = slice(start, start + length)
    points = vein.points[stretch]
    beads = [blob(rng, point, half_width * 2.0, 0.05)
             for point, half_width in zip(points[::3], vein.half_widths[stretch][::3], strict=True)]
    middle = points[len(points) // 2]
    return lesion_at(middle, "venous_beading", 0.9, beads)


def paint_lesions(paint: np.ndarray, lesions: list[Lesion]) -> None:
    """Paint lesions in field units on planar paint (3, n, n), in place."""
    n = paint.shape[1]
    brightness = min(float(paint[0].mean()) / 0.62, 1.1)
    present = {lesion.kind for lesion in lesions}
    for kind, softness, coarser, colour in BRIGHT:
        if kind in present:
            cover(paint, layer_of(lesions, {kind}, n // coarser, softness), colour * brightness)
    if red := present - {kind for kind, *_ in BRIGHT}:
        absorb(paint, layer_of(lesions, red, n, 0.0018), BLOOD_ABSORPTION)


def layer_of(lesions: list[Lesion], kinds: set[str], n: int, softness: float) -> np.ndarray:
    """The lesions of some kinds as a uint8 layer (n, n), blurred by `softness` times its width."""
    layer = np.zeros((n, n), np.uint8)
    for lesion in lesions:
        if lesion.kind in kinds:
            for outline in lesion.outlines:
                fill(layer, outline, lesion.opacity)
    return cv2.GaussianBlur(layer, (0, 0), max(n * softness, 0.3))
