"""The tables behind the plots of an evaluation: confusion, ROC and precision-recall, as CSV that DVC can draw."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve, roc_curve

from fovea.evaluation.table import class_numbers, probabilities
from fovea.files import replacing

TEXT = ("actual", "predicted", "class", "change")  # columns that hold names
Curve = Callable[[np.ndarray, np.ndarray], pd.DataFrame]  # (is it the class, its probability) to points


def write_plots(folder: Path | str, predictions: pd.DataFrame, classes: list[str], most: int) -> None:
    """Write confusion.csv, roc.csv and precision_recall.csv of the test rows of `predictions` into `folder`.

    A curve has at most `most` points: 500 keep a large test part to some 20 kB a class.
    """
    test = predictions[predictions["split"] == "test"]
    tables = {
        "confusion": confusion_pairs(test),
        "roc": roc_points(test, classes, most),
        "precision_recall": precision_recall_points(test, classes, most),
    }
    for name, table in tables.items():
        write_plot(Path(folder) / f"{name}.csv", table)


def write_plot(path: Path, table: pd.DataFrame) -> None:
    """Write a table that DVC draws: numbers with six digits."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")


def read_plot(path: Path | str) -> pd.DataFrame:
    """Read such a table: the columns in `TEXT` as text, for a class may be called NA, the others as float64."""
    table = pd.read_csv(path, keep_default_na=False, dtype=str)
    return table.assign(**{name: pd.to_numeric(table[name]) for name in table.columns if name not in TEXT})


def confusion_pairs(predictions: pd.DataFrame) -> pd.DataFrame:
    """Columns actual, predicted: one row per image, which is what DVC's confusion templates count."""
    return predictions[["label", "prediction"]].set_axis(["actual", "predicted"], axis=1)


def roc_points(predictions: pd.DataFrame, classes: list[str], most: int) -> pd.DataFrame:
    """Columns class, fpr, tpr, threshold: one class against the rest, from (0, 0) to (1, 1).

    Corners only, at most `most` a class. The threshold of (0, 0) is infinite, which neither JSON nor a plot can
    hold: it is left empty. A class that has no image, or all of them, has no curve.
    """

    def curve(mine: np.ndarray, chance: np.ndarray) -> pd.DataFrame:
        fpr, tpr, threshold = roc_curve(mine, chance, drop_intermediate=True)
        return pd.DataFrame({"fpr": fpr, "tpr": tpr, "threshold": np.where(np.isinf(threshold), np.nan, threshold)})

    return _each_class(predictions, classes, curve, most)


def precision_recall_points(predictions: pd.DataFrame, classes: list[str], most: int) -> pd.DataFrame:
    """Columns class, recall, precision, threshold: one class against the rest, by rising recall.

    It begins at recall 0 and precision 1, a convention that belongs to no threshold: that is left empty.
    """

    def curve(mine: np.ndarray, chance: np.ndarray) -> pd.DataFrame:
        precision, recall, threshold = precision_recall_curve(mine, chance, drop_intermediate=True)
        points = {"recall": recall, "precision": precision, "threshold": np.append(threshold, np.nan)}
        return pd.DataFrame(points).iloc[::-1]

    return _each_class(predictions, classes, curve, most)


def _each_class(predictions: pd.DataFrame, classes: list[str], curve: Curve, most: int) -> pd.DataFrame:
    actual, chances = class_numbers(predictions["label"], classes), probabilities(predictions, classes)
    tables = []
    for number, name in enumerate(classes):
        mine = actual == number
        if mine.any() and not mine.all():
            points = _thin(curve(mine, chances[:, number]), most)
            points.insert(0, "class", name)
            tables.append(points)
    return pd.concat(tables, ignore_index=True) if tables else _no_rows(curve)


def _no_rows(curve: Curve) -> pd.DataFrame:
    """The columns alone, for a part whose images are all of one class."""
    points = curve(np.array([False, True]), np.array([0.0, 1.0])).iloc[:0]
    points.insert(0, "class", pd.Series(dtype=str))
    return points


def _thin(points: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` rows, evenly spaced, with the first and the last."""
    kept = np.unique(np.linspace(0, len(points) - 1, most).round().astype(int))
    return points.iloc[kept]
