"""Trainings under `dvc repro` that are killed, and what is compared of them."""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from tests.project import Project

OUTPUTS = ("models/model.pt", "reports/history.csv", "reports/steps.csv")


class Outcome(NamedTuple):
    """What a training has left: bytes of its outputs, and of MLflow the runs, and the points that stand there twice."""

    outputs: dict[str, bytes]
    runs: list[str]
    points: list[tuple[str, int]]  # curve and step
    twice: int


def start(project: Project, target: str = "train") -> subprocess.Popen[str]:
    """`dvc repro` in a process group of its own, its output in repro.log."""
    with (project.folder / "repro.log").open("a") as log:
        return subprocess.Popen(["dvc", "repro", target], cwd=project.folder, env=project.environment, stdout=log,
                                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, start_new_session=True)


def send(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> int:
    """Send a signal to the whole group; the return code of `dvc repro`."""
    os.killpg(process.pid, number)
    return process.wait(60)


def wait_for_line(project: Project, text: str, seconds: float = 120) -> None:
    """Wait until repro.log holds `text`."""
    end = time.monotonic() + seconds
    while text not in (log := project.text("repro.log")):
        assert time.monotonic() < end, log
        time.sleep(0.02)


def outcome(project: Project) -> Outcome:
    database = sqlite3.connect(project.folder / "mlflow.db")
    runs = [status for (status,) in database.execute("SELECT status FROM runs")]
    points = list(database.execute("SELECT key, step FROM metrics WHERE key NOT LIKE 'system/%' ORDER BY key, step"))
    database.close()
    outputs = {name: (project.folder / name).read_bytes() for name in OUTPUTS}
    return Outcome(outputs, runs, points, len(points) - len(set(points)))


def copy(project: Project, folder: Path) -> Project:
    """The project as it stands, elsewhere."""
    shutil.copytree(project.folder, folder, symlinks=True)
    copied = Project(folder)
    copied.environment = dict(project.environment)
    return copied
