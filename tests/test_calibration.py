"""Calibration before and after a temperature that validation chose."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from scipy.special import softmax

from fovea.evaluation.calibration import bin_numbers, calibration, reliability, scaled, temperature
from fovea.training.loss import decided
from tests.test_metrics import Part, predictions_of, random_parts

CLASSES = list("abc")
NO_GROUPS = pd.Series(dtype=object)


def drawn(n: int, sharper: float, seed: int, split: str) -> pd.DataFrame:
    """Labels drawn from softmax(logits), predictions from logits `sharper` times as large: that temperature is best."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 3))
    p = softmax(logits, axis=1)
    labels = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return predictions_of(labels, softmax(sharper * logits, axis=1), CLASSES, split).assign(
        image=[f"{split} {number}" for number in range(n)])


def both(n: int, sharper: float) -> pd.DataFrame:
    return pd.concat([drawn(n, sharper, 0, "val"), drawn(n, sharper, 1, "test")])


@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_the_temperature_is_how_much_too_sure_the_model_is(sharper: float) -> None:
    assert temperature(drawn(20000, sharper, 0, "val"), CLASSES) == pytest.approx(sharper, rel=0.05)


def test_scaling_by_it_makes_probabilities_mean_what_they_say() -> None:
    found = calibration(both(5000, 3.0), CLASSES, NO_GROUPS)
    assert found["before"]["ece"] > 0.1
    assert found["after"]["ece"] < 0.03
    for figure in ("ece", "brier", "log_loss"):
        assert found["after"][figure] < found["before"][figure]
    for figure, way in product(("brier", "log_loss"), ("before", "after")):
        low, high = found["intervals"][way][figure]
        assert low < found[way][figure] < high


def test_the_test_part_does_not_choose_the_temperature() -> None:
    val, test = drawn(500, 3.0, 0, "val"), drawn(500, 1.0, 1, "test")
    assert calibration(pd.concat([val, test]), CLASSES, NO_GROUPS)["temperature"] == temperature(val, CLASSES)


def test_no_temperature_nearby_has_a_lower_log_loss() -> None:
    val = drawn(300, 2.0, 0, "val")
    found = temperature(val, CLASSES)
    assert found is not None
    labels, chances = val["label"], val[["p_a", "p_b", "p_c"]].to_numpy()
    best = sk.log_loss(labels, scaled(chances, found))
    assert all(best <= sk.log_loss(labels, scaled(chances, found * factor)) for factor in (0.9, 0.99, 1.01, 1.1))


def test_scaling_is_that_of_the_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))
    assert scaled(softmax(logits, axis=1), 1.7) == pytest.approx(softmax(logits / 1.7, axis=1))
    sure = scaled(np.array([[1.0, 0.0]]), 2.0)
    assert np.isfinite(sure).all() and sure[0, 0] == pytest.approx(1)


def test_brier_score_is_that_of_scikit_learn() -> None:
    found = calibration(both(200, 1.0), CLASSES, NO_GROUPS)
    test = drawn(200, 1.0, 1, "test")
    one_hot = np.eye(3)[test["label"].map(CLASSES.index)]
    each = [sk.brier_score_loss(one_hot[:, k], test[f"p_{name}"]) for k, name in enumerate(CLASSES)]
    assert found["before"]["brier"] == pytest.approx(sum(each))


def test_expected_calibration_error_by_hand() -> None:
    # two bins of ten: sure to 0.6 and right in 5 of 10; sure to 0.9 and right in 10 of 10
    p = [[0.6, 0.4]] * 10 + [[0.9, 0.1]] * 10
    table = predictions_of([0] * 5 + [1] * 5 + [0] * 10, p, ["a", "b"])
    found = calibration(table, ["a", "b"], NO_GROUPS)
    assert found["before"]["ece"] == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)
    rows = reliability(table, ["a", "b"], 1.0)
    likeliest = rows[rows["class"] == ""]
    assert likeliest["confidence"].tolist() == pytest.approx([0.6, 0.9])
    assert likeliest["observed"].tolist() == pytest.approx([0.5, 1.0])
    assert likeliest["n"].tolist() == [10, 10]


