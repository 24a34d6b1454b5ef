"""Figures of the test part by camera, size, format or any other column of the manifest, and whether one stands out."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fovea.errors import UserError
from fovea.evaluation.bootstrap import by_image, class_counts, interval, intervals, resamples
from fovea.evaluation.metrics import class_table, score
from fovea.evaluation.shares import LEVEL, Interval, mean_share_interval
from fovea.evaluation.table import class_numbers

FEWEST = 10  # images of a subgroup that is compared with the rest
MOST = 50  # subgroups of a column
FIGURES = ("balanced_accuracy", "accuracy", "auroc_macro")
OF_POSITIVE = ("sensitivity", "specificity")
UNFIT = ("image", "digest", "thumbnail", "fingerprint", "label", "target")  # each its own subgroup, or the label itself


def subgroups(
    predictions: pd.DataFrame, classes: list[str], positive: str | None, manifest: pd.DataFrame, columns: Sequence[str]
) -> pd.DataFrame:
    """One row for each value of each of `columns` of `manifest` among the rows `predictions` (of the test part).

    Columns: column, value, n, groups, each of `FIGURES` (and `OF_POSITIVE`) with `_low` and `_high`, compared, rest and
    worst (1 or 0). Numbers of more than three values are cut at the tertiles of these rows, or, where two thirds are
    the highest one, into that and what is below; none at all is "unknown".

    `compared` and `rest` are the balanced accuracies of the subgroup and of all other images over the labels that both
    have: a camera of healthy people alone is compared on those. A subgroup of at least `FEWEST` images stands out if
    its is lower and their intervals do not overlap, even at the level for as many comparisons as the column has such
    subgroups (Bonferroni: 99 % for five). Of those that stand out the lowest is `worst`; often none does.
    Raises UserError for a column that the manifest does not have, or of more than `MOST` values.
    """
    known = manifest.set_index("image")
    facts = known.reindex(predictions["image"])
    tables = [_of_column(column, values_of(facts, column), predictions, classes, positive, known["group"])
              for column in columns]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["column", "value", "n", "worst"])


def values_of(facts: pd.DataFrame, column: str) -> pd.Categorical:
    """The subgroup of each row of `facts` by `column`: numbers in their order, text sorted, "unknown" last."""
    if column not in facts or column in UNFIT:
        known = ", ".join(name for name in map(str, facts.columns) if name not in UNFIT)
        raise UserError(f"evaluate.subgroups: {column!r} is no column to group by; the manifest has {known}")
    values = facts[column].reset_index(drop=True)
    numeric = pd.api.types.is_numeric_dtype(values)
    if numeric and values.nunique() > 3:
        text = _thirds(values.to_numpy(float))
    elif values.nunique() > MOST:
        raise UserError(f"evaluate.subgroups: {column} has {values.nunique()} values in the test part, and at most "
                        f"{MOST} can be compared; leave it out")
    else:
        text = values.map("{:.9g}".format if numeric else str).to_numpy(object)
    text = np.where(values.isna(), "unknown", text)
    order = values.sort_values(key=None if numeric else lambda one: one.astype(str)).index  # None at all comes last
    return pd.Categorical(text, categories=list(dict.fromkeys(text[order])))


def _thirds(values: np.ndarray) -> np.ndarray:
    """Text (n,): the third of float64 `values` (n,), NaN left out, that each lies in."""
    first, second = np.nanquantile(values, np.array([1, 2]) / 3)
    if first == np.nanmax(values):
        return np.array([f"below {first:.9g}", f"{first:.9g}"], dtype=object)[(values >= first).astype(int)]
    names = np.array([f"up to {first:.9g}", f"{first:.9g} to {second:.9g}", f"above {second:.9g}"], dtype=object)
    return names[np.searchsorted([first, second], values)]


def worst_of(table: pd.DataFrame, column: str) -> str | None:
    """The value of `column` that stands out in what `subgroups` gave, or a file of it; None if there is none."""
    found = table[(table["column"] == column) & (table["worst"].astype(float) == 1)]["value"]
    return str(found.iloc[0]) if len(found) else None


def _of_column(
    column: str, values: pd.Categorical, rows: pd.DataFrame, classes: list[str], positive: str | None, groups: pd.Series
) -> pd.DataFrame:
    names, counts = values.categories, values.value_counts().to_numpy()
    level = 1 - (1 - LEVEL) / max(1, int((counts >= FEWEST).sum()))
    records = []
    for value, count in zip(names, counts, strict=True):
        mine, labels = values == value, rows["label"]
        both = (labels.isin(labels[mine]) & labels.isin(labels[~mine])).to_numpy()
        (compared, limits), (rest, limits_of_rest) = (_balanced_accuracy(rows[which & both], classes, groups, level)
                                                      for which in (mine, ~mine))
        lower = compared is not None and rest is not None and compared < rest
        worst = count >= FEWEST and lower and _below(limits, limits_of_rest)
        records.append({"column": column, "value": value, **_figures(rows[mine], classes, positive, groups),
                        "compared": compared, "rest": rest, "worst": worst})
    table = pd.DataFrame(records).astype({"compared": float, "rest": float})
    lowest = table["compared"].where(table["worst"]).min()
    return table.assign(worst=(table["worst"] & (table["compared"] == lowest)).astype(int))


def _below(limits: Interval, others: Interval) -> bool:
    return limits is not None and others is not None and limits[1] < others[0]


def _figures(rows: pd.DataFrame, classes: list[str], positive: str | None, groups: pd.Series) -> dict[str, float]:
    """n, groups, and the figures with their limits, NaN where undefined."""
    figures, limits = score(rows, classes, positive), intervals(rows, classes, positive, groups)
    found = {name: (figures[name], limits[name]) for name in FIGURES}
    if positive is not None:
        found |= {name: (figures["positive"][name], limits["positive"][name]) for name in OF_POSITIVE}
    record: dict[str, float] = {"n": len(rows), "groups": limits["groups"]}
    for name, (value, limit) in found.items():
        record |= _cells(name, value, limit)
    return record


def _balanced_accuracy(
    rows: pd.DataFrame, classes: list[str], groups: pd.Series, level: float
) -> tuple[float | None, Interval]:
    """That of `rows` with its interval, without the figures that need a sort."""
    if not len(rows):
        return None, None
    rows, units = by_image(rows, groups)
    actual, predicted = (class_numbers(rows[column], classes) for column in ("label", "prediction"))
    once = _balanced(actual, predicted, np.ones((1, len(rows)), np.float32), len(classes))
    values = np.concatenate([_balanced(actual, predicted, weights, len(classes)) for weights in resamples(units)])
    return float(once[0]), interval(values, level) or mean_share_interval(actual == predicted, actual, units, level)


def _cells(name: str, value: float | None, limits: Interval) -> dict[str, float]:
    low, high = limits or (np.nan, np.nan)
    return {name: np.nan if value is None else value, f"{name}_low": low, f"{name}_high": high}


def _balanced(actual: np.ndarray, predicted: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    """float64 (resamples,): mean sensitivity over the classes that a resample has."""
    return np.nanmean(class_table(*class_counts(actual, predicted, weights, classes))["sensitivity"], axis=1)
