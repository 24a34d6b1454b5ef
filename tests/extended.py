"""What a project can do with the diffs of docs/extending.md, as JSON. tests/test_extending.py runs it with their code.

python -m tests.extended FOLDER
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

import fovea
from fovea.evaluation.bootstrap import intervals
from fovea.evaluation.metrics import score
from fovea.training.model import load_model, save_model
from tests.ingest_sets import ingest, labels_of, reasons_of, write_images
from tests.miniature_run import report_of
from tests.small import write_cache
from tests.trainings import run


def metric(folder: Path) -> Any:
    """Nine images of three classes, one predicted wrong: a figure, its interval, and whether a report has it."""
    labels = [*"aaabbbccc"]
    predicted = [*"aabbbbccc"]
    table = pd.DataFrame({"image": [f"{number}.jpg" for number in range(9)], "split": "test", "label": labels,
                          "prediction": predicted, **{f"p_{name}": 1 / 3 for name in "abc"}})
    groups = pd.Series(None, index=table["image"], dtype=object)
    found, limits = score(table, [*"abc"], None), intervals(table, [*"abc"], None, groups)
    return [found["classes"]["a"]["npv"], found["macro_npv"], limits["classes"]["a"]["npv"],
            "Negative predictive value" in report_of(folder, classes=["mild", "severe"])]


def layout(folder: Path) -> Any:
    write_images(folder, "eyes/1.jpg", "eyes/2.jpg", "eyes/3.jpg")
    for number, label in ((1, "normal"), (2, "drusen")):
        (folder / f"eyes/{number}.txt").write_text(f"{label}\n", encoding="utf-8")
    manifest, rejected = ingest(folder, {"layout": "sidecars", "images": "", "extension": ".txt", "split": None})
    return [labels_of(manifest), reasons_of(rejected)]


def model(folder: Path) -> Any:
    """A frozen epoch and a full one; the epochs, and whether the saved model is read again."""
    trained = run(write_cache(folder / "cache"), model="small_net", frozen__epochs=1, full__epochs=1)
    shape = trained.parts.shape
    save_model(folder / "model.pt", trained.parts.model, {"model": "small_net", **shape})
    return [[row["phase"] for row in trained.at.history], type(load_model(folder / "model.pt")[0]).__name__]


if __name__ == "__main__":
    here = Path(sys.argv[1])
    os.environ["DVC_ROOT"] = str(here)
    said = {each.__name__: each(here / each.__name__) for each in (metric, layout, model)}
    print(json.dumps({"fovea": fovea.__path__[0], **said}))
