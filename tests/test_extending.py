"""docs/extending.md: each diff fits the code as it is, and does what the page says of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.import_closure import ROOT
from tests.project import Project

DIFFS = re.findall(r"(?ms)^## A (\w+)$.*?^```diff\n(.*?)^```$", (ROOT / "docs/extending.md").read_text("utf-8"))
CHECKS = ("__init__.py", "import_closure.py", "test_dvc_yaml.py")  # of dvc.yaml


def apply(project: Project, diff: str) -> None:
    done = subprocess.run(["git", "apply", "-"], input=diff, cwd=project.folder, text=True, capture_output=True)
    assert done.returncode == 0, f"{done.stderr}the code has moved: make the diff of docs/extending.md anew"


def python(project: Project, *arguments: str | Path, place: Path) -> str:
    """What Python prints, with the modules of the project and, behind them, those of the tests."""
    environment = project.environment | {"PYTHONPATH": os.pathsep.join(map(str, (project.folder / "src", ROOT)))}
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=place, env=environment, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.create(tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project with all diffs."""
    project = Project.create(tmp_path_factory.mktemp("extended"))
    for _, diff in DIFFS:
        apply(project, diff)
    return project


@pytest.fixture(scope="module")
def said(extended: Project, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What tests/extended.py finds with the code of the project."""
    place = tmp_path_factory.mktemp("said")
    found = json.loads(python(extended, "-m", "tests.extended", place, place=place).splitlines()[-1])
    assert found["fovea"] == str(extended.folder / "src/fovea")
    return found


@pytest.mark.parametrize("diff", [diff for _, diff in DIFFS], ids=[name for name, _ in DIFFS])
def test_a_diff_fits_the_code_by_itself(clean: Project, diff: str) -> None:
    apply(clean, diff)
    clean.run("git stash -q -u")


def test_the_page_has_a_metric_a_layout_and_a_model() -> None:
    assert [name for name, _ in DIFFS] == ["metric", "layout", "model"]


def test_a_new_metric_has_figures_intervals_and_a_place_in_the_report(said: Any) -> None:
    of_class, macro, interval, in_report = said["metric"]
    assert of_class == pytest.approx(6 / 7) and macro == pytest.approx((6 / 7 + 1 + 1) / 3)
    assert interval[0] < of_class <= interval[1] <= 1 and in_report


def test_a_new_layout_reads_a_set_and_rejects_what_has_no_label(said: Any) -> None:
    labels, reasons = said["layout"]
    assert labels == {"eyes/1.jpg": "normal", "eyes/2.jpg": "drusen"}
    assert reasons == {"eyes/3.jpg": "no label: no .txt file lies beside it"}


def test_a_model_of_ones_own_is_trained_saved_and_read_again(said: Any) -> None:
    assert said["model"] == [["frozen", "full"], "SmallNet"]


def test_the_diffs_name_every_new_module_in_the_pipeline(extended: Project) -> None:
    (extended.folder / "tests").mkdir()
    for name in CHECKS:
        shutil.copy(ROOT / "tests" / name, extended.folder / "tests" / name)
    python(extended, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_dvc_yaml.py", place=extended.folder)
