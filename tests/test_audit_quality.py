"""Photographs unlike the others."""

import json

import numpy as np
import pandas as pd
import pytest

from fovea.audit.quality import RULES, quality
from tests.audit_sets import generated, real_table
from tests.real_sets import needs_real_sets

FAULTS = {"dark": ("brightness", 0.04), "bright": ("brightness", 0.97), "blurred": ("sharpness", 0.4),
          "saturated": ("saturated", 0.7), "off_centre": ("offset", 0.4)}  # fmt: skip


def found(manifest: pd.DataFrame) -> dict[str, int]:
    return {name: one["count"] for name, one in quality(manifest).items()}


@pytest.mark.parametrize("images", [20, 1000, 20_000])
def test_a_set_without_outliers_has_none(images: int) -> None:
    assert found(generated(images)) == dict.fromkeys(RULES, 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_an_outlier_is_found_and_nothing_else(fault: str) -> None:
    manifest, (column, value) = generated(300), FAULTS[fault]
    manifest.loc[17, column] = value
    assert found(manifest) == dict.fromkeys(RULES, 0) | {fault: 1}
    assert quality(manifest)[fault]["images"] == [manifest["image"][17]]


def test_the_worst_come_first_and_twelve_are_named() -> None:
    manifest = generated(300)
    manifest.loc[:19, "saturated"] = np.linspace(0.6, 0.9, 20, dtype=np.float32)
    one = quality(manifest)["saturated"]
    assert one["count"] == 20
    assert one["images"] == manifest["image"][19:7:-1].tolist()


def test_images_all_alike_but_for_a_trifle_have_no_outlier() -> None:
    manifest = generated(300).assign(brightness=0.45, sharpness=2.0, saturated=0.0, offset=0.0)
    manifest.loc[3, ["brightness", "sharpness", "saturated", "offset"]] = [0.40, 1.8, 0.02, 0.03]
    assert found(manifest) == dict.fromkeys(RULES, 0)


def test_a_black_image_is_dark_even_where_most_are() -> None:
    manifest = generated(300).assign(brightness=0.01)
    assert found(manifest)["dark"] == 300


def test_an_unknown_value_is_no_fault_and_the_order_does_not_matter() -> None:
    manifest = generated(200)
    manifest.loc[:3, "sharpness"] = np.nan
    manifest.loc[4:20, "sharpness"] = -1.0
    assert quality(manifest)["blurred"]["count"] == 17
    assert quality(manifest.sample(frac=1, random_state=0)) == quality(manifest)
    json.dumps(quality(manifest), allow_nan=False)


@needs_real_sets
@pytest.mark.parametrize("name", ["palm", "aptos2019", "skin200"])
def test_few_of_a_real_set_are_outliers(name: str) -> None:
    manifest, _, _ = real_table(name)
    assert 0 < sum(found(manifest).values()) < 0.15 * len(manifest)
