"""What pretrained weights are worth: SqueezeNet 1.1 from ImageNet features beside the same net from scratch, aptos2019.

    FOVEA_REAL_DATA=<folder of the sets> python -m benchmarks.pretrained <SqueezeNet 1.1 state dict> [key=value ...]

Both get the same images, epochs and schedule; the learning rate of each is the best of RATES by the validation kappa of
seed 0. Then each seed is trained with it, and the kept epoch's kappa of validation and test is shown, quadratic
weights. `key=value` changes a key of params.yaml in all trainings.

Printed on one of 2 cores of a virtual machine, other work beside it (the seconds say little):

  n = 3 seeds, mean ± deviation (range); seconds of one training on 1 of 2 cores; torch 2.15.0+cu132
  pretrained
    validation kappa of seed 0: lr 0.0003 0.775, lr 0.001 0.762
    lr 0.0003: kappa of validation 0.777 ± 0.014 (0.764 to 0.791), of test 0.768 ± 0.028 (0.736 to 0.787); 419 s
  from scratch
    validation kappa of seed 0: lr 0.0003 0.618, lr 0.001 0.636
    lr 0.001: kappa of validation 0.649 ± 0.012 (0.636 to 0.656), of test 0.625 ± 0.039 (0.581 to 0.649); 348 s
  the weights add 0.143 to the mean test kappa; target: above 0: met
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.real_training import Built, asked, build, figures, fit, predictions, sections

SEEDS = 3
RATES = (0.0003, 0.001)
SAME = {
    "augment.image_size": 112, "augment.crop": "none", "train.model": "squeezenet1_1", "train.scaling": "caffe",
    "train.loss.class_weights": "none", "train.batch_size": 32, "train.full.epochs": 8,
}  # fmt: skip


def arms(weights: str) -> dict[str, dict[str, Any]]:
    """`caffe` is the scaling that the weights were trained with; the net from scratch gets it too."""
    return {"pretrained": {"train.weights": weights}, "from scratch": {"train.weights": "none"}}


def kappas(built: Built, params: dict[str, Any], seed: int, lr: float) -> tuple[float, float, float]:
    """Quadratic weighted kappa of validation and test, and the seconds of the training."""
    train = params["train"]
    full = train.full.model_copy(update={"lr": lr})
    fitted = fit(built.cache, train.model_copy(update={"seed": seed, "full": full}))
    table = predictions(fitted, built.cache, params["evaluate"])
    val, test = (figures(table[table["split"] == part], built.cache)["kappa"] for part in ("val", "test"))
    return val, test, fitted.seconds


def over_seeds(built: Built, params: dict[str, Any]) -> tuple[float, np.ndarray]:
    """The best learning rate, and with it `kappas` of each seed, (SEEDS, 3)."""
    first = {lr: kappas(built, params, 0, lr) for lr in RATES}
    print("  validation kappa of seed 0: " + ", ".join(f"lr {lr:g} {found[0]:.3f}" for lr, found in first.items()),
          flush=True)
    lr = max(first, key=lambda rate: first[rate][0])
    return lr, np.array([first[lr], *(kappas(built, params, seed, lr) for seed in range(1, SEEDS))])


def spread(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f} ({values.min():.3f} to {values.max():.3f})"


def compare(folder: Path, weights: str, changes: Mapping[str, Any]) -> None:
    built, means = None, {}
    for arm, own in arms(weights).items():
        params = sections("aptos2019", {**SAME, **own, **changes})
        built = built or build("aptos2019", params, folder)
        print(arm, flush=True)
        lr, found = over_seeds(built, params)
        val, test, seconds = found.T
        print(f"  lr {lr:g}: kappa of validation {spread(val)}, of test {spread(test)}; {seconds.mean():.0f} s",
              flush=True)
        means[arm] = test.mean()
    gain = means["pretrained"] - means["from scratch"]
    print(f"the weights add {gain:.3f} to the mean test kappa; target: above 0: {'met' if gain > 0 else 'NOT met'}")


def main() -> None:
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_file():
        sys.exit("name a state dict of SqueezeNet 1.1")
    _, changes = asked(sys.argv[2:], [])
    print(f"n = {SEEDS} seeds, mean ± deviation (range); seconds of one training on {torch.get_num_threads()} of "
          f"{os.cpu_count()} cores; torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), sys.argv[1], changes)


if __name__ == "__main__":
    main()
