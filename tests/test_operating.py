"""Thresholds chosen on validation, applied to the test part."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from fovea.evaluation.operating import operating_points, threshold
from fovea.tables import read_table, write_table
from tests.test_metrics import predictions_of

NO_GROUPS = pd.Series(dtype=object)
POINTS = {"sensitivity": [0.9], "specificity": [0.95]}


def part(ill: list[float], well: list[float], split: str) -> pd.DataFrame:
    chance = np.array(ill + well)
    table = predictions_of([1] * len(ill) + [0] * len(well), np.stack([1 - chance, chance], axis=1), ["well", "ill"])
    return table.assign(split=split, image=split + table["image"])


def row_of(table: pd.DataFrame, wanted: str, value: float, groups: pd.Series = NO_GROUPS) -> dict[str, Any]:
    found = operating_points(table, ["well", "ill"], "ill", groups, {wanted: [value]})
    assert len(found) == 1
    return {str(name): value for name, value in found.iloc[0].items()}


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=40), st.integers(1, 99))
def test_no_threshold_with_the_wanted_share_serves_the_other_better(rows: list[tuple[bool, int]], percent: int) -> None:
    mine, chance = np.array([row[0] for row in rows]), np.array([row[1] for row in rows]) / 20
    assume(mine.any() and not mine.all())
    every = np.append(np.unique(chance), 2)
    sensitivity = {t: (chance[mine] >= t).mean() for t in every}
    specificity = {t: (chance[~mine] < t).mean() for t in every}
    wanted = percent / 100
    for name, shares, others in (("sensitivity", sensitivity, specificity), ("specificity", specificity, sensitivity)):
        found = threshold(mine, chance, name, wanted)
        best = max(others[t] for t in every if shares[t] >= wanted - 1e-12)
        if found is None:
            assert name == "specificity" and best == 0  # nothing would ever be called ill
            continue
        reached, other = (chance[mine] >= found).mean(), (chance[~mine] < found).mean()
        if name == "specificity":
            reached, other = other, reached
        assert reached >= wanted - 1e-12
        assert other == best


def test_the_shares_are_those_of_the_test_part_at_the_threshold_of_validation() -> None:
    val = part([0.9, 0.8, 0.7, 0.6, 0.2], [0.1, 0.3, 0.4, 0.5, 0.75], "val")
    test = part([0.95, 0.5, 0.66, 0.1], [0.64, 0.66, 0.0, 0.2, 0.3], "test")
    found = row_of(pd.concat([val, test]), "sensitivity", 0.6)
    assert found["threshold"] == pytest.approx(0.65)  # midway between what must be found, 0.7, and the next, 0.6
    assert (found["val_sensitivity"], found["val_specificity"]) == (0.6, 0.8)
    assert (found["sensitivity"], found["specificity"]) == (0.5, 0.8)
    low, high = binomtest(2, 4).proportion_ci(method="exact")
    assert (found["sensitivity_low"], found["sensitivity_high"]) == pytest.approx((low, high))


def test_a_threshold_for_specificity_lies_midway_too() -> None:
    val = part([0.9, 0.6], [0.1, 0.3, 0.4, 0.5, 0.75], "val")
    found = row_of(pd.concat([val, part([0.5], [0.5], "test")]), "specificity", 0.8)
    assert found["threshold"] == pytest.approx(0.55)


def test_images_of_a_patient_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    ill = np.repeat(rng.random(30), 4).tolist()
    table = pd.concat([part(ill, [0.1] * 20, "val"), part(ill, [0.1] * 20, "test")])
    test = table.loc[table["split"] == "test", "image"]
    groups = pd.Series([f"patient {number // 4}" for number in range(len(test))], test)
    apart, whole = row_of(table, "sensitivity", 0.5), row_of(table, "sensitivity", 0.5, groups)
    assert whole["sensitivity"] == apart["sensitivity"]
    one_by_one, by_patient = (row["sensitivity_high"] - row["sensitivity_low"] for row in (apart, whole))
    assert by_patient > 1.5 * one_by_one


def test_with_no_positive_class_each_is_set_against_the_rest() -> None:
    rng = np.random.default_rng(0)
    table = predictions_of(rng.integers(0, 3, 60), rng.dirichlet([1, 1, 1], 60), ["a", "b", "c"])
    table["split"] = ["val", "test"] * 30
    found = operating_points(table, ["a", "b", "c"], None, NO_GROUPS, POINTS)
    assert found["class"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert found["wanted"].tolist() == ["sensitivity", "specificity"] * 3
    assert operating_points(table, ["a", "b", "c"], None, NO_GROUPS, {}).empty


def test_without_validation_there_are_no_rows_and_a_class_absent_there_has_no_threshold() -> None:
    test = part([0.9, 0.8], [0.1], "test")
    assert operating_points(test, ["well", "ill"], "ill", NO_GROUPS, POINTS).empty
    found = row_of(pd.concat([part([], [0.1, 0.2], "val"), test]), "sensitivity", 0.9)
    assert np.isnan(found["threshold"]) and np.isnan(found["sensitivity"])


def test_a_test_part_without_the_class_has_no_sensitivity() -> None:
    found = row_of(pd.concat([part([0.9, 0.8], [0.1], "val"), part([], [0.1, 0.2], "test")]), "sensitivity", 0.9)
    assert np.isnan(found["sensitivity"]) and found["specificity"] == 1


def test_a_specificity_that_only_never_would_have_has_no_threshold() -> None:
    assert threshold(np.array([True, False]), np.array([1.0, 1.0]), "specificity", 0.9) is None
    assert threshold(np.array([True, False]), np.array([0.0, 1.0]), "sensitivity", 0.9) == 0


def test_an_image_at_the_threshold_counts_to_the_class() -> None:
    test = part([0.625, 0.5], [0.625, 0.25], "test")
    found = row_of(pd.concat([part([0.75], [0.5], "val"), test]), "sensitivity", 0.9)
    assert (found["threshold"], found["sensitivity"], found["specificity"]) == (0.625, 0.5, 0.5)
    found = row_of(pd.concat([part([0.0], [0.5], "val"), test]), "sensitivity", 0.9)
    assert (found["threshold"], found["val_sensitivity"]) == (0, 1)


def test_a_share_that_floating_point_takes_above_a_whole_number_asks_for_no_image_more() -> None:
    mine, chance = np.arange(50) >= 25, np.arange(50) / 50
    assert 0.28 * 25 > 7
    for_sensitivity, for_specificity = (threshold(mine, chance, wanted, 0.28) for wanted in POINTS)
    assert for_sensitivity is not None and (chance[mine] >= for_sensitivity).sum() == 7
    assert for_specificity is not None and (chance[~mine] < for_specificity).sum() == 7


def test_a_threshold_above_all_probabilities_lies_midway_to_1() -> None:
    assert threshold(np.array([True, False]), np.array([0.2, 0.8]), "specificity", 0.9) == pytest.approx(0.9)


def test_the_intervals_of_specificity_count_patients_too() -> None:
    well = np.repeat(np.random.default_rng(0).random(30), 4).tolist()
    table = pd.concat([part([0.9] * 20, well, "val"), part([0.9] * 20, well, "test")])
    test = table.loc[table["split"] == "test", "image"]
    groups = pd.Series([f"patient {number // 4}" for number in range(len(test))], test)
    apart, whole = (row_of(table, "specificity", 0.5, one) for one in (NO_GROUPS, groups))
    one_by_one, by_patient = (row["specificity_high"] - row["specificity_low"] for row in (apart, whole))
    assert by_patient > 1.5 * one_by_one


@pytest.mark.parametrize(("wanted", "others"), [("sensitivity", [0.123456787, 0.1]), ("specificity", [0.123456787])])
@pytest.mark.parametrize("highest", [0.123456788, 0.123456789])
def test_a_threshold_between_neighbours_keeps_its_shares_as_it_is_written(
    wanted: str, others: list[float], highest: float, tmp_path: Path
) -> None:
    ill = [highest, highest]
    table = pd.concat([part(ill, others, "val"), part(ill, others, "test")])
    found = operating_points(table, ["well", "ill"], "ill", NO_GROUPS, {wanted: [0.9]})
    write_table(tmp_path / "points.csv", found)
    written = float(read_table(tmp_path / "points.csv")["threshold"].iloc[0])
    assert max(others) < written <= highest
    assert (found["sensitivity"] == 1).all() and (found["specificity"] == 1).all()
