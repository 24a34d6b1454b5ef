"""What the demo's settings reach on the demo images: three seeds, with true and with shuffled labels.

    python -m benchmarks.demo

Printed on a virtual machine with 2 cores of an AMD EPYC, torch 2.15, other programs running beside it:

    n = 3 seeds of split and training, 2 cores; chance is 0.2
    true      balanced accuracy 0.807 (0.862, 0.702, 0.856), pooled 95 % interval 0.749 to 0.868, training 98 s
    shuffled  balanced accuracy 0.232 (0.231, 0.267, 0.197), pooled 95 % interval 0.167 to 0.300, training 106 s
"""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from tests.project import Project

SEEDS = (0, 1, 2)
RESAMPLES = 2000


def shuffle_labels(project: Project) -> None:
    """Give the images each other's labels, the classes keeping their sizes."""
    path = project.folder / "data/raw/demo/labels.csv"
    table = pd.read_csv(path, dtype=str)
    table["level"] = np.random.default_rng(0).permutation(table["level"].to_numpy())
    table.to_csv(path, index=False)


def predictions(project: Project, seed: int) -> pd.DataFrame:
    """Test predictions of a split, a training and an evaluation with `seed`."""
    project.set_params({"split.seed": seed, "train.seed": seed})
    for stage in ("ingest", "split", "augment", "train", "evaluate"):
        project.run(f"python stages/{stage}.py")
    table = pd.read_csv(project.folder / "reports/predictions.csv", dtype={"label": str, "prediction": str})
    return table[table["split"] == "test"].assign(seed=seed)


def balanced_accuracy(table: pd.DataFrame) -> float:
    return float((table["label"] == table["prediction"]).groupby(table["label"]).mean().mean())


def interval(table: pd.DataFrame) -> tuple[float, float]:
    """95 % interval of the balanced accuracy over all seeds together: bootstrap over patients, who have two images."""
    patients = table["image"].str.replace(r"_(left|right)", "", regex=True)
    groups = [group for _, group in table.groupby(patients)]
    rng = np.random.default_rng(0)
    draws = (rng.integers(0, len(groups), len(groups)) for _ in range(RESAMPLES))
    values = [balanced_accuracy(pd.concat([groups[i] for i in draw])) for draw in draws]
    return float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))


def main() -> None:
    print(f"n = {len(SEEDS)} seeds of split and training, {os.cpu_count()} cores; chance is 0.2")
    with tempfile.TemporaryDirectory() as folder:
        project = Project.create(Path(folder) / "project")
        project.run("dvc repro demo/dvc.yaml")
        for labels in ("true", "shuffled"):
            if labels == "shuffled":
                shuffle_labels(project)
            tables = [predictions(project, seed) for seed in SEEDS]
            each = [balanced_accuracy(table) for table in tables]
            low, high = interval(pd.concat(tables))
            seconds = json.loads(project.text("models/model.json"))["seconds"]
            print(f"{labels:<9} balanced accuracy {np.mean(each):.3f} ({', '.join(f'{value:.3f}' for value in each)}), "
                  f"pooled 95 % interval {low:.3f} to {high:.3f}, training {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
