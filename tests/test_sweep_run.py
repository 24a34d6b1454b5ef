"""`fovea sweep` in a real DVC repository: killed and gone on, each experiment alone, one parent run in MLflow."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.import_closure import ROOT
from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, Project

PIPELINE = {"stages": {"all": {
    "cmd": "python all.py", "deps": ["all.py", "data/raw/small"], "params": ["split", "train"],
    "outs": ["reports/predictions.csv"],
    "metrics": [{"reports/metrics.json": {"cache": False}}, {"mlflow_run.json": {"cache": False}}],
}}}  # fmt: skip
STAGE = """
import json, os, pathlib, time, yaml
params = yaml.safe_load(open("params.yaml"))
seed, folds, fold = params["train"]["seed"], params["split"]["folds"], params["split"]["fold"]
main = pathlib.Path(os.environ["DVC_ROOT"])
if (main / "fail").exists() and fold == 1:
    raise SystemExit("error: no more")
while (main / "slow").exists() and fold == 1:
    time.sleep(0.1)
images = sorted(path.name for path in pathlib.Path("data/raw/small").iterdir())
pathlib.Path("reports").mkdir(exist_ok=True)
with open("reports/predictions.csv", "w") as file:
    print("image,split,label,prediction,p_a,p_b", file=file)
    for number, image in enumerate(images):
        if number % folds == fold:
            print(f"{image},test,{'ab'[number // 2 % 2]},a,{0.6 + seed / 10},{0.4 - seed / 10}", file=file)
