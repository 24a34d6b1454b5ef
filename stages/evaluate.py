"""Predict the validation and test images once, and compute every figure from the saved predictions.

    python stages/evaluate.py

Reads data/cache/, models/ and mlflow_run.json; writes reports/predictions.csv, reports/metrics.json,
reports/suspicious_labels.csv and reports/plots/, and shows the figures in the MLflow run.
"""

from functools import partial

from fovea.cache.read import Cache
from fovea.errors import report_user_errors
from fovea.evaluation.curves import write_plots
from fovea.evaluation.metrics import score_parts
from fovea.evaluation.predict import predict
from fovea.evaluation.suspicious import suspicious_labels
from fovea.evaluation.table import read_predictions, write_predictions
from fovea.files import read_json, replacing, write_json
from fovea.params.evaluate import EvaluateParams
from fovea.params.machine import MachineParams
from fovea.params.section import load
from fovea.progress import track
from fovea.tables import write_table
from fovea.tracking import runs
from fovea.training.device import choose_device
from fovea.training.model import load_model

report_user_errors()
params = load("evaluate", EvaluateParams)
machine = load("machine", MachineParams)
model, record = load_model("models/model.pt")

device, shown = choose_device(machine.device), partial(track, unit="batches")
table = predict(model, record, Cache("data/cache"), device, params.views, shown)
write_predictions("reports/predictions.csv", table)

# From here on only the saved table counts, so that anybody can compute the figures again
predictions = read_predictions("reports/predictions.csv")
metrics = score_parts(predictions, record["classes"], record["positive"])
write_json("reports/metrics.json", metrics)
suspicious = suspicious_labels(predictions, record["classes"])
write_table("reports/suspicious_labels.csv", suspicious)
with replacing("reports/plots") as folder:
    folder.mkdir()
    write_plots(folder, predictions, record["classes"], params.curve_points)

files = {"evaluation": ["reports/metrics.json", "reports/predictions.csv", "reports/suspicious_labels.csv"]}
runs.log_evaluation(read_json("mlflow_run.json")["run_id"], metrics, params.model_dump(), files)
print(f"evaluate: test balanced accuracy {metrics['test']['balanced_accuracy']:.3f} on {metrics['test']['n']} images; "
      f"{len(suspicious)} labels to look at again")
