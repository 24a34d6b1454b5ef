"""95 % intervals of every figure of metrics.json by the percentile bootstrap over groups.

Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; of groups Field and Welsh, JRSS B 69, 2007.
Images of one patient tell less than as many of several, so a patient is drawn whole; an image without a group is one of
its own. A resample is an integer weight for each image: all figures come from one sort per class and a product of
matrices, in chunks, so that 2,000 resamples cost seconds and some tens of MB (benchmarks/intervals.py).

Where the resamples give the same, such as nine of nine found, [1, 1] would say that nothing is in doubt: a share has
the exact interval then, balanced accuracy the mean of those of its classes, any other figure None. An interval holds
for new images of the same kind with this model: a training done again would differ too, which `fovea sweep` shows.
Below some twenty groups in a class it is too narrow.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from fovea.evaluation.metrics import averages, class_table, disagreement, log_losses, quadratic_weighted_kappa
from fovea.evaluation.shares import LEVEL, Interval, mean_share_interval, share_interval
from fovea.evaluation.table import class_numbers, probabilities
from fovea.seeds import generator

RESAMPLES = 2000
CELLS = 1_000_000  # weights in memory at once, of 4 bytes; more is not faster, for the sums leave the cache
ROUNDING = 1e-12  # between figures that differ by the order of their sums alone
PerClass = dict[str, np.ndarray]


def part_intervals(
    predictions: pd.DataFrame, classes: list[str], positive: str | None, groups: pd.Series
) -> dict[str, dict[str, Any]]:
    """`intervals` of each part in the table, test first, as `score_parts` has the figures."""
    parts = {part: predictions[predictions["split"] == part] for part in ("test", "val")}
    return {part: intervals(rows, classes, positive, groups) for part, rows in parts.items() if len(rows)}


def intervals(predictions: pd.DataFrame, classes: list[str], positive: str | None, groups: pd.Series) -> dict[str, Any]:
    """[lower, upper] or None under each name that `metrics.score` has a figure under, and the number of `groups`.

    `groups` is the column of the manifest, by image; null where an image has none. Neither the order of the rows nor
    that of the groups matters.
    """
    rows, units = by_image(predictions, groups)
    whole, table = resampled_figures(rows, classes, units)
    exact = _exact_of_all(rows, units)
    of_classes = {}
    for number, name in enumerate(classes):
        shares = _exact(rows, name, units)
        of_classes[name] = {key: interval(values[:, number]) or shares.get(key) for key, values in table.items()}
    return {
        "groups": len(np.unique(units)),
        **({"positive": of_classes[positive]} if positive is not None else {}),
        **{name: interval(values) or exact.get(name) for name, values in whole.items()},
        "classes": of_classes,
    }


def _exact_of_all(rows: pd.DataFrame, units: np.ndarray) -> dict[str, Interval]:
    """The exact intervals of accuracy and balanced accuracy, under both names of each."""
    right = (rows["label"] == rows["prediction"]).to_numpy(bool)
    plain, balanced = share_interval(right, units), mean_share_interval(right, rows["label"].to_numpy(object), units)
    return {"accuracy": plain, "weighted_sensitivity": plain,
            "balanced_accuracy": balanced, "macro_sensitivity": balanced}


def _exact(rows: pd.DataFrame, name: str, units: np.ndarray) -> dict[str, Interval]:
    """The exact intervals of the shares of one class."""
    mine, called = ((rows[column] == name).to_numpy() for column in ("label", "prediction"))
    return {"sensitivity": share_interval(called[mine], units[mine]),
            "specificity": share_interval(~called[~mine], units[~mine]),
            "precision": share_interval(mine[called], units[called]) if mine.any() else None}


def by_image(predictions: pd.DataFrame, groups: pd.Series) -> tuple[pd.DataFrame, np.ndarray]:
    """The rows in the order of the images' names, and text (n,): the group of each, or its own name if it has none."""
    rows = predictions.sort_values("image", ignore_index=True)
    group = groups.reindex(rows["image"]).to_numpy(object)
    own = pd.isna(group)
    return rows, np.where(own, "image " + rows["image"].to_numpy(object), "group " + np.where(own, "", group))


def resampled_figures(rows: pd.DataFrame, classes: list[str], units: np.ndarray) -> tuple[PerClass, PerClass]:
    """Every figure of `RESAMPLES` resamples: of all classes (resamples,) each, of each class (resamples, classes)."""
    actual, predicted = (class_numbers(rows[column], classes) for column in ("label", "prediction"))
    chances = probabilities(rows, classes)
    chunks = [weighted_figures(actual, predicted, chances, weights) for weights in resamples(units)]
    whole, table = zip(*chunks, strict=True)
    return _joined(whole), _joined(table)


