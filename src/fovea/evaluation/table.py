"""The table of predictions: columns image, split, label, prediction and `p_<class>`, one row per image."""

import csv
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from fovea.errors import UserError
from fovea.files import replacing


def write_predictions(path: Path | str, predictions: pd.DataFrame) -> None:
    """Write a table of predictions, whole or not at all: names as they are, probabilities with nine digits."""
    with replacing(path) as temporary:
        # Text is quoted: a carriage return in the name of an image would end the line otherwise
        predictions.to_csv(temporary, index=False, float_format="%.9g", quoting=csv.QUOTE_NONNUMERIC)


def read_predictions(path: Path | str | IO[bytes]) -> pd.DataFrame:
    """Read a table of predictions. Names stay text: a class may be called 0, 01, NA or null."""
    text = dict.fromkeys(("image", "split", "label", "prediction"), str)
    return pd.read_csv(path, dtype=text, keep_default_na=False)


def class_numbers(names: pd.Series, classes: list[str]) -> np.ndarray:
    """int64 (n,): the index of each name in `classes`. Raises UserError naming the first that is none of them."""
    numbers = pd.Index(classes).get_indexer(pd.Index(names))
    if (numbers < 0).any():
        unknown = names.iloc[int(np.argmax(numbers < 0))]
        raise UserError(f"predictions: {names.name} {unknown!r} is none of the classes {', '.join(classes)}")
    return numbers.astype(np.int64)


def probabilities(predictions: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """float64 (n, classes): the probability of each class, in the order of `classes`."""
    return predictions[[f"p_{name}" for name in classes]].to_numpy(np.float64)


def confidences(predictions: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """float64 (n,): the probability of each prediction, which of grades (`ordinal`) need not be the highest."""
    numbers = class_numbers(predictions["prediction"], classes)
    return probabilities(predictions, classes)[np.arange(len(predictions)), numbers]
