"""Photographs unlike the others: dark, bright, blurred, saturated, off centre."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

SHOWN = 12
FAR = 5.0  # robust standard deviations from the median: one in 1.7 million of normally distributed values


@dataclass(frozen=True)
class Rule:
    """An outlier is FAR beyond the median on `side` and not `fine`, or `extreme` whatever the others are like.

    A robust standard deviation counts as at least `least`: in a set of images all alike no trifle is an outlier.
    """

    column: str
    side: int       # -1: low values, 1: high ones
    least: float
    fine: float     # no value on the good side of this is an outlier
    extreme: float  # each value beyond this is one


RULES = {
    "dark": Rule("brightness", -1, 0.02, 0.30, 0.05),
    "bright": Rule("brightness", 1, 0.02, 0.60, 0.95),
    "blurred": Rule("sharpness", -1, 0.10, 2.0, 0.0),
    "saturated": Rule("saturated", 1, 0.01, 0.15, 0.50),
    "off_centre": Rule("offset", 1, 0.01, 0.05, 0.30),
}


def quality(manifest: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Of each fault `count` and the first SHOWN `images`, worst first. What is not known of an image is no fault."""
    image = manifest["image"].to_numpy(str)
    return {name: _outliers(manifest[rule.column].to_numpy(float), image, rule) for name, rule in RULES.items()}


def _outliers(values: np.ndarray, image: np.ndarray, rule: Rule) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    if not len(known):
        return {"count": 0, "images": []}
    median = np.median(known)
    deviation = max(1.4826 * float(np.median(np.abs(known - median))), rule.least)
    beyond = rule.side * values  # larger is worse
    far = (beyond - rule.side * median > FAR * deviation) & (beyond > rule.side * rule.fine)
    found = np.flatnonzero(far | (beyond > rule.side * rule.extreme))
    worst = found[np.lexsort((image[found], -beyond[found]))]
    return {"count": len(worst), "images": image[worst[:SHOWN]].tolist()}
