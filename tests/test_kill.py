"""`dvc repro` goes on with a training that was killed or stopped: the same bytes, the same MLflow run."""

import re
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.kills import copy, outcome, send, start, wait_for_line
from tests.project import SMALL, Project


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose next stage is `train`."""
    project = Project.create(tmp_path_factory.mktemp("kill") / "project")
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        folder = project.folder / "data/raw/small" / label
        folder.mkdir(parents=True)
        for number in range(30):
            Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    project.set_params(SMALL | {"train.full.epochs": 40, "train.log_every": 1, "machine.checkpoint": 0.2})
    project.run("dvc repro augment")
    return project


@pytest.fixture(scope="module")
def unbroken(prepared: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy(prepared, tmp_path_factory.mktemp("unbroken") / "project")
    project.run("dvc repro train")
    return project


def checkpoints(project: Project) -> list[Path]:
    return list((project.folder / ".cache/fovea/checkpoints").glob("*/checkpoint.pt"))


def same(project: Project, unbroken: Project) -> None:
    found, expected = outcome(project), outcome(unbroken)
    assert found.outputs == expected.outputs
    assert found.points == expected.points
    assert (found.runs, found.twice) == (["FINISHED"], 0)


def test_killed_it_goes_on_in_the_same_run_and_ends_with_the_same_bytes(
    prepared: Project, unbroken: Project, tmp_path: Path
) -> None:
    project = copy(prepared, tmp_path / "project")
    first = start(project)
    wait_for_line(project, "full epoch 5:")
    send(first)
    assert checkpoints(project)
    project.run("dvc repro train")
    same(project, unbroken)



def test_ctrl_c_stops_with_the_checkpoint_of_that_step(
    prepared: Project, unbroken: Project, tmp_path: Path
) -> None:
    project = copy(prepared, tmp_path / "project")
    project.set_params({"machine.checkpoint": 1000})  # it is the signal that writes it
    first = start(project)
    wait_for_line(project, "full epoch 3:")
    assert send(first, signal.SIGINT) != 0
    stopped = re.search(r"stopped after step (\d+)", project.text("repro.log"))
    assert stopped
    resumed = project.run("dvc repro train").stdout
    assert f"goes on after step {stopped[1]} " in resumed
    same(project, unbroken)


def test_evaluate_throws_the_checkpoint_away_and_a_forced_training_trains(unbroken: Project, tmp_path: Path) -> None:
    project = copy(unbroken, tmp_path / "project")
    assert checkpoints(project)
    project.run("dvc repro evaluate")
    assert not checkpoints(project)
    assert "goes on" not in project.run("dvc repro --force --single-item train").stdout