@settings(max_examples=30, deadline=None)
@given(random_parts())
def test_bins_hold_every_image_once_and_their_mean_distance_is_the_error(part: Part) -> None:
    labels, chances, classes = part
    table = predictions_of(labels, chances, classes)
    rows = reliability(table, classes, 1.0)
    for name in ["", *classes]:
        assert rows.loc[rows["class"] == name, "n"].sum() == len(labels)
    likeliest = rows[rows["class"] == ""]
    error = (likeliest["n"] * (likeliest["confidence"] - likeliest["observed"]).abs()).sum() / len(labels)
    found = calibration(table, classes, NO_GROUPS)
    assert found["before"]["ece"] == pytest.approx(error)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_bins_are_of_equal_numbers_and_keep_equal_values_together() -> None:
    values = np.random.default_rng(0).random(1500)
    assert (np.bincount(bin_numbers(values)) == 100).all()
    tied = np.repeat([0.2, 0.5, 0.9], 500)
    assert len(np.unique(np.stack([tied, bin_numbers(tied)]), axis=1).T) == 3
    assert bin_numbers(np.arange(25)).max() == 1  # not fewer than ten in a bin


def test_without_validation_there_is_no_temperature_and_no_after() -> None:
    found = calibration(drawn(50, 1.0, 1, "test"), CLASSES, NO_GROUPS)
    assert found["temperature"] is found["after"] is found["intervals"]["after"] is None
    assert found["before"]["ece"] is not None
    assert reliability(drawn(50, 1.0, 1, "test"), CLASSES, None).empty


def test_validation_of_one_class_or_without_an_error_gives_no_temperature() -> None:
    val = drawn(100, 1.0, 0, "val")
    assert temperature(val[val["label"] == "a"], CLASSES) is None
    assert temperature(val[val["label"] == val["prediction"]], CLASSES) is None


def test_the_order_of_rows_does_not_matter() -> None:
    table = both(80, 2.0)
    assert calibration(table, CLASSES, NO_GROUPS) == calibration(table[::-1], CLASSES, NO_GROUPS)


def error_of(rows: pd.DataFrame) -> float:
    """Expected calibration error by the bins of `reliability`."""
    mine = rows[rows["class"] == ""]
    return float((mine["n"] * (mine["confidence"] - mine["observed"]).abs()).sum() / mine["n"].sum())


def test_the_bins_after_scaling_are_those_of_the_scaled_probabilities() -> None:
    table = both(500, 3.0)
    found = calibration(table, CLASSES, NO_GROUPS)
    rows = reliability(table[table["split"] == "test"], CLASSES, found["temperature"])
    assert error_of(rows) == pytest.approx(found["after"]["ece"])


def test_images_of_a_patient_widen_the_intervals() -> None:
    table = drawn(200, 1.0, 1, "test")
    copies = pd.concat([table.assign(image=f"{copy} " + table["image"]) for copy in range(4)])
    groups = pd.Series(copies["image"].str.split(" ", n=1).str[1].to_numpy(), copies["image"])
    apart, whole = (calibration(copies, CLASSES, one)["intervals"]["before"] for one in (NO_GROUPS, groups))
    assert np.ptp(whole["brier"]) > 1.6 * np.ptp(apart["brier"])


def test_ties_do_not_depend_on_the_last_bit() -> None:
    """Three equal probabilities, and thirds that were computed in three ways: once 0.418 and once 0.253."""
    raw = np.random.default_rng(8).integers(0, 3, (20, 3)) + 0.01
    labels = np.random.default_rng(1).integers(0, 3, 20)
    table = predictions_of(labels, raw / raw.sum(axis=1, keepdims=True), CLASSES)
    found = calibration(table, CLASSES, NO_GROUPS)["before"]["ece"]
    assert found == pytest.approx(error_of(reliability(table, CLASSES, 1.0))) == pytest.approx(0.25302, abs=1e-5)
    assert bin_numbers(np.repeat([0.1 + 0.2, 0.3], 10)).max() == 0


def test_a_temperature_of_1_changes_no_bit() -> None:
    chances = np.random.default_rng(0).dirichlet([1, 1, 1], 50)
    np.testing.assert_array_equal(scaled(chances, 1.0), chances)


def test_where_the_prediction_is_the_median_grade_its_own_probability_is_judged() -> None:
    chances = np.array([[0.4, 0.35, 0.25]] * 20)  # the likeliest grade is a, the median b
    labels = [1] * 7 + [0] * 8 + [2] * 5
    table = predictions_of(labels, chances, CLASSES, predicted=decided("ordinal", chances))
    assert set(table["prediction"]) == {"b"}
    assert calibration(table, CLASSES, NO_GROUPS)["before"]["ece"] == pytest.approx(0)
    rows = reliability(table, CLASSES, 1.0)
    assert rows.loc[rows["class"] == "", ["confidence", "observed"]].to_numpy().tolist() == [
        [pytest.approx(0.35), pytest.approx(0.35)]]
