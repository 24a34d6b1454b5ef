"""Every figure of an evaluation, from the table of predictions alone.

Micro-averaged precision, sensitivity and F1 are left out: for one label per image they are accuracy under other names.
An undefined figure is None and no average counts it: JSON has no NaN.
"""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from fovea.evaluation.table import class_numbers, probabilities

AVERAGED = ("precision", "sensitivity", "specificity", "f1")


def score_parts(predictions: pd.DataFrame, classes: list[str], positive: str | None) -> dict[str, dict[str, Any]]:
    """`score` of each part in the table, test first; a part without rows has no entry."""
    parts = {part: predictions[predictions["split"] == part] for part in ("test", "val")}
    return {part: score(rows, classes, positive) for part, rows in parts.items() if len(rows)}


def score(predictions: pd.DataFrame, classes: list[str], positive: str | None) -> dict[str, Any]:
    """All figures of the rows of one part, as plain values for JSON.

    With `positive`, one of two classes, its figures come first as `positive`. A class without an image in the part
    stands in `absent`: what needs its images is None. `macro_*` is the plain mean over the other classes, `weighted_*`
    the mean by support. `macro_sensitivity` is balanced accuracy, `weighted_sensitivity` is accuracy.
    `confusion_matrix` has the actual classes as rows. Raises UserError for a label that is none of `classes`.
    """
    confusion = confusion_matrix(predictions, classes)
    actual, chances = class_numbers(predictions["label"], classes), probabilities(predictions, classes)
    hit, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    table = class_table(hit, support, predicted) | ranking_table(actual, chances)
    kappa = quadratic_weighted_kappa((disagreement(len(classes)) * confusion).sum(), support, predicted)
    figures = averages(table, hit, support, kappa, log_losses(actual, chances).mean())
    per_class = {name: {**{key: plain(values[row]) for key, values in table.items()}, "support": int(support[row])}
                 for row, name in enumerate(classes)}
    return {
        "n": len(predictions),
        **({"positive": per_class[positive]} if positive is not None else {}),
        **{name: plain(value) for name, value in figures.items()},
        "classes": per_class,
        "absent": [name for name, count in zip(classes, support, strict=True) if not count],
        "confusion_matrix": confusion.tolist(),
    }


def confusion_matrix(predictions: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """int64 (classes, classes): counts, rows are actual classes, columns predicted ones."""
    actual, predicted = (class_numbers(predictions[column], classes) for column in ("label", "prediction"))
    pairs = np.bincount(actual * len(classes) + predicted, minlength=len(classes) ** 2)
    return pairs.reshape(len(classes), len(classes))


def class_table(hit: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """float64 (..., classes) each: precision, sensitivity, specificity and F1, NaN where a class has no image.

    Of the images (..., classes) of each class: those predicted right, all, and all predicted as it. The precision of a
    class that has images but is never predicted is 0, as in scikit-learn. Specificity is NaN only if every image is
    of the class.
    """
    n = support.sum(axis=-1, keepdims=True)
    absent = np.where(support > 0, 1.0, np.nan)
    return {
        "precision": hit / np.maximum(predicted, 1) * absent,
        "sensitivity": _ratio(hit, support),
        "specificity": _ratio(n - support - predicted + hit, n - support),
        "f1": _ratio(2 * hit, support + predicted) * absent,
    }


def averages(
    table: dict[str, np.ndarray], hit: np.ndarray, support: np.ndarray, kappa: np.ndarray, log_loss: np.ndarray
) -> dict[str, np.ndarray]:
    """The figures of all classes together, float64 (...): of one part, or of as many resamples of it as there are.

    table, hit, support: (..., classes), as in `class_table` and `ranking_table`; kappa, log_loss: (...).
    """
    return {
        "balanced_accuracy": _mean(table["sensitivity"]),
        "accuracy": hit.sum(axis=-1) / support.sum(axis=-1),
        "auroc_macro": _mean(table["auroc"]),
        "average_precision_macro": _mean(table["average_precision"]),
        "quadratic_weighted_kappa": kappa,
        "log_loss": log_loss,
        **{f"macro_{key}": _mean(table[key]) for key in AVERAGED},
        **{f"weighted_{key}": _mean(table[key], support) for key in AVERAGED},
    }


def ranking_table(actual: np.ndarray, chances: np.ndarray) -> dict[str, np.ndarray]:
    """One class against the rest, float64 (classes,) each: `auroc` and `average_precision`, NaN where undefined.

    actual: int64 (n,); chances: float64 (n, classes). Average precision is the step-wise sum, not the trapezium.
    """
    auroc, average_precision = np.full((2, chances.shape[1]), np.nan)
    for number, chance in enumerate(chances.T):
        mine = actual == number
        if mine.any():
            average_precision[number] = average_precision_score(mine, chance)
        if mine.any() and not mine.all():
            auroc[number] = roc_auc_score(mine, chance)
    return {"auroc": auroc, "average_precision": average_precision}


def disagreement(classes: int) -> np.ndarray:
    """float64 (classes, classes): (i - j)^2, what quadratic weighted kappa counts for class i predicted as j."""
    place = np.arange(classes, dtype=float)
    return (place[:, None] - place[None, :]) ** 2


def quadratic_weighted_kappa(observed: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Cohen's kappa with weights (i - j)^2 (Cohen 1968), for ordered classes; NaN if chance alone can't disagree.

    observed (...): the sum of `disagreement` over the images; support, predicted (..., classes): images of a class.
    """
    n = support.sum(axis=-1)
    expected = (support @ disagreement(support.shape[-1]) * predicted).sum(axis=-1) / n
    return 1 - _ratio(observed, expected)


def log_losses(actual: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """float64 (n,): minus the log of the actual class's probability in nats, clipped at float64 epsilon as in
    scikit-learn. actual: int64 (n,); chances: float64 (n, classes)."""
    chance = chances[np.arange(len(actual)), actual]
    return -np.log(np.clip(chance, np.finfo(np.float64).eps, 1))


def plain(value: float | np.ndarray) -> float | None:
    """`value` for JSON, which has no NaN: None."""
    return None if np.isnan(value) else float(value)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)


def _mean(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean of the defined values along the last axis, NaN if there is none."""
    defined = ~np.isnan(values)
    weights = defined.astype(float) if weights is None else weights * defined
    return _ratio((np.where(defined, values, 0) * weights).sum(axis=-1), weights.sum(axis=-1))
