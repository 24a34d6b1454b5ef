"""Laws of `split.folds`: every image once, whole groups, even classes; without folds the split from before."""

from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.errors import UserError
from fovea.params.split import SplitParams
from tests.test_split import CLASS_SIZES, GROUPED, LAW, labels_of_sizes, manifest_of, straddling, table_of

FOLDS = st.integers(2, 5)


def fold_of(manifest: pd.DataFrame, folds: int, part: str = "test", **params: Any) -> np.ndarray:
    """(n,) the fold whose `part` each image is in, -1 if in none; fails for an image that is in several."""
    fold = np.full(len(manifest), -1)
    for number in range(folds):
        mine = (table_of(manifest, folds=folds, fold=number, **params)["split"] == part).to_numpy()
        assert (fold[mine] == -1).all()
        fold[mine] = number
    return fold


def counts_of(manifest: pd.DataFrame, fold: np.ndarray) -> np.ndarray:
    """(classes, folds): images of each class in each fold."""
    return pd.crosstab(manifest["target"], fold).to_numpy()


@LAW
@given(sizes=st.lists(st.integers(6, 40), min_size=2, max_size=4), folds=FOLDS, seed=st.integers(0, 5))
def test_folds_hold_every_image_once_and_each_class_as_evenly_as_can_be(
    sizes: list[int], folds: int, seed: int
) -> None:
    manifest = manifest_of(labels_of_sizes(sizes))
    fold = fold_of(manifest, folds, seed=seed)
    assert (fold >= 0).all()
    assert np.ptp(counts_of(manifest, fold), axis=1).max() <= 1


@LAW
@given(rows=GROUPED, folds=FOLDS)
def test_groups_and_copies_lie_in_one_fold(rows: list[tuple[int, int]], folds: int) -> None:
    labels = [label for label, _ in rows] + [0, 1, 2] * 6
    groups = [f"g{group}" for _, group in rows] + [None] * 18
    digests = [f"file {number // 2}" for number in range(len(rows))] + [f"single {number}" for number in range(18)]
    manifest = manifest_of(labels, groups, digests=digests)
    fold = fold_of(manifest, folds, val=0)
    assert (fold >= 0).all()
    for names in (manifest["group"], manifest["digest"]):
        assert pd.Series(fold).groupby(names).nunique().max() == 1
    table = table_of(manifest, folds=folds, fold=0, val=0)
    assert straddling(table, manifest["group"]) == straddling(table, manifest["digest"]) == 0


@LAW
@given(sizes=st.lists(st.integers(1, 5), min_size=30, max_size=60), folds=FOLDS)
def test_groups_of_one_class_miss_an_even_share_by_less_than_a_group(sizes: list[int], folds: int) -> None:
    labels = [group % 2 for group, size in enumerate(sizes) for _ in range(size)]
    groups: list[str | None] = [f"g{group}" for group, size in enumerate(sizes) for _ in range(size)]
    counts = counts_of(manifest_of(labels, groups), fold_of(manifest_of(labels, groups), folds, val=0))
    assert np.abs(counts - counts.mean(axis=1, keepdims=True)).max() < max(sizes)


@LAW
@given(sizes=CLASS_SIZES, folds=FOLDS)
def test_validation_is_drawn_from_what_a_fold_leaves(sizes: list[int], folds: int) -> None:
    manifest = manifest_of(labels_of_sizes([size + 5 for size in sizes]))
    for number in range(folds):
        split = table_of(manifest, folds=folds, fold=number, val=0.25)["split"]
        left = manifest["target"][split != "test"].value_counts()
        val = manifest["target"][split == "val"].value_counts()
        assert all(val[target] == int(left[target] / 4 + 0.5) for target in left.index)


def test_beside_a_given_test_part_the_folds_are_of_validation() -> None:
    given_parts: list[str | None] = ["test"] * 20 + [None] * 60 + ["train"] * 23
    manifest = manifest_of([0, 1] * 51 + [0], given=given_parts)
    fold = fold_of(manifest, 4, part="val")
    assert (fold[:20] == -1).all() and (fold[20:] >= 0).all()
    assert np.ptp(counts_of(manifest.iloc[20:], fold[20:]), axis=1).max() <= 1
    split = table_of(manifest, folds=4, fold=1)["split"]
    assert (split[:20] == "test").all() and set(split[20:]) == {"train", "val"}


def test_a_given_validation_part_stays_beside_folds_of_the_test() -> None:
    manifest = manifest_of([0, 1] * 40, given=["val"] * 20 + [None] * 60)
    fold = fold_of(manifest, 3)
    assert (fold[:20] == -1).all() and (fold[20:] >= 0).all()
    assert (table_of(manifest, folds=3, fold=2)["split"][:20] == "val").all()


def test_an_image_more_moves_few_others_to_another_fold() -> None:
    """At most one across each boundary between two folds."""
    labels = labels_of_sizes([50, 50])
    before, after = (fold_of(manifest_of(each), 5) for each in (labels, [*labels, 1]))
    assert (before != after[:-1]).sum() <= 4


def test_another_seed_gives_other_folds() -> None:
    manifest = manifest_of(labels_of_sizes([20, 20]))
    assert (fold_of(manifest, 4, seed=0) != fold_of(manifest, 4, seed=1)).any()


@pytest.mark.parametrize(("given_part", "expected"), [(None, "f9891e5e3c6e04ca"), ("test", "b450684a3488c1f3")])
def test_without_folds_the_split_is_the_one_from_before_there_were_any(given_part: str | None, expected: str) -> None:
    """The digests were taken before `split.folds` was read."""
    labels = [number % 7 % 3 for number in range(200)]
    groups = [f"g{number // 3}" if number % 5 else None for number in range(200)]
    digests = [f"d{number // 2 if number % 11 == 0 else number + 1000}" for number in range(200)]
    given_parts = [given_part if number % 9 == 0 else None for number in range(200)]
    table = table_of(manifest_of(labels, groups, given_parts, digests=digests), leaks="drop")
    parts = "".join(str(part)[:2] for part in table["split"])
    assert blake2b(parts.encode(), digest_size=8).hexdigest() == expected


@pytest.mark.parametrize(("manifest", "folds", "message"), [
    (manifest_of([0] * 10 + [1] * 3), 4, "class 1 has 3 images in 3 groups .* too few for 4 folds; .* lower split"),
    (manifest_of([0] * 10 + [1] * 2), 2, "class 1 has 1 images in 1 groups .* too few to draw train, val; "),
    (manifest_of([0, 1] * 9, given=["test"] * 4 + ["val"] * 4 + [None] * 10), 2, "split.folds: must be 0, because"),
])  # fmt: skip
def test_what_cannot_be_folded_is_one_line(manifest: pd.DataFrame, folds: int, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        table_of(manifest, folds=folds)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("folds", "fold", "message"), [(1, 0, "folds: must be 0"), (3, 3, "fold: must be 0 to 2")])
def test_a_fold_that_is_not_there_is_refused(folds: int, fold: int, message: str) -> None:
    values = {"seed": 0, "test": 0.2, "val": 0.1, "duplicates": "keep", "leaks": "keep", "shortcuts": "off"}
    with pytest.raises(ValueError, match=message):
        SplitParams.model_validate({**values, "folds": folds, "fold": fold})
