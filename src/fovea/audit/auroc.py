"""How well a label can be told by cross-validation: folds of whole units, and AUROCs with intervals.

Only pairs of images of the same fold are compared, because their scores come from the same training images. Pooled over
folds, scores from pure noise rank the wrong way round: each image held out takes its own label out of the share of its
like among the training images.
"""

from hashlib import blake2b

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

FOLDS = 5
# On the standard error: the AUROC of cross-validation varies more than that of a fixed score, because what the score is
# learnt from varies too. With it, 95 % intervals miss 0.5 for 2 to 6 % of shuffled labels (benchmarks/shortcuts.py).
WIDER = 1.25
TINY = 1e-9  # of an AUROC; at 0 and 1 themselves the formula's variance is 0


def training_rows(image: np.ndarray, digest: np.ndarray, part: np.ndarray, most: int) -> np.ndarray:
    """Positions of up to `most` training images, drawn by their digests, in an order that depends on nothing else."""
    rows = np.flatnonzero(part == "train")
    return rows[np.lexsort((image[rows], digest[rows]))[:most]]


def folds(targets: np.ndarray, units: np.ndarray, purpose: int) -> np.ndarray:
    """int64 (n,) in [0, FOLDS): whole `units` (n,), dealt out class by class in the order of a hash of their name.

    So each class is spread evenly, whatever the order of the images. A unit of several classes counts as the first.
    Another `purpose` deals otherwise.
    """
    names, codes = np.unique(units.astype(str), return_inverse=True)
    kind = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(kind, codes, targets)
    ranks = [int.from_bytes(blake2b(f"{purpose}/{name}".encode(), digest_size=8).digest()) for name in names]
    fold = np.empty(len(names), dtype=np.int64)
    fold[np.lexsort((np.array(ranks, np.uint64), kind))] = np.arange(len(names)) % FOLDS
    return fold[codes]


def enough(targets: np.ndarray, units: np.ndarray) -> bool:
    """Whether there are two classes, and two units for each fold: below that nothing could be said."""
    return len(np.unique(targets)) > 1 and len(np.unique(units.astype(str))) >= 2 * FOLDS


def unit_counts(targets: np.ndarray, units: np.ndarray, target: int) -> tuple[float, float]:
    """Units with an image of class `target`, and units with another image: what an interval can count on.

    Units of different sizes count for fewer, (sum n)^2 / sum n^2 (Kish 1965), for a large one weighs more.
    """
    mine = targets == target
    return _effective(units[mine]), _effective(units[~mine])


def _effective(units: np.ndarray) -> float:
    sizes = np.unique(units.astype(str), return_counts=True)[1].astype(float)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def ranked(scores: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """float64 (2,): pairs of a positive and a negative image where the positive scores higher, ties half; all pairs.

    `positives` and `negatives` (cells,) are the numbers of images that have the score of each cell.
    """
    values, place = np.unique(scores, return_inverse=True)
    hits, others = (np.bincount(place, counts, len(values)) for counts in (positives, negatives))
    return np.array([hits @ (np.cumsum(others) - others / 2), hits.sum() * others.sum()])


def interval(auroc: float, positives: float, negatives: float, level: float) -> tuple[float, float]:
    """Score interval of an AUROC at confidence `level`, which stays sound at 1.0 and for few images.

    It holds the values from which `auroc` is no more than z standard errors away, the error taken at that value. Its
    variance is Hanley and McNeil's with the change of Newcombe 2006 (Statistics in Medicine 25:559, method 5).
    """
    z = WIDER * norm.ppf((1 + level) / 2)
    excess = (positives + negatives) / 2 - 1

    def beyond(value: float) -> float:
        spread = value * (1 - value) * (1 + excess * ((1 - value) / (2 - value) + value / (1 + value)))
        return float((value - auroc) ** 2 - z**2 * spread / (positives * negatives))

    low = brentq(beyond, 0, min(auroc, 1 - TINY)) if auroc > 0 else 0.0
    high = brentq(beyond, max(auroc, TINY), 1) if auroc < 1 else 1.0
    return float(low), float(high)
