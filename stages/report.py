"""Put everything on one page that opens from disk, and its figures into a folder.

    python stages/report.py

Reads what the other stages left in reports/, models/model.json, mlflow_run.json, data/, and images from data/cache/;
writes reports/report.html, reports/figures/ and reports/summary.md.
"""

from pathlib import Path

import pandas as pd
import yaml

from fovea.cache.read import Cache
from fovea.errors import report_user_errors
from fovea.evaluation.curves import read_plot
from fovea.evaluation.table import read_predictions
from fovea.files import read_json, replacing
from fovea.params.report import ReportParams
from fovea.params.section import load, read_sections
from fovea.params.train import TrainParams
from fovea.report.audit import audit_tags
from fovea.report.changes import since_commit
from fovea.report.figures import save_png
from fovea.report.page import draw_figures, render, summarise
from fovea.report.results import Results
from fovea.tables import read_table
from fovea.tracking.evaluations import log_report
from fovea.tracking.recorded import OF_REPORT
from fovea.tracking.store import ui_command

TEXT = ("image", "split", "label", "suggested", "prediction", "kind", "file", "class", "wanted", "column", "value")
PRINTED = ("dataset", "ingest", "split", "augment", "train", "evaluate", "report")  # those that dvc.yaml lists

report_user_errors()
params = load("report", ReportParams)
sections = read_sections()
stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
predictions = read_predictions("reports/predictions.csv")
model = read_json("models/model.json")
results = Results(
    params=params,
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
    predictions=predictions,
    suspicious=read_table("reports/suspicious_labels.csv", TEXT),
    metrics=read_json("reports/metrics.json"),
    intervals=read_json("reports/intervals.json"),
    calibration=read_json("reports/calibration.json"),
    operating_points=read_table("reports/operating_points.csv", TEXT),
    subgroups=read_table("reports/subgroups.csv", TEXT),
    roc=read_plot("reports/plots/roc.csv"),
    precision_recall=read_plot("reports/plots/precision_recall.csv"),
    reliability=(read_plot("reports/plots/reliability.csv"), read_plot("reports/plots/reliability_scaled.csv")),
    decision=read_plot("reports/plots/decision.csv"),
    robustness=read_plot("reports/plots/robustness.csv") if Path("reports/plots/robustness.csv").is_file() else None,
    explained=read_table("reports/explanations/explanations.csv", TEXT),
    explanations=read_json("reports/explanations.json"),
    changes=since_commit(Path()),
    model=model,
    run=read_json("mlflow_run.json"),
    cache=Cache(Path("data/cache")),
)

with replacing("reports/figures") as folder:
    folder.mkdir()
    for name, figure in draw_figures(results).items():
        save_png(figure, folder / f"{name}.png")
with replacing("reports/report.html") as path:
    path.write_text(render(results, Path("reports/explanations")), encoding="utf-8")
summary = summarise(results)
with replacing("reports/summary.md") as path:
    path.write_text(summary, encoding="utf-8")

tags = audit_tags(results.audit, sections["split"]["shortcuts"])
log_report(results.run["run_id"], results.metrics, sections["evaluate"], OF_REPORT, tags, summary,
           results.intervals, results.run["training"])
print(f"report: {Path('reports/report.html').resolve()}")
print(f"all runs: {ui_command()}")
