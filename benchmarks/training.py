"""Images per second of the training loop over the cache, as a share of the model's bare step, beside what users have.

    uv run --group benchmarks python -m benchmarks.training
    python -m benchmarks.training --short                    to see that all of it runs; its figures say nothing
    PYTHONPATH=src:. python -m benchmarks.training --device cuda     needs torch, torchvision and numpy alone

"bare step" is forward, loss, backward and optimizer on random tensors that lie in the device's memory. All contestants
take turns in each round, one epoch each, with the same model, batch size, optimizer and precision (fp32 on a CPU,
bfloat16 autocast on a GPU; all channels_last). Fovea's epoch is all of `Trainer.run`. "originals" are JPEGs as a camera
writes them, "resized" the same with a shorter side of 8/7 of the input, as files that the page cache holds. What is not
installed is left out. JPEGs come from FOVEA_REAL_DATA if that is set, else from the demo's generator.

Printed with --models resnet18 --sizes 224 --rounds 3 on a virtual machine with 2 cores of an AMD EPYC, on which nothing
else ran; 64 px, ResNet-50 and a GPU were not run yet.

  cpu (2 threads), 2 cores, torch 2.15.0+cu132, torchvision 0.29.2+cu132; batches of 64, epochs of 8 steps; median of
  n = 3 interleaved rounds (range)
  resnet18, 224 px
    bare step                      7.5 images/s   1.000 (1.000 to 1.000) of the bare step
    fovea                          7.6 images/s   0.991 (0.982 to 1.008) of the bare step
    torchvision, resized           7.2 images/s   0.960 (0.926 to 0.977) of the bare step
    timm, resized                  7.5 images/s   0.997 (0.949 to 1.015) of the bare step
    fastai, resized                6.1 images/s   0.812 (0.791 to 0.830) of the bare step
    torchvision, originals         7.5 images/s   0.992 (0.946 to 1.068) of the bare step
    timm, originals                7.7 images/s   1.081 (0.993 to 1.097) of the bare step
    fastai, originals              6.6 images/s   0.875 (0.854 to 0.882) of the bare step
    target: at least 0.97 of the bare step: met
At this size the arithmetic is all there is: what is above 1 is the machine's noise between turns.
"""

import argparse
import importlib.util
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torchvision

from benchmarks.training_images import CLASSES, cache_of, encode, photographs, resized, write_folders
from benchmarks.training_rivals import (
    Epoch,
    finish,
    plain_loop,
    with_fastai,
    with_timm,
    with_torchvision,
)
from fovea.training.data import make_rows
from fovea.training.device import choose_device, describe
from fovea.training.loop import Trainer
from fovea.training.loss import make_loss
from fovea.training.model import build_model
from fovea.training.prepare import Prepared

MODELS = ("resnet18", "resnet50")
SIZES = (224, 64)
TARGETS = {"cpu": 0.97, "cuda": 0.95}  # least share of the bare step at 224 px
RIVALS = {"torchvision": with_torchvision, "timm": with_timm, "fastai": with_fastai}
OPTIONS: dict[str, Any] = {  # the section `train` of params.yaml, for where no YAML can be read
    "recipe": None, "quick": False, "seed": 0, "model": "", "stem": "standard", "weights": "none", "strict": False,
    "scaling": "imagenet", "crop": None, "head": {"hidden": 0, "dropout": 0.0},
    "loss": {"name": "cross_entropy", "label_smoothing": 0.0, "gamma": 0.0, "class_weights": "none"},
    "batch_size": 0, "micro_batch": None, "sampling": "shuffled",
    "transforms": {"hflip": 0.5, "vflip": 0.5, "rotation": 180, "scale": (0.8, 1.2), "brightness": 0.1,
                   "contrast": 0.1, "saturation": 0.1, "erasing": 0.0},
    "mix": {"mixup": 0.0, "cutmix": 0.0}, "gradient_clip": 0.0, "average": 0.0,
    "frozen": {"epochs": 0, "lr": 0.01, "optimizer": {}, "schedule": {"name": "constant"}},
    "full": {"epochs": 1, "lr": 0.01, "backbone": 1.0, "layer_decay": 1.0, "schedule": {"name": "constant"},
             "optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": False, "weight_decay": 0.0005}},
    "best_metric": "loss", "plateau_metric": "loss", "early_stopping": 0, "log_every": 10,
}  # fmt: skip


