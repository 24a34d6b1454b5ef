"""Images per second of the training loop over the cache, as a share of the model's bare step, beside what users have.

    uv run --group benchmarks python -m benchmarks.training
    python -m benchmarks.training --short                    to see that all of it runs; its figures say nothing
    PYTHONPATH=src:. python -m benchmarks.training --device cuda     needs torch, torchvision and numpy alone

"bare step" is forward, loss, backward and optimizer on random tensors that lie in the device's memory. All contestants
take turns in each round, one epoch each, with the same model, batch size, optimizer and precision (fp32 on a CPU,
bfloat16 autocast on a GPU; all channels_last). Fovea's epoch is all of `Trainer.run`. "originals" are JPEGs as a camera
writes them, "resized" the same with a shorter side of 8/7 of the input, as files that the page cache holds. What is not
installed is left out. JPEGs come from FOVEA_REAL_DATA if that is set, else from the demo's generator.

Printed on a virtual machine with 2 cores of an AMD EPYC, on which nothing else ran; a GPU was not there.
With --models resnet18 --sizes 224 --rounds 3:

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

With --models resnet18 --sizes 64 --rounds 3:

  resnet18, 64 px
    bare step                     73.0 images/s   1.000 (1.000 to 1.000) of the bare step
    fovea                         73.4 images/s   0.981 (0.817 to 1.006) of the bare step
    torchvision, resized          66.6 images/s   0.872 (0.804 to 0.971) of the bare step
    timm, resized                 65.9 images/s   0.910 (0.795 to 1.017) of the bare step
    fastai, resized               51.1 images/s   0.737 (0.614 to 0.871) of the bare step
    torchvision, originals        69.7 images/s   1.046 (0.818 to 1.187) of the bare step
    timm, originals               73.7 images/s   0.931 (0.889 to 1.255) of the bare step
    fastai, originals             51.3 images/s   0.642 (0.632 to 0.873) of the bare step

With --models resnet50 --sizes 224 --batch 16 --steps 4 --rounds 3:

  resnet50, 224 px
    bare step                      3.4 images/s   1.000 (1.000 to 1.000) of the bare step
    fovea                          3.6 images/s   1.052 (0.987 to 1.104) of the bare step
    torchvision, resized           3.7 images/s   1.068 (0.932 to 1.118) of the bare step
    timm, resized                  4.0 images/s   1.147 (1.014 to 1.226) of the bare step
    fastai, resized                2.4 images/s   0.693 (0.638 to 0.708) of the bare step
    torchvision, originals         3.4 images/s   0.999 (0.979 to 1.017) of the bare step
    timm, originals                3.7 images/s   1.075 (1.072 to 1.162) of the bare step
    fastai, originals              2.3 images/s   0.668 (0.655 to 0.720) of the bare step
    target: at least 0.97 of the bare step: met

torchvision and timm run the same model through the same loop as the bare step and read JPEGs besides, so where they
come out above 1 it is the machine that was faster in their turn: what differs by less than a tenth is not told apart
here.
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
    """Images per second (rounds,) of each; a first round, in which workers start, is left out.

    Each round begins with another contestant: whatever speeds up or slows down the machine falls on all places alike.
    """
    names = list(found)
    seconds = [
        {name: found[name]() for name in names[turn % len(names):] + names[:turn % len(names)]}
        for turn in range(1 + rounds)
    ]
    return {name: np.array([images / round_[name] for round_ in seconds[1:]]) for name in names}


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
