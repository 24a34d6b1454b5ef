"""Exact intervals of shares, with groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from fovea.evaluation.shares import mean_share_interval, share, share_interval


def each_alone(n: int) -> np.ndarray:
    return np.array([str(number) for number in range(n)], dtype=object)


@settings(deadline=None)
@given(st.integers(2, 60), st.data())
def test_without_groups_it_is_the_interval_of_clopper_and_pearson(n: int, data: st.DataObject) -> None:
    found = data.draw(st.integers(0, n))
    expected = binomtest(found, n).proportion_ci(0.95, "exact")
    hit = np.arange(n) < found
    assert share_interval(hit, each_alone(n)) == pytest.approx([expected.low, expected.high], abs=1e-9)


def test_copies_within_groups_tell_no_more_than_the_groups() -> None:
    hit = np.arange(40) < 30
    alone, copied = share_interval(hit, each_alone(40)), share_interval(np.repeat(hit, 5), np.repeat(each_alone(40), 5))
    assert alone is not None and copied is not None
    assert copied[1] - copied[0] == pytest.approx(alone[1] - alone[0], rel=0.05)


def test_a_share_of_one_counts_each_group_once() -> None:
    assert share_interval(np.ones(30, bool), np.repeat(each_alone(6), 5)) == pytest.approx([0.025 ** (1 / 6), 1])
    assert share_interval(np.zeros(30, bool), np.repeat(each_alone(6), 5)) == pytest.approx([0, 1 - 0.025 ** (1 / 6)])


def test_a_higher_level_is_wider() -> None:
    hit = np.arange(20) < 12
    narrow, wide = (share_interval(hit, each_alone(20), level) for level in (0.9, 0.99))
    assert narrow is not None and wide is not None
    assert wide[0] < narrow[0] < 0.6 < narrow[1] < wide[1]


def test_nobody_or_one_patient_has_no_interval() -> None:
    assert share_interval(np.array([True, False]), np.array(["one", "one"], dtype=object)) is None
    assert share_interval(np.array([], bool), each_alone(0)) is None
    assert share(np.array([], bool)) is None


def test_intervals_hold_the_truth_about_as_often_as_they_say_among_patients() -> None:
    """60 patients of 1 to 5 images whose own rates differ: 95 % of intervals should hold the mean rate."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        sizes = rng.integers(1, 6, 60)
        rates = np.repeat(rng.beta(4, 2, 60), sizes)
        found = share_interval(rng.random(len(rates)) < rates, np.repeat(each_alone(60), sizes))
        held += found is not None and found[0] <= 4 / 6 <= found[1]
    assert 0.93 <= held / 400 <= 0.99


def test_the_interval_of_a_mean_share_is_the_mean_of_those_of_the_classes() -> None:
    hit, of = np.arange(50) < 40, np.repeat(["well", "ill"], [40, 10])
    well, ill = (binomtest(found, n).proportion_ci(0.95, "exact") for found, n in ((40, 40), (0, 10)))
    expected = [(well.low + ill.low) / 2, (well.high + ill.high) / 2]
    assert mean_share_interval(hit, of, each_alone(50)) == pytest.approx(expected)
    alone = np.where(of == "ill", "one patient", each_alone(50))
    assert mean_share_interval(hit, of, alone) is None


def test_of_classes_that_are_all_hit_it_is_the_interval_of_all_images() -> None:
    hit, of = np.ones(18, bool), np.repeat(["well", "ill"], 9)
    assert mean_share_interval(hit, of, each_alone(18)) == share_interval(hit, each_alone(18))
