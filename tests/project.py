"""A fresh clone of the project in a temporary folder, driven through the real commands."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.import_closure import ROOT

SHIPPED = ("dvc.yaml", "params.yaml", ".dvcignore", ".gitignore", "data/.gitignore", "data/raw/.gitignore",
           "models/.gitignore", "reports/.gitignore", ".dvc", "stages", "src", "demo", "recipes")  # fmt: skip
STAGES = ("ingest", "split", "augment", "train", "evaluate", "report")
SMALL: dict[str, Any] = {  # a pipeline that takes seconds
    "dataset.name": "small",
    "dataset.sources": [{"layout": "folders", "images": "", "split_folders": False, "split": None}],
    "dataset.classes": [],
    "dataset.group": None,
    "augment.image_size": 32,
    "augment.crop": "centre",
    "train.model": "squeezenet1_1",
    "train.full.epochs": 1,
    "evaluate.explain": 0,  # Captum is slow to import
    "report.title": "Small",
}


class Project:
    """A git and DVC repository with the project's files, as `git clone` leaves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
        self.environment |= {
            "OMP_NUM_THREADS": "1",  # tests run side by side: with two threads each, trainings spin for one another
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "Test", "GIT_COMMITTER_EMAIL": "test@example.org",
        }  # fmt: skip

    @classmethod
    def create(cls, folder: Path) -> "Project":
        for name in SHIPPED:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "cache", "tmp", "*.lock") if name == ".dvc" else None
                shutil.copytree(source, target, ignore=ignored or shutil.ignore_patterns("__pycache__", "dvc.lock"))
            else:
                shutil.copy(source, target)
        project = cls(folder)
        project.run("git init -q -b main")
        project.commit("Clone")
        return project

    def run(self, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `command` in the project. With `check`, anything but exit code 0 fails the test with its output."""
        options: dict[str, Any] = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
        done = subprocess.run(command.split(), cwd=self.folder, env=self.environment, **options)
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def repro(self) -> list[str]:
        """`dvc repro`; returns the stages that it ran."""
        return re.findall(r"Running stage '(?:.*:)?(\w+)'", self.run("dvc repro").stdout)

    def changed(self) -> set[str]:
        """Stages that DVC finds changed themselves, without what lies behind them."""
        return {line.rstrip(":") for line in self.run("dvc status").stdout.splitlines() if re.fullmatch(r"\w+:", line)}

    def experiments(self) -> dict[str, str]:
        """The commit of each finished experiment of DVC, by name."""
        listed = self.run("git for-each-ref --format=%(objectname)/%(refname) refs/exps").stdout
        parts = [line.split("/") for line in listed.splitlines()]  # commit, refs, exps, two of the baseline, name
        return {name: commit for commit, *above, name in parts if len(above) == 4 and len(above[2] + above[3]) == 40}

    def run_queue(self, workers: int, names: set[str]) -> None:
        """Run what DVC's queue holds, until the experiments `names` are there and the workers have ended."""
        self.run(f"dvc queue start -j {workers}")
        end = time.monotonic() + 900
        while not names <= self.experiments().keys() or "0 active, 0 idle" not in self.run("dvc queue status").stdout:
            assert time.monotonic() < end, self.run("dvc queue status", check=False).stdout
            time.sleep(1)

    def params(self) -> dict[str, Any]:
        return dict(YAML(typ="safe").load(self.folder / "params.yaml"))

    def set_params(self, changes: dict[str, Any]) -> None:
        """Write values into params.yaml by their dotted keys."""
        yaml, path = YAML(), self.folder / "params.yaml"
        params = yaml.load(path)
        for key, value in changes.items():
            *parents, last = key.split(".")
            section = params
            for name in parents:
                section = section[name]
            section[last] = value
        yaml.dump(params, path)

    def commit(self, message: str) -> None:
        self.run("git add -A")
        subprocess.run(["git", "commit", "-qm", message], cwd=self.folder, env=self.environment, check=True)

    def text(self, path: str) -> str:
        return (self.folder / path).read_text(encoding="utf-8")
