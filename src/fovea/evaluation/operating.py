"""Thresholds for a wanted sensitivity or specificity, chosen on validation, and what they give on the test part."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from fovea.evaluation.bootstrap import by_image
from fovea.evaluation.shares import share, share_interval
from fovea.evaluation.table import class_numbers, probabilities

ROUNDING = 1e-9  # 0.9 of 10 images are 9, though the product may come out above
COLUMNS = ("class", "wanted", "value", "threshold", "val_sensitivity", "val_specificity", "sensitivity",
           "sensitivity_low", "sensitivity_high", "specificity", "specificity_low", "specificity_high")


def operating_points(
    predictions: pd.DataFrame, classes: list[str], positive: str | None, groups: pd.Series,
    points: Mapping[str, Sequence[float]],
) -> pd.DataFrame:
    """One row for each of `points`, such as {"sensitivity": [0.9]}: of the positive class, else of each against others.

    An image counts to the class if its probability is at least `threshold`. Columns `COLUMNS`: the shares that the
    threshold has on validation, and on test with 95 % intervals (`share_interval`). What cannot be had is NaN:
    a threshold where validation lacks the class or all others, or where a specificity asks for one above 1; an interval
    of a single group. No rows at all without a validation part.
    """
    val, test = (by_image(predictions[predictions["split"] == part], groups) for part in ("val", "test"))
    asked = [(name, wanted, value) for name in classes if positive in (None, name)
             for wanted, values in points.items() for value in values]
    rows = [_row(val, test, classes, *each) for each in asked] if len(val[0]) else []
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[2:], float))


def threshold(mine: np.ndarray, chance: np.ndarray, wanted: str, value: float) -> float | None:
    """The highest threshold with a sensitivity of at least `value`, or the lowest with such a specificity.

    mine: bool (n,), whether an image is of the class; chance: float64 (n,). Midway to the next probability beyond, as
    in pROC (Robin et al., BMC Bioinformatics 12:77, 2011), with the nine digits that a table has. None if
    there is no image of the class, or no other.
    """
    if mine.all() or not mine.any():
        return None
    if wanted == "sensitivity":
        hits = np.sort(chance[mine])[::-1]
        lowest = hits[ceil(value * len(hits) - ROUNDING) - 1]  # that still has to be found
        return _midway(float(chance[chance < lowest].max(initial=0)), float(lowest))
    others = np.sort(chance[~mine])
    highest = others[ceil(value * len(others) - ROUNDING) - 1]  # that still has to be passed over
    return _midway(float(highest), float(chance[chance > highest].min(initial=1))) if highest < 1 else None


def _midway(below: float, above: float) -> float:
    """Between two probabilities of nine digits, with nine digits; `above` where they leave no room."""
    middle = float(f"{(below + above) / 2:.9g}")
    return middle if below < middle < above else above


def _row(
    val: tuple[pd.DataFrame, np.ndarray], test: tuple[pd.DataFrame, np.ndarray], classes: list[str], name: str,
    wanted: str, value: float,
) -> dict[str, Any]:
    (mine, chance), (test_mine, test_chance) = (_against_rest(rows, classes, name) for rows, _ in (val, test))
    found = threshold(mine, chance, wanted, value)
    row: dict[str, Any] = {"class": name, "wanted": wanted, "value": value, "threshold": found}
    if found is None:
        return row
    row |= {"val_sensitivity": share(chance[mine] >= found), "val_specificity": share(chance[~mine] < found)}
    right = (test_chance >= found) == test_mine
    for key, which in {"sensitivity": test_mine, "specificity": ~test_mine}.items():
        low, high = share_interval(right[which], test[1][which]) or (None, None)
        row |= {key: share(right[which]), f"{key}_low": low, f"{key}_high": high}
    return row


def _against_rest(rows: pd.DataFrame, classes: list[str], name: str) -> tuple[np.ndarray, np.ndarray]:
    """bool (n,), which images are of class `name`, and float64 (n,), its probability."""
    number = classes.index(name)
    return class_numbers(rows["label"], classes) == number, probabilities(rows, classes)[:, number]
