"""What the intervals of all figures cost, beside a plain loop over scikit-learn.

    python -m benchmarks.intervals

The loop makes LOOPS resamples and is extrapolated; it computes fewer figures than we do: accuracies, kappa, log loss,
and AUROC and average precision of each class. Printed on one of 2 cores of a virtual machine, other work beside it:

  2,000 resamples of 10,000 rows, 5 classes, images: 3.0 s
  2,000 resamples of 10,000 rows, 5 classes, pairs of images: 3.4 s
  a loop over scikit-learn: 267 s, from 10 resamples
"""

import time

import numpy as np
import pandas as pd
import sklearn.metrics as sk

from fovea.evaluation.bootstrap import RESAMPLES, intervals

ROWS, CLASSES = 10_000, 5
LOOPS = 10


def table_of(rows: int, classes: int) -> pd.DataFrame:
    """Predictions that know something of the labels, as reports/predictions.csv has them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, rows)
    p = rng.dirichlet(np.ones(classes), rows) + 0.3 * np.eye(classes)[labels]
    names = np.array([str(number) for number in range(classes)], dtype=object)
    table = pd.DataFrame({"image": [f"{row}.png" for row in range(rows)], "split": "test", "label": names[labels],
                          "prediction": names[p.argmax(axis=1)]})
    return table.assign(**{f"p_{name}": p[:, number] / p.sum(axis=1) for number, name in enumerate(names)})


def loop(table: pd.DataFrame, classes: int, number: int) -> None:
    actual, predicted = table["label"].to_numpy(int), table["prediction"].to_numpy(int)
    chances = table.filter(like="p_").to_numpy(float)
    rng = np.random.default_rng(0)
    for _ in range(number):
        rows = rng.integers(0, len(table), len(table))
        y, called, p = actual[rows], predicted[rows], chances[rows]
        sk.balanced_accuracy_score(y, called)
        sk.precision_recall_fscore_support(y, called, zero_division=0)
        sk.cohen_kappa_score(y, called, weights="quadratic")
        sk.log_loss(y, p, labels=range(classes))
        for each in range(classes):
            sk.roc_auc_score(y == each, p[:, each])
            sk.average_precision_score(y == each, p[:, each])


def main() -> None:
    table = table_of(ROWS, CLASSES)
    classes = [str(number) for number in range(CLASSES)]
    pairs = pd.Series([f"patient {row // 2}" for row in range(ROWS)], table["image"])
    for name, groups in {"images": pd.Series(dtype=object), "pairs of images": pairs}.items():
        start = time.perf_counter()
        intervals(table, classes, None, groups)
        print(f"{RESAMPLES:,} resamples of {ROWS:,} rows, {CLASSES} classes, {name}: "
              f"{time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    loop(table, CLASSES, LOOPS)
    seconds = (time.perf_counter() - start) / LOOPS * RESAMPLES
    print(f"a loop over scikit-learn: {seconds:.0f} s, from {LOOPS} resamples")


if __name__ == "__main__":
    main()
