"""Intervals of every figure by resampling groups."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap as scipy_bootstrap

from fovea.evaluation import bootstrap, metrics
from fovea.evaluation.bootstrap import intervals
from fovea.evaluation.table import class_numbers, probabilities
from tests.test_metrics import Part, predictions_of, random_parts

NO_GROUPS = pd.Series(dtype=object)


def noisy(n: int, seed: int = 0, classes: int = 3) -> pd.DataFrame:
    """A part whose probabilities know something of the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    raw = rng.random((n, classes)) + 0.5 * np.eye(classes)[labels]
    return predictions_of(labels, raw / raw.sum(axis=1, keepdims=True), list("abcdef"[:classes]))


def weighted(table: pd.DataFrame, classes: list[str], weights: np.ndarray) -> tuple[Any, Any]:
    actual, predicted = (class_numbers(table[column], classes) for column in ("label", "prediction"))
    return bootstrap.weighted_figures(actual, predicted, probabilities(table, classes), weights.astype(np.float32))


def same(found: float, expected: float | None) -> bool:
    return bool(np.isnan(found)) if expected is None else found == pytest.approx(expected, abs=1e-6)


@st.composite
def weighted_parts(draw: st.DrawFn) -> tuple[Part, np.ndarray]:
    """A part, and two resamples of it with at least one image each."""
    part = draw(random_parts())
    counts = st.lists(st.integers(0, 3), min_size=len(part[0]), max_size=len(part[0])).filter(any)
    return part, np.array([draw(counts), draw(counts)])


@settings(max_examples=60, deadline=None)
@given(weighted_parts())
def test_a_weighted_figure_is_that_of_the_repeated_rows(drawn: tuple[Part, np.ndarray]) -> None:
    (labels, chances, classes), weights = drawn
    table = predictions_of(labels, chances, classes)
    whole, of_classes = weighted(table, classes, weights)
    for number, counts in enumerate(weights):
        expected = metrics.score(table.loc[table.index.repeat(counts)], classes, None)
        assert all(same(values[number], expected[name]) for name, values in whole.items())
        for row, name in enumerate(classes):
            assert all(same(values[number, row], expected["classes"][name][key]) for key, values in of_classes.items())


@settings(max_examples=60, deadline=None)
@given(weighted_parts())
def test_ranking_and_log_loss_agree_with_scikit_learn_on_repeated_rows(drawn: tuple[Part, np.ndarray]) -> None:
    (labels, chances, classes), weights = drawn
    whole, of_classes = weighted(predictions_of(labels, chances, classes), classes, weights)
    for number, counts in enumerate(weights):
        actual, p = np.repeat(labels, counts), np.repeat(chances, counts, axis=0)
        assert whole["log_loss"][number] == pytest.approx(sk.log_loss(actual, p, labels=range(len(classes))), abs=1e-6)
        for row in range(len(classes)):
            mine = actual == row
            area = sk.roc_auc_score(mine, p[:, row]) if 0 < mine.sum() < len(mine) else None
            assert same(of_classes["auroc"][number, row], area)
            precision = sk.average_precision_score(mine, p[:, row]) if mine.any() else None
            assert same(of_classes["average_precision"][number, row], precision)


@settings(max_examples=30, deadline=None)
@given(random_parts())
def test_each_figure_has_an_interval_under_its_name_and_whatever_the_part_holds_it_is_json(part: Part) -> None:
    labels, chances, classes = part
    table = predictions_of(labels, chances, classes)
    figures, found = metrics.score(table, classes, classes[0]), intervals(table, classes, classes[0], NO_GROUPS)
    left_out = {"n", "absent", "confusion_matrix", "groups"}
    assert set(figures) - left_out == set(found) - left_out
    assert all(set(found["classes"][name]) == set(figures["classes"][name]) - {"support"} for name in classes)
    assert found["positive"] == found["classes"][classes[0]]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_interval_of_accuracy_is_that_of_scipy() -> None:
    table = noisy(200)
    hit = (table["label"] == table["prediction"]).to_numpy(float)
    expected = scipy_bootstrap((hit,), np.mean, n_resamples=20000, method="percentile", rng=0).confidence_interval
    assert intervals(table, list("abc"), None, NO_GROUPS)["accuracy"] == pytest.approx(list(expected), abs=0.012)


def test_copies_of_images_within_their_groups_leave_the_interval_as_it_is() -> None:
    once = noisy(80)
    groups = pd.Series(once["image"].to_numpy(), once["image"])
    again = once.assign(image="again " + once["image"])
    both = pd.concat([groups, pd.Series(groups.to_numpy(), again["image"])])
    found = intervals(pd.concat([once, again]), list("abc"), None, both)
    assert found["groups"] == 80
    alone = intervals(once, list("abc"), None, groups)
    assert found["auroc_macro"] == pytest.approx(alone["auroc_macro"])
    unaware = intervals(pd.concat([once, again]), list("abc"), None, NO_GROUPS)
    assert np.ptp(unaware["accuracy"]) < 0.85 * np.ptp(found["accuracy"])


