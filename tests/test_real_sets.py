"""The real image sets, through the whole DAG with a network as small as can be."""

import json
from pathlib import Path

import pytest

from tests.project import STAGES, Project
from tests.real_sets import REAL_SETS, link, needs_real_sets

COUNTS = {
    "palm": {"train": 338, "val": 60, "test": 400},
    "skin200": {"train": 128, "val": 32, "test": 40},
    "aptos2019": {"train": 2490, "val": 439, "test": 733},
    "retinamnist": {"train": 1080, "val": 120, "test": 400},
}


@needs_real_sets
@pytest.mark.parametrize("name", REAL_SETS)
def test_a_real_set_goes_through_every_stage(tmp_path: Path, name: str) -> None:
    project = Project.create(tmp_path / "project")
    link(name, project.folder)
    short = {"augment.image_size": 32, "train.model": "squeezenet1_1", "train.full.epochs": 1, "train.batch_size": 64,
             "evaluate.explain": 0}
    project.set_params({**REAL_SETS[name], **short})
    assert project.repro() == list(STAGES)
    ingested = json.loads(project.text("reports/ingest.json"))
    assert ingested["rejected"] == 0
    assert json.loads(project.text("reports/split.json"))["images"] == COUNTS[name]
    metrics = json.loads(project.text("reports/metrics.json"))["test"]
    assert metrics["n"] == COUNTS[name]["test"]
    assert 0 <= metrics["auroc_macro"] <= 1
