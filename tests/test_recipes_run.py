"""Each recipe on a miniature of its layout, through all stages."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.miniatures import write_fundus_lesions, write_myopia, write_retinopathy, write_skin
from tests.project import STAGES, Project

RECIPES: dict[str, Callable[[Path], None]] = {
    "fundus-lesions": write_fundus_lesions,
    "retinopathy": write_retinopathy,
    "skin": write_skin,
    "myopia": write_myopia,
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_runs_on_its_layout(tmp_path: Path, recipe: str) -> None:
    """The recipe's own network, loss, optimizer, schedule and transforms; images and epochs as small as can be."""
    project = Project.create(tmp_path / "project")
    project.run(f"fovea recipe {recipe} --quick")
    name = project.params()["dataset"]["name"]
    RECIPES[recipe](project.folder / "data/raw" / name)
    full = project.params()["train"]["full"]["epochs"]
    small: dict[str, Any] = {"augment.image_size": 40, "train.full.epochs": min(full, 1), "train.frozen.epochs": 0}
    if recipe == "fundus-lesions":
        small["train.frozen.epochs"] = 2
    if project.params()["train"]["crop"]:
        small["train.crop"] = 36
    project.set_params(small)
    assert project.repro() == list(STAGES)

    history = pd.read_csv(project.folder / "reports/history.csv")
    assert list(history["phase"]) == ["frozen"] * small["train.frozen.epochs"] + ["full"] * small["train.full.epochs"]
    assert history["val_balanced_accuracy"].notna().all()
    assert "quick" in project.text("reports/report.html")
    if recipe == "skin":
        project.run("fovea export-predictions published.csv")
        rows = list(csv.DictReader(project.text("published.csv").splitlines()))
        assert list(rows[0]) == ["img_path", "label", "predict"] and len(rows) == 8
