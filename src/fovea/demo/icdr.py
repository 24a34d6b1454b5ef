"""Which lesions an eye of a grade has, after the International Clinical Diabetic Retinopathy (ICDR) scale.

0 none; 1 microaneurysms only; 2 more than those, less than 3; 3 any of: more than 20 haemorrhages in each quadrant,
venous beading in two, IRMA (intraretinal microvascular abnormalities) in one; 4 new vessels or preretinal haemorrhage.
Quadrants are those of the field of view.
"""

from collections.abc import Callable

import numpy as np

from fovea.demo.anatomy import Eye
from fovea.demo.lesions import (
    FreePlaces,
    Lesion,
    cotton_wool_spot,
    haemorrhage,
    hard_exudates,
    irma,
    microaneurysm,
    new_vessels,
    preretinal_haemorrhage,
    venous_beading,
)


def count(rng: np.random.Generator, low: int, high: int) -> range:
    return range(int(rng.integers(low, high + 1)))


def mild(rng: np.random.Generator, free: FreePlaces, eye: Eye) -> list[Lesion]:
    return [microaneurysm(rng, free) for _ in count(rng, 6, 14)]


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
    if rng.random() < 0.5:
        lesions.append(preretinal_haemorrhage(rng, free))
    lesions += [hard_exudates(rng, free) for _ in count(rng, 0, 1)]
    lesions += [haemorrhage(rng, free, eye.disc) for _ in count(rng, 5, 14)]
    return lesions + [microaneurysm(rng, free) for _ in count(rng, 5, 12)]


STAGES: dict[int, Callable[[np.random.Generator, FreePlaces, Eye], list[Lesion]]]
STAGES = {1: mild, 2: moderate, 3: severe, 4: proliferative}


def choose_lesions(rng: np.random.Generator, eye: Eye, grade: int) -> list[Lesion]:
    """The lesions of an eye of this grade 0-4, in field units."""
    return STAGES[grade](rng, FreePlaces(rng, eye), eye) if grade else []
