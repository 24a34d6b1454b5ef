"""Put everything on one page that opens from disk, and its figures into a folder.

    python stages/report.py

Reads what the other stages left in reports/, models/model.json, mlflow_run.json, and images from data/cache/; writes
reports/report.html and reports/figures/.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from fovea.cache.read import Cache
from fovea.errors import report_user_errors
from fovea.evaluation.suspicious import NUMBERS
from fovea.evaluation.table import read_predictions
from fovea.files import read_json, replacing
from fovea.params.report import ReportParams
from fovea.params.section import load, read_sections
from fovea.params.train import TrainParams
from fovea.report.audit import audit_tags
from fovea.report.figures import save_png
from fovea.report.html import draw_figures, render
from fovea.report.results import Results
from fovea.tables import read_table
from fovea.tracking import runs

PRINTED = ("dataset", "ingest", "split", "augment", "train", "evaluate", "report")  # those that dvc.yaml lists

report_user_errors()
params = load("report", ReportParams)
sections = read_sections()
stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
as_text: Any = {"keep_default_na": False, "dtype": str}  # a file or class may be called NA

results = Results(
    title=params.title,
    examples=params.examples,
    worst=params.worst,
    parameters={name: sections[name] for name in PRINTED},
    train=load("train", TrainParams),
    commands={name: stage["cmd"] for name, stage in stages.items()},
    ingest=read_json("reports/ingest.json"),
    rejected=read_table("reports/rejected.csv"),
    split=read_json("reports/split.json"),
    audit=read_json("reports/audit.json"),
    augment=read_json("reports/augment.json"),
    history=pd.read_csv("reports/history.csv"),
    steps=pd.read_csv("reports/steps.csv"),
    predictions=read_predictions("reports/predictions.csv"),
    suspicious=read_table("reports/suspicious_labels.csv", numbers=NUMBERS),
    metrics=read_json("reports/metrics.json"),
    roc=pd.read_csv("reports/plots/roc.csv", **as_text).astype({"fpr": float, "tpr": float}),
    precision_recall=pd.read_csv("reports/plots/precision_recall.csv", **as_text)
    .astype({"recall": float, "precision": float}),
    model=read_json("models/model.json"),
    run=read_json("mlflow_run.json"),
    cache=Cache(Path("data/cache")),
)

with replacing("reports/figures") as folder:
    folder.mkdir()
    for name, figure in draw_figures(results).items():
        save_png(figure, folder / f"{name}.png")
with replacing("reports/report.html") as path:
    path.write_text(render(results), encoding="utf-8")

files = {"report": ["reports/report.html", "reports/figures"]}
tags = audit_tags(results.audit, sections["split"]["shortcuts"])
runs.log_report(results.run["run_id"], results.metrics, sections["evaluate"], files, tags)
print(f"report: {Path('reports/report.html').resolve()}")
print(f"all runs: {runs.ui_command()}")
