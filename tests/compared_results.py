"""A project with results to compare: real DVC experiments of a pipeline of one stage that takes a second."""

import subprocess
from pathlib import Path

import pandas as pd
import yaml

from tests.import_closure import ROOT
from tests.project import Project

CLASSES = ["normal", "<b>mild</b>"]
OUTS = ["data/manifest.parquet", "data/split.parquet", "reports/predictions.csv", "reports/history.csv"]
METRICS = ["reports/metrics.json", "reports/intervals.json", "mlflow_run.json"]
PIPELINE = {"stages": {"all": {
    "cmd": "python stages/all.py", "deps": ["stages/all.py", "data/raw/small"],
    "params": ["dataset", "split", "augment", "train"],
    "outs": OUTS, "metrics": [{path: {"cache": False}} for path in METRICS],
}}}  # fmt: skip
STAGE = """
import hashlib, pathlib
import numpy as np
import pandas as pd
import yaml
from fovea.evaluation.bootstrap import part_intervals
from fovea.evaluation.metrics import score_parts
from fovea.evaluation.table import write_predictions
from fovea.files import write_json

params = yaml.safe_load(open("params.yaml"))
lr, classes = params["train"]["full"]["lr"], params["dataset"]["classes"]
images = pd.read_csv("data/raw/small/images.csv", dtype=str)
digests = [hashlib.sha256(text.encode()).hexdigest()[:40] for text in images["content"]]
manifest = images[["image", "label", "group"]].assign(digest=digests, given_split=None)
manifest.to_parquet("data/manifest.parquet")
images[["image", "split"]].to_parquet("data/split.parquet")
held = images[images["split"] != "train"].reset_index(drop=True)
noise = [int(hashlib.sha256(f"{text} {lr}".encode()).hexdigest()[:8], 16) / 2**32 for text in held["content"]]
right = np.where(np.array(noise) < 0.55 + 20 * lr, 0.8, 0.3)
chance = np.where(held["label"] == classes[1], right, 1 - right)
table = held[["image", "split", "label"]].assign(prediction=np.array(classes)[(chance > 0.5).astype(int)])
table = table.assign(**{f"p_{classes[0]}": 1 - chance, f"p_{classes[1]}": chance})
pathlib.Path("reports").mkdir(exist_ok=True)
write_predictions("reports/predictions.csv", table)
groups = manifest.set_index("image")["group"]
write_json("reports/metrics.json", score_parts(table, classes, None))
write_json("reports/intervals.json", part_intervals(table, classes, None, groups))
rising = 0.5 + lr * 30 * (1 - 0.7 ** np.arange(1, 6))
pd.DataFrame({"epoch": range(1, 6), "val_balanced_accuracy": rising}).to_csv("reports/history.csv", index=False)
write_json("mlflow_run.json", {"run_id": hashlib.md5(f"{lr} {digests}".encode()).hexdigest()})
"""
ODD = "<img>&co"  # the name of an experiment


def first_images(per_class: int = 40) -> pd.DataFrame:
    """Two classes, two images of a patient; every second patient is of the test part."""
    rows = [(f"{number:03d}-{target}.jpg", label, f"p{target}{number // 2}", ("train", "test")[number // 2 % 2],
             f"{target} {number}")
            for target, label in enumerate(CLASSES) for number in range(per_class)]
    return pd.DataFrame(rows, columns=["image", "label", "group", "split", "content"])


def second_images() -> pd.DataFrame:
    """Of the first's test part one is gone, relabelled, another picture and moved each, two are renamed; one is new."""
    images = first_images().set_index("image", drop=False)
    images = images.drop("002-0.jpg")
    images.loc["003-0.jpg", "label"] = CLASSES[1]
    images.loc["006-0.jpg", "content"] = "retaken"
    images.loc["007-0.jpg", "image"] = "=renamed.jpg"
    images.loc["014-0.jpg", "image"] = "again.jpg"
    images.loc["010-0.jpg", "split"] = "train"
    new = pd.DataFrame([("new.jpg", CLASSES[0], "p-new", "test", "new")], columns=images.columns)
    return pd.concat([images, new], ignore_index=True)


def write_images(project: Project, images: pd.DataFrame) -> None:
    folder = project.folder / "data/raw/small"
    folder.mkdir(parents=True, exist_ok=True)
    images.to_csv(folder / "images.csv", index=False)


def make_project(folder: Path) -> Project:
    """Tag v1 and the experiments `higher` and `ODD` on it; branch main with the second version of the images.

    DVC's remote is a folder beside it.
    """
    project = Project(folder)
    project.run("git init -q -b main")
    (folder / ".dvc").mkdir()
    files = {
        ".dvc/config": f"[core]\n    remote = store\n['remote \"store\"']\n    url = {folder.with_name('remote')}\n",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n", ".gitignore": "/mlflow.db*\n/mlartifacts\n",
        "dvc.yaml": yaml.safe_dump(PIPELINE), "stages/all.py": STAGE,
        **{name: (ROOT / name).read_text(encoding="utf-8") for name in ("params.yaml", "reports/.gitignore")},
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    project.set_params({"dataset.name": "small", "dataset.classes": CLASSES, "train.full.lr": 0.001})
    write_images(project, first_images())
    project.run("dvc repro -q")
    project.commit("First version")
    project.run("git tag v1")
    project.run("dvc exp run -q --temp -n higher -S train.full.lr=0.01")
    project.run(f"dvc exp run -q --temp -n {ODD} -S train.full.lr=0.005 -S augment.image_size=48")
    write_images(project, second_images())
    project.run("dvc repro -q")
    project.commit("Second version")
    return project


def held_by(project: Project, revision: str, path: str) -> bytes:
    """A file that DVC keeps, by the dvc.lock of a commit or the full name of a ref."""
    shown = ["git", "show", f"{revision}:dvc.lock"]
    lock = yaml.safe_load(subprocess.run(shown, cwd=project.folder, capture_output=True, check=True).stdout)
    digest = next(out["md5"] for out in lock["stages"]["all"]["outs"] if out["path"] == path)
    return cached(project, digest).read_bytes()


def cached(project: Project, digest: str) -> Path:
    return project.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
