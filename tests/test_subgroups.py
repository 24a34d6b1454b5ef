"""Figures by columns of the manifest, and whether a subgroup stands out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fovea.errors import UserError
from fovea.evaluation import metrics
from fovea.evaluation.bootstrap import intervals
from fovea.evaluation.subgroups import subgroups, values_of, worst_of
from fovea.tables import read_table, write_table
from tests.test_metrics import predictions_of

CLASSES = ["well", "ill"]


def predicted(right: np.ndarray) -> pd.DataFrame:
    """Images of both classes by turns, called right as `right` (n,) says."""
    labels = np.arange(len(right)) % 2
    called = np.where(right, labels, 1 - labels)
    return predictions_of(labels, 0.6 * np.eye(2)[called] + 0.2, CLASSES)


def manifest_of(predictions: pd.DataFrame, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"image": predictions["image"].to_numpy(), "group": None, "digest": "d", **columns})


def two_cameras(per_camera: int, worse: float, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Camera a is right in 90 of 100 images, camera b in as many less the share `worse`."""
    rng = np.random.default_rng(seed)
    camera = np.repeat(["a", "b"], per_camera)
    table = predicted(rng.random(2 * per_camera) < np.where(camera == "a", 0.9, 0.9 - worse))
    return table, manifest_of(table, camera=camera)


def test_a_subgroup_has_the_figures_and_intervals_of_its_rows_alone() -> None:
    table, manifest = two_cameras(50, 0.2)
    found = subgroups(table, CLASSES, "ill", manifest, ["camera"]).set_index("value")
    alone = table[(manifest["camera"] == "b").to_numpy()]
    expected = metrics.score(alone, CLASSES, "ill")
    limits = intervals(alone, CLASSES, "ill", pd.Series(dtype=object))
    row = found.loc["b"]
    assert row["n"] == row["groups"] == 50
    assert row["auroc_macro"] == expected["auroc_macro"]
    assert row["sensitivity"] == expected["positive"]["sensitivity"]
    assert [row["accuracy_low"], row["accuracy_high"]] == limits["accuracy"]
    assert found.loc["a", "rest"] == row["compared"] == row["balanced_accuracy"]


def test_a_camera_that_is_clearly_worse_is_named_and_a_little_worse_is_not() -> None:
    named = []
    for worse in (0.4, 0.05):
        table, manifest = two_cameras(100, worse)
        named.append(worst_of(subgroups(table, CLASSES, None, manifest, ["camera"]), "camera"))
    assert named == ["b", None]


def test_a_camera_that_is_always_wrong_is_named_also_by_the_written_table(tmp_path: Path) -> None:
    table = predicted(np.arange(60) < 40)
    found = subgroups(table, CLASSES, None, manifest_of(table, camera=["a"] * 40 + ["b"] * 20), ["camera"])
    write_table(tmp_path / "subgroups.csv", found)
    assert worst_of(found, "camera") == worst_of(read_table(tmp_path / "subgroups.csv"), "camera") == "b"


def test_fewer_than_ten_images_are_listed_and_never_the_worst() -> None:
    table = predicted(np.arange(69) < 60)
    found = subgroups(table, CLASSES, None, manifest_of(table, camera=["a"] * 60 + ["b"] * 9), ["camera"])
    assert found["value"].tolist() == ["a", "b"] and found["balanced_accuracy"].tolist() == [1, 0]
    assert worst_of(found, "camera") is None


def test_of_two_that_stand_out_the_lower_is_the_worst() -> None:
    rng = np.random.default_rng(0)
    camera = np.repeat(["a", "b", "c"], [400, 100, 100])
    table = predicted(rng.random(600) < np.select([camera == "a", camera == "b"], [0.95, 0.3], 0.5))
    found = subgroups(table, CLASSES, None, manifest_of(table, camera=camera), ["camera"])
    assert found.loc[found["worst"] == 1, "value"].tolist() == ["b"]


def test_a_camera_of_one_class_alone_is_compared_on_that_class() -> None:
    labels = np.array([0] * 40 + [1] * 40)
    camera = np.array((["a"] * 20 + ["b"] * 20) + ["a"] * 40)
    called = np.where((labels == 0) & (np.arange(80) % 20 < 4), 1, 0)  # a fifth of the well are missed, and all the ill
    table = predictions_of(labels, np.eye(2)[called], CLASSES)
    found = subgroups(table, CLASSES, None, manifest_of(table, camera=camera), ["camera"]).set_index("value")
    assert (found["compared"] == 0.8).all() and (found["rest"] == 0.8).all()
    assert found.loc["a", "balanced_accuracy"] == 0.4  # of both classes
    assert not found["worst"].any()


def test_chance_alone_seldom_names_one() -> None:
    rng = np.random.default_rng(0)
    named = 0
    for seed in range(12):
        table, _ = two_cameras(60, 0, seed)
        manifest = manifest_of(table, camera=rng.choice(["a", "b", "c", "d", "e"], 120, p=[0.6, 0.1, 0.1, 0.1, 0.1]))
        named += worst_of(subgroups(table, CLASSES, None, manifest, ["camera"]), "camera") is not None
    assert named <= 1


def test_numbers_are_cut_at_the_tertiles_of_the_test_part_and_a_missing_one_is_unknown() -> None:
    table = predicted(np.arange(31) % 3 > 0)
    manifest = manifest_of(table, width=[*range(100, 130), None])
    elsewhere = pd.DataFrame({"image": ["train.png"], "group": None, "width": 9000})
    found = subgroups(table, CLASSES, None, pd.concat([manifest, elsewhere]), ["width"])
    assert found["value"].tolist() == ["up to 109.666667", "109.666667 to 119.333333", "above 119.333333", "unknown"]
    assert found["n"].tolist() == [10, 10, 10, 1]