def test_images_without_a_group_are_drawn_one_by_one_beside_those_with_one() -> None:
    table = predictions_of([0, 1, 0], np.eye(2)[[0, 1, 1]], ["a", "b"])
    _, units = bootstrap.by_image(table, pd.Series({"0.png": "1.png", "1.png": None, "2.png": "1.png"}))
    assert len(np.unique(units)) == 2 and units[0] == units[2]


def test_neither_the_order_of_rows_nor_that_of_groups_matters() -> None:
    table = noisy(60)
    groups = pd.Series([f"patient {number // 2}" for number in range(60)], table["image"])
    shuffled = intervals(table.sample(frac=1, random_state=0), list("abc"), None, groups.sample(frac=1, random_state=1))
    assert shuffled == intervals(table, list("abc"), None, groups)


@pytest.mark.parametrize("cells", [60, 60 * 7, 60 * 5000])
def test_the_chunks_leave_no_trace(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    table = noisy(60)
    expected = intervals(table, list("abc"), None, NO_GROUPS)
    monkeypatch.setattr(bootstrap, "CELLS", cells)
    assert intervals(table, list("abc"), None, NO_GROUPS)["auroc_macro"] == pytest.approx(expected["auroc_macro"])


def test_a_resample_has_as_many_units_as_there_are_and_keeps_each_whole() -> None:
    units = np.array(["x", "y", "x", "z", "y", "x"], dtype=object)
    weights = np.concatenate(list(bootstrap.resamples(units)))
    assert weights.shape == (bootstrap.RESAMPLES, 6)
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 0] == weights[:, 5]).all()
    assert set(weights[:, [0, 1, 3]].sum(axis=1)) == {3}
    assert weights[:, 3].mean() == pytest.approx(1, abs=0.06)


def test_a_figure_that_no_resample_changes_has_the_exact_interval_of_a_share_or_none() -> None:
    table = predictions_of([0] * 9 + [1] * 9, np.eye(2)[[0] * 9 + [1] * 9], ["a", "b"])
    found = intervals(table, ["a", "b"], None, NO_GROUPS)
    nine, eighteen = [0.025 ** (1 / 9), 1], [0.025 ** (1 / 18), 1]  # Clopper and Pearson, in closed form
    assert found["accuracy"] == found["balanced_accuracy"] == pytest.approx(eighteen)
    shares = {"precision": pytest.approx(nine), "sensitivity": pytest.approx(nine), "specificity": pytest.approx(nine)}
    assert found["classes"]["a"] == shares | {"f1": None, "auroc": None, "average_precision": None}


def test_one_patient_alone_gives_no_interval() -> None:
    table = noisy(20)
    found = intervals(table, list("abc"), None, pd.Series("one", table["image"]))
    assert found["groups"] == 1 and found["accuracy"] is None


def test_parts_have_intervals_as_they_have_figures() -> None:
    table = pd.concat([noisy(40), noisy(30, seed=1).assign(split="val")])
    found = bootstrap.part_intervals(table, list("abc"), None, NO_GROUPS)
    assert list(found) == ["test", "val"]
    assert found["test"] == intervals(noisy(40), list("abc"), None, NO_GROUPS)


def test_an_interval_holds_the_middle_share_of_the_resamples() -> None:
    values = np.arange(1001.0)
    assert bootstrap.interval(values) == pytest.approx([25, 975])
    assert bootstrap.interval(values, 0.8) == pytest.approx([100, 900])


def test_a_figure_that_most_resamples_leave_undefined_has_no_interval() -> None:
    values = np.arange(100.0)
    assert bootstrap.interval(np.where(values < 51, np.nan, values)) is None
    assert bootstrap.interval(np.where(values < 50, np.nan, values)) is not None


@pytest.mark.parametrize("ill", [2, 6, 20])
def test_a_model_that_always_says_the_majority_has_an_interval_about_its_balanced_accuracy(ill: int) -> None:
    table = predictions_of([0] * (100 - ill) + [1] * ill, [[0.9, 0.1]] * 100, ["well", "ill"])
    found = intervals(table, ["well", "ill"], None, NO_GROUPS)
    low, high = found["balanced_accuracy"]
    assert low <= 0.5 <= high and high - low > 0.05
    assert found["macro_sensitivity"] == found["balanced_accuracy"]
    assert found["weighted_sensitivity"] == found["accuracy"]


def test_a_class_without_an_image_has_an_exact_interval_of_its_specificity_alone() -> None:
    table = predictions_of([0] * 6, np.eye(2)[[0] * 3 + [1] * 3], ["a", "b"])
    found = intervals(table, ["a", "b"], None, NO_GROUPS)["classes"]["b"]
    assert found["precision"] is None and found["sensitivity"] is None and found["specificity"] is not None


def test_the_exact_intervals_of_a_class_count_patients() -> None:
    table = predictions_of([0] * 9 + [1] * 9, np.eye(2)[[0] * 9 + [1] * 9], ["a", "b"])
    groups = pd.Series([f"patient {number // 3}" for number in range(18)], table["image"])
    found = intervals(table, ["a", "b"], None, groups)
    for key in ("precision", "sensitivity", "specificity"):
        assert found["classes"]["a"][key] == pytest.approx([0.025 ** (1 / 3), 1])
