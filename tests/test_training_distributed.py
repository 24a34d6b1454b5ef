"""Two processes train what one does: the same losses, every validation row once, one MLflow run."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fovea.errors import UserError
from fovea.training.distributed import OWN_STORE, World, join
from tests.kills import copy, outcome, start, wait_for_line
from tests.project import Project
from tests.small import write_cache
from tests.test_kill import prepared, unbroken  # noqa: F401  # fixtures

TORCHRUN = "torchrun --nnodes 1 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint localhost:0"
LAUNCHED = {"machine.launcher": f"{TORCHRUN} --max-restarts 3 --monitor-interval 0.1", "train.full.epochs": 12}
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
if sys.argv[4] == "double":
    trained.parts.model.double().register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
trained.run()
leave()
if world.rank == 0:
    open(sys.argv[3], "w").write(json.dumps([trained.at.history, trained.at.steps]))
"""


Table = list[dict[str, Any]]


def in_processes(count: int, folder: Path, precision: str, changes: dict[str, Any]) -> tuple[Table, Table]:
    """History and steps of a training over `folder`/cache."""
    script, result = folder / "script.py", folder / "result.json"
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", *TORCHRUN.split()[1:]] if count == 2 else []
    arguments = [str(folder / "cache"), json.dumps(changes), str(result), precision]
    command = [sys.executable, *launcher, str(script), *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), OWN_STORE: "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    history, steps = json.loads(result.read_text())
    return history, steps


@pytest.mark.parametrize(
    ("precision", "rate", "tolerance", "changes"),
    [
        ("single", 1e-5, 1e-4, {}),
        ("single", 1e-5, 1e-4, {
            "average": 0.9, "gradient_clip": 1.0, "frozen__epochs": 1, "batch_size": 10,
            "mix__mixup": 0.4, "mix__cutmix": 0.4, "loss__name": "ordinal",
        }),
        ("double", 1e-3, 1e-6, {"batch_size": 10, "mix__mixup": 0.4}),
    ],
    ids=["batch norm, class weights", "both phases, odd batches, mixed images", "no rounding to speak of"],
)
def test_two_processes_have_the_losses_of_one(
    tmp_path: Path, precision: str, rate: float, tolerance: float, changes: dict[str, Any]
) -> None:
    """In single precision at a low rate: batch norms of small batches carry a last bit far in a few steps."""
    write_cache(tmp_path / "cache", images=96, size=64)
    sgd = {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.0}
    changes = {"full__epochs": 2, "full__lr": rate, "full__optimizer": sgd, "log_every": 1, **changes}
    (history, steps), (alone, steps_alone) = (in_processes(count, tmp_path, precision, changes) for count in (2, 1))
    assert len(steps) == len(steps_alone) > 6
    np.testing.assert_allclose([one["loss"] for one in steps], [one["loss"] for one in steps_alone], atol=tolerance)
    for two, one in zip(history, alone, strict=True):
        assert two["samples"] == one["samples"]
        assert two["val_loss"] == pytest.approx(one["val_loss"], abs=tolerance)


@given(st.integers(1, 60), st.integers(1, 7))
def test_the_parts_of_a_batch_are_the_batch_and_pairs_stay_together(count: int, size: int) -> None:
    batch = np.arange(count) + 100
    parts = [World(rank, size).part(batch) for rank in range(size)]
    assert sorted(np.concatenate(parts)) == sorted(batch)
    where = {value: rank for rank, part in enumerate(parts) for value in part}
    assert all(where[batch[i]] == where[batch[i + 1]] for i in range(0, count - 1, 2))


@pytest.fixture(scope="module")
def launched(prepared: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:  # noqa: F811
    project = copy(prepared, tmp_path_factory.mktemp("launched") / "project")
    project.set_params(LAUNCHED)
    project.run("dvc repro train")
    return project


def test_a_launcher_trains_in_two_processes_and_one_run(launched: Project) -> None:
    assert json.loads(launched.text("models/model.json"))["processes"] == 2
    assert len(pd.read_csv(launched.folder / "reports/history.csv")) == LAUNCHED["train.full.epochs"]
    assert outcome(launched).runs == ["FINISHED"]


def test_a_worker_that_dies_comes_back_by_torchrun_and_the_checkpoint(
    prepared: Project, launched: Project, tmp_path: Path  # noqa: F811
) -> None:
    project = copy(prepared, tmp_path / "project")
    project.set_params(LAUNCHED)
    running = start(project)
    wait_for_line(project, "full epoch 3:")
    died = worker(project, rank=1)
    met = meeting_place(died)
    os.kill(died, signal.SIGKILL)
    assert meeting_place(worker(project, rank=1, other_than=died)) != met  # there lie the addresses of those that died
    assert running.wait(300) == 0, project.text("repro.log")
    assert re.search(r"goes on after step [1-9]", project.text("repro.log"))
    assert outcome(project) == outcome(launched)


def test_a_torchrun_whose_attempts_would_share_a_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    with pytest.raises(UserError, match=OWN_STORE):
        join(torch.device("cpu"))


def worker(project: Project, rank: int, other_than: int | None = None) -> int:
    """Process id of the worker of this rank whose current folder is the project; waits for one `other_than` this."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                here = Path(os.readlink(process / "cwd")) == project.folder
                if here and f"\0RANK={rank}\0" in environment(process) and int(process.name) != other_than:
                    return int(process.name)
            except OSError:
                continue
        time.sleep(0.1)
    raise AssertionError("no such worker")


def meeting_place(process: int) -> str:
    """Port of the store in which the workers find each other."""
    return environment(Path(f"/proc/{process}")).partition("\0MASTER_PORT=")[2].partition("\0")[0]


def environment(process: Path) -> str:
    return "\0" + (process / "environ").read_text()
