"""Two processes train what one does: the same losses, every validation row once, one MLflow run."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.cache.read import Cache
from fovea.training.distributed import World
from tests.kills import copy, outcome, start, wait_for_line
from tests.project import Project
from tests.test_kill import prepared, unbroken  # noqa: F401  # fixtures
from tests.trainings import run

TORCHRUN = "torchrun --nnodes 1 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint localhost:0"
SCRIPT = """
import json, sys
import torch
from fovea.cache.read import Cache
from fovea.training.distributed import join, leave
from tests.small import train_params
from tests.trainings import trainer

torch.set_num_threads(1)
world = join(torch.device("cpu"))
trained = trainer(Cache(sys.argv[1]), train_params(**json.loads(sys.argv[2])), world=world)
trained.run()
leave()
if world.rank == 0:
    open(sys.argv[3], "w").write(json.dumps([trained.history, trained.steps]))
"""


def in_two_processes(cache: Path, folder: Path, **changes: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    script, result = folder / "script.py", folder / "result.json"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", *TORCHRUN.split()[1:], str(script), str(cache),
               json.dumps(changes), str(result)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    history, steps = json.loads(result.read_text())
    return history, steps


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"average": 0.9, "gradient_clip": 1.0, "frozen__epochs": 1, "batch_size": 10},
        {"mix__mixup": 0.4, "mix__cutmix": 0.4, "transforms__erasing": 0.5, "loss__name": "ordinal"},
    ],
    ids=["batch norm, class weights", "both phases, odd batches", "mixed images"],
)
def test_two_processes_have_the_losses_of_one(cache: Cache, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Plain SGD: Adam makes the last bits of small gradients large."""
    sgd = {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.0}
    changes = {"full__epochs": 2, "full__lr": 0.01, "full__optimizer": sgd, "log_every": 1, **changes}
    alone = run(cache, **changes)
    history, steps = in_two_processes(tmp_path / "cache", tmp_path, **changes)
    assert len(steps) == len(alone.steps) > 2
    np.testing.assert_allclose([step["loss"] for step in steps], [step["loss"] for step in alone.steps], atol=1e-4)
    for one, two in zip(alone.history, history, strict=True):
        assert one["samples"] == two["samples"]
        np.testing.assert_allclose(two["val_loss"], one["val_loss"], atol=1e-4)


@given(st.integers(1, 60), st.integers(1, 7))
def test_the_parts_of_a_batch_are_the_batch_and_pairs_stay_together(count: int, size: int) -> None:
    batch = np.arange(count) + 100
    parts = [World(rank, size).part(batch) for rank in range(size) if 2 * rank < count]
    assert sorted(np.concatenate(parts)) == sorted(batch)
    where = {value: rank for rank, part in enumerate(parts) for value in part}
    assert all(where[batch[i]] == where[batch[i + 1]] for i in range(0, count - 1, 2))


def test_a_launcher_trains_in_two_processes_and_one_run(prepared: Project, tmp_path: Path) -> None:  # noqa: F811
    project = copy(prepared, tmp_path / "project")
    project.set_params({"machine.launcher": TORCHRUN, "train.full.epochs": 3})
    project.run("dvc repro train")
    assert json.loads(project.text("models/model.json"))["processes"] == 2
    assert len(pd.read_csv(project.folder / "reports/history.csv")) == 3
    assert outcome(project).runs == ["FINISHED"]


def test_a_worker_that_dies_comes_back_by_torchrun_and_the_checkpoint(prepared: Project, tmp_path: Path) -> None:  # noqa: F811
    settings = {"machine.launcher": f"{TORCHRUN} --max-restarts 1 --monitor-interval 0.1"}
    whole, project = copy(prepared, tmp_path / "whole"), copy(prepared, tmp_path / "project")
    for one in (whole, project):
        one.set_params(settings)
    whole.run("dvc repro train")
    running = start(project)
    wait_for_line(project, "full epoch 5:")
    os.kill(worker(project, rank=1), signal.SIGKILL)
    assert running.wait(300) == 0, project.text("repro.log")
    assert re.search(r"goes on after step [1-9]", project.text("repro.log"))
    assert outcome(project) == outcome(whole)


def worker(project: Project, rank: int) -> int:
    """Process id of the worker of this rank whose current folder is the project."""
    for process in Path("/proc").iterdir():
        try:
            if Path(os.readlink(process / "cwd")) == project.folder and f"\0RANK={rank}\0" in environment(process):
                return int(process.name)
        except OSError:
            continue
    raise AssertionError("no such worker")


def environment(process: Path) -> str:
    return "\0" + (process / "environ").read_text()
