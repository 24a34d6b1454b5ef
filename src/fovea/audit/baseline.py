"""What a model must beat: the label as told from colours alone, by a linear rule.

Colours may be how a photograph was taken or the disease itself, so a high figure is no fault of the images.
"""

from typing import Any

import numpy as np
import pandas as pd

from fovea.audit.auroc import FOLDS, enough, folds, interval, ranked, training_rows, unit_counts

MOST_IMAGES = 5_000
LEVEL = 0.95
SIDE = 8
RING = np.pad(np.zeros((SIDE - 2, SIDE - 2), dtype=bool), 1, constant_values=True)


def trivial_baseline(manifest: pd.DataFrame, part: np.ndarray, units: np.ndarray) -> list[dict[str, Any]]:
    """Macro one-vs-rest AUROC of the mean colour, the border and the whole of the 8 x 8 thumbnails.

    Cross-validated inside the training part with whole `units`, on at most MOST_IMAGES images; `part` and `units` as
    for `shortcuts`. The interval is the mean of the classes' 95 % intervals, which is wider than one of the mean.
    Empty if there is too little to say.
    """
    rows = training_rows(manifest["image"].to_numpy(str), manifest["digest"].to_numpy(str), part, MOST_IMAGES)
    targets, units = manifest["target"].to_numpy(np.int64)[rows], units[rows]
    if not enough(targets, units):
        return []
    fold = folds(targets, units, 0)
    pixels = np.frombuffer(b"".join(manifest["thumbnail"].iloc[rows]), np.uint8).reshape(-1, SIDE, SIDE, 3) / 255
    inputs = {"mean colour": pixels.mean(axis=(1, 2)), "border": pixels[:, RING].reshape(len(rows), -1),
              "8 x 8 thumbnail": pixels.reshape(len(rows), -1)}  # fmt: skip
    return [{"feature": name, **_macro(values, targets, units, fold), "n": len(rows)}
            for name, values in inputs.items()]


def _macro(inputs: np.ndarray, targets: np.ndarray, units: np.ndarray, fold: np.ndarray) -> dict[str, float]:
    classes = [int(target) for target in np.unique(targets)]
    pairs = np.zeros((len(classes), 2))
    for held_out in range(FOLDS):
        mine = fold == held_out
        scores = _predict(inputs[~mine], targets[~mine, None] == classes, inputs[mine])
        for row, target in enumerate(classes):
            hit = targets[mine] == target
            pairs[row] += ranked(scores[:, row], hit, ~hit)
    aurocs = pairs[:, 0] / np.maximum(pairs[:, 1], 1)
    limits = [interval(auroc, *unit_counts(targets, units, target), LEVEL)
              for auroc, target in zip(aurocs, classes, strict=True)]
    low, high = np.mean(limits, axis=0)
    return {name: round(float(value), 4) for name, value in zip(("auroc", "low", "high"), (aurocs.mean(), low, high),
                                                                 strict=True)}


def _predict(inputs: np.ndarray, wanted: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """float64 (unseen, classes): ridge regression onto the classes, with half an image's weight for each column.

    On palm and aptos2019 as good as a logistic regression or better (0.98 to 0.98, 0.83 to 0.82), in a fifth of the time.
    """
    mean, scale = inputs.mean(axis=0), np.maximum(inputs.std(axis=0), 1e-6)
    known, new = (inputs - mean) / scale, (unseen - mean) / scale
    normal = known.T @ known + known.shape[1] / 2 * np.eye(known.shape[1])
    centred = wanted - wanted.mean(axis=0)
    return np.asarray(new @ np.linalg.solve(normal, known.T @ centred) + wanted.mean(axis=0))