def resamples(units: np.ndarray, number: int = RESAMPLES) -> Iterator[np.ndarray]:
    """Chunks of float32 (some, n), `number` in all: how often each row stands in a resample of whole `units` (n,).

    As many units are drawn as there are, with replacement. The draws depend on the names of the units alone, so two
    models see the same resamples.
    """
    names, codes = np.unique(units.astype(str), return_inverse=True)
    rng = generator(0, "bootstrap", *names)
    step = max(1, CELLS // max(len(units), 1))
    for first in range(0, number, step):
        some = min(step, number - first)
        drawn = rng.integers(0, len(names), (some, len(names))) + np.arange(some)[:, None] * len(names)
        counts = np.bincount(drawn.ravel(), minlength=some * len(names)).astype(np.float32)
        yield counts.reshape(some, len(names))[:, codes]


def weighted_figures(
    actual: np.ndarray, predicted: np.ndarray, chances: np.ndarray, weights: np.ndarray
) -> tuple[PerClass, PerClass]:
    """The figures of `metrics.score` with each image counted as often as its weight says.

    actual, predicted: int64 (n,); chances: float64 (n, classes); weights: float32 (resamples, n), whole numbers whose
    sums stay below 2**24, where float32 is exact. Returns those of all classes, float64 (resamples,) each, and of each,
    (resamples, classes).
    """
    hit, support, predicted_as = class_counts(actual, predicted, weights, chances.shape[1])
    table = class_table(hit, support, predicted_as) | weighted_ranking(actual, chances, weights)
    observed = weights @ disagreement(chances.shape[1])[actual, predicted].astype(np.float32)
    kappa = quadratic_weighted_kappa(observed.astype(float), support, predicted_as)
    return averages(table, hit, support, kappa, weighted_mean(log_losses(actual, chances), weights)), table


def class_counts(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    """float64 (3, resamples, classes): images of a class that are predicted right, all of it, all predicted as it."""
    numbers = np.arange(classes)
    mine, called = actual[:, None] == numbers, predicted[:, None] == numbers
    return np.stack([weights @ which.astype(np.float32) for which in (mine & called, mine, called)]).astype(float)


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float64 (resamples,): mean of `values` (n,) by `weights` (resamples, n)."""
    return (weights @ values) / weights.sum(axis=1)


def weighted_ranking(actual: np.ndarray, chances: np.ndarray, weights: np.ndarray) -> PerClass:
    """`auroc` and `average_precision` of each class against the rest, as `metrics.ranking_table`.

    float64 (resamples, classes) each, NaN where undefined. Beside one cumulative sum over all images it needs only the
    images of the class.
    """
    tables = [_ranking(actual == number, chance, weights) for number, chance in enumerate(chances.T)]
    auroc, average_precision = (np.stack(columns, axis=1) for columns in zip(*tables, strict=True))
    return {"auroc": auroc, "average_precision": average_precision}


def _ranking(mine: np.ndarray, chance: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC (pairs ranked rightly, ties half) and average precision (step-wise sum), float64 (resamples,) each."""
    if not mine.any():
        return (np.full(len(weights), np.nan),) * 2
    order = np.argsort(-chance, kind="stable")
    sorted_chance, sorted_mine = -chance[order], mine[order]
    all_above = np.cumsum(np.take(weights, order, axis=1), axis=1)
    values, first = np.unique(sorted_chance[sorted_mine], return_index=True)  # cells of images of the class that tie
    start, end = (np.searchsorted(sorted_chance, values, side) for side in ("left", "right"))
    hits = np.add.reduceat(np.take(weights, order[sorted_mine], axis=1), first, axis=1)
    hits_to_end = np.cumsum(hits, axis=1)
    to_end = all_above[:, end - 1]
    to_start = np.where(start > 0, all_above[:, start - 1], 0)
    others = (to_end - hits_to_end) + (to_start - (hits_to_end - hits))  # twice those above, ties half
    n, of_class = all_above[:, -1].astype(float), hits_to_end[:, -1].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample may lack the class, or all others
        auroc = 1 - np.einsum("rc,rc->r", hits, others, dtype=float) / 2 / (of_class * (n - of_class))
        precision = hits_to_end / np.maximum(to_end, 1)
        average_precision = np.einsum("rc,rc->r", hits, precision, dtype=float) / of_class
    return auroc, average_precision


def interval(values: np.ndarray, level: float = LEVEL) -> Interval:
    """The percentiles of a figure (resamples,) that hold the share `level` of the resamples in which it is defined.

    None if it is defined in less than half of them, or the same in all of that share.
    """
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return [low, high] if high - low > ROUNDING else None


def _joined(chunks: tuple[PerClass, ...]) -> PerClass:
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
