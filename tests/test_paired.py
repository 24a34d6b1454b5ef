"""Two models on the same images."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from fovea.errors import UserError
from fovea.evaluation import metrics
from fovea.evaluation.paired import COMPARED, compare_paired, mcnemar
from tests.test_bootstrap import NO_GROUPS, noisy

CLASSES = list("abc")


def other_than(table: pd.DataFrame, changed: int) -> pd.DataFrame:
    """The first `changed` rows as another model would predict them: the classes one on."""
    other, rows = table.copy(), list(range(changed))
    other.loc[rows, ["p_a", "p_b", "p_c"]] = table.loc[rows, ["p_c", "p_a", "p_b"]].to_numpy()
    other.loc[rows, "prediction"] = table.loc[rows, "prediction"].map({"a": "b", "b": "c", "c": "a"})
    return other


def test_a_difference_is_that_of_the_figures_on_the_shared_rows() -> None:
    one = noisy(100)
    other = other_than(one, 30)
    found = compare_paired(one, other.iloc[10:], CLASSES, NO_GROUPS)
    assert found["rows"] == {"compared": 90, "only_one": 10, "only_other": 0, "other_label": 0}
    first, second = (metrics.score(table.iloc[10:], CLASSES, None) for table in (one, other))
    assert list(found["figures"]) == list(COMPARED)
    for name, figure in found["figures"].items():
        assert figure["difference"] == pytest.approx(first[name] - second[name])
        low, high = figure["interval"]
        assert low < figure["difference"] < high
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_images_that_only_one_has_or_that_changed_their_label_are_counted_and_left_out() -> None:
    one, other = noisy(20), noisy(20)
    other.loc[0, "label"] = "b" if other.loc[0, "label"] == "a" else "a"
    found = compare_paired(one.iloc[:-3], other.iloc[:-1], CLASSES, NO_GROUPS)
    assert found["rows"] == {"compared": 16, "only_one": 0, "only_other": 2, "other_label": 1}


def test_the_other_way_round_the_signs_change() -> None:
    one, other = noisy(60), other_than(noisy(60), 20)
    there, back = (compare_paired(*pair, CLASSES, NO_GROUPS)["figures"]["accuracy"]
                   for pair in ((one, other), (other, one)))
    assert there["difference"] == -back["difference"]
    assert there["interval"] == pytest.approx([-back["interval"][1], -back["interval"][0]])


def test_what_is_hard_for_both_cancels_out() -> None:
    """Of two models that differ in few rows the difference is known better than each figure."""
    one = noisy(200)
    found = compare_paired(one, other_than(one, 5), CLASSES, NO_GROUPS)["figures"]["log_loss"]
    apart = compare_paired(one, other_than(one, 200), CLASSES, NO_GROUPS)["figures"]["log_loss"]
    assert np.ptp(found["interval"]) < 0.4 * np.ptp(apart["interval"])


def test_the_interval_of_accuracy_is_that_of_the_mean_difference_of_patients() -> None:
    one = noisy(300)
    other = other_than(one, 100)
    groups = pd.Series([f"patient {number // 3}" for number in range(300)], one["image"])
    found = compare_paired(one, other, CLASSES, groups)["figures"]["accuracy"]
    right, right_other = ((table["label"] == table["prediction"]).to_numpy(float) for table in (one, other))
    by_patient: np.ndarray = (right - right_other).reshape(100, 3).mean(axis=1)
    half = 1.96 * by_patient.std(ddof=1) / 10
    assert found["interval"] == pytest.approx([by_patient.mean() - half, by_patient.mean() + half], abs=0.02)


def test_mcnemar_is_the_binomial_test_of_the_discordant_images() -> None:
    one = np.array([True] * 9 + [False] * 2 + [True] * 50)
    other = np.array([False] * 9 + [True] * 2 + [True] * 50)
    found = mcnemar(one, other)
    assert (found["only_one_right"], found["only_other_right"]) == (9, 2)
    assert found["p"] == pytest.approx(2 * binom.cdf(2, 11, 0.5))
    assert mcnemar(one, one)["p"] == 1


def test_no_shared_image_gives_no_figures() -> None:
    one = noisy(10)
    found = compare_paired(one, one.assign(image="other " + one["image"]), CLASSES, NO_GROUPS)
    assert found["rows"] == {"compared": 0, "only_one": 10, "only_other": 10, "other_label": 0}
    assert found["figures"] is None and found["mcnemar"]["p"] == 1


def test_the_order_of_rows_does_not_matter() -> None:
    one, other = noisy(60), other_than(noisy(60), 20)
    expected = compare_paired(one, other, CLASSES, NO_GROUPS)
    assert compare_paired(one[::-1], other.sample(frac=1, random_state=0), CLASSES, NO_GROUPS) == expected


def test_a_model_of_other_classes_is_refused() -> None:
    with pytest.raises(UserError, match="the classes are a, b and not a, b, c"):
        compare_paired(noisy(10), noisy(10, classes=2), CLASSES, NO_GROUPS)
    with pytest.raises(UserError, match="the classes are a, b, c, d and not a, b, c"):
        compare_paired(noisy(10), noisy(10, classes=4), CLASSES, NO_GROUPS)
