"""Kills `dvc repro train` at random moments and runs it again: does it end as if nothing had happened?

    python -m benchmarks.kills [number of kills, 20]

A kill is SIGKILL to `dvc repro` and to all that it started. After each the same command runs again; with equal chance
it is killed as well, or runs to its end. A trial is what lies between two ends. It passes if the weights, the history
and the steps are byte for byte those of a training that nobody killed, and MLflow has one run, finished, with the same
points, none of them twice. Ends with exit code 1 if a trial fails.

Printed on a virtual machine with 2 cores, one of them for the trainings, other work on the other; torch 2.15.0+cu132:

  n = 300 images of 64 px, ShuffleNet 0.5, 3 frozen and 6 full epochs, a checkpoint every 1 s; unbroken 34 s
  21 kills in 21 trainings, 1.0 each: 21 of 21 trainings ended as the unbroken one
    8 in the full phase
    8 before its first epoch
    4 after its end
    1 in the frozen phase
  895 s in all
"""

import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fovea.errors import report_user_errors
from tests.kills import copy, outcome, send, start
from tests.project import SMALL, Project

SEED, IMAGES, SIDE, CHECKPOINT = 0, 300, 64, 1.0
PARAMS: dict[str, Any] = {
    "augment.image_size": SIDE, "train.model": "shufflenet_v2_x0_5", "train.full.epochs": 6, "train.frozen.epochs": 3,
    "train.average": 0.99, "train.gradient_clip": 1.0, "train.mix.mixup": 0.2, "train.log_every": 1,
    "train.head.hidden": 16, "train.head.dropout": 0.2, "machine.checkpoint": CHECKPOINT,
}  # fmt: skip


def prepare(folder: Path) -> Project:
    """A project whose next stage is `train`."""
    project = Project.create(folder)
    rng = np.random.default_rng(SEED)
    for number in range(IMAGES):
        path = project.folder / "data/raw/small" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
    project.set_params(SMALL | PARAMS)
    project.run("dvc repro augment")
    return project


def moment(log: str) -> str:
    """What the training was doing, by what it had said."""
    last = log.rpartition("Running stage")[2]
    if "kept epoch" in last:
        return "after its end"
    if "full epoch" in last or "goes on" in last:
        return "in the full phase"
    return "in the frozen phase" if "frozen epoch" in last else "before its first epoch"


def trial(prepared: Project, folder: Path, rng: random.Random, seconds: float) -> tuple[Project, list[str]]:
    """Kill at least once, then run to the end; the moments of the kills."""
    project = copy(prepared, folder)
    moments: list[str] = []
    while not moments or rng.random() < 0.5:
        process = start(project)
        end = time.monotonic() + rng.uniform(0, seconds)
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is not None:
            break
        send(process)
        moments.append(moment(project.text("repro.log")))
    project.run("dvc repro train")
    return project, moments


def main() -> None:
    report_user_errors()
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    rng, began = random.Random(SEED), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        prepared = prepare(Path(name, "prepared"))
        unbroken = copy(prepared, Path(name, "unbroken"))
        start_of_it = time.monotonic()
        unbroken.run("dvc repro train")
        seconds = time.monotonic() - start_of_it
        print(f"n = {IMAGES} images of {SIDE} px, ShuffleNet 0.5, 3 frozen and 6 full epochs, a checkpoint every "
              f"{CHECKPOINT:g} s; unbroken {seconds:.0f} s", flush=True)
        kills: Counter[str] = Counter()
        trials = passed = 0
        resumed: list[int] = []
        while kills.total() < wanted:
            trials += 1
            project, moments = trial(prepared, Path(name, f"trial-{trials}"), rng, seconds)
            kills.update(moments)
            found, expected = outcome(project), outcome(unbroken)
            good = found == expected
            passed += good
            resumed.append(len(moments))
            if not good:
                differing = [key for key in found.outputs if found.outputs[key] != expected.outputs[key]]
                print(f"trial {trials}: {', '.join(moments)}: runs {found.runs}, {found.twice} points twice, "
                      f"other bytes in {differing}")
            shutil.rmtree(project.folder)
        print(f"{kills.total()} kills in {trials} trainings, {statistics.mean(resumed):.1f} each: {passed} of {trials} "
              "trainings ended as the unbroken one")
        for what, count in kills.most_common():
            print(f"  {count} {what}")
        print(f"{time.monotonic() - began:.0f} s in all")
    if passed < trials:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
