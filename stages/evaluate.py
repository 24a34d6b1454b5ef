"""Predict the test and validation images with the trained model, and compute everything that the report says of it.

    python stages/evaluate.py

Reads data/cache/, data/manifest.parquet, models/ and mlflow_run.json; writes reports/predictions.csv, metrics.json,
intervals.json, calibration.json, operating_points.csv, subgroups.csv, suspicious_labels.csv, plots/, explanations/ and
explanations.json beside it, and models/prediction.pt, which `fovea predict` takes beside the model; shows the figures
in the MLflow run. Where the set has positions of lesions, as demo has, explanations are held against them.
"""

from functools import partial
from pathlib import Path

import pandas as pd

from fovea.cache.read import Cache
from fovea.errors import report_user_errors
from fovea.evaluation.bootstrap import part_intervals
from fovea.evaluation.calibration import calibration, reliability
from fovea.evaluation.curves import write_plot, write_plots
from fovea.evaluation.decision import decision_curve
from fovea.evaluation.explain import choose_images, make_explainer, save_heat_maps
from fovea.evaluation.metrics import score_parts
from fovea.evaluation.operating import operating_points
from fovea.evaluation.pointing import pointing_game, read_marks
from fovea.evaluation.predict import predict
from fovea.evaluation.prediction import Prediction, data_of, digest_of, points_of, save_prediction
from fovea.evaluation.robustness import robustness
from fovea.evaluation.subgroups import subgroups, worst_of
from fovea.evaluation.suspicious import suspicious_labels
from fovea.evaluation.table import read_predictions, write_predictions
from fovea.evaluation.unlike import make_reference
from fovea.files import read_json, replacing, write_json
from fovea.params.evaluate import EvaluateParams
from fovea.params.machine import MachineParams
from fovea.params.section import load
from fovea.progress import track
from fovea.tables import printable, write_table
from fovea.tracking.evaluations import log_evaluation
from fovea.tracking.recorded import OF_EVALUATION
from fovea.training.checkpoint import discard
from fovea.training.device import choose_device
from fovea.training.model import load_model

report_user_errors()
params = load("evaluate", EvaluateParams)
machine = load("machine", MachineParams)
model, record = load_model("models/model.pt")
classes, positive = record["classes"], record["positive"]

device, shown = choose_device(machine.device), partial(track, count=len)
cache = Cache("data/cache")
table = predict(model, record, cache, device, params.views, shown)
write_predictions("reports/predictions.csv", table)

# These figures need the saved table alone, so that anybody can compute them again
predictions = read_predictions("reports/predictions.csv")
test = predictions[predictions["split"] == "test"]
manifest = pd.read_parquet("data/manifest.parquet")
groups = manifest.set_index("image")["group"]

metrics = score_parts(predictions, classes, positive)
write_json("reports/metrics.json", metrics)
# A file of its own, of pairs: DVC's and MLflow's tables take single numbers alone, and so keep their length
intervals = part_intervals(predictions, classes, positive, groups)
write_json("reports/intervals.json", intervals)
calibrated = calibration(predictions, classes, groups)
write_json("reports/calibration.json", calibrated)
points = operating_points(predictions, classes, positive, groups, params.operating_points.model_dump())
write_table("reports/operating_points.csv", points)
parts = subgroups(test, classes, positive, manifest, params.subgroups)
write_table("reports/subgroups.csv", parts)
suspicious = suspicious_labels(predictions, classes)
write_table("reports/suspicious_labels.csv", suspicious)
with replacing("reports/plots") as folder:
    folder.mkdir()
    write_plots(folder, predictions, classes, params.curve_points)
    write_plot(folder / "reliability.csv", reliability(test, classes, 1.0))
    write_plot(folder / "reliability_scaled.csv", reliability(test, classes, calibrated["temperature"]))
    write_plot(folder / "decision.csv", decision_curve(test, classes, positive))
    if params.robustness:  # needs the model again, as what follows does
        changed = robustness(predictions, model, record, cache, device, params.views, shown)
        write_plot(folder / "robustness.csv", changed)

found = Prediction(digest_of("models/model.pt"), data_of(cache, "data/cache"), params.views,
                   calibrated["temperature"], points_of(points), make_reference(model, record, cache, device))
save_prediction("models/prediction.pt", found)

explainer = make_explainer(model, record, cache, device) if params.explain else None
chosen = choose_images(predictions, classes, params.explain)
with replacing("reports/explanations") as folder:
    folder.mkdir()
    save_heat_maps(folder, chosen, cache, explainer.maps(chosen) if explainer else None)
raw = Path("data/raw") / cache.attrs["name"]  # no dependency: positions change with the images alone, which cache has
marks = read_marks(raw / "lesions.csv", raw / "fields.csv")
pointed = pointing_game(predictions, marks, explainer, cache) if explainer and marks is not None else None
layer = explainer and {"name": explainer.layer.name, "cells": explainer.layer.cells}
write_json("reports/explanations.json", {"layer": layer, "pointing": pointed})

discard(read_json("models/model.json")["checkpoint"])  # DVC has what it led to
run = read_json("mlflow_run.json")
log_evaluation(run["run_id"], metrics, params.model_dump(), OF_EVALUATION, intervals, run["training"])
for column in params.subgroups:
    if worst := worst_of(parts, column):
        print(f"warning: test images with {column} {printable(worst)} are told worse than the others")
print(f"evaluate: test balanced accuracy {metrics['test']['balanced_accuracy']:.3f} on {metrics['test']['n']} images; "
      f"{len(suspicious)} labels to look at again")
