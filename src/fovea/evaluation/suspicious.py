"""Labels that are most likely wrong, by confident learning: Northcutt, Jiang, Chuang, "Confident Learning: Estimating
Uncertainty in Dataset Labels", Journal of Artificial Intelligence Research 70 (2021), section 3.

The probabilities must be out of sample: of images that the model was not trained on, such as the validation and test
parts. The validation part chose the epoch, which favours its labels a little. On an image that it was trained on, a
model repeats the label that it was given, right or wrong. A model that cannot tell the classes apart suspects many
labels, as many as half of them: the list is worth as much as the model.
"""

import math

import numpy as np
import pandas as pd

from fovea.evaluation.table import class_numbers, probabilities

ROUNDING = 1e-9  # probabilities are saved with nine digits, so that equal ones must stay equal to their mean


def suspicious_labels(predictions: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Images that the model confidently counts to another class than their label, the most suspicious first.

    A class is confident for an image if its probability reaches the class's threshold: its mean over the images that
    have the label. The likeliest confident class is `suggested`; where it is not the label, the image lies off the
    diagonal of the confident joint. `predictions` is the table of `read_predictions` with validation and test rows. A
    class without an image has no threshold and is never suggested. Returns image, split, label, suggested, p_label,
    p_suggested and margin = p_suggested - p_label (the paper's normalised margin, -1 to 1), by falling margin, then
    by image: the order of the rows does not matter.
    """
    labels, chances = class_numbers(predictions["label"], classes), probabilities(predictions, classes)
    confident = np.where(chances >= thresholds(labels, chances) - ROUNDING, chances, -1)
    suggested = confident.argmax(axis=1)
    rows = np.flatnonzero((confident.max(axis=1) >= 0) & (suggested != labels))
    p_label, p_suggested = chances[rows, labels[rows]], chances[rows, suggested[rows]]
    table = predictions[["image", "split", "label"]].iloc[rows]
    table = table.assign(suggested=np.array(classes, dtype=object)[suggested[rows]], p_label=p_label,
                         p_suggested=p_suggested, margin=p_suggested - p_label)
    return table.sort_values(["margin", "image"], ascending=[False, True], ignore_index=True)


def thresholds(labels: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """float64 (classes,): mean probability of each class over the images with that label, infinite without any.

    `labels` is int64 (n,), `chances` float64 (n, classes). Summed exactly, so that the order of the images is nothing.
    """
    mine = (chances[labels == number, number] for number in range(chances.shape[1]))
    return np.array([math.fsum(values) / len(values) if len(values) else np.inf for values in mine])
