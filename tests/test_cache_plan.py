"""Which rows there are, and in which order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.cache.plan import count_variants, cuts, plan_rows, rows_per_shard
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
    manifest, split = tables(["b", "c", "a"], ["22" * 20, "11" * 20, "22" * 20], [0, 1, 0], ["train"] * 3)
    index = plan_rows(manifest, split, 1, False, 16)
    assert list(zip(index["digest"], index["image"], index["variant"], strict=True)) == [
        ("11" * 20, "c", 0), ("11" * 20, "c", 1), ("22" * 20, "a", 0), ("22" * 20, "a", 1),
        ("22" * 20, "b", 0), ("22" * 20, "b", 1),
    ]


def test_only_train_images_have_variants() -> None:
    manifest, split = tables(["a", "b", "c"], ["1", "2", "3"], [0, 0, 1], ["train", "val", "test"])
    index = plan_rows(manifest, split, 3, True, 16)
    assert set(index.loc[index["variant"] > 0, "split"]) == {"train"}


def test_columns_that_a_table_keeps_change_no_row_whatever_their_names() -> None:
    manifest, split = tables(["a", "b", "c"], ["1", "2", "3"], [0, 0, 1], ["train", "val", "test"])
    kept = dict.fromkeys(["split", "variant", "shard", "row"], "of the table")
    pd.testing.assert_frame_equal(plan_rows(manifest.assign(**kept), split, 1, False, 16),
                                  plan_rows(manifest, split, 1, False, 16))


def test_rows_lie_in_the_shards_by_name_and_variant() -> None:
    manifest, split = tables(["b", "c", "a"], ["1" * 40, "2" * 40, "3" * 40], [0, 0, 1], ["train"] * 3)
    index = plan_rows(manifest, split, 1, False, 16).sort_values(["shard", "row"])
    assert list(zip(index["image"], index["variant"], strict=True)) == [
        ("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0), ("c", 1),
    ]


PIECES = st.lists(st.tuples(st.integers(0, 2**32 - 1).map("{:08x}".format), st.integers(1, 4)), max_size=400)


def lengths(pieces: list[tuple[str, int]], most: int) -> list[int]:
    """Rows of each shard."""
    shard = np.cumsum(np.array(list(cuts(pieces, most)), int)) - 1
    return np.bincount(shard, weights=[rows for _, rows in pieces]).astype(int).tolist() if pieces else []


@given(pieces=PIECES, most=st.integers(4, 60))
def test_a_shard_has_at_most_its_rows_and_at_least_a_quarter_of_them(pieces: list[tuple[str, int]], most: int) -> None:
    found = lengths(pieces, most)
    assert all(rows <= most for rows in found)
    assert all(rows > most / 4 - 4 for rows in found[:-1])


def drawn(count: int) -> list[str]:
    return [f"{number:08x}{'0' * 32}" for number in np.random.default_rng(0).integers(0, 2**32, count).tolist()]


def shards_of(contents: list[str]) -> tuple[set[str], pd.DataFrame]:
    """Names of the shards of images in this order of names, and the index."""
    images = [f"{number:05}" for number in range(len(contents))]
    index = plan_rows(*tables(images, contents, [0] * len(images), ["train"] * len(images)), 0, False, 224)
    return set(index.attrs["shards"]), index


def test_a_new_image_changes_the_shards_around_it_alone() -> None:
    contents = drawn(2000)
    before, _ = shards_of(contents)
    after, _ = shards_of([*contents[:700], "5" * 40, *contents[700:]])
    assert len(before) > 300
    assert len(after - before) <= 4


def test_images_added_behind_the_others_change_the_last_shards_alone() -> None:
    contents = drawn(2000)
    before, _ = shards_of(contents)
    after, _ = shards_of([*contents, *contents[:10]])
    assert len(before - after) <= 1


def test_shards_with_the_same_rows_are_one_file() -> None:
    contents = drawn(300)
    once, _ = shards_of(contents)
    twice, index = shards_of(contents * 2)
    assert len(twice) < 1.1 * len(once)
    assert len(index) == 600


@pytest.mark.parametrize(("rows", "size", "most"), [
    (1000, 96, 2**20), (35_000, 224, 8 * 2**20), (100_000, 512, 128 * 2**20), (10**7, 512, 256 * 2**20),
])
def test_shards_grow_with_the_set_up_to_a_limit(rows: int, size: int, most: int) -> None:
    assert rows_per_shard(rows, size) == most // (size * size * 3)


def test_a_row_larger_than_a_shard_has_a_shard_to_itself() -> None:
    assert rows_per_shard(1, 4096) == 1


@pytest.mark.parametrize("images", [["a"], ["a", "x"], ["a", "b", "b"]])
def test_a_split_of_another_manifest_is_refused(images: list[str]) -> None:
    manifest, _ = tables(["a", "b"], ["1", "2"], [0, 1], ["train"] * 2)
    _, other = tables(images, ["1"] * len(images), [0] * len(images), ["train"] * len(images))
    with pytest.raises(UserError, match=r"data/split.parquet .* dvc repro split"):
        plan_rows(manifest, other, 1, False, 16)
