"""Drawing whole units, so that each class gives an exact share: one draw, or all folds of a cross-validation."""

from fractions import Fraction
from hashlib import blake2b
from itertools import combinations

import numpy as np
import pandas as pd

# Units on either side of the boundary that the repair considers alone and in pairs: 40,000 exchanges a step, 10 ms.
SINGLES, PAIRS = 80, 16


def draw(
    units: np.ndarray, targets: np.ndarray, classes: int, share: float | Fraction, purpose: str, keep: int
) -> np.ndarray:
    """(n,) bool: images of whole `units` (n,) that make up `share` of each class of `targets` (n,), rounded half up.

    A class gives at least one image and keeps at least `keep` units. Units are taken in the order of their hash while
    no class exceeds its number. Whole units cannot always hit every number: then up to two on each side are exchanged
    as long as the sum over classes of deviation^2 / number falls.
    """
    codes, names = pd.factorize(units)
    order = np.argsort(np.array([_rank(purpose, name) for name in names], dtype=np.uint64))
    counts = np.zeros((len(names), classes), dtype=np.int64)
    np.add.at(counts, (codes, targets), 1)
    wanted = np.array([_number(int(total), share, keep) for total in counts.sum(axis=0)])
    contents, kinds = np.unique(counts[order], axis=0, return_inverse=True)  # units alike in content are one kind
    kinds = kinds.reshape(-1)
    taken = np.zeros(len(names), dtype=bool)
    taken[order] = _repaired(contents, kinds, _greedy(contents, kinds, wanted, keep), wanted, keep)
    return taken[codes]


def draw_folds(units: np.ndarray, targets: np.ndarray, classes: int, folds: int, purpose: str) -> np.ndarray:
    """(n,) int64: fold of each image, 0 to `folds` - 1, whole `units` (n,) in each and classes as even as they allow.

    One draw after the other, of what is left, by one order of the units: without groups a class's images differ by at
    most one between folds, and an image more moves at most one other across each boundary.
    """
    fold = np.full(len(units), folds - 1)
    for number in range(folds - 1):
        pool, left = np.flatnonzero(fold == folds - 1), folds - number
        fold[pool[draw(units[pool], targets[pool], classes, Fraction(1, left), purpose, keep=left - 1)]] = number
    return fold


def _rank(purpose: str, name: str) -> int:
    return int.from_bytes(blake2b(f"{purpose}:{name}".encode(), digest_size=8).digest())


def _number(total: int, share: float | Fraction, keep: int) -> int:
    """Images of a class to draw. Shares are decimals: 0.29 of 50 is 14.5, not 14.499999."""
    rounded = int(Fraction(str(share)) * total + Fraction(1, 2))
    return max(0, min(max(rounded, 1), total - keep))


def _greedy(contents: np.ndarray, kinds: np.ndarray, wanted: np.ndarray, keep: int) -> np.ndarray:
    """(units,) bool: each unit in turn, unless a class would exceed `wanted` (classes,) or keep too few units.

    `kinds` (units,) is the row of `contents` (kinds, classes) that holds the unit's number of images.
    """
    images = wanted.tolist()
    units = _spare_units(contents, kinds, keep).tolist()
    holds = [[(target, row[target]) for target in np.flatnonzero(row).tolist()] for row in contents]
    taken = np.zeros(len(kinds), dtype=bool)
    for unit, kind in enumerate(kinds.tolist()):
        if all(images[target] >= count and units[target] for target, count in holds[kind]):
            taken[unit] = True
            for target, count in holds[kind]:
                images[target] -= count
                units[target] -= 1
    return taken


def _spare_units(contents: np.ndarray, kinds: np.ndarray, keep: int) -> np.ndarray:
    """(classes,) how many of the units that hold a class can be taken."""
    return np.maximum((contents[kinds] > 0).sum(axis=0) - keep, 0)


def _repaired(
    contents: np.ndarray, kinds: np.ndarray, taken: np.ndarray, wanted: np.ndarray, keep: int
) -> np.ndarray:
    """`taken`, with units exchanged, added or removed as long as that brings the classes nearer to `wanted`."""
    contents = np.vstack([contents, np.zeros_like(wanted)])  # the last kind is nothing
    nothing = len(contents) - 1
    spare = _spare_units(contents, kinds, keep)
    while (missing := wanted - contents[kinds[taken]].sum(axis=0)).any():
        sides = [_options(kinds, np.flatnonzero(~taken)), _options(kinds, np.flatnonzero(taken)[::-1])]
        chosen = [np.where(options < 0, nothing, kinds[options]) for options in sides]
        into, out = (contents[pair].sum(axis=1) for pair in chosen)
        units_in, units_out = ((contents[pair] > 0).sum(axis=1) for pair in chosen)
        spare_now = spare - (contents[kinds[taken]] > 0).sum(axis=0)
        cost = _cost(missing - into[:, None] + out, spare_now - units_in[:, None] + units_out, wanted)
        best = np.unravel_index(np.argmin(cost), cost.shape)
        if cost[best] >= cost[0, 0]:  # nothing for nothing
            break
        for options, choice, value in zip(sides, best, (True, False), strict=True):
            taken[options[choice][options[choice] >= 0]] = value
    return taken


def _cost(missing: np.ndarray, spare: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Cost of what is missing, (..., classes). A class without any image, or that keeps too few units, costs most."""
    deviation = (missing**2 / np.maximum(wanted, 1)).sum(axis=-1)
    unusable = ((missing == wanted) & (wanted > 0)) | (spare < 0)
    cost: np.ndarray = (deviation + missing.shape[-1] * wanted.sum() ** 2 * unusable.sum(axis=-1)).round(9)
    return cost


def _options(kinds: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(options, 2): none, one or two of the first `units`, -1 for none; of units alike only the first two count."""
    nth = pd.Series(kinds[units]).groupby(kinds[units]).cumcount()
    near = units[nth.to_numpy() < 2][:SINGLES].tolist()
    pairs = [(-1, -1), *((unit, -1) for unit in near), *combinations(near[:PAIRS], 2)]
    return np.array(pairs, dtype=np.int64)
