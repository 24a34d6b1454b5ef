"""A training that was stopped or killed ends as one that was not: the same weights, the same history."""

import json
import math
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from fovea.cache.read import Cache
from fovea.errors import UserError
from fovea.params.train import TrainParams
from fovea.store import LOCK, is_at, locked
from fovea.training.checkpoint import STATE, Checkpoint, code_of_training, discard, open_checkpoint
from fovea.training.loop import Stopped, Trainer
from tests.import_closure import ROOT, import_closure
from tests.small import train_params
from tests.trainings import trainer

MODEL = "shufflenet_v2_x0_5"  # small, with batch norm

SCHEDULES: list[dict[str, Any]] = [
    {"name": "constant"},
    {"name": "cosine", "warmup_epochs": 0.5, "final_lr": 0.0},
    {"name": "one_cycle", "rise": 0.3},
    {"name": "polynomial", "power": 0.9, "final_lr": 0.0, "steps": None},
    {"name": "plateau", "factor": 0.5, "patience": 0},
    {"name": "steps", "at": [1], "factor": 0.1},
]
STATEFUL: dict[str, Any] = {
    "head__hidden": 6, "head__dropout": 0.4, "average": 0.9, "gradient_clip": 1.0, "micro_batch": 4,
    "mix__mixup": 0.4, "mix__cutmix": 0.4, "early_stopping": 3, "frozen__epochs": 2,
    "transforms__erasing": 0.5, "sampling": "balanced", "loss__class_weights": "none",
    "full__schedule": SCHEDULES[4],
    "full__optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
}  # fmt: skip


def weights(trained: Trainer) -> dict[str, torch.Tensor]:
    return trained.parts.model.state_dict()


def stopping(after: int) -> Any:
    """Asks to stop when it was itself asked `after` times."""
    left = iter([False] * after)
    return lambda: next(left, True)


def in_pieces(cache: Cache, params: TrainParams, folder: Path, pieces: list[int]) -> tuple[Trainer, int]:
    """The training, stopped after each number of batches of `pieces` and begun anew from the file; how often it was."""
    stops = 0
    for after in [*pieces, 10**6]:
        checkpoint = Checkpoint(folder, seconds=math.inf)
        trained = trainer(cache, params, checkpoint=checkpoint, should_stop=stopping(after))
        if saved := checkpoint.read():
            trained.restore(saved)
        try:
            trained.run()
            break
        except Stopped:
            stops += 1
    return trained, stops


def same(one: Trainer, two: Trainer) -> None:
    assert all(torch.equal(value, weights(two)[key]) for key, value in weights(one).items())
    assert one.at.history == two.at.history
    assert one.at.steps == two.at.steps
    assert one.at.best == two.at.best


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule["name"])
@pytest.mark.parametrize("phase", ["frozen", "full"])
def test_stopped_anywhere_it_ends_as_if_it_was_not(cache: Cache, tmp_path: Path, schedule: Any, phase: str) -> None:
    changes = {"frozen__epochs": 0, "full__epochs": 0, f"{phase}__epochs": 3, f"{phase}__schedule": schedule}
    params = train_params(model=MODEL, log_every=1, transforms__erasing=0, **changes)
    unbroken = trainer(cache, params)
    unbroken.run()
    broken, stops = in_pieces(cache, params, tmp_path, [1, 3, 2])
    assert stops == 3
    same(unbroken, broken)


def test_with_every_option_that_has_a_state_it_ends_as_if_it_was_not(cache: Cache, tmp_path: Path) -> None:
    params = train_params(model=MODEL, log_every=1, full__epochs=4, **STATEFUL)
    unbroken = trainer(cache, params)
    unbroken.run()
    broken, stops = in_pieces(cache, params, tmp_path, [2, 1, 4, 3, 5, 1])
    assert stops == 6
    same(unbroken, broken)


def test_a_finished_training_begun_again_trains_nothing(cache: Cache, tmp_path: Path) -> None:
    params = train_params(model=MODEL, full__epochs=2)
    first, _ = in_pieces(cache, params, tmp_path, [])
    again, stops = in_pieces(cache, params, tmp_path, [1])
    assert stops == 0
    same(first, again)


