"""Labels flipped on purpose are found; labels that the probabilities bear out are not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovea.evaluation.suspicious import suspicious_labels, thresholds
from tests.test_metrics import Part, predictions_of, random_parts

LAW = settings(max_examples=60, deadline=None)
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def drawn(seed: int, n: int, classes: int, sharpness: float, flipped: float) -> Arrays:
    """Calibrated probabilities (n, classes), labels drawn from them of which a share is flipped, and which (n,)."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(classes, sharpness / (classes - 1)), n)
    labels = (rng.random((n, 1)) > chances.cumsum(axis=1)[:, :-1]).sum(axis=1)
    chosen = rng.permutation(n) < flipped * n
    return chances, np.where(chosen, (labels + rng.integers(1, classes, n)) % classes, labels), chosen


def found(labels: Any, chances: Any, names: list[str]) -> pd.DataFrame:
    return suspicious_labels(predictions_of(labels, chances, names), names)


def rows_of(table: pd.DataFrame) -> list[int]:
    return [int(name.removesuffix(".png")) for name in table["image"]]


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("share", [0.05, 0.10])
def test_flipped_labels_come_first(classes: int, share: float) -> None:
    """Precision at k = number flipped: 0.94 to 1.00, where chance is the share (2,000 images, model right on 98 %)."""
    for seed in range(3):
        chances, labels, flipped = drawn(seed, 2000, classes, 0.03, share)
        first = rows_of(found(labels, chances, list("abcde"[:classes])))[: int(flipped.sum())]
        assert len(first) > 0.9 * flipped.sum()
        assert flipped[first].mean() > 0.9


@pytest.mark.parametrize("classes", [2, 5])
def test_labels_drawn_from_the_probabilities_give_few(classes: int) -> None:
    """2 % of these labels are not the likeliest class, as the probabilities say themselves: that is no suspicion."""
    chances, labels, _ = drawn(1, 4000, classes, 0.03, 0)
    assert (chances.argmax(axis=1) != labels).sum() > 60
    assert len(found(labels, chances, list("abcde"[:classes]))) < 8


def test_a_small_class_is_suggested_below_one_half() -> None:
    """Images of class b get 0.4 on average: a threshold of one half would never suggest it."""
    chances = [[0.9, 0.1]] * 8 + [[0.6, 0.4]] * 3
    table = found([0] * 8 + [1, 1, 0], chances, ["a", "b"])
    assert table[["image", "suggested", "margin"]].to_numpy().tolist() == [["10.png", "b", pytest.approx(-0.2)]]


def test_a_class_that_no_label_names_is_never_suggested() -> None:
    chances = np.array([[0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.9, 0.1, 0.0]])
    table = found([0, 0, 1, 1], chances, ["a", "b", "absent"])
    assert table[["image", "suggested"]].to_numpy().tolist() == [["3.png", "a"]]


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.5, 1.0])
def test_one_image_has_nothing_to_be_compared_with(chance: float) -> None:
    assert found([0], [[chance, 1 - chance]], ["a", "b"]).empty


def test_a_table_without_rows_gives_none() -> None:
    assert list(found(np.array([], int), np.zeros((0, 2)), ["a", "b"]).columns[:2]) == ["image", "split"]


def test_equal_margins_are_ordered_by_name() -> None:
    chances = np.array([[0.9, 0.1]] * 4 + [[0.1, 0.9]] * 8)
    table = found([0] * 4 + [1] * 6 + [0] * 2, chances, ["a", "b"])
    assert list(table["image"]) == ["10.png", "11.png"]


def test_equal_probabilities_reach_their_own_mean() -> None:
    """A mean of equal numbers may round above them, and no class would be confident."""
    assert rows_of(found([0, 0, 0, 1, 1, 1, 0], [[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 4, ["a", "b"])) == [6]


def test_both_parts_are_looked_at_and_told_apart() -> None:
    chances, labels, _ = drawn(2, 300, 2, 0.05, 0.1)
    table = predictions_of(labels, chances, ["a", "b"])
    table["split"] = np.where(np.arange(300) % 2, "val", "test")
    result = suspicious_labels(table, ["a", "b"])
    assert set(result["split"]) == {"val", "test"}
    assert result.merge(table, on=["image", "split", "label"]).shape[0] == len(result)


@LAW
@given(part=random_parts(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(part: Part, seed: int) -> None:
    labels, chances, classes = part
    table = predictions_of(labels, chances, classes)
    shuffled = table.iloc[np.random.default_rng(seed).permutation(len(table))]
    pd.testing.assert_frame_equal(suspicious_labels(table, classes), suspicious_labels(shuffled, classes))


@LAW
@given(random_parts())
def test_what_is_found_lies_off_the_diagonal_of_the_confident_joint(part: Part) -> None:
    labels, chances, classes = part
    result, limits = found(labels, chances, classes), thresholds(labels, chances)
    assert (result["label"] != result["suggested"]).all() and result["image"].is_unique
    assert result["margin"].is_monotonic_decreasing
    for number, (_, row) in zip(rows_of(result), result.iterrows(), strict=True):
        mine = chances[number]
        confident = [name for name, chance, limit in zip(classes, mine, limits, strict=True) if chance > limit - 1e-9]
        assert row["suggested"] in confident
        assert row["p_suggested"] == max(mine[classes.index(name)] for name in confident)
