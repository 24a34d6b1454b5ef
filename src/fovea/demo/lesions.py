"""The lesions of diabetic retinopathy, by grade of the ICDR scale.

0 none; 1 microaneurysms only; 2 more than those, less than 3; 3 any of: more than 20 haemorrhages in each quadrant,
venous beading in two, IRMA (intraretinal microvascular abnormalities) in one; 4 new vessels or preretinal haemorrhage.
Quadrants are those of the field of view. Sizes and contrast are on the generous side of what is seen in patients, so
that the grades survive shrinking to about 112 pixels. Coordinates are field units, as in `anatomy`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from fovea.demo.anatomy import Eye, absorb, cover
from fovea.demo.vessels import Vessel, fill, wander

BLOOD_ABSORPTION = np.array([0.62, 1.35, 1.05])
EXUDATE_COLOUR = np.array([1.0, 0.88, 0.42])
COTTON_WOOL_COLOUR = np.array([0.97, 0.88, 0.68])
MAP_CELLS = 192           # resolution of the map of free places
LESION_EDGE = 0.80        # no lesion is centred farther out: cameras may cut the poles of the field off


@dataclass(frozen=True)
class Lesion:
    """One lesion: its kind, centre and radius, and the polygons (n, 2) it is painted with."""

    kind: str
    x: float
    y: float
    radius: float
    opacity: float = 1.0
    outlines: list[np.ndarray] = field(default_factory=list, repr=False, compare=False)


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
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        fill(self.taken, place + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1), 1.0)

    def find(self, radius: float, edge: float = LESION_EDGE, quadrant: int | None = None) -> np.ndarray:
        """A free place (2,) for a lesion of this radius; the last one tried if the field is full."""
        for _ in range(60):
            distance, turn = edge * np.sqrt(self.rng.random()), self.rng.uniform(0, 2 * np.pi)
            if quadrant is not None:
                turn = (quadrant + turn / (2 * np.pi)) * np.pi / 2
            place = distance * np.array([np.cos(turn), np.sin(turn)])
            if not self.blocked(place, radius):
                break
        self.take(place, radius * 1.1)
        return place

    def blocked(self, place: np.ndarray, radius: float) -> bool:
        low = np.floor((place - radius + 1) * MAP_CELLS / 2).astype(int)
        high = np.ceil((place + radius + 1) * MAP_CELLS / 2).astype(int)
        return bool(self.taken[low[1]:high[1] + 1, low[0]:high[0] + 1].any())


def blob(rng: np.random.Generator, place: np.ndarray, radius: float, roughness: float,
         stretch: float = 1.0, heading: float = 0.0) -> np.ndarray:
    """An irregular round outline (24, 2)."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    waves = np.arange(2, 6)
    swing = rng.normal(0, roughness / waves) @ np.cos(waves[:, None] * turn + rng.uniform(0, 6.28, (4, 1)))
    reach = radius * np.clip(1 + swing, 0.4, 1.5)
    shape = np.stack([reach * np.cos(turn) * stretch, reach * np.sin(turn) / stretch], axis=1)
    cosine, sine = np.cos(heading), np.sin(heading)
    return place + shape @ np.array([[cosine, sine], [-sine, cosine]])


def microaneurysm(rng: np.random.Generator, free: FreePlaces) -> Lesion:
    radius = rng.uniform(0.013, 0.019)
    place = free.find(radius, edge=0.7)
    return Lesion("microaneurysm", *place, radius, rng.uniform(0.85, 1.0), [blob(rng, place, radius, 0.1)])


def haemorrhage(rng: np.random.Generator, free: FreePlaces, disc: np.ndarray, quadrant: int | None = None) -> Lesion:
    """A dot or blot haemorrhage, or one in three a flame, which lies along the nerve fibres."""
    radius = float(np.exp(rng.uniform(np.log(0.018), np.log(0.042))))
    place = free.find(radius, quadrant=quadrant)
    away = place - disc
    flame = rng.random() < 1 / 3
    outline = blob(rng, place, radius, 0.35, 1.45 if flame else rng.uniform(1.0, 1.15), np.arctan2(away[1], away[0]))
    return Lesion("haemorrhage", *place, radius, rng.uniform(0.8, 1.0), [outline])


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
    return Lesion("hard_exudates", *place, radius, rng.uniform(0.8, 1.0), spots)


def cotton_wool_spot(rng: np.random.Generator, free: FreePlaces) -> Lesion:
    radius = rng.uniform(0.04, 0.065)
    place = free.find(radius, edge=0.7)
    outline = blob(rng, place, radius, 0.4, rng.uniform(1.0, 1.3), rng.uniform(0, np.pi))
    return Lesion("cotton_wool_spot", *place, radius, rng.uniform(0.65, 0.85), [outline])


def tangle(rng: np.random.Generator, place: np.ndarray, radius: float, strands: int, half_width: float
           ) -> list[np.ndarray]:
    """Fine curled vessels (outlines) that grow from around a place."""
    outlines = []
    for heading in rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, strands, endpoint=False):
        root = place + rng.normal(0, radius * 0.12, 2)
        course = wander(rng, root, heading, radius * rng.uniform(0.9, 1.6), rng.choice([-1, 1]) * rng.uniform(1, 4), 0.4)
        course = course[np.hypot(*(course - place).T) < radius]
        if len(course) > 2:
            outlines.append(Vessel(course, np.linspace(half_width, half_width * 0.6, len(course))).outline())
    return outlines


def irma(rng: np.random.Generator, free: FreePlaces) -> Lesion:
    radius = rng.uniform(0.06, 0.09)
    place = free.find(radius * 0.6)
    return Lesion("irma", *place, radius, 0.8, tangle(rng, place, radius, 7, 0.0045))


