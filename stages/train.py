"""Train the classifier on the cached rows and keep the best epoch by validation.

    python stages/train.py

Reads data/cache/; writes models/model.pt, models/model.json, reports/history.csv, reports/steps.csv and
mlflow_run.json, and opens one MLflow run.
"""

import math
import platform
import time
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any

import pandas as pd
import torch
import torchvision

from fovea.cache.read import Cache
from fovea.errors import UserError, report_user_errors
from fovea.files import replacing, write_json
from fovea.params.machine import MachineParams
from fovea.params.section import load, read_sections
from fovea.params.train import TrainParams
from fovea.progress import track
from fovea.tracking import runs
from fovea.training.data import make_rows
from fovea.training.device import choose_device, describe
from fovea.training.loop import HISTORY, Trainer
from fovea.training.loss import make_loss
from fovea.training.model import build_model, save_model
from fovea.training.weights import load_pretrained

report_user_errors()
params = load("train", TrainParams)
machine = load("machine", MachineParams)
cache = Cache("data/cache")
index, classes = cache.index, cache.attrs["classes"]
device = choose_device(machine.device)
torch.manual_seed(params.seed)

# What the data allow
size = params.crop or cache.attrs["size"]
if size > cache.attrs["size"]:
    raise UserError(f"train.crop: {size} px is larger than augment.image_size, {cache.attrs['size']} px")
has_val = bool((index["split"] == "val").any())
for key, needs_val in (
    ("train.early_stopping", params.early_stopping > 0),
    ("train.frozen.schedule", params.frozen.epochs > 0 and params.frozen.schedule.name == "plateau"),
    ("train.full.schedule", params.full.epochs > 0 and params.full.schedule.name == "plateau"),
):
    if needs_val and not has_val:
        raise UserError(f"{key}: needs validation images; set split.val above 0, or early_stopping 0 and no plateau")

# Data
rows = partial(make_rows, cache, crop=params.crop, scaling=params.scaling, device=device)
train = rows((index["split"] == "train").to_numpy())
val = rows((index["split"] == "val").to_numpy()) if has_val else None

# Model
head_options = {"outputs": make_loss(params.loss, train.targets, len(classes)).outputs, **vars(params.head)}
model, head = build_model(params.model, size=size, stem=params.stem, **head_options)
taken = None
if params.weights != "none":
    taken = load_pretrained(model, head, params.model, size, params.weights, params.strict)
    print(f"train: {params.weights}: {taken}", flush=True)
model.to(device).to(memory_format=torch.channels_last)

# One MLflow run, which shows every epoch as it ends
run = runs.start_training(
    read_sections(),
    data=f"data/raw/{cache.attrs['name']}",
    digest=cache.attrs["digest"],
    device=describe(device),
    tags={"fovea.recipe": params.recipe or "none", "fovea.quick": str(params.quick).lower()},
)


def on_epoch(row: dict[str, Any], steps: list[dict[str, Any]], data_wait: float) -> None:
    """Say and log one epoch."""
    figures = {name: value for name, value in row.items() if isinstance(value, float)} | {"data_wait": data_wait}
    shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if name != "lr")
    print(f"train: {row['phase']} epoch {row['epoch']}: {shown}", flush=True)
    run.log({name: value for name, value in figures.items() if math.isfinite(value)}, row["epoch"])
    for step in steps:
        run.log({"train/loss": step["loss"], "train/lr": step["lr"]}, step["samples"])


with run:
    start = time.monotonic()
    trainer = Trainer(model, head, train, val, len(classes), params, partial(track, unit="batches"), on_epoch)
    trainer.run()
    seconds = time.monotonic() - start

    needed = {  # what loading and predicting take, beside the weights
        "model": params.model,
        "size": size,
        "crop": params.crop,
        **head_options,
        "stem": params.stem,
        "scaling": params.scaling,
        "loss": params.loss.name,
        "classes": classes,
        "positive": cache.attrs["positive"],
    }
    save_model("models/model.pt", model, needed)
    write_json(
        "models/model.json",
        {
            **needed,
            "weights": params.weights,
            "taken": taken and asdict(taken),
            "data": {"name": cache.attrs["name"], "digest": cache.attrs["digest"], "train_rows": len(train)},
            "best": {key: value if not isinstance(value, float) or math.isfinite(value) else None
                     for key, value in trainer.best.items()},  # JSON has no NaN
            "best_metric": params.best_metric if val else None,
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "device": describe(device),
            "seconds": round(seconds, 1),
            "images_per_second": round(trainer.samples / seconds, 1),
            "versions": {
                "fovea": version("fovea"),
                "python": platform.python_version(),
                "torch": torch.__version__,
                "torchvision": torchvision.__version__,
            },
            "machine": machine.model_dump(),
        },
    )
    with replacing("reports/history.csv") as path:
        pd.DataFrame(trainer.history, columns=HISTORY).to_csv(path, index=False)
    with replacing("reports/steps.csv") as path:
        pd.DataFrame(trainer.steps).to_csv(path, index=False)
    tables = ["reports/history.csv", "reports/steps.csv"]
    run.log_artifacts({"model": ["models/model.pt", "models/model.json"], "": tables})
    write_json("mlflow_run.json", {"run_id": run.id})

print(f"train: kept epoch {trainer.best['epoch']} of {len(trainer.history)}")
