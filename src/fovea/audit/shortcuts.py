"""How well the label can be told from how an image was made, kept and named, without a look at the picture.

A network that finds such a shortcut need not learn anything of the disease, and its score then says nothing of images
from elsewhere. Each feature is scored by the share of a class among the training images that are like an image in it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array

from fovea.audit.auroc import FOLDS, enough, folds, interval, ranked, training_rows, unit_counts
from fovea.audit.features import Feature, Levels, features

MOST_IMAGES = 10_000  # 35,000 rows of 25 classes take 2 s with it
REPEATS = 3        # deals of the folds: a tenth less spread than one deal
SMOOTHING = 5      # images with the classes as one level up that are added to those of each value
ERROR = 0.05       # of all looks together
# A warning needs a lower limit above this. In the equal-variance normal model an independent shortcut of AUROC 0.65
# lifts an honest model from 0.85 to 0.866, one of 0.60 to 0.857: below, it changes less than most test parts can show.
STRONG = 0.65
MEANING = {  # of a strong one, by kind of the feature
    "picture": "a model may learn it",
    "storage": "a model may learn how files were compressed, unless it is what the pictures show",
    "detail": "all files are stored alike, so it is what the pictures show, be it sharpness, margins or the disease",
    "name": "no model sees names, but the classes may come from different sources",
}
GEOMETRY = ("image size", "width", "height", "aspect ratio")  # one warning for all of them


def shortcuts(manifest: pd.DataFrame, part: np.ndarray, units: np.ndarray) -> list[dict[str, Any]]:
    """How well each feature tells the label in the training part, best supported (highest lower limit) first.

    `part` (n,) is "train", "val", "test" or None and `units` (n,) the name of what must not straddle, for each row of
    `manifest`. Cross-validated with whole units, on at most MOST_IMAGES images. Of more than two classes the one told
    best is named, its 95 % interval corrected for the choice. `flagged`: the lower limit corrected for the number of
    features as well is above STRONG, and the feature is not the picture itself. Empty if there is too little to say.
    """
    rows = training_rows(manifest["image"].to_numpy(str), manifest["digest"].to_numpy(str), part, MOST_IMAGES)
    sample, targets, units = manifest.iloc[rows], manifest["target"].to_numpy(np.int64)[rows], units[rows]
    if not enough(targets, units):
        return []
    classes = list(manifest.attrs["classes"])
    sides = {target: unit_counts(targets, units, target) for target in _looked_at(classes, manifest.attrs["positive"])}
    sides = {target: counts for target, counts in sides.items() if all(counts)}
    deals = [folds(targets, units, repeat) for repeat in range(REPEATS)]
    looked = features(sample)
    found = [_found(feature, _aurocs(feature.levels, targets, deals, len(classes), list(sides)), sides, classes,
                    len(looked), len(rows)) for feature in looked]
    return sorted(found, key=lambda one: -one["low"])


def warnings(found: Sequence[dict[str, Any]]) -> list[str]:
    """The sentences of the flagged among `found`; one is enough for width, height, size and aspect."""
    flagged = [one for one in found if one["flagged"]]
    shape = [one["feature"] for one in flagged if one["feature"] in GEOMETRY]
    return [one["sentence"] for one in flagged if one["feature"] not in shape[1:]]


def _looked_at(classes: list[str], positive: str | None) -> Sequence[int]:
    """Of two classes one is enough: the other's AUROC is the same."""
    if len(classes) > 2:
        return range(len(classes))
    return [classes.index(positive) if positive in classes else len(classes) - 1]


def _aurocs(levels: Levels, targets: np.ndarray, deals: list[np.ndarray], kinds: int, looked: list[int]) -> np.ndarray:
    """float64 (looked,): AUROC of each class against the rest."""
    cell, levels = _cells(levels)
    shape = (int(cell.max()) + 1, FOLDS, kinds)
    pairs = np.zeros((len(looked), 2))
    for fold in deals:
        places = np.ravel_multi_index((cell, fold, targets), shape)
        counts = np.bincount(places, minlength=shape[0] * shape[1] * shape[2]).reshape(shape).astype(float)
        scores, totals = _scores(levels, counts), counts.sum(axis=2)
        for row, target in enumerate(looked):
            for held_out in range(FOLDS):
                mine = counts[:, held_out, target]
                pairs[row] += ranked(scores[:, held_out, target], mine, totals[:, held_out] - mine)
    return np.where(pairs[:, 1] > 0, pairs[:, 0] / np.maximum(pairs[:, 1], 1), 0.5)


def _cells(levels: Levels) -> tuple[np.ndarray, Levels]:
    """int64 (n,): number of the cell of images that are alike on all levels; and the levels of each cell."""
    cell = np.zeros(len(levels[0]), dtype=np.int64)
    for codes in levels:
        cell = np.unique(cell * (int(codes.max()) + 1) + codes, return_inverse=True)[1]
    first = np.unique(cell, return_index=True)[1]
    return cell, tuple(codes[first] for codes in levels)


def _scores(levels: Levels, counts: np.ndarray) -> np.ndarray:
    """float64 (cells, FOLDS, classes): share of each class among the images outside the fold that are like the cell.

    Each level is smoothed towards the one above, the first towards the share in all images. So what does not occur
    outside the fold gets the score of its coarser kind, or that of all images: no information.
    """
    outside = counts.sum(axis=1, keepdims=True) - counts
    shares = outside.sum(axis=0) / outside.sum(axis=(0, 2))[:, None]
    for codes in levels:
        belongs = coo_array((np.ones(len(codes)), (codes, np.arange(len(codes)))))
        like = (belongs @ outside.reshape(len(codes), -1)).reshape(-1, *counts.shape[1:])[codes]
        shares = (like + SMOOTHING * shares) / (like.sum(axis=2, keepdims=True) + SMOOTHING)
    return shares


def _found(
    feature: Feature, aurocs: np.ndarray, sides: dict[int, tuple[float, float]], classes: list[str], looks: int,
    images: int,
) -> dict[str, Any]:
    """The entry of reports/audit.json of one feature, of the class with the highest lower limit."""
    level = 1 - ERROR / len(sides)
    limits = [interval(auroc, *counts, level) for auroc, counts in zip(aurocs, sides.values(), strict=True)]
    best = int(np.argmax([low for low, _ in limits]))
    target, auroc, (low, high) = list(sides)[best], float(aurocs[best]), limits[best]
    strong = interval(auroc, *sides[target], 1 - (1 - level) / looks)[0] > STRONG
    figures = f"AUROC {auroc:.2f} ({low:.2f}-{high:.2f})"
    return {
        "feature": feature.name, "classes": classes[target],
        "auroc": round(auroc, 4), "low": round(low, 4), "high": round(high, 4), "n": images,
        "flagged": strong and feature.kind != "detail",
        "sentence": _sentence(feature, strong, figures, classes, target),
    }  # fmt: skip


def _sentence(feature: Feature, strong: bool, figures: str, classes: list[str], target: int) -> str:
    sides = f"class {classes[target]} from the others" if len(classes) > 2 else f"{classes[0]} from {classes[1]}"
    if strong:
        return f"{feature.name} alone separates {sides}: {figures}; {MEANING[feature.kind]}"
    return f"{feature.name} tells {sides} with {figures}: too weak or too uncertain for a warning"
