"""Which rows there are, and in which order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.cache.plan import count_variants, plan_rows
from fovea.errors import UserError
from tests.cache_sets import tables

TARGETS = st.lists(st.integers(0, 4), min_size=1, max_size=120).map(np.array)


@given(targets=TARGETS, variants=st.integers(0, 5))
def test_without_balance_every_image_has_the_same_number(targets: np.ndarray, variants: int) -> None:
    assert np.all(count_variants(targets, variants, balance=False) == variants)


@given(targets=TARGETS, variants=st.integers(1, 5))
def test_balance_gives_every_class_the_rows_of_the_largest(targets: np.ndarray, variants: int) -> None:
    counts = count_variants(targets, variants, balance=True)
    rows = {(1 + counts[targets == target]).sum() for target in np.unique(targets)}
    assert rows == {np.bincount(targets).max() * (1 + variants)}


@given(targets=TARGETS, variants=st.integers(1, 5))
def test_balance_differs_by_at_most_one_within_a_class(targets: np.ndarray, variants: int) -> None:
    counts = count_variants(targets, variants, balance=True)
    assert all(np.ptp(counts[targets == target]) <= 1 for target in np.unique(targets))


@given(targets=TARGETS, variants=st.integers(1, 5))
def test_balance_gives_what_does_not_divide_to_the_first_images(targets: np.ndarray, variants: int) -> None:
    counts = count_variants(targets, variants, balance=True)
    assert all(np.all(np.diff(counts[targets == target]) <= 0) for target in np.unique(targets))


def test_no_train_images_need_no_variants() -> None:
    assert len(count_variants(np.array([], np.int16), 2, balance=True)) == 0


def test_rows_are_ordered_by_digest_image_and_variant() -> None:
    manifest, split = tables(["b", "c", "a"], ["22", "11", "22"], [0, 1, 0], ["train"] * 3)
    index = plan_rows(manifest, split, 1, False, 100)
    assert list(zip(index["digest"], index["image"], index["variant"], strict=True)) == [
        ("11", "c", 0), ("11", "c", 1), ("22", "a", 0), ("22", "a", 1), ("22", "b", 0), ("22", "b", 1),
    ]


def test_only_train_images_have_variants() -> None:
    manifest, split = tables(["a", "b", "c"], ["1", "2", "3"], [0, 0, 1], ["train", "val", "test"])
    index = plan_rows(manifest, split, 3, True, 100)
    assert set(index.loc[index["variant"] > 0, "split"]) == {"train"}


def test_rows_fill_the_shards_in_order() -> None:
    manifest, split = tables(["a", "b", "c"], ["1", "2", "3"], [0, 0, 1], ["train"] * 3)
    index = plan_rows(manifest, split, 1, False, 4)
    assert index["shard"].tolist() == [0, 0, 0, 0, 1, 1]
    assert index["row"].tolist() == [0, 1, 2, 3, 0, 1]


@pytest.mark.parametrize("images", [["a"], ["a", "x"], ["a", "b", "b"]])
def test_a_split_of_another_manifest_is_refused(images: list[str]) -> None:
    manifest, _ = tables(["a", "b"], ["1", "2"], [0, 1], ["train"] * 2)
    _, other = tables(images, ["1"] * len(images), [0] * len(images), ["train"] * len(images))
    with pytest.raises(UserError, match=r"data/split.parquet .* dvc repro split"):
        plan_rows(manifest, other, 1, False, 100)
