"""`fovea inspect` on the four real image sets, where FOVEA_REAL_DATA names the folder that holds them."""

from pathlib import Path
from typing import Any

import pytest

from fovea.inspect.command import listing_of
from fovea.inspect.confirm import Layout
from fovea.inspect.find import find
from tests.real_sets import FOLDER, REAL_SETS, needs_real_sets

pytestmark = needs_real_sets


def layouts_of(name: str, labels: str | None = None, number: int | None = None) -> list[Layout]:
    assert FOLDER is not None
    return find(listing_of(Path(FOLDER) / name), name, labels, number).layouts


def recipe(name: str, key: str) -> Any:
    """What is known to be right."""
    return REAL_SETS[name][f"dataset.{key}"]


def test_aptos2019_is_one_table_without_a_split() -> None:
    (layout,) = layouts_of("aptos2019")
    assert layout.dataset["sources"] == recipe("aptos2019", "sources")
    assert layout.counts("label") == {"0": 1805, "1": 370, "2": 999, "3": 193, "4": 295}
    assert layout.dataset["group"] is None and layout.counts("given") == {} and layout.unusable == {}


def test_palm_is_a_pattern_and_a_table_whose_classes_the_user_matches() -> None:
    (layout,) = layouts_of("palm")
    assert layout.question is not None and set(layout.dataset["labels"].values()) == {"?"}
    (layout,) = layouts_of("palm", "H=normal,N=normal,P=pathologic,0=normal,1=pathologic")
    pattern, table = layout.dataset["sources"]
    assert pattern == {**recipe("palm", "sources")[0], "pattern": r"^(?P<label>[HNP])\d", "split": "train"}
    assert table == recipe("palm", "sources")[1]
    assert layout.counts("label") == {"normal": 187 + 189, "pathologic": 213 + 211}
    assert layout.counts("given") == {"train": 400, "test": 400} and layout.unusable == {}
    for key in ("labels", "classes", "positive"):
        assert layout.dataset[key] == recipe("palm", key)


def test_skin200_has_two_layouts() -> None:
    lists, one = layouts_of("skin200")
    assert lists.dataset["sources"] == recipe("skin200", "sources")
    assert lists.dataset["splits"] == recipe("skin200", "splits")
    assert lists.counts("given") == {"train": 128, "val": 32, "test": 40}
    assert one.dataset["sources"][0]["file"] == "labels/small_dataset.txt"
    assert one.counts("label") == {"benign": 100, "malignant": 100} and one.counts("given") == {}


@pytest.mark.parametrize(("number", "labels"), [(1, "0=mole,1=cancer"), (2, "benign=mole,malignant=cancer")])
def test_skin200_names_the_classes_of_the_layout_that_is_meant(number: int, labels: str) -> None:
    layouts = layouts_of("skin200", labels, number)
    assert layouts[number - 1].counts("label") == {"cancer": 100, "mole": 100}
    assert "mole" not in layouts[2 - number].counts("label")


def test_retinamnist_keeps_the_official_parts() -> None:
    (layout,) = layouts_of("retinamnist")
    assert layout.dataset["sources"] == recipe("retinamnist", "sources")
    assert layout.counts("given") == {"train": 1080, "val": 120, "test": 400}
    assert layout.dataset["classes"] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("name", REAL_SETS)
def test_every_image_is_taken(name: str) -> None:
    assert all(layout.unusable == {} for layout in layouts_of(name))
