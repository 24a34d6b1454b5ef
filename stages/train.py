"""Train the classifier on the cached rows and keep the best epoch by validation.

    python stages/train.py

Reads data/cache/; writes models/model.pt, models/model.json, reports/history.csv, reports/steps.csv and
mlflow_run.json, and opens one MLflow run. Killed or stopped, it goes on from its last checkpoint when it runs again.
"""

import math
import os
import platform
import sys
from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import asdict
from hashlib import md5
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from fovea.cache.read import Cache
from fovea.errors import Stopping, report_user_errors
from fovea.files import replacing, write_json
from fovea.params.machine import MachineParams
from fovea.params.section import load, read_sections
from fovea.params.train import TrainParams
from fovea.progress import TrainingLine
from fovea.store import library_version
from fovea.tracking.provenance import scrub, scrub_values
from fovea.tracking.recorded import OF_TRAINING, of_epoch
from fovea.tracking.runs import start_training
from fovea.tracking.training_run import TrainingRun
from fovea.training.checkpoint import code_of_training, open_checkpoint
from fovea.training.device import choose_device, describe
from fovea.training.distributed import join, launch, leave
from fovea.training.loop import HISTORY, Stopped, Trainer
from fovea.training.model import save_model
from fovea.training.phases import Track
from fovea.training.prepare import prepare

report_user_errors()
params = load("train", TrainParams)
machine = load("machine", MachineParams)
if machine.launcher and "RANK" not in os.environ:
    launch(machine.launcher, __file__)
cache = Cache("data/cache")
device = choose_device(machine.device)
world = join(device)
parts = prepare(params, cache, device)
model, taken = parts.model, parts.taken
if taken and world.rank == 0:
    print(f"train: {params.weights}: {taken}", flush=True)

# What a checkpoint must agree on with the training that goes on from it
libraries = {name: library_version(name) for name in ("torch", "torchvision", "timm", "opencv-python-headless")}
origin = {
    "params": params.model_dump(mode="json"),
    "data": md5(Path("data/cache/index.parquet").read_bytes(), usedforsecurity=False).hexdigest(),
    "weights": taken.source if taken else None,
    "code": code_of_training(__file__),
    "libraries": libraries,
    "device": device.type,
}


def log(row: dict[str, Any], steps: list[dict[str, Any]], data_wait: float) -> None:
    """Log one epoch; what the run has already is left out."""
    for values, place in of_epoch(row, steps, data_wait):
        run.log(values, place)


def on_epoch(row: dict[str, Any], steps: list[dict[str, Any]], data_wait: float) -> None:
    """Log one epoch, and say it unless a terminal shows the training in one line."""
    shown = {name: value for name, value in row.items() if isinstance(value, float) and name != "lr"}
    figures = ", ".join(f"{name} {value:.3f}" for name, value in {**shown, "data_wait": data_wait}.items())
    if not sys.stdout.isatty():
        print(f"train: {row['phase']} epoch {row['epoch']}: {figures}; {line.speed()}", flush=True)
    log(row, steps, data_wait)


with (open_checkpoint(origin, machine.checkpoint) if world.rank == 0 else nullcontext()) as checkpoint:
    saved = world.broadcast(checkpoint.read() if checkpoint else None)
    run = TrainingRun()  # the first process alone writes and logs
    if checkpoint:
        run = start_training(
            read_sections(),
            data=f"data/raw/{cache.attrs['name']}",
            digest=cache.attrs["digest"],
            device=describe(device),
            counts=Counter(cache.index.loc[cache.index["variant"] == 0, "split"]),
            tags={"fovea.recipe": params.recipe or "none", "fovea.quick": str(params.quick).lower()},
            token=checkpoint.token(),
            resume=checkpoint.run_id(),
            started=checkpoint.keep_run,
        )

    with run, Stopping() as stopping:
        told = on_epoch if checkpoint else lambda *epoch: None
        epochs = {"frozen": params.frozen.epochs, "full": params.full.epochs}
        line = TrainingLine(lambda: trainer.at, epochs, len(parts.train))
        shown: Track = line if checkpoint else lambda items, *_: iter(items)
        asked = stopping.asked if checkpoint else lambda: False
        trainer: Trainer = Trainer(parts, params, shown, told, checkpoint, asked, world, machine.compile)
        if saved:
            trainer.restore(saved)
        if saved and checkpoint:
            for epoch in trainer.at.ended():
                log(*epoch)
            print(f"train: goes on after step {trainer.at.step} (epoch {trainer.at.epoch()})", flush=True)
        try:
            with closing(line):
                trainer.run()
        except Stopped:
            print(f"train: stopped after step {trainer.at.step}; run again to go on from there", flush=True)
            stopping.leave()
        leave()
        if checkpoint is None:
            sys.exit()

        needed = {  # what loading and predicting take, beside the weights
            "model": params.model,
            "crop": params.crop,
            **parts.shape,
            "scaling": params.scaling,
            "loss": params.loss.name,
            "square": cache.attrs["square"],
            "classes": cache.attrs["classes"],
            "positive": cache.attrs["positive"],
        }
        save_model("models/model.pt", model, needed)
        write_json(
            "models/model.json",
            {
                **needed,
                "weights": scrub(params.weights),
                "taken": taken and asdict(taken),
                "data": {"name": cache.attrs["name"], "digest": cache.attrs["digest"], "train_rows": len(parts.train)},
                "best": {key: value if not isinstance(value, float) or math.isfinite(value) else None
                         for key, value in trainer.at.best.items()},  # JSON has no NaN
                "best_metric": params.best_metric if parts.val else None,
                "parameters": sum(weight.numel() for weight in model.parameters()),
                "device": describe(device),
                "processes": world.size,
                "seconds": round(trainer.at.clock, 1),
                "images_per_second": round(trainer.at.samples / trainer.at.clock, 1),
                "versions": {
                    "fovea": version("fovea"),
                    "python": platform.python_version(),
                    **libraries,
                },
                "machine": scrub_values(read_sections()["machine"]),
                "checkpoint": checkpoint.folder.name,
            },
        )
        with replacing("reports/history.csv") as path:
            pd.DataFrame(trainer.at.history, columns=HISTORY).to_csv(path, index=False)
        with replacing("reports/steps.csv") as path:
            pd.DataFrame(trainer.at.steps).to_csv(path, index=False)
        run.log_artifacts(OF_TRAINING)
        # `fovea sync` finds the training by its token where the store did not answer, or is another one
        write_json("mlflow_run.json", {"run_id": run.id or checkpoint.run_id(), "training": checkpoint.token()})

print(f"train: kept epoch {trainer.at.best['epoch']} of {len(trainer.at.history)} in {trainer.at.clock:.0f} s")