def new_vessels(rng: np.random.Generator, free: FreePlaces, at: np.ndarray | None) -> Lesion:
    """A frond of fine tangled vessels, on the disc if `at` says where that is, or elsewhere."""
    radius = rng.uniform(0.15, 0.22)
    place = free.find(radius * 0.5, edge=0.65) if at is None else at
    outlines = tangle(rng, place, radius, int(rng.integers(16, 24)), 0.0055)
    return Lesion("new_vessels", *place, radius, rng.uniform(0.8, 0.95), outlines)


def preretinal_haemorrhage(rng: np.random.Generator, free: FreePlaces) -> Lesion:
    """Blood that sank before the retina: boat-shaped, with a level upper edge."""
    radius = rng.uniform(0.13, 0.2)
    place = free.find(radius * 0.5, edge=0.5)
    hull = blob(rng, place, radius, 0.15, 1.15)
    hull[:, 1] = np.maximum(hull[:, 1], place[1] - radius * 0.25)
    return Lesion("preretinal_haemorrhage", *place, radius, rng.uniform(0.9, 1.0), [hull])


def venous_beading(rng: np.random.Generator, vein: Vessel) -> Lesion:
    """A stretch of a main vein that swells and narrows like a string of beads."""
    length = min(18, len(vein.points) - 8)
    start = int(rng.integers(5, max(len(vein.points) - length - 2, 6)))
    stretch = slice(start, start + length)
    points = vein.points[stretch]
    beads = [blob(rng, point, half_width * 2.0, 0.05)
             for point, half_width in zip(points[::3], vein.half_widths[stretch][::3], strict=True)]
    middle = points[len(points) // 2]
    return Lesion("venous_beading", *middle, float(np.hypot(*(points - middle).T).max()), 0.9, beads)


def count(rng: np.random.Generator, low: int, high: int) -> range:
    return range(int(rng.integers(low, high + 1)))


def moderate(rng: np.random.Generator, free: FreePlaces, eye: Eye) -> list[Lesion]:
    lesions = [hard_exudates(rng, free) for _ in count(rng, 2, 4)]
    lesions += [cotton_wool_spot(rng, free) for _ in count(rng, 0, 1)]
    lesions += [haemorrhage(rng, free, eye.disc) for _ in count(rng, 5, 14)]
    return lesions + [microaneurysm(rng, free) for _ in count(rng, 5, 12)]


def severe(rng: np.random.Generator, free: FreePlaces, eye: Eye) -> list[Lesion]:
    """Many haemorrhages everywhere, and at least one sign of the 4-2-1 rule."""
    sign = rng.integers(3)
    lesions = [cotton_wool_spot(rng, free) for _ in count(rng, 2, 5)]
    lesions += [hard_exudates(rng, free) for _ in count(rng, 0, 2)]
    if sign == 0 or rng.random() < 0.3:
        lesions += [venous_beading(rng, vein) for vein in eye.veins[:2]]
    if sign == 1 or rng.random() < 0.3:
        lesions += [irma(rng, free) for _ in count(rng, 1, 3)]
    low, high = (21, 26) if sign == 2 else (12, 20)
    for quadrant in range(4):
        lesions += [haemorrhage(rng, free, eye.disc, quadrant) for _ in count(rng, low, high)]
    return lesions + [microaneurysm(rng, free) for _ in count(rng, 5, 12)]


def proliferative(rng: np.random.Generator, free: FreePlaces, eye: Eye) -> list[Lesion]:
    lesions = [new_vessels(rng, free, eye.disc)] if rng.random() < 0.5 else []
    lesions += [new_vessels(rng, free, None) for _ in count(rng, 2, 3)]
    if rng.random() < 0.4:
        lesions.append(preretinal_haemorrhage(rng, free))
    return lesions + moderate(rng, free, eye)


def choose_lesions(rng: np.random.Generator, eye: Eye, grade: int) -> list[Lesion]:
    """The lesions of an eye of this grade, in field units."""
    if grade == 0:
        return []
    free = FreePlaces(rng, eye)
    if grade == 1:
        return [microaneurysm(rng, free) for _ in count(rng, 4, 9)]
    stages: dict[int, Callable[[np.random.Generator, FreePlaces, Eye], list[Lesion]]]
    stages = {2: moderate, 3: severe, 4: proliferative}
    return stages[grade](rng, free, eye)


def paint_lesions(paint: np.ndarray, lesions: list[Lesion]) -> None:
    """Paint lesions in field units on planar paint (3, n, n), in place."""
    n = paint.shape[1]
    for kinds, softness, colour in (
        (("cotton_wool_spot",), 0.010, COTTON_WOOL_COLOUR),
        (("hard_exudates",), 0.0013, EXUDATE_COLOUR),
    ):
        cover(paint, layer_of(lesions, kinds, n, softness), colour * min(paint[0].mean() / 0.62, 1.1))
    red = tuple({lesion.kind for lesion in lesions} - {"cotton_wool_spot", "hard_exudates"})
    absorb(paint, layer_of(lesions, red, n, 0.0016), BLOOD_ABSORPTION)


def layer_of(lesions: list[Lesion], kinds: tuple[str, ...], n: int, softness: float) -> np.ndarray:
    """The lesions of some kinds as a uint8 layer (n, n), blurred by `softness` times its width."""
    layer = np.zeros((n, n), np.uint8)
    for lesion in lesions:
        if lesion.kind in kinds:
            for outline in lesion.outlines:
                fill(layer, outline, lesion.opacity)
    return cv2.GaussianBlur(layer, (0, 0), max(n * softness, 0.3))