json.dump({"test": {"accuracy": 0.5 + seed / 10 + fold / 100}}, open("reports/metrics.json", "w"))
json.dump({"run_id": None}, open("mlflow_run.json", "w"))
"""  # a pipeline of a second, whose experiments take what DVC itself takes


class Sweep:
    """A project and what `fovea sweep try --seeds 2 --folds 2` does in it."""

    def __init__(self, project: Project) -> None:
        self.project, self.command = project, "fovea sweep try --seeds 2 --folds 2"

    def run(self, options: str = "", check: bool = True) -> tuple[list[str], str]:
        """The experiments that were run, and stderr."""
        done = self.project.run(f"{self.command} {options}", check)
        lines = [line for line in done.stdout.splitlines() if line.startswith("sweep: ")]
        return [line.split()[1].rstrip(",") for line in lines], done.stderr

    def start(self) -> subprocess.Popen[bytes]:
        output = (self.project.folder / ".git/output").open("wb")
        return subprocess.Popen(self.command.split(), cwd=self.project.folder, env=self.project.environment,
                                stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True)

    def after(self, line: str) -> str:
        """What the process that was started has printed since then."""
        return self.project.text(".git/output").partition(line)[2]

    def refs(self) -> dict[str, str]:
        """Commit of each finished experiment."""
        return {name: commit for name, commit in self.project.experiments().items() if name.startswith("try-")}

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.project.folder / "reports/sweeps/try" / name)

    def until(self, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + 400
        while not condition():
            assert time.monotonic() < give_up, self.project.text(".git/output")
            time.sleep(0.2)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Sweep]:
    """A pipeline of one stage. Its images are in neither git nor DVC."""
    project = Project(tmp_path)
    for name in range(8):
        (tmp_path / "data/raw/small").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"data/raw/small/{name}.jpg").write_text(str(name))
    (tmp_path / ".gitignore").write_text("/data/raw/small\n/mlflow.db*\n/mlartifacts\n/.cache\n/slow\n/fail\n/src\n")
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"))
    project.set_params({"dataset.name": "small"})
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (tmp_path / "all.py").write_text(STAGE)
    project.run("git init -q -b main")
    project.run("dvc init -q")
    project.commit("A pipeline of one stage")
    yield Sweep(project)
    (tmp_path / "slow").unlink(missing_ok=True)  # or what a failing test has left would wait for ever


def test_a_sweep_is_gathered_and_a_second_one_does_nothing_again(small: Sweep) -> None:
    assert small.run()[0] == ["try-s0-f0", "try-s0-f1", "try-s1-f0", "try-s1-f1"]
    assert sorted(small.refs()) == ["try-s0-f0", "try-s0-f1", "try-s1-f0", "try-s1-f1"]
    runs = small.table("runs.csv")
    assert runs["test/accuracy"].tolist() == pytest.approx([0.5, 0.51, 0.6, 0.61])
    summary = small.table("summary.csv").set_index("metric").loc["test/accuracy"]
    assert list(summary) == pytest.approx([0.555, runs["test/accuracy"].std(), 0.5, 0.61, 4])
    predictions = small.table("out_of_fold.csv")
    assert predictions["fold"].tolist() == [0, 1] * 4 and predictions["p_a"].tolist() == pytest.approx([0.65] * 8)
    assert small.project.run("git status --porcelain").stdout.split() == ["??", "reports/"]

    before, files = small.refs(), contents(small.project.folder / "reports/sweeps/try")
    assert small.run()[0] == []
    assert small.refs() == before and contents(small.project.folder / "reports/sweeps/try") == files
    (parent,) = parents(small.project)
    assert parent["points"] == dict.fromkeys(parent["points"], 1)

    assert small.run("--seeds 3")[0] == ["try-s2-f0", "try-s2-f1"]
    (parent,) = parents(small.project)
    assert parent["values"]["test/accuracy/mean"] == pytest.approx(0.605)


def test_a_killed_sweep_leaves_one_experiment_running_for_which_the_next_waits(small: Sweep) -> None:
    (small.project.folder / "slow").touch()
    first = small.start()
    small.until(lambda: "Running stage" in small.after("sweep: try-s0-f1"))
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    done = small.refs()
    second = small.start()
    small.until(lambda: "waiting for another process" in small.project.text(".git/output"))
    (small.project.folder / "slow").unlink()
    assert second.wait(timeout=400) == 0, small.project.text(".git/output")
    assert len(small.refs()) == 4 and small.refs()["try-s0-f0"] == done["try-s0-f0"]
    assert "sweep: try-s0-f1" not in small.project.text(".git/output")


def test_an_experiment_that_fails_keeps_those_before_it(small: Sweep) -> None:
    small.command = "fovea sweep try --seeds 1 --folds 2"
    (small.project.folder / "fail").touch()
    ran, stderr = small.run(check=False)
    assert ran == ["try-s0-f0", "try-s0-f1"]
    assert stderr.splitlines()[-1].startswith("error: try-s0-f1 failed, see above; finished experiments are kept")
    (small.project.folder / "fail").unlink()
    assert small.run()[0] == ["try-s0-f1"]


def test_a_name_that_is_taken_and_a_workspace_that_differs_are_one_line(small: Sweep) -> None:
    small.command = "fovea sweep try --seeds 1 --folds 2"
    small.run()
    ran, stderr = small.run("-S train.full.lr=0.5", check=False)
    assert ran == [] and "error: try-s0-f0 is there with other settings (train.full.lr: 0.001 -> 0.5); choose" in stderr
    small.project.set_params({"train.full.lr": 0.25})
    ran, stderr = small.run(check=False)
    assert ran == [] and "error: files that git tracks differ from the last commit" in stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def parents(project: Project) -> list[dict[str, Any]]:
    """Each run of a sweep: its id, latest values, how many points each metric has, files, and its children."""
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        found = []
        for (run,) in store.execute("select run_uuid from tags where key = 'fovea.sweep'"):
            points = dict(store.execute("select key, count(*) from metrics where run_uuid = ? group by key", (run,)))
            values = dict(store.execute("select key, value from latest_metrics where run_uuid = ?", (run,)))
            query = "select run_uuid from tags where key = 'mlflow.parentRunId' and value = ?"
            files = {path.name for path in (project.folder / "mlartifacts").rglob(f"{run}/artifacts/*")}
            found.append({"id": run, "points": points, "values": values, "files": files,
                          "children": {child for (child,) in store.execute(query, (run,))}})
    return found


def test_the_whole_pipeline_is_swept_killed_and_gone_on_and_each_experiment_applies_alone(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    write_fundus_lesions(project.folder / "data/raw/small", per_class=8)
    project.set_params({**SMALL, "split.val": 0.25})
    project.commit("Settings")
    sweep = Sweep(project)
    sweep.command = "fovea sweep try --seeds 1 --folds 2"
    first = sweep.start()
    sweep.until(lambda: "Running stage 'train'" in sweep.after("sweep: try-s0-f1"))
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    done = sweep.refs()
    assert list(done) == ["try-s0-f0"]

    assert sweep.run()[0] == ["try-s0-f1"]
    assert sweep.refs()["try-s0-f0"] == done["try-s0-f0"]
    runs = sweep.table("runs.csv")
    images = {path.relative_to(project.folder / "data/raw/small").as_posix()
              for path in (project.folder / "data/raw/small").rglob("*.jpg")}
    predictions = sweep.table("out_of_fold.csv")
    assert set(predictions["image"]) == images and predictions["image"].is_unique and len(images) == 24

    (parent,) = parents(project)
    assert parent["children"] == set(runs["run_id"]) and len(parent["children"]) == 2
    assert parent["values"]["test/accuracy/mean"] == pytest.approx(runs["test/accuracy"].mean())
    assert {"summary.csv", "runs.csv", "out_of_fold.csv", "out_of_fold-confusion.png"} <= parent["files"]

    last = runs.iloc[-1]
    project.run(f"dvc exp apply {last['experiment']}")
    metrics = json.loads(project.text("reports/metrics.json"))
    assert metrics["test"]["accuracy"] == pytest.approx(last["test/accuracy"])
    assert (project.params()["train"]["seed"], project.params()["split"]["fold"]) == (0, 1)
    assert (project.folder / "models/model.pt").is_file()
