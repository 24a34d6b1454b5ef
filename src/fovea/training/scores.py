"""Validation metrics in numpy, so that the training core needs neither scikit-learn nor pandas.

`evaluation.metrics` computes the reported figures with scikit-learn; a test holds the two together.
"""

import numpy as np


def score(targets: np.ndarray, probabilities: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """accuracy, balanced_accuracy (macro recall), auroc (one-vs-rest, macro) and kappa (quadratic weights).

    `targets` and `predictions` (n,) int, `probabilities` (n, classes) float. Classes without an image are left
    out of the averages; a figure that is not defined is NaN.
    """
    confusion = confusion_matrix(targets, predictions, probabilities.shape[1])
    support = confusion.sum(1)
    recall = np.diag(confusion)[support > 0] / support[support > 0]
    return {
        "accuracy": float(np.trace(confusion) / confusion.sum()),
        "balanced_accuracy": float(recall.mean()),
        "auroc": _macro_auroc(targets, probabilities),
        "kappa": _quadratic_kappa(confusion),
    }


def confusion_matrix(targets: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes) int64: rows are the true class, columns the predicted one."""
    return np.bincount(targets * classes + predictions, minlength=classes**2).reshape(classes, classes)


def _macro_auroc(targets: np.ndarray, probabilities: np.ndarray) -> float:
    classes = [c for c in range(probabilities.shape[1]) if 0 < (targets == c).sum() < len(targets)]
    return float(np.mean([_auroc(targets == c, probabilities[:, c]) for c in classes])) if classes else float("nan")


def _auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """Mann-Whitney: (sum of the positives' ranks - p(p+1)/2) / (p n), tied scores sharing their mean rank."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    p, n = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * n))


def _quadratic_kappa(confusion: np.ndarray) -> float:
    """Cohen's kappa with weights (i - j)^2: 1 - observed / expected disagreement."""
    i = np.arange(len(confusion))
    weights = (i[:, None] - i[None, :]) ** 2
    expected = np.outer(confusion.sum(1), confusion.sum(0)) / confusion.sum()
    disagreement = (weights * expected).sum()
    return float(1 - (weights * confusion).sum() / disagreement) if disagreement else float("nan")
