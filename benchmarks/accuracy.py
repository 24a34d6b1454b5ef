"""Accuracy on the real sets: mean and deviation over seeds of the test figures, the published ones beside them.

    FOVEA_REAL_DATA=<folder of the sets> python -m benchmarks.accuracy [ROW ...] [--seeds 3] [key=value ...]
    ... python -m benchmarks.accuracy palm --val-only split.val=0.2 split.seed=1 train.full.epochs=10

`key=value` changes a key of params.yaml in all rows of the call. With `--val-only` the test rows are not in the cache:
it prints the figures of the validation rows after the last epoch, and is what settings are chosen with.

Printed on a virtual machine with 2 cores of an AMD EPYC; palm alone on it, the others on one core beside other work,
so that their seconds say nothing.

 n = 3 seeds, mean ± deviation; seconds of one training on 2 of 2 cores; torch 2.15.0+cu132
 palm               auroc 0.9953 ± 0.0006  accuracy 0.9683 ± 0.0058  kappa 0.9366 ± 0.0116  loss 0.0871 ± 0.0029  306 s
                    published: fastai .990 AUROC, .968 accuracy in 344 s on 2 cores; a plain script .992, .957 in 7 min
 n = 3 seeds, mean ± deviation; seconds of one training on 1 of 2 cores; torch 2.15.0+cu132
 retinamnist        auroc 0.7340 ± 0.0070  accuracy 0.5292 ± 0.0138  kappa 0.5594 ± 0.0563  loss 1.5140 ± 0.3657  957 s
                    published: ResNet-18 .717 AUROC, .524 accuracy; best of all .750, .531 (MedMNIST v2, table 3)
 n = 2 seeds, mean ± deviation; seconds of one training on 1 of 2 cores; torch 2.15.0+cu132
 aptos2019          auroc 0.8599 ± 0.0102  accuracy 0.7190 ± 0.0019  kappa 0.7110 ± 0.0074  loss 0.7872 ± 0.0504  1327 s
                    published: kappa .908 with ImageNet weights, 5 folds
 aptos2019-ordinal  auroc 0.8572 ± 0.0044  accuracy 0.7115 ± 0.0010  kappa 0.7044 ± 0.0085  loss 0.7685 ± 0.0006  1371 s
                    published: as above
 n = 3 seeds, mean ± deviation; seconds of one training on 1 of 2 cores; torch 2.15.0+cu132
 skin200            auroc 0.9942 ± 0.0063  accuracy 0.9583 ± 0.0144  kappa 0.9167 ± 0.0289  loss 0.1599 ± 0.0750  120 s
                    published: ResNet-50 36 of 39 right
                    37 of 39 right, 38 of 40 with the last line
                    38 of 39 right, 39 of 40 with the last line
                    37 of 39 right, 38 of 40 with the last line
                    image size alone separates benign from malignant: AUROC 1.00 (0.95-1.00); a model may learn it
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks.real_training import Built, asked, build, figures, fit, has_set, predictions, sections
from tests.real_sets import FOLDER

SHOWN = ("auroc", "accuracy", "kappa", "loss")
SAME = {
    "train.loss.class_weights": "none",  # accuracy counts images, so every image counts the same
    "evaluate.views": 8,  # a photograph of the retina or the skin has no upper side
}
GRADES = {"train.loss.name": "ordinal", "train.batch_size": 32}


class Row(NamedTuple):
    """What is trained on which set, and what others reached on the same test rows."""

    name: str  # of the set
    changes: dict[str, Any]
    published: str


APTOS = {
    **SAME, "augment.image_size": 112, "augment.crop": "none", "train.full.epochs": 8, "train.batch_size": 32,
    "train.best_metric": "kappa",
}  # fmt: skip
ROWS = {
    "retinamnist": Row("retinamnist", {
        **SAME, **GRADES, "augment.image_size": 28, "train.stem": "small", "train.full.epochs": 12,
        "train.best_metric": "loss",
    }, "ResNet-18 .717 AUROC, .524 accuracy; best of all .750, .531 (MedMNIST v2, table 3)"),
    "palm": Row("palm", {  # all 400 images train, and the last epoch is kept: the settings are chosen, nothing else is
        **SAME, "augment.image_size": 80, "split.val": 0, "train.full.epochs": 36,
        "train.transforms.scale": [0.8, 1.25], "train.transforms.brightness": 0.2, "train.transforms.contrast": 0.2,
        "train.transforms.saturation": 0.2,
    }, "fastai .990 AUROC, .968 accuracy in 344 s on 2 cores; a plain script .992, .957 in 7 min"),
    "aptos2019": Row("aptos2019", APTOS, "kappa .908 with ImageNet weights, 5 folds"),
    "aptos2019-ordinal": Row("aptos2019", {**APTOS, **GRADES}, "as above"),
    "skin200": Row("skin200", {**SAME, "augment.image_size": 96, "train.full.epochs": 20}, "ResNet-50 36 of 39 right"),
}  # fmt: skip


def measured(built: Built, params: dict[str, Any], seed: int, part: str) -> tuple[dict[str, float], str]:
    """Figures of the rows of a part after one training, and of skin200's test part how many images are right.

    For the figures of val no epoch is chosen by the rows they are of.
    """
    fitted = fit(built.cache, params["train"].model_copy(update={"seed": seed}), choose=part == "test")
    table = predictions(fitted, built.cache, params["evaluate"])
    table = table[table["split"] == part]
    right = _right(table) if part == "test" and params["dataset"].name == "skin200" else ""
    return {**figures(table, built.cache), "seconds": fitted.seconds}, right


def _right(table: pd.DataFrame) -> str:
    """The published reader drops the last line of the list of the test part."""
    last = (Path(FOLDER or "") / "skin200/labels/test.txt").read_text().split()[-1].split(",")[0]
    right, counted = table["label"] == table["prediction"], ~table["image"].str.endswith(last)
    return f"{(right & counted).sum()} of {counted.sum()} right, {right.sum()} of {len(table)} with the last line"


def show(name: str, found: list[dict[str, float]], said: list[str], published: str) -> None:
    cells = []
    for key in SHOWN:
        values = [one[key] for one in found]
        spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
        cells.append(f"{key} {np.mean(values):.4f}{spread}")
    seconds = np.mean([one["seconds"] for one in found])
    print(f"{name:<18} {'  '.join(cells)}  {seconds:.0f} s\n{'':18} published: {published}")
    for line in filter(None, said):
        print(f"{'':18} {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy on the real sets")
    parser.add_argument("words", nargs="*", metavar="ROW|key=value", help=f"rows: {', '.join(ROWS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--val-only", action="store_true")
    given = parser.parse_intermixed_args()
    names, changes = asked(given.words, ROWS)
    print(f"n = {given.seeds} seeds, mean ± deviation; seconds of one training on {torch.get_num_threads()} of "
          f"{os.cpu_count()} cores; torch {torch.__version__}")
    for name in names:
        row = ROWS[name]
        if not has_set(row.name):
            print(f"{name}: skipped, {row.name} is not there")
            continue
        params = sections(row.name, {**row.changes, **changes})
        with tempfile.TemporaryDirectory() as folder:
            built = build(row.name, params, Path(folder), test=not given.val_only)
            part = "val" if given.val_only else "test"
            found, said = zip(*(measured(built, params, seed, part) for seed in range(given.seeds)), strict=True)
        flagged = [one["sentence"] for one in built.shortcuts if one["flagged"]]
        show(name, list(found), [*said, *flagged[:1]], row.published)


if __name__ == "__main__":
    main()
