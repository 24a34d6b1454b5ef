"""50 frozen epochs on features that are computed once, against 50 naive ones, in the same run.

    python -m benchmarks.frozen

ResNet-18 at 112 px, drawn fundus images, 320 of training and 80 of validation, batches of 64. A naive epoch has a
forward pass of the whole model for each step and for validation, the backbone in eval mode and without gradients, and
the same steps of the head. The frozen times are those of the real loop: reading and hashing the pixels, computing and
writing the features, 50 epochs with their metrics; "another head" has a hidden layer and another learning rate, and
finds the features in the store. All 50 naive epochs are run.

Printed on a virtual machine with 2 cores of an AMD EPYC, on which nothing else ran:

  50 epochs, 2 threads, torch 2.15.0+cu132; median (range) of 5
  features once     4.92 s (4.53 to 5.01)
  another head      0.83 s (0.71 to 0.92)
  naive           185.86 s, run once
  naive / features once: 38 (at least 20 wanted)
  training loss 1.6281 to 1.4930, largest difference of a loss 0.0e+00 (at most 1e-4 wanted)
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch

from benchmarks.waiting import silent
from fovea.cache.read import Cache
from fovea.demo.dataset import graded_eyes
from fovea.demo.photograph import draw_photograph
from fovea.params.section import load
from fovea.params.train import TrainParams
from fovea.training.data import Rows, epoch_batches
from fovea.training.loop import Trainer
from fovea.training.optimizer import make_optimizer
from fovea.training.prepare import prepare

SIZE = 112
PATIENTS = 200
EPOCHS = 50
ROUNDS = 5  # of the frozen runs; the naive one, which takes minutes, is run once
CPU = torch.device("cpu")


def write_cache(folder: Path) -> Cache:
    """Drawn photographs with their grades, as `augment` would have written them; every fifth is for validation."""
    eyes = graded_eyes(PATIENTS, seed=0)
    photographs = (draw_photograph(key, grade, 2 * SIZE, 0)[0] for key, grade in eyes.items())
    np.save(folder / "0.npy", np.stack([cv2.resize(one, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
                                        for one in photographs]))
    numbers = np.arange(len(eyes))
    index = pd.DataFrame({"shard": 0, "row": numbers, "variant": 0, "target": np.array(list(eyes.values()), np.int16)})
    index["digest"] = [f"{number:040x}" for number in numbers]
    index["split"] = np.where(numbers % 5, "train", "val")
    index.attrs = {"size": SIZE, "shards": ["0.npy"], "classes": [str(grade) for grade in range(5)]}
    index.to_parquet(folder / "index.parquet")
    return Cache(folder)


def frozen_params(hidden: int, lr: float) -> TrainParams:
    values = load("train", TrainParams).model_dump()
    values |= {"recipe": None, "model": "resnet18", "weights": "none", "batch_size": 64, "early_stopping": 0}
    values["head"] = {"hidden": hidden, "dropout": 0.0}
    values["frozen"] |= {"epochs": EPOCHS, "lr": lr, "schedule": {"name": "constant"}}
    values["full"]["epochs"] = 0
    return TrainParams.model_validate(values)


def make_trainer(cache: Cache, params: TrainParams) -> Trainer:
    return Trainer(prepare(params, cache, CPU), params, silent, lambda *epoch: None)


def frozen(cache: Cache, params: TrainParams, store: Path) -> tuple[float, np.ndarray]:
    """Seconds, and the losses (epochs, 2) of training and validation."""
    os.environ["DVC_ROOT"] = str(store)
    trainer = make_trainer(cache, params)
    start = time.perf_counter()
    trainer.run()
    seconds = time.perf_counter() - start
    return seconds, np.array([(row["train_loss"], row["val_loss"]) for row in trainer.at.history])


def naive(cache: Cache, params: TrainParams) -> tuple[float, np.ndarray]:
    """Likewise, of a plain loop over the same batches."""
    made = make_trainer(cache, params)
    model, head, train, val, loss, *_ = made.parts
    model.eval()
    assert val is not None
    optimizer = make_optimizer(params.frozen, head, head)
    for weight in model.parameters():
        weight.requires_grad_(False)
    for weight in head.parameters():
        weight.requires_grad_(True)
    losses = []
    start = time.perf_counter()
    for epoch in range(1, EPOCHS + 1):
        total = torch.zeros(())
        batches = epoch_batches(train.targets, params, params.seed, epoch)
        for batch, inputs in zip(batches, inputs_of(train, batches), strict=True):
            value = loss.mean(model(inputs), train.targets[batch])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            total += value.detach() * len(batch)
        with torch.no_grad():
            outputs = torch.cat([model(inputs) for inputs in val.in_order(params.batch_size)])
            losses.append((total.item() / len(train), loss.mean(outputs, val.targets).item()))
    return time.perf_counter() - start, np.array(losses)


def inputs_of(rows: Rows, batches: list[np.ndarray]) -> Iterator[torch.Tensor]:
    return rows.in_order(len(batches[0]), np.concatenate(batches))


def shown(seconds: Iterable[float]) -> str:
    values = list(seconds)
    return f"{statistics.median(values):7.2f} s ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = write_cache(folder)
        first, second = frozen_params(0, 0.002), frozen_params(64, 0.001)
        once: list[Any] = [frozen(cache, first, folder / f"store-{number}") for number in range(ROUNDS)]
        again = [frozen(cache, second, folder / f"store-{number}")[0] for number in range(ROUNDS)]
        seconds, losses = naive(cache, first)
    difference = max(float(np.abs(found - losses).max()) for _, found in once)
    median = statistics.median(one for one, _ in once)
    print(f"{EPOCHS} epochs, {torch.get_num_threads()} threads, torch {torch.__version__}; median (range) of {ROUNDS}")
    print(f"features once  {shown(one for one, _ in once)}")
    print(f"another head   {shown(again)}")
    print(f"naive          {seconds:7.2f} s, run once")
    print(f"naive / features once: {seconds / median:.0f} (at least 20 wanted)")
    print(f"training loss {losses[0, 0]:.4f} to {losses[-1, 0]:.4f}, largest difference of a loss {difference:.1e} "
          "(at most 1e-4 wanted)")
    if seconds < 20 * median or difference > 1e-4:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
