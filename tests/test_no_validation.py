"""`split.val: 0`: no validation part, the last epoch is kept, and what would need one is refused."""

import json
from typing import Any

import pandas as pd
import pytest

from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("project"))
    write_fundus_lesions(project.folder / "data/raw/small", per_class=6)
    project.set_params({**SMALL, "split.val": 0, "train.full.epochs": 2})
    for stage in ("ingest", "split", "augment"):
        project.run(f"python stages/{stage}.py")
    return project


def test_the_pipeline_runs_and_keeps_the_last_epoch(project: Project) -> None:
    for stage in ("train", "evaluate", "report"):
        project.run(f"python stages/{stage}.py")
    assert json.loads(project.text("models/model.json"))["best"]["epoch"] == 2
    assert set(pd.read_csv(project.folder / "reports/predictions.csv")["split"]) == {"test"}
    assert set(json.loads(project.text("reports/metrics.json"))) == {"test"}
    assert "<html" in project.text("reports/report.html")


@pytest.mark.parametrize(
    ("change", "instead"),
    [
        ({"train.early_stopping": 3}, "early_stopping 0"),
        ({"train.full.schedule": {"name": "plateau", "factor": 0.1, "patience": 2}}, "another schedule than plateau"),
    ],
    ids=["early stopping", "plateau"],
)
def test_what_needs_validation_is_refused(project: Project, change: dict[str, Any], instead: str) -> None:
    before = project.text("params.yaml")
    project.set_params(change)
    done = project.run("python stages/train.py", check=False)
    (project.folder / "params.yaml").write_text(before)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: train.") and line.endswith(
        f"needs validation images; set split.val above 0, or {instead}"
    )