KILLED = """
import os, signal, sys
from pathlib import Path
from fovea.cache.read import Cache
from fovea.training.checkpoint import Checkpoint
from tests.small import train_params
from tests.trainings import trainer

MODEL = "shufflenet_v2_x0_5"  # small, with batch norm

cache, folder, label, count = Cache(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def track(items, name, total):
    for number, item in enumerate(items):
        if name.startswith(label) and number == count:
            os.kill(os.getpid(), signal.SIGKILL)
        yield item

checkpoint = Checkpoint(folder, seconds=0)
params = train_params(model="shufflenet_v2_x0_5", full__epochs=3, average=0.9)
training = trainer(cache, params, track=track, checkpoint=checkpoint)
if saved := checkpoint.read():
    training.restore(saved)
training.run()
"""


def test_killed_three_times_it_ends_as_if_it_was_not(cache: Cache, tmp_path: Path) -> None:
    """In the middle of an epoch, at its first batch, and in validation."""
    unbroken = trainer(cache, train_params(model=MODEL, full__epochs=3, average=0.9))
    unbroken.run()
    folder = tmp_path / "checkpoint"
    for label, count in [("full epoch 1", 2), ("full epoch 2", 0), ("validation", 0)]:
        command = [sys.executable, "-c", KILLED, str(tmp_path / "cache"), str(folder), label, str(count)]
        killed = subprocess.run(command, capture_output=True, text=True)
        assert killed.returncode == -9, killed.stderr
    checkpoint = Checkpoint(folder, seconds=math.inf)
    last = trainer(cache, train_params(model=MODEL, full__epochs=3, average=0.9), checkpoint=checkpoint)
    saved = checkpoint.read()
    assert saved is not None
    assert saved["progress"]["step"] > 0
    last.restore(saved)
    last.run()
    same(unbroken, last)


def test_a_loss_that_is_not_finite_names_step_and_rate_and_keeps_the_checkpoint(cache: Cache, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, seconds=0)
    sgd = {"name": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    constant = {"name": "constant"}
    params = train_params(model=MODEL, full__epochs=3, full__lr=1e18, full__optimizer=sgd, full__schedule=constant)
    broken = trainer(cache, params, checkpoint=checkpoint)
    said = r"train\.full\.lr: the loss is not finite at step \d+ \(epoch 1, learning rate 1e\+18\)"
    with pytest.raises(UserError, match=said):
        broken.run()
    saved = checkpoint.read()
    assert saved is None or all(torch.isfinite(value).all() for value in saved["model"].values())


def test_a_damaged_checkpoint_is_named_and_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / STATE).write_bytes(b"PK not a checkpoint")
    assert Checkpoint(tmp_path, 0).read() is None
    assert f"{STATE} is damaged" in capsys.readouterr().err


def test_another_origin_has_another_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with open_checkpoint({"params": {"seed": 0}}, 0) as one, open_checkpoint({"params": {"seed": 1}}, 0) as two:
        assert one.folder != two.folder
        one.write({"progress": {}})
        assert two.read() is None
        assert json.loads((one.folder / "origin.json").read_text()) == {"params": {"seed": 0}}


def test_a_checkpoint_in_use_is_not_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with open_checkpoint({"params": {"seed": 0}}, 0) as checkpoint:
        checkpoint.write({"progress": {}})
        before = sorted(checkpoint.folder.iterdir())
        discard(checkpoint.folder.name)
        assert sorted(checkpoint.folder.iterdir()) == before
    discard(checkpoint.folder.name)
    assert not checkpoint.folder.exists()
    discard(checkpoint.folder.name)


def test_who_waited_for_a_lock_that_was_deleted_has_the_one_that_others_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `discard` does: it deletes folder and lock while it has the lock."""
    held = []

    def wait() -> None:
        with locked(tmp_path / "folder") as file:
            held.append(is_at(file, tmp_path / "folder" / LOCK))

    waiting = threading.Thread(target=wait)
    with locked(tmp_path / "folder"):
        waiting.start()
        while "waiting for another process" not in capsys.readouterr().out:
            time.sleep(0.01)
        (tmp_path / "folder" / LOCK).unlink()
        (tmp_path / "folder").rmdir()
    waiting.join()
    assert held == [True]


def test_a_training_goes_on_with_the_code_that_it_imports_alone() -> None:
    stage = ROOT / "stages/train.py"
    imported = import_closure(stage)
    code = set(code_of_training(stage)) - {"stages/train.py"}
    packages = {path for path in code if path.endswith("__init__.py")}
    assert code - packages <= imported
    assert {path for path in imported if path.startswith("src/fovea/training/")} <= code
