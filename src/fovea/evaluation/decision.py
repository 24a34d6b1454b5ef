"""Decision curves: whether acting on the model does more good than acting on everybody or nobody (Vickers and Elkin,
Medical Decision Making 26:565, 2006)."""

import numpy as np
import pandas as pd

from fovea.evaluation.table import class_numbers, probabilities

THRESHOLDS = np.arange(1, 100) / 100


def decision_curve(predictions: pd.DataFrame, classes: list[str], positive: str | None) -> pd.DataFrame:
    """Columns class, threshold (0.01 to 0.99), and net benefits: model, treat_all, treat_none.

    Of the positive class, else of each class against the rest. The threshold is the probability from which one would
    act, so it says how many needless treatments one takes for a needed one. It asks for probabilities that mean what
    they say: look at the reliability first. A class without an image has a net benefit of 0 at most.
    """
    actual, chances = class_numbers(predictions["label"], classes), probabilities(predictions, classes)
    tables = [pd.DataFrame({"class": name, "threshold": THRESHOLDS}).assign(**net_benefits(actual == number, chance))
              for number, (name, chance) in enumerate(zip(classes, chances.T, strict=True)) if positive in (None, name)]
    return pd.concat(tables, ignore_index=True)


def net_benefits(mine: np.ndarray, chance: np.ndarray) -> dict[str, np.ndarray]:
    """float64 (thresholds,) each: true positives less false ones weighed by the odds of the threshold, per image.

    mine: bool (n,); chance: float64 (n,). At a probability of the threshold and above one acts.
    """
    odds, share = THRESHOLDS / (1 - THRESHOLDS), mine.mean()
    hits, alarms = (_at_least(chance[which]) / len(chance) for which in (mine, ~mine))
    return {"model": hits - alarms * odds, "treat_all": share - (1 - share) * odds,
            "treat_none": np.zeros(len(THRESHOLDS))}


def _at_least(chance: np.ndarray) -> np.ndarray:
    """How many of `chance` (n,) reach each threshold."""
    return len(chance) - np.searchsorted(np.sort(chance), THRESHOLDS)
