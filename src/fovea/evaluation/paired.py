"""Two models on the same images: differences with intervals, and McNemar's test."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fovea.errors import UserError
from fovea.evaluation.bootstrap import by_image, interval, resampled_figures
from fovea.evaluation.metrics import score

COMPARED = ("balanced_accuracy", "accuracy", "auroc_macro", "average_precision_macro", "quadratic_weighted_kappa",
            "log_loss", "macro_f1", "macro_specificity")


def compare_paired(one: pd.DataFrame, other: pd.DataFrame, classes: list[str], groups: pd.Series) -> dict[str, Any]:
    """How `one` and `other` differ on the images that both have with the same label, as plain values for JSON.

    Both are tables of predictions, of one part each; `groups` is the column of the manifest, by image.

    - `rows`: `compared`, `only_one`, `only_other`, `other_label`. Unless the last three are 0, say so: the figures are
      then those of neither part.
    - `figures`: of each of `COMPARED` `one`, `other`, `difference` (one less other), `interval`. Both models are
      resampled alike, so that what is hard for both cancels out. None if no image is compared.
    - `sensitivity`: likewise, of each class.
    - `mcnemar`: images that only `one` has right, that only `other` has, and the two-sided exact `p` (McNemar 1947). It
      takes images for independent: where `groups` hold several, trust the interval of accuracy.

    Raises UserError if a table has other classes.
    """
    first, second, counts = matched(one, other, classes)
    figures, sensitivity = _differences(first, second, classes, groups) if len(first) else (None, None)
    return {"rows": counts, "figures": figures, "sensitivity": sensitivity,
            "mcnemar": mcnemar(_right(first), _right(second))}


def matched(
    one: pd.DataFrame, other: pd.DataFrame, classes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """The rows of each of the same images with the same label, in the same order, and `rows` of `compare_paired`."""
    for table in (one, other):
        found = [name.removeprefix("p_") for name in map(str, table.columns) if name.startswith("p_")]
        if set(found) != set(classes):
            raise UserError(f"predictions: the classes are {', '.join(found)} and not {', '.join(classes)}; models of "
                            "other classes cannot be compared")
    both = one[["image", "label"]].merge(other[["image", "label"]], on="image", suffixes=("", "_other"))
    same = both["image"][both["label"] == both["label_other"]].sort_values()
    counts = {"compared": len(same), "only_one": len(one) - len(both), "only_other": len(other) - len(both),
              "other_label": len(both) - len(same)}
    first, second = (table.set_index("image").loc[same].reset_index() for table in (one, other))
    return first, second, counts


def mcnemar(one_right: np.ndarray, other_right: np.ndarray) -> dict[str, Any]:
    """Exact test of bool (n,) each; with no discordant pair there is nothing to tell the models apart by, p = 1."""
    only_one, only_other = int((one_right & ~other_right).sum()), int((other_right & ~one_right).sum())
    discordant = only_one + only_other
    p = float(binomtest(only_one, discordant).pvalue) if discordant else 1.0
    return {"only_one_right": only_one, "only_other_right": only_other, "p": p}


def _differences(
    first: pd.DataFrame, second: pd.DataFrame, classes: list[str], groups: pd.Series
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of all classes together, and the sensitivity of each."""
    units = by_image(first, groups)[1]
    (whole, each), (whole_other, each_other) = (resampled_figures(rows, classes, units) for rows in (first, second))
    figures, figures_other = (score(rows, classes, None) for rows in (first, second))
    found = {name: _difference(figures[name], figures_other[name], whole[name] - whole_other[name])
             for name in COMPARED}
    resampled = each["sensitivity"] - each_other["sensitivity"]
    one, other = ([table["classes"][name]["sensitivity"] for name in classes] for table in (figures, figures_other))
    return found, {name: _difference(one[number], other[number], resampled[:, number])
                   for number, name in enumerate(classes)}


def _difference(one: float | None, other: float | None, resampled: np.ndarray) -> dict[str, Any]:
    return {"one": one, "other": other, "difference": None if one is None or other is None else one - other,
            "interval": interval(resampled)}


def _right(rows: pd.DataFrame) -> np.ndarray:
    return (rows["label"] == rows["prediction"]).to_numpy(bool)
