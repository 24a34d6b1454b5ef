"""Rows and words of the report's tables and charts, from tables alone."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fovea.report import audit, charts, content
from fovea.report.content import Figure
from tests.test_bootstrap import NO_GROUPS, noisy
from tests.test_trust import results_of_table

CLASSES = list("abc")


def results(**more: Any) -> Any:
    """Of three classes; validation has other figures than test, and no intervals."""
    found = results_of_table(noisy(60), CLASSES, NO_GROUPS, **more)
    found.metrics = found.metrics | {"val": results_of_table(noisy(40, seed=1), CLASSES).metrics["test"]}
    return found


def test_figures_of_test_stand_before_those_of_validation() -> None:
    found = results()
    rows = dict(content.metric_rows(found))
    assert list(rows) == list(content.METRICS.values())
    for key, label in content.METRICS.items():
        assert rows[label] == [Figure(found.metrics["test"][key], found.intervals["test"][key]),
                               Figure(found.metrics["val"][key], None)]


def test_figures_of_the_positive_class_lead_the_table() -> None:
    found = results(positive="b")
    for part in (found.metrics["test"], found.intervals["test"]):
        part["positive"] = part["classes"]["b"]
    rows = content.metric_rows(found)
    assert [label for label, _ in rows[:2]] == ["Sensitivity of b", "Specificity of b"]
    assert rows[0][1][0].value == found.metrics["test"]["classes"]["b"]["sensitivity"]
    assert len(rows) == 6 + len(content.METRICS)


def test_averages_stand_under_the_columns_of_the_classes() -> None:
    found = results()
    test, limits = found.metrics["test"], found.intervals["test"]
    (macro_label, macro), (weighted_label, weighted) = content.average_rows(found)
    assert (macro_label, weighted_label) == ("macro average", "weighted average")
    columns = list(content.PER_CLASS)
    names = ["macro_precision", "macro_sensitivity", "macro_specificity", "macro_f1", "auroc_macro",
             "average_precision_macro"]
    assert macro == [Figure(test[name], limits[name]) for name in names]
    of_classes = [[test["classes"][name][key] for name in CLASSES] for key in columns]
    assert [one.value for one in macro] == pytest.approx([np.mean(values) for values in of_classes])
    support = [test["classes"][name]["support"] for name in CLASSES]
    assert [one.value for one in weighted[:4]] == pytest.approx(
        [np.average(values, weights=support) for values in of_classes[:4]])
    assert weighted[4:] == [Figure(None, None)] * 2


def test_operating_points_have_their_intervals_and_what_is_undefined_is_none() -> None:
    known = {"class": "a", "wanted": "sensitivity", "value": 0.9, "threshold": 0.4, "sensitivity": 0.8,
             "sensitivity_low": 0.7, "sensitivity_high": 0.9, "specificity": 0.6, "specificity_low": np.nan,
             "specificity_high": np.nan}
    unknown = known | dict.fromkeys([*known][3:], np.nan)
    rows = content.operating_rows(results(operating_points=pd.DataFrame([known, unknown])))
    assert (rows[0]["threshold"], rows[1]["threshold"]) == (0.4, None)
    assert rows[0]["sensitivity"] == Figure(0.8, [0.7, 0.9]) and rows[0]["specificity"] == Figure(0.6, None)
    assert rows[1]["sensitivity"] == Figure(None, None)


def test_a_column_in_which_all_images_are_alike_is_left_out() -> None:
    row = {"n": 30, "groups": 30, "balanced_accuracy": 0.8, "balanced_accuracy_low": 0.7, "balanced_accuracy_high": 0.9,
           "worst": 0.0}
    table = pd.DataFrame([{"column": column, "value": value, **row}
                          for column, value in (("width", "900"), ("camera", "y"), ("camera", "x"))])
    (column, rows), = content.subgroup_rows(results(subgroups=table))
    assert column == "camera" and [one["value"] for one in rows] == ["y", "x"]
    assert rows[0]["balanced_accuracy"] == Figure(0.8, [0.7, 0.9])
    assert content.subgroup_rows(results()) == []


@pytest.mark.parametrize(("auroc", "place"), [(1.0, "100.0%"), (0.65, "50.0%"), (0.3, "0.0%"), (0.1, "0.0%")])
def test_a_bar_of_an_auroc_goes_from_03_to_1(auroc: float, place: str) -> None:
    assert audit.along(auroc) == place


def test_the_change_that_costs_most_is_named() -> None:
    table = pd.DataFrame({"change": ["blur", "blur", "noise", "noise"], "level": [0, 1, 0, 1],
                          "balanced_accuracy": [0.9, 0.8, 0.9, 0.7]})
    assert charts._hardest(table) == "noise takes it from 0.900 to 0.700, the most of all changes."
    assert charts._hardest(table.assign(balanced_accuracy=[0.9, 0.95, 0.9, 0.9])) == (
        "No change takes it below the 0.900 of the images as they are.")


def test_what_validation_of_one_class_leaves_undefined_is_not_said() -> None:
    history = pd.DataFrame({"val_balanced_accuracy": [0.4, 0.625], "val_auroc": [0.7, np.nan], "val_kappa": np.nan})
    assert charts._last(history) == "At the last epoch: balanced accuracy 0.625."
