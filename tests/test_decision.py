"""Net benefit of acting on the model, on everybody and on nobody."""

import numpy as np
import pytest
from hypothesis import given, settings

from fovea.evaluation.decision import decision_curve
from tests.test_metrics import Part, predictions_of, random_parts


@settings(max_examples=30, deadline=None)
@given(random_parts())
def test_net_benefit_is_that_of_a_count_by_hand(part: Part) -> None:
    labels, chances, classes = part
    found = decision_curve(predictions_of(labels, chances, classes), classes, None)
    assert found["class"].unique().tolist() == classes and len(found) == 99 * len(classes)
    for _, row in found.iloc[::7].iterrows():
        mine, odds = labels == classes.index(row["class"]), row["threshold"] / (1 - row["threshold"])
        acted = chances[:, classes.index(row["class"])] >= row["threshold"]
        n = len(labels)
        assert row["model"] == pytest.approx((mine & acted).sum() / n - (~mine & acted).sum() / n * odds)
        assert row["treat_all"] == pytest.approx(mine.sum() / n - (~mine).sum() / n * odds)
        assert row["treat_none"] == 0


def test_a_perfect_model_has_the_prevalence_as_its_benefit_whatever_the_threshold() -> None:
    table = predictions_of([0, 0, 0, 1], np.eye(2)[[0, 0, 0, 1]], ["well", "ill"])
    found = decision_curve(table, ["well", "ill"], "ill")
    assert set(found["class"]) == {"ill"} and (found["model"] == 0.25).all()


def test_treating_all_is_worth_nothing_at_a_threshold_of_the_prevalence() -> None:
    table = predictions_of([0] * 3 + [1], np.full((4, 2), 0.5), ["well", "ill"])
    found = decision_curve(table, ["well", "ill"], "ill").set_index("threshold")
    model, treat_all = found["model"], found["treat_all"]
    assert treat_all[0.25] == pytest.approx(0)
    assert model[0.5] == treat_all[0.5]  # a probability of 0.5 reaches 0.5
    assert model[0.51] == 0


def test_calibrated_probabilities_never_do_worse_than_both_ways_without_a_model() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(20000)
    labels = (rng.random(20000) < chance).astype(int)
    table = predictions_of(labels, np.stack([1 - chance, chance], axis=1), ["well", "ill"])
    found = decision_curve(table, ["well", "ill"], "ill")
    assert (found["model"] >= found[["treat_all", "treat_none"]].max(axis=1) - 0.01).all()
