"""The four real image sets and what they give away, where FOVEA_REAL_DATA names the folder that holds them."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from fovea.audit.copies import find_copies, group_copies
from fovea.audit.findings import findings
from fovea.ingest.manifest import build_manifest, summarise
from fovea.params.dataset import DatasetParams
from fovea.params.split import SplitParams
from fovea.split import split_images, unit_of
from fovea.split import summarise as summarise_split
from tests.ingest_sets import SET, TABLE

GRADES = ["0", "1", "2", "3", "4"]
LIST = {**TABLE, "header": False, "name_column": 0, "label_column": 1}
SETS: dict[str, dict[str, Any]] = {
    "aptos2019": {
        "classes": GRADES,
        "sources": [{**TABLE, "file": "train.csv", "name_column": "id_code", "label_column": "diagnosis",
                     "extension": ".jpg"}],
    },
    "palm": {
        "labels": {"H": "normal", "N": "normal", "P": "myopia", "0": "normal", "1": "myopia"},
        "classes": ["normal", "myopia"],
        "positive": "myopia",
        "splits": {"training": "train", "validation": "test"},
        "sources": [
            {"layout": "pattern", "images": "PALM-Training400", "pattern": "^(?P<label>[HNP])", "split": "training"},
            {**TABLE, "images": "PALM-Validation400", "name_column": "imgName", "label_column": "Label",
             "split": "validation"},
        ],
    },
    "skin200": {
        "labels": {"0": "benign", "1": "malignant"},
        "classes": ["benign", "malignant"],
        "positive": "malignant",
        "sources": [{**LIST, "file": f"labels/{part}.txt", "split": part} for part in ("train", "val", "test")],
    },
    "retinamnist": {
        "classes": GRADES,
        "sources": [{"layout": "arrays", "file": "retinamnist.npz", "split": None}],
    },
}  # fmt: skip


def real(name: str) -> Any:
    """Manifest, rejected table, split and findings of a real set."""
    folder = Path(os.environ.get("FOVEA_REAL_DATA", "nowhere")) / name
    if not folder.is_dir():
        pytest.skip(f"FOVEA_REAL_DATA has no {name}")
    dataset = DatasetParams.model_validate({**SET, "name": name, **SETS[name]})
    params = SplitParams(seed=0, test=0.2, val=0.15, folds=0, fold=0, duplicates="keep", leaks="drop", shortcuts="warn")
    with tempfile.TemporaryDirectory() as store:
        manifest, rejected = build_manifest(folder, dataset, 10**8, 0, Path(store))
        pairs = find_copies(manifest, folder, 0, Path(store))
    copies, too_large = group_copies(manifest, pairs)
    split = split_images(manifest, copies, params)
    audit = findings(manifest, split, unit_of(manifest, copies), pairs, copies, too_large, params)
    return manifest, rejected, split, audit


def test_aptos2019_has_copies_with_conflicting_grades() -> None:
    manifest, rejected, split, audit = real("aptos2019")
    assert summarise(manifest, rejected)["classes"] == dict(zip(GRADES, [1805, 370, 999, 193, 295], strict=True))
    assert rejected.empty
    assert summarise_split(manifest, split)["test"] == dict(zip(GRADES, [361, 74, 200, 39, 59], strict=True))
    duplicates = audit["duplicates"]
    assert (duplicates["identical_files"], duplicates["identical_conflicts"], duplicates["leaks"]) == (123, 30, 0)
    assert all(len(set(group["parts"])) == 1 for group in duplicates["groups"])
    assert not any(shortcut["flagged"] for shortcut in audit["shortcuts"])
    assert len(audit["warnings"]) == 1 and "different labels" in audit["warnings"][0]


def test_palm_loses_the_training_copies_of_test_images() -> None:
    manifest, rejected, split, audit = real("palm")
    assert rejected.empty and summarise(manifest, rejected)["given"] == {"test": 400, "train": 400}
    assert summarise_split(manifest, split)["images"] == {"train": 338, "val": 60, "test": 400}
    duplicates = audit["duplicates"]
    assert (duplicates["identical_files"], duplicates["leaks"]) == (5, 2) and sum(duplicates["dropped"].values()) == 2
    assert "2 pictures stand in several parts" in audit["warnings"][0]


def test_skin200_is_told_by_the_size_of_its_images() -> None:
    _, rejected, split, audit = real("skin200")
    assert rejected.empty and split["split"].value_counts().to_dict() == {"train": 128, "val": 32, "test": 40}
    assert [group["images"] for group in audit["duplicates"]["groups"]] == [
        ["images/ISIC_0000279.jpg", "images/ISIC_0000280.jpg"]]  # fmt: skip
    size = next(shortcut for shortcut in audit["shortcuts"] if shortcut["feature"] == "image size")
    assert size["flagged"] and size["auroc"] > 0.99 and size["sentence"] == audit["warnings"][0]


def test_retinamnist_keeps_the_official_split() -> None:
    manifest, rejected, split, audit = real("retinamnist")
    assert rejected.empty and summarise_split(manifest, split)["images"] == {"train": 1080, "val": 120, "test": 400}
    assert audit["warnings"] == []
