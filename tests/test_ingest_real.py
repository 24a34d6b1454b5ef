"""The four real image sets, where the environment variable FOVEA_REAL_DATA names the folder that holds them."""

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from fovea.ingest.manifest import build_manifest, summarise
from fovea.params.dataset import DatasetParams
from fovea.params.split import SplitParams
from fovea.split import audit, split_images
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
    """Manifest, rejected table and split of a real set."""
    folder = Path(os.environ.get("FOVEA_REAL_DATA", "nowhere")) / name
    if not folder.is_dir():
        pytest.skip(f"FOVEA_REAL_DATA has no {name}")
    dataset = DatasetParams.model_validate({**SET, "name": name, **SETS[name]})
    with tempfile.TemporaryDirectory() as store:
        manifest, rejected = build_manifest(folder, dataset, 10**8, 0, Path(store))
    return manifest, rejected, split_images(manifest, SplitParams(seed=0, test=0.2, val=0.15))


def test_aptos2019_has_its_published_counts_and_an_exact_split() -> None:
    manifest, rejected, split = real("aptos2019")
    assert summarise(manifest, rejected)["classes"] == dict(zip(GRADES, [1805, 370, 999, 193, 295], strict=True))
    assert rejected.empty
    assert summarise_split(manifest, split)["test"] == dict(zip(GRADES, [361, 74, 200, 39, 59], strict=True))
    assert audit(manifest, split) == {"identical_files": 123, "conflicting_labels": 30, "across_parts": 0,
                                      "groups_across_parts": 0}  # fmt: skip


def test_palm_tests_on_the_given_validation_part() -> None:
    manifest, rejected, split = real("palm")
    assert rejected.empty and summarise(manifest, rejected)["given"] == {"test": 400, "train": 400}
    assert summarise_split(manifest, split)["images"] == {"train": 340, "val": 60, "test": 400}
    assert audit(manifest, split)["across_parts"] == 2


def test_skin200_keeps_its_three_lists_to_the_last_line() -> None:
    manifest, rejected, split = real("skin200")
    assert rejected.empty and summarise_split(manifest, split)["images"] == {"train": 128, "val": 32, "test": 40}


def test_retinamnist_keeps_the_official_split() -> None:
    manifest, rejected, split = real("retinamnist")
    assert rejected.empty and summarise_split(manifest, split)["images"] == {"train": 1080, "val": 120, "test": 400}