def namespace(values: dict[str, Any]) -> Any:
    return SimpleNamespace(**{key: namespace(value) if isinstance(value, dict) else value
                              for key, value in values.items()})  # fmt: skip


def silent(items: Iterable[Any], label: str, total: int) -> Iterator[Any]:
    return iter(items)


def bare_step(name: str, size: int, batch: int, steps: int, device: torch.device) -> Epoch:
    images = torch.randn(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=device) % CLASSES
    return plain_loop(name, device, [(images, labels)] * steps)


def with_fovea(name: str, cache: Any, batch: int, device: torch.device) -> Epoch:
    params = namespace(OPTIONS | {"model": name, "batch_size": batch})
    model, head = build_model(name, CLASSES, 0, 0.0, cache.attrs["size"], "standard")
    model.to(device).to(memory_format=torch.channels_last)
    rows = make_rows(cache, np.ones(len(cache), bool), None, params.scaling, device)
    parts = Prepared(model, head, rows, None, make_loss(params.loss, rows.targets, CLASSES), {}, None)

    def epoch() -> float:
        trainer = Trainer(parts, params, silent, lambda *ended: None)
        start = time.perf_counter()
        trainer.run()
        finish(device)
        return time.perf_counter() - start

    return epoch


def contestants(folder: Path, name: str, size: int, batch: int, steps: int, device: torch.device) -> dict[str, Epoch]:
    jpegs, count = photographs(), batch * steps
    small = [encode(resized(jpeg, size * 8 // 7)) for jpeg in jpegs]
    found = {"bare step": bare_step(name, size, batch, steps, device)}
    found["fovea"] = with_fovea(name, cache_of(folder / "cache", jpegs, count, size), batch, device)
    for kind, files in (("resized", small), ("originals", jpegs)):
        write_folders(folder / kind, files, count + 1)  # fastai keeps one for validation
        for rival, make in RIVALS.items():
            if importlib.util.find_spec(rival):
                found[f"{rival}, {kind}"] = make(name, folder / kind, size, batch, device)
    return found


def measure(found: dict[str, Epoch], images: int, rounds: int) -> dict[str, np.ndarray]:
    """Images per second (rounds,) of each; a first round, in which workers start, is left out."""
    seconds = np.array([[epoch() for epoch in found.values()] for _ in range(1 + rounds)])
    return dict(zip(found, (images / seconds[1:]).T, strict=True))


def show(speeds: dict[str, np.ndarray]) -> float:
    """Print a line for each, and return Fovea's share of the bare step."""
    for name, found in speeds.items():
        share = found / speeds["bare step"]
        print(f"  {name:24}{np.median(found):10.1f} images/s   {np.median(share):.3f} ({share.min():.3f} to "
              f"{share.max():.3f}) of the bare step", flush=True)  # fmt: skip
    return float(np.median(speeds["fovea"] / speeds["bare step"]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--short", action="store_true", help="two steps of four images, one round")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, help="of an epoch; default 8 on a CPU, 100 on a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    device = choose_device(options.device)
    batch, rounds = (4, 1) if options.short else (options.batch, options.rounds)
    steps = 2 if options.short else options.steps or (8 if device.type == "cpu" else 100)
    print(f"{describe(device)}, {os.cpu_count()} cores, torch {torch.__version__}, torchvision "
          f"{torchvision.__version__}; batches of {batch}, epochs of {steps} steps; median of n = {rounds} "
          "interleaved rounds (range)")  # fmt: skip
    for size in options.sizes:
        for name in options.models:
            with tempfile.TemporaryDirectory() as folder:
                found = contestants(Path(folder), name, size, batch, steps, device)
                print(f"{name}, {size} px", flush=True)
                share = show(measure(found, batch * steps, rounds))
            if size == 224 and device.type in TARGETS:
                least = TARGETS[device.type]
                print(f"  target: at least {least} of the bare step: {'met' if share >= least else 'NOT met'}")


if __name__ == "__main__":
    main()