def test_up_to_three_numbers_are_values_and_text_that_is_missing_is_unknown() -> None:
    table = predicted(np.arange(30) % 3 > 0)
    manifest = manifest_of(table, bytes=[1234567, 1234568, 20] * 10, camera=["x", None, "y"] * 10)
    found = subgroups(table, CLASSES, None, manifest, ["bytes", "camera"])
    assert found["column"].tolist() == ["bytes"] * 3 + ["camera"] * 3
    assert found["value"].tolist() == ["20", "1234567", "1234568", "x", "y", "unknown"]


def test_patients_are_drawn_whole() -> None:
    table, manifest = two_cameras(40, 0.2)
    found = subgroups(table, CLASSES, None, manifest.assign(group=[f"{n // 4}" for n in range(80)]), ["camera"])
    assert found["groups"].tolist() == [10, 10]


@pytest.mark.parametrize("column", ["kamera", "digest", "image"])
def test_a_column_that_cannot_be_asked_for_is_refused_and_the_others_are_named(column: str) -> None:
    table, manifest = two_cameras(10, 0)
    with pytest.raises(UserError, match=f"evaluate.subgroups: '{column}' .*the manifest has group, camera"):
        subgroups(table, CLASSES, None, manifest, [column])


def test_a_column_of_many_values_is_refused() -> None:
    table = predicted(np.arange(60) > 0)
    with pytest.raises(UserError, match="rest has 60 values in the test part"):
        subgroups(table, CLASSES, None, manifest_of(table, rest=[f"r{n}" for n in range(60)]), ["rest"])


def test_no_columns_give_an_empty_table_that_can_be_written(tmp_path: Path) -> None:
    table, manifest = two_cameras(10, 0)
    found = subgroups(table, CLASSES, None, manifest, [])
    assert found.empty and worst_of(found, "camera") is None
    write_table(tmp_path / "subgroups.csv", found)
    assert list(read_table(tmp_path / "subgroups.csv")) == ["column", "value", "n", "worst"]


def cameras(*counts: tuple[int, int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """For each camera its images and how many of them are right, the wrong ones spread; they are called a, b, c ..."""
    right = np.concatenate([~np.isin(np.arange(n), np.linspace(0, n - 1, n - hits).round()) for n, hits in counts])
    table = predicted(right)
    return table, manifest_of(table, camera=np.repeat(list("abcdefghij")[:len(counts)], [n for n, _ in counts]))


def named(table: pd.DataFrame, manifest: pd.DataFrame) -> str | None:
    return worst_of(subgroups(table, CLASSES, None, manifest, ["camera"]), "camera")


def test_the_more_subgroups_are_compared_the_clearer_one_must_stand_out() -> None:
    assert named(*cameras((160, 144), (40, 27))) == "b"
    assert named(*cameras(*[(40, 36)] * 4, (40, 27))) is None


def test_subgroups_that_are_too_small_to_be_compared_do_not_count_as_comparisons() -> None:
    assert named(*cameras((120, 108), (40, 26), *[(9, 8)] * 8)) == "b"


def test_ten_images_are_enough_to_be_named() -> None:
    assert named(*cameras((60, 60), (10, 0))) == "b"


def test_patients_are_drawn_whole_where_subgroups_are_compared() -> None:
    table = predicted(np.repeat([True] * 5 + [True, True, False, False, False], 10))
    manifest = manifest_of(table, camera=["a"] * 50 + ["b"] * 50)
    assert named(table, manifest) == "b"
    assert named(table, manifest.assign(group=[f"{number // 10}" for number in range(100)])) is None


def test_no_camera_is_worse_where_a_model_says_the_same_of_every_image() -> None:
    labels = [0] * 20 + [1] * 20 + [0] * 90 + [1] * 10
    table = predictions_of(labels, [[0.9, 0.1]] * 140, CLASSES)
    found = subgroups(table, CLASSES, None, manifest_of(table, camera=["a"] * 40 + ["b"] * 100), ["camera"])
    assert (found["compared"] == 0.5).all() and not found["worst"].any()
    assert (found["balanced_accuracy_low"] <= 0.5).all() and (found["balanced_accuracy_high"] >= 0.5).all()


def test_fifty_values_of_a_column_can_be_compared() -> None:
    table = predicted(np.arange(50) > 0)
    manifest = manifest_of(table, rest=[f"r{number:02}" for number in range(50)])
    assert len(subgroups(table, CLASSES, None, manifest, ["rest"])) == 50


def counted(values: Sequence[float]) -> dict[str, int]:
    found = values_of(pd.DataFrame({"width": values}), "width")
    return dict(zip(found.categories, found.value_counts(), strict=True))


def test_a_value_at_a_tertile_belongs_to_what_is_below() -> None:
    assert counted([1, 1, 2, 2, 3, 3, 4]) == {"up to 2": 4, "2 to 3": 2, "above 3": 1}
    assert counted([1, 2, 3, *[4] * 8, 5]) == {"up to 4": 11, "above 4": 1}


def test_where_most_are_the_highest_number_it_is_set_against_what_is_below() -> None:
    assert counted([800, 850, 900, 970] * 3 + [1000] * 88) == {"below 1000": 12, "1000": 88}


def test_numbers_of_eight_digits_are_cut_where_they_are() -> None:
    dates = [20230101.0 + day for day in range(30)]
    assert counted(dates) == {"up to 20230110.7": 10, "20230110.7 to 20230120.3": 10, "above 20230120.3": 10}
