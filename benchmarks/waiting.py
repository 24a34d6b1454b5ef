"""The share of a training epoch of ResNet-18 on the CPU in which it waits for data: batches of 64, all transforms.

    python -m benchmarks.waiting

Wall time, so another process that takes a core counts as well. Beside it, what preparing a batch takes by itself, which
is what the first batch of an epoch waits for. Printed last, on an otherwise
idle machine of 2 cores; stopped by a time limit before 224 px:

    2 threads, n = 3 epochs; median (range)
      64 px: 0.44% (0.42% to 0.76%) of an epoch of 8 steps of 0.97 s; first batch 11 ms
     112 px: 0.27% (0.26% to 0.29%) of an epoch of 6 steps of 2.28 s; first batch 32 ms
"""

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fovea.cache.read import Cache
from fovea.params.section import load
from fovea.params.train import TrainParams
from fovea.training.data import epoch_batches, make_rows
from fovea.training.loop import Trainer
from fovea.training.loss import make_loss
from fovea.training.model import build_model
from fovea.training.prepare import Prepared
from fovea.training.progress import Steps

BATCH = 64
EPOCHS = 3
STEPS = {64: 8, 112: 6, 224: 3}  # px: steps of an epoch, few: the fewer, the larger the share of the first wait
CPU = torch.device("cpu")


def write_cache(folder: Path, size: int, count: int) -> Cache:
    """Noise of five classes, as `augment` would have written it."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    np.save(folder / "0.npy", pixels)
    target = np.arange(count, dtype=np.int16) % 5
    index = pd.DataFrame({"shard": 0, "row": np.arange(count), "variant": 0, "target": target})
    index["digest"] = [f"{number:040x}" for number in range(count)]
    index.attrs = {"size": size, "shards": ["0.npy"]}
    index.to_parquet(folder / "index.parquet")
    return Cache(folder)


def silent(items: Iterable[Any], label: str, total: int) -> Iterator[Any]:
    return iter(items)


def waits(cache: Cache, params: TrainParams) -> tuple[list[float], float]:
    """The shares of the epochs, and the seconds of a step."""
    size = cache.attrs["size"]
    rows = make_rows(cache, np.ones(len(cache), bool), None, params.scaling, CPU)
    model, head = build_model("resnet18", 5, 0, 0.0, size, "standard")
    model.to(memory_format=torch.channels_last)
    shares: list[float] = []

    def on_epoch(row: dict[str, Any], steps: Steps, data_wait: float) -> None:
        shares.append(data_wait)

    start = time.perf_counter()
    parts = Prepared(model, head, rows, None, make_loss(params.loss, rows.targets, 5), {}, None)
    Trainer(parts, params, silent, on_epoch).run()
    return shares, (time.perf_counter() - start) / EPOCHS / (len(cache) // BATCH)


def seconds_of_a_batch(cache: Cache, params: TrainParams) -> float:
    """Until the first batch is there, median of five epochs."""
    rows = make_rows(cache, np.ones(len(cache), bool), None, params.scaling, CPU)
    found = []
    for epoch in range(5):
        start = time.perf_counter()
        batches = rows.batches(epoch_batches(rows.targets, params, 0, epoch), params, epoch)
        next(batches)
        found.append(time.perf_counter() - start)
        batches.close()  # type: ignore[attr-defined]
    return float(np.median(found))


if __name__ == "__main__":
    shipped = load("train", TrainParams).model_dump()
    options = shipped | {"batch_size": BATCH, "full": shipped["full"] | {"epochs": EPOCHS}}
    params = TrainParams.model_validate(options)
    print(f"{torch.get_num_threads()} threads, n = {EPOCHS} epochs; median (range)")
    for size in [int(argument) for argument in sys.argv[1:]] or STEPS:
        with tempfile.TemporaryDirectory() as folder:
            cache = write_cache(Path(folder), size, BATCH * STEPS[size])
            shares, step = waits(cache, params)
            first = seconds_of_a_batch(cache, params)
        print(f"{size:4} px: {np.median(shares):.2%} ({min(shares):.2%} to {max(shares):.2%}) of an epoch of "
              f"{STEPS[size]} steps of {step:.2f} s; first batch {1000 * first:.0f} ms", flush=True)  # fmt: skip
