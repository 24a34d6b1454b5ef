"""Settings for the real image sets below the folder that FOVEA_REAL_DATA names, on top of params.yaml; and whether
there are real weights, in the folder that FOVEA_REAL_WEIGHTS names."""

import os
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.import_closure import ROOT

FOLDER = os.environ.get("FOVEA_REAL_DATA")
MISSING = "needs real image sets: set FOVEA_REAL_DATA to their folder"
needs_real_sets = pytest.mark.skipif(FOLDER is None, reason=MISSING)
REAL_WEIGHTS = os.environ.get("FOVEA_REAL_WEIGHTS")
needs_real_weights = pytest.mark.skipif(
    REAL_WEIGHTS is None, reason="needs real weights: set FOVEA_REAL_WEIGHTS to their folder"
)


def _recipe_dataset(recipe: str) -> dict[str, Any]:
    dataset = YAML(typ="safe").load(ROOT / "recipes" / f"{recipe}.yaml")["params"]["dataset"]
    return {f"dataset.{key}": value for key, value in dataset.items()}


APTOS = {
    "layout": "table", "file": "train.csv", "images": "images", "header": True, "name_column": "id_code",
    "label_column": "diagnosis", "group_column": None, "split_column": None, "extension": ".jpg", "split": None,
}  # fmt: skip
REAL_SETS: dict[str, dict[str, Any]] = {
    "palm": {**_recipe_dataset("myopia"), "augment.crop": "none"},
    "skin200": {**_recipe_dataset("skin"), "augment.crop": "centre"},
    "aptos2019": {"dataset.sources": [APTOS], "dataset.group": None},
    "retinamnist": {
        "dataset.sources": [{"layout": "arrays", "file": "retinamnist.npz", "split": None}],
        "dataset.group": None,
        "augment.crop": "none",
    },
}
for name, settings in REAL_SETS.items():
    settings |= {"dataset.name": name, "report.title": name, "augment.variants": 0}


def link(name: str, project: Path) -> None:
    """Put a link to the set where a user would."""
    assert FOLDER is not None
    (project / "data/raw" / name).symlink_to(Path(FOLDER) / name)
