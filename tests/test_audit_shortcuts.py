"""What tells the label without a look at the picture: found where it is planted, never where labels are shuffled."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.shortcuts import shuffled
from fovea.audit.auroc import FOLDS, folds, interval
from fovea.audit.balance import balance
from fovea.audit.baseline import trivial_baseline
from fovea.audit.features import features
from fovea.audit.shortcuts import shortcuts, warnings
from tests.audit_sets import Table, generated, real_table, table_of, uneven
from tests.real_sets import needs_real_sets


def of(found: list[dict[str, Any]], feature: str) -> dict[str, Any]:
    return next(one for one in found if one["feature"] == feature)


def flagged(found: list[dict[str, Any]]) -> set[str]:
    return {one["feature"] for one in found if one["flagged"]}


def planted(column: str, make: Callable[[bool], Any], images: int = 400) -> set[str]:
    """What is warned of if `column` goes with class 1 in nine of ten images."""
    manifest = generated(images)
    agrees = np.random.default_rng(1).random(images) < 0.9
    manifest[column] = [make(bool(one)) for one in (manifest["target"] == 1) == agrees]
    return flagged(shortcuts(*table_of(manifest)))


@pytest.mark.parametrize(("column", "values", "feature"), [
    ("width", (3024, 1024), "width"),
    ("format", ("png", "jpeg"), "file format"),
    ("camera", ("Canon", None), "camera"),
    ("compression", ("0a1b2c3d", "ffee0011"), "compression"),
    ("bytes", (900_000, 100_000), "bytes per pixel"),
    ("rest", ("site a/1.jpg", "site b/1.jpg"), "folder 1"),
    ("rest", ("scan_a_1.jpg", "scan_b_1.jpg"), "word 2 of the file name"),
    ("rest", ("x/0017.jpg", "x/5017.jpg"), "number 1 of the file name"),
    ("rest", ("x/1.jpg", "x/1.JPEG"), "extension of the file name"),
    ("rest", ("a.zip!m/1.jpg", "a.zip!n/1.jpg"), "folder 2"),
    ("rest", ("1", "11"), "length of the file name"),
])  # fmt: skip
def test_what_goes_with_the_label_is_warned_of(column: str, values: tuple[Any, Any], feature: str) -> None:
    assert feature in planted(column, lambda hit: values[0] if hit else values[1])


def test_sizes_that_differ_only_together_are_found() -> None:
    manifest = generated(400)
    turned = np.random.default_rng(0).random(400) < 0.5
    sizes = np.where(turned, 1000, 800), np.where(turned == (manifest["target"] == 1), 1000, 800)
    manifest["width"], manifest["height"] = (pd.Series(side, dtype="int32") for side in sizes)
    found = shortcuts(*table_of(manifest))
    assert of(found, "image size")["auroc"] == 1.0
    assert not of(found, "width")["flagged"] and not of(found, "height")["flagged"]


def test_bytes_per_pixel_of_files_stored_alike_are_the_picture_and_no_warning() -> None:
    manifest = generated(400).assign(format="jpeg", compression="0a1b2c3d")
    manifest.attrs = generated(1).attrs | {"classes": ["class 0", "class 1"]}
    manifest["bytes"] = np.where(manifest["target"] == 1, 900_000, 100_000)
    one = of(shortcuts(*table_of(manifest)), "bytes per pixel")
    assert one["auroc"] > 0.9 and not one["flagged"]
    assert one["sentence"].endswith("so it is what the pictures show, be it sharpness, margins or the disease")


def test_the_class_that_is_told_best_is_named() -> None:
    manifest = generated(900, classes=6)
    manifest["camera"] = np.where(manifest["target"] == 4, "Canon", "Topcon")
    one = of(shortcuts(*table_of(manifest)), "camera")
    assert one["classes"] == "class 4" and one["auroc"] == 1.0 and one["flagged"]
    assert one["sentence"].startswith("camera alone separates class class 4 from the others: AUROC 1.00 (0.9")


def test_width_height_and_size_are_one_warning() -> None:
    manifest = generated(400)
    manifest["width"] = np.where(manifest["target"] == 1, 3024, 1024).astype(np.int32)
    manifest["camera"] = np.where(manifest["target"] == 1, "Canon", "Topcon")
    found = shortcuts(*table_of(manifest))
    assert {"width", "image size", "aspect ratio", "camera", "bytes per pixel"} <= flagged(found)
    named = [sentence.split(" alone")[0] for sentence in warnings(found)]
    assert named == ["width", "camera", "bytes per pixel"]


def test_only_the_training_part_is_looked_at() -> None:
    manifest, part, units = table_of(generated(600))
    part[:300], part[300:350] = "test", None
    elsewhere = part != "train"
    manifest["width"] = np.where(elsewhere, np.where(manifest["target"] == 1, 3024, 1024), 700)
    assert "width" not in [one["feature"] for one in shortcuts(manifest, part, units)]
    assert {one["n"] for one in shortcuts(manifest, part, units)} == {250}


def test_what_images_of_one_patient_share_is_not_taken_for_a_shortcut() -> None:
    """A camera of its own for each patient tells the label of the patient's other images, and of nobody else's."""
    manifest = generated(600, groups=150, seed=3)
    number = manifest["group"].str.split().str[1].astype(int)
    manifest["target"] = (number % 2).astype(np.int16)
    manifest["camera"] = "camera " + number.astype(str)
    assert of(shortcuts(*table_of(manifest)), "camera")["auroc"] == pytest.approx(0.5, abs=0.05)
    alone = np.arange(600).astype(object)
    assert of(shortcuts(manifest, np.full(600, "train", dtype=object), alone), "camera")["auroc"] > 0.95


def test_shuffled_labels_give_one_half_on_average_and_no_warning() -> None:
    """The trap: pooled over folds, shares of a file format rank shuffled labels at 0.48; at 0.21, leaving one out."""
    manifest = generated(120)
    manifest["camera"] = [f"camera {number // 2}" for number in range(120)]
    rng, table = np.random.default_rng(0), table_of(manifest)
    runs = [shortcuts(*shuffled(table, rng)) for _ in range(60)]
    assert not any(flagged(run) for run in runs)
    for feature in ("camera", "width", "file format", "bytes per pixel"):
        assert np.mean([of(run, feature)["auroc"] for run in runs]) == pytest.approx(0.5, abs=0.02), feature
    outside = [not one["low"] <= 0.5 <= one["high"] for run in runs for one in run]
    assert np.mean(outside) < 0.08


def test_a_value_that_was_never_seen_tells_nothing() -> None:
    manifest = generated(400)
    manifest["camera"] = [f"camera {number}" for number in range(400)]
    assert of(shortcuts(*table_of(manifest)), "camera")["auroc"] == 0.5


@pytest.mark.parametrize("classes", [2, 4])
def test_the_order_of_the_rows_does_not_matter(classes: int) -> None:
    manifest, part, units = table_of(generated(500, classes=classes, groups=200))
    order = np.random.default_rng(5).permutation(500)
    mixed = manifest.iloc[order]
    mixed.attrs = manifest.attrs
    for audit in (shortcuts, trivial_baseline):
        assert audit(manifest, part, units) == audit(mixed, part[order], units[order])
    reset = mixed.reset_index(drop=True)
    reset.attrs = manifest.attrs
    assert shortcuts(manifest, part, units) == shortcuts(reset, part[order], units[order])


def test_what_is_found_is_plain_json() -> None:
    manifest, part, units = table_of(generated(90, classes=3, groups=40))
    for found in (shortcuts(manifest, part, units), trivial_baseline(manifest, part, units), balance(manifest)):
        assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("images", [0, 3, 9])
def test_too_few_images_give_nothing(images: int) -> None:
    table = table_of(generated(20))
    table[1][images:] = None
    assert shortcuts(*table) == [] and trivial_baseline(*table) == []


def test_a_class_without_training_images_is_left_out() -> None:
    manifest, part, units = table_of(generated(300, classes=3))
    part[manifest["target"] == 2] = "test"
    found = shortcuts(manifest, part, units)
    assert found and "class 2" not in {one["classes"] for one in found}
    assert all(0.3 < one["auroc"] < 0.7 for one in trivial_baseline(manifest, part, units))


def test_features_without_a_difference_are_left_out() -> None:
    manifest = generated(50).assign(width=800, height=600, format="jpeg", camera=None, compression=None, rest="a.jpg")
    assert [one.name for one in features(manifest)] == ["bytes per pixel"]


def test_a_camera_of_patients_with_very_different_numbers_of_images_is_no_shortcut() -> None:
    found = [one for seed in range(25) for one in shortcuts(*table_of(uneven(200, 1.5, seed)))
             if one["feature"] == "camera"]
    assert not any(one["flagged"] for one in found)
    assert sum(not one["low"] <= 0.5 <= one["high"] for one in found) <= 3  # one in twenty, and a few by chance


@given(units=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=1, max_size=80))
def test_folds_keep_units_whole_and_spread_classes_evenly(units: list[tuple[int, int]]) -> None:
    names, targets = np.array([name for name, _ in units], dtype=object), np.array([name % 3 for name, _ in units])
    fold = folds(targets, names, 0)
    assert pd.Series(fold).groupby(names).nunique().max() == 1
    for target in set(targets):
        sizes = pd.Series(fold[targets == target]).groupby(names[targets == target]).first().value_counts()
        assert sizes.reindex(range(FOLDS), fill_value=0).max() - sizes.reindex(range(FOLDS), fill_value=0).min() <= 1


@given(auroc=st.floats(0, 1), positives=st.integers(1, 5000), negatives=st.integers(1, 5000))
def test_an_interval_holds_its_estimate_and_grows_with_the_level(auroc: float, positives: int, negatives: int) -> None:
    low, high = interval(auroc, positives, negatives, 0.95)
    assert 0 <= low <= auroc <= high <= 1
    wider = interval(auroc, positives, negatives, 0.999)
    assert wider[0] <= low + 1e-9 and wider[1] >= high - 1e-9


def test_a_thumbnail_that_shows_the_class_is_a_baseline_and_one_of_noise_is_not() -> None:
    manifest, part, units = table_of(generated(400, classes=3))
    noise = {one["feature"]: one for one in trivial_baseline(manifest, part, units)}
    assert list(noise) == ["mean colour", "border", "8 x 8 thumbnail"]
    assert all(one["low"] < 0.5 < one["high"] for one in noise.values())
    pixels = np.random.default_rng(0).integers(60, 120, (400, 8, 8, 3), dtype=np.uint8)
    pixels[np.arange(400), 4, 2 + manifest["target"]] += 60
    manifest["thumbnail"] = [one.tobytes() for one in pixels]
    shown = {one["feature"]: one["auroc"] for one in trivial_baseline(manifest, part, units)}
    assert shown["8 x 8 thumbnail"] > 0.95 and shown["border"] < 0.6


def test_balance_counts_given_parts_and_groups() -> None:
    manifest = generated(6)
    assert balance(manifest) == {}
    manifest["group"] = ["p", "p", "q", "q", "q", None]
    manifest["given_split"] = ["train", "train", "train", None, "test", "test"]
    manifest["label"] = manifest["label"].where(manifest.index != 1, "class 0")
    assert balance(manifest) == {
        "given_split": {"test": {"class 0": 1, "class 1": 1}, "train": {"class 0": 3, "class 1": 0}},
        "groups": {"count": 2, "largest": 3, "of_one_class": 1},
    }


@needs_real_sets
def test_image_size_gives_skin200_away() -> None:
    found = shortcuts(*real_table("skin200"))
    size = of(found, "image size")
    assert size["auroc"] > 0.99 and size["flagged"] and found[0] == size
    assert size["sentence"] == ("image size alone separates benign from malignant: AUROC 1.00 (0.95-1.00); "
                                "a model may learn it")


@needs_real_sets
@pytest.mark.parametrize("name", ["palm", "aptos2019"])
def test_sets_of_one_size_and_compression_give_no_warning_but_a_baseline_to_beat(name: str) -> None:
    table: Table = real_table(name)
    assert flagged(shortcuts(*table)) == set()
    baseline = {one["feature"]: one["auroc"] for one in trivial_baseline(*table)}
    assert baseline["8 x 8 thumbnail"] > {"palm": 0.95, "aptos2019": 0.80}[name]


@needs_real_sets
@pytest.mark.parametrize("name", ["skin200", "palm"])
def test_shuffled_labels_of_real_sets_are_never_warned_of(name: str) -> None:
    rng, table = np.random.default_rng(7), real_table(name)
    assert not any(flagged(shortcuts(*shuffled(table, rng))) for _ in range(50))
