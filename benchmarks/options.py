"""What each option of training changes on a real set: without, with, and the difference, over n validation parts.

    FOVEA_REAL_DATA=<folder of the sets> FOVEA_REAL_WEIGHTS=<folder of weights> \\
        python -m benchmarks.options [OPTION ...] [--repeats 3] [key=value ...]

ResNet-18 from scratch where no other is named, at sizes where a training takes a minute. Repeat r draws its own
validation part (split.seed: r) and weights (train.seed: r) and trains without and with the option, so that both are
measured on the same images; the test rows are not in the cache. The figure is that of the validation part after the
last epoch; no epoch is chosen, but by early stopping. "±" is the standard error of the mean difference; "helps" means
that the difference goes the right way by more than that.

Printed on one of 2 cores of a virtual machine, other work beside it (the seconds say little).

  n = 3 validation parts; 1 of 2 cores, torch 2.15.0+cu132
  option                set         figure             without    with  gain
  mixup                 retinamnist auroc                0.724   0.740  +0.016 ± 0.004   236  217 s  helps
  cutmix                retinamnist auroc                0.724   0.750  +0.026 ± 0.007   236  142 s  helps
  erasing               retinamnist auroc                0.724   0.738  +0.014 ± 0.002   236  136 s  helps
  label_smoothing       retinamnist loss                 1.811   1.530  +0.281 ± 0.045   236  144 s  helps
  average               retinamnist auroc                0.745   0.759  +0.014 ± 0.003   101  106 s  helps
  ordinal               retinamnist kappa                0.552   0.574  +0.021 ± 0.022    66   64 s
  class_weights         retinamnist balanced_accuracy    0.350   0.383  +0.033 ± 0.011    66   81 s  helps
  sampling              retinamnist balanced_accuracy    0.350   0.411  +0.061 ± 0.002    66   86 s  helps
  binary_cross_entropy  retinamnist auroc                0.758   0.758  -0.000 ± 0.000    66   88 s
  views                 retinamnist loss                 1.162   1.155  +0.007 ± 0.006    66   66 s  helps
  focal                 retinamnist loss                 1.811   1.458  +0.353 ± 0.021   287  241 s  helps
  gradient_clip         retinamnist auroc                0.715   0.751  +0.036 ± 0.009    63   66 s  helps
  small stem            retinamnist auroc                0.742   0.747  +0.005 ± 0.008    50  246 s
  backbone              aptos2019   kappa                0.736   0.760  +0.024 ± 0.019    77   63 s  helps
  layer_decay           aptos2019   kappa                0.736   0.759  +0.022 ± 0.016    77   70 s  helps
  early_stopping        palm        seconds            233.034  67.288  +165.746 ± 21.059   233   67 s  helps
  early_stopping, price palm        auroc                0.988   0.983  -0.005 ± 0.004   233   67 s
  n = 8 validation parts; 1 of 2 cores, torch 2.15.0+cu132
  ordinal               retinamnist kappa                0.528   0.560  +0.031 ± 0.011    68   71 s  helps

Three parts were too few for ordinal, so eight were taken. On aptos2019 it gains nothing (benchmarks/accuracy.py).
binary_cross_entropy changes nothing here; it is there because published work is trained with it
(recipes/myopia.yaml). A small stem is not shown to help; it is there because the published net of that set has one.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.real_training import Built, Fitted, asked, build, figures, fit, has_set, predictions, sections

WEIGHTS = os.environ.get("FOVEA_REAL_WEIGHTS")
Changes = dict[str, Any]

GRADES: Changes = {  # 720 images to train on, 480 to look at
    "augment.image_size": 28, "dataset.splits": {"train": "train", "val": "train", "test": "test"}, "split.val": 0.4,
    "train.full.epochs": 8, "train.batch_size": 32, "train.loss.class_weights": "none",
}  # fmt: skip
MYOPIA: Changes = {  # 200 and 200
    "augment.image_size": 64, "split.val": 0.5, "train.full.epochs": 12, "train.loss.class_weights": "none",
}
PRETRAINED: Changes = {  # 2,197 and 732
    "augment.image_size": 96, "augment.crop": "none", "split.val": 0.25, "train.full.epochs": 3,
    "train.batch_size": 32, "train.model": "squeezenet1_1", "train.scaling": "caffe", "train.full.lr": 0.002,
    "train.loss.class_weights": "none", "train.weights": f"{WEIGHTS}/squeezenet1_1_features_from_keras_h5.pth",
}  # fmt: skip
SETS = {"grades": ("retinamnist", GRADES), "myopia": ("palm", MYOPIA), "pretrained": ("aptos2019", PRETRAINED)}


class Option(NamedTuple):
    """One comparison: the option, the settings that both sides share, and the figure that should gain."""

    on: str         # of SETS
    figure: str     # loss and seconds should fall, all others rise
    only: Changes
    both: Changes = {}  # noqa: RUF012  # is never changed


LONGER = {"train.full.epochs": 16}
BARE = {  # by heart within 16 epochs; turned and mirrored, 600 photographs of 28 px take far more epochs to get there
    **LONGER, **{f"train.transforms.{name}": 0.0 for name in
                 ("hflip", "vflip", "rotation", "brightness", "contrast", "saturation")},
}  # fmt: skip
STEADY = {"train.full.schedule": {"name": "constant"}}
STEEP = {
    "train.full.optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.0005},
    "train.full.lr": 0.3,
}
PATIENT = {**STEADY, "train.full.epochs": 30, "train.best_metric": "loss"}
OPTIONS = {
    "mixup": Option("grades", "auroc", {"train.mix.mixup": 0.4}, BARE),
    "cutmix": Option("grades", "auroc", {"train.mix.cutmix": 1.0}, BARE),
    "erasing": Option("grades", "auroc", {"train.transforms.erasing": 0.5}, BARE),
    "average": Option("grades", "auroc", {"train.average": 0.98}, STEADY),
    "gradient_clip": Option("grades", "auroc", {"train.gradient_clip": 1.0}, STEEP),
    "label_smoothing": Option("grades", "loss", {"train.loss.label_smoothing": 0.1}, BARE),
    "focal": Option("grades", "loss", {"train.loss.name": "focal", "train.loss.gamma": 2.0}, BARE),
    "class_weights": Option("grades", "balanced_accuracy", {"train.loss.class_weights": "balanced"}),
    "sampling": Option("grades", "balanced_accuracy", {"train.sampling": "balanced"}),
    "ordinal": Option("grades", "kappa", {"train.loss.name": "ordinal"}),
    "binary_cross_entropy": Option("grades", "auroc", {"train.loss.name": "binary_cross_entropy"}),
    "small stem": Option("grades", "auroc", {"train.stem": "small"}, {"train.full.epochs": 4}),
    "views": Option("grades", "loss", {"evaluate.views": 8}),
    "early_stopping": Option("myopia", "seconds", {"train.early_stopping": 5}, PATIENT),
    "early_stopping, price": Option("myopia", "auroc", {"train.early_stopping": 5}, PATIENT),
    "backbone": Option("pretrained", "kappa", {"train.full.backbone": 0.2}),
    "layer_decay": Option("pretrained", "kappa", {"train.full.layer_decay": 0.8}),
}  # fmt: skip


class Bench:
    """Trains each configuration once, however many options are compared with it."""

    def __init__(self, folder: Path, changes: Changes) -> None:
        self.folder, self.changes = folder, changes
        self.fitted: dict[str, tuple[Built, Fitted]] = {}

    def measure(self, option: Option, only: Changes, repeat: int) -> dict[str, float]:
        """Figures of the validation part of a repeat, and the seconds of the training."""
        name, base = SETS[option.on]
        seeds = {"split.seed": repeat, "train.seed": repeat}
        params = sections(name, {**base, **option.both, **only, **seeds, **self.changes})
        key = repr({section: params[section] for section in ("dataset", "split", "augment", "train")})
        if key not in self.fitted:
            built = build(name, params, self.folder, test=False)
            chosen = "train.best_metric" in option.both  # what early stopping is measured on
            self.fitted[key] = built, fit(built.cache, params["train"], choose=chosen)
        built, fitted = self.fitted[key]
        return {**figures(predictions(fitted, built.cache, params["evaluate"]), built.cache), "seconds": fitted.seconds}

    def compare(self, option: Option, repeats: int) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
        for repeat in range(repeats):
            yield self.measure(option, {}, repeat), self.measure(option, option.only, repeat)


def show(name: str, option: Option, pairs: list[tuple[dict[str, float], dict[str, float]]]) -> None:
    without, having = (np.array([side[option.figure] for side in sides]) for sides in zip(*pairs, strict=True))
    gain = (having - without) * (-1 if option.figure in ("loss", "seconds") else 1)
    error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else float("nan")
    seconds = [np.mean([side["seconds"] for side in sides]) for sides in zip(*pairs, strict=True)]
    verdict = "helps" if gain.mean() > error else ""
    print(f"{name:<22}{SETS[option.on][0]:<12}{option.figure:<18}{without.mean():8.3f}{having.mean():8.3f}  "
          f"{gain.mean():+.3f} ± {error:.3f}  {seconds[0]:4.0f} {seconds[1]:4.0f} s  {verdict}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What each option changes on a real set")
    parser.add_argument("words", nargs="*", metavar="OPTION|key=value", help=f"options: {', '.join(OPTIONS)}")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_intermixed_args()
    names, changes = asked(given.words, OPTIONS)
    cores = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    print(f"n = {given.repeats} validation parts; {cores}, torch {torch.__version__}")
    print(f"{'option':<22}{'set':<12}{'figure':<18}{'without':>8}{'with':>8}  gain")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), changes)
        for name in names:
            option = OPTIONS[name]
            if option.on == "pretrained" and WEIGHTS is None:
                print(f"{name:<22}skipped: set FOVEA_REAL_WEIGHTS")
            elif not has_set(SETS[option.on][0]):
                print(f"{name:<22}skipped: {SETS[option.on][0]} is not there")
            else:
                show(name, option, list(bench.compare(option, given.repeats)))


if __name__ == "__main__":
    main()
