"""Whether a probability of 0.8 is right in 80 of 100 images, before and after temperature scaling (Guo, Pleiss, Sun and
Weinberger, "On Calibration of Modern Neural Networks", ICML 2017).

One number, fitted on validation, divides the logarithms of the probabilities, which of a softmax or a single sigmoid is
to divide the logits. The prediction stays as it is: of grades (`ordinal`) it is the median. Validation also chose the
epoch, so that the model is a little too sure on it and the temperature a little too low.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from fovea.evaluation.bootstrap import by_image, interval, resamples, weighted_mean
from fovea.evaluation.metrics import log_losses
from fovea.evaluation.table import class_numbers, probabilities

BINS = 15  # as in Guo et al.; of equal numbers of images, which errs least (Roelofs et al., AISTATS 2022)
FEWEST = 10  # images in a bin, else there are fewer bins: a bin of one image is never calibrated
DIGITS = 9  # of a probability, as the table of predictions has them
RANGE = (0.05, 20.0)  # of temperatures; the best one is at an end if validation has no error, or nothing right


def calibration(predictions: pd.DataFrame, classes: list[str], groups: pd.Series) -> dict[str, Any]:
    """Figures of the test part, for JSON: `temperature`, `before` and `after`: `ece`, `brier`, `log_loss`; `intervals`.

    Expected calibration error: mean distance in a bin between the probability of the predicted class and how often
    that is right. It is never below 0, so that chance raises it, and its interval, the more the fewer the images: read
    it beside the other two. Brier score: mean squared distance between the probabilities and the label as 0 and 1,
    summed over the classes, 0 to 2 (Brier 1950). `temperature` and `after` are None without one, see `temperature`.
    """
    test, units = by_image(predictions[predictions["split"] == "test"], groups)
    fitted = temperature(predictions[predictions["split"] == "val"], classes)
    actual, predicted = (class_numbers(test[column], classes) for column in ("label", "prediction"))
    chances = probabilities(test, classes)
    ways = {"before": chances, "after": None if fitted is None else scaled(chances, fitted)}
    figures = {way: None if p is None else {name: float(values[0]) for name, values in
                                            _figures(actual, predicted, p, np.ones((1, len(actual)))).items()}
               for way, p in ways.items()}
    limits = {way: None if p is None else _intervals(actual, predicted, p, units) for way, p in ways.items()}
    return {"temperature": fitted, **figures, "intervals": limits}


def temperature(validation: pd.DataFrame, classes: list[str]) -> float | None:
    """The temperature with the lowest log loss on the rows `validation`.

    None without rows, with those of one class alone, or if none in `RANGE` is best.
    """
    if validation["label"].nunique() < 2:
        return None
    rows = validation.sort_values("image")
    actual, chances = class_numbers(rows["label"], classes), probabilities(rows, classes)

    def loss(exponent: float) -> float:
        return float(log_losses(actual, scaled(chances, float(np.exp(exponent)))).mean())

    low, high = np.log(RANGE)
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x
    return float(np.exp(best)) if low + 0.01 < best < high - 0.01 else None


def scaled(chances: np.ndarray, temperature: float) -> np.ndarray:
    """float64 (n, classes): softmax of the logarithms of `chances`, divided by `temperature`; at 1 they are unchanged.

    Of a softmax or a single sigmoid this divides the logits: they are the logarithms but for a number that the softmax
    takes out again. Of grades (`ordinal`) and of several sigmoids it does not.
    """
    if temperature == 1:
        return chances
    return softmax(np.log(np.maximum(chances, np.finfo(np.float64).tiny)) / temperature, axis=1)


def reliability(predictions: pd.DataFrame, classes: list[str], temperature: float | None) -> pd.DataFrame:
    """Columns class, bin, confidence (mean probability), observed (how often it is so) and n, of the rows given.

    `class` is "" for the predicted class and its being right; the others are each against the rest. Probabilities are
    scaled by `temperature`; with None there are no rows.
    """
    tables = [pd.DataFrame({"class": [], "bin": [], "confidence": [], "observed": [], "n": []}).astype({"class": str})]
    if temperature is not None and len(predictions):
        actual, predicted = (class_numbers(predictions[column], classes) for column in ("label", "prediction"))
        chances = scaled(probabilities(predictions, classes), temperature)
        tables = [_bins("", chances[np.arange(len(chances)), predicted], predicted == actual)]
        tables += [_bins(name, chances[:, number], actual == number) for number, name in enumerate(classes)]
    return pd.concat(tables, ignore_index=True)


def _bins(name: str, confidence: np.ndarray, true: np.ndarray) -> pd.DataFrame:
    rows = pd.DataFrame({"bin": bin_numbers(confidence), "confidence": confidence, "observed": true, "n": 1})
    table = rows.groupby("bin", as_index=False).agg({"confidence": "mean", "observed": "mean", "n": "sum"})
    table.insert(0, "class", name)
    return table


def bin_numbers(confidence: np.ndarray) -> np.ndarray:
    """int64 (n,) from 0: up to `BINS` bins of equal numbers, values that are equal to `DIGITS` in the same one."""
    confidence = confidence.round(DIGITS)
    bins = min(BINS, max(1, len(confidence) // FEWEST))
    edges = np.quantile(confidence, np.arange(1, bins) / bins, method="inverted_cdf")
    return np.unique(np.searchsorted(edges, confidence), return_inverse=True)[1]


def _figures(
    actual: np.ndarray, predicted: np.ndarray, chances: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """float64 (resamples,) each; the bins are those of all images, in every resample."""
    confidence, hit = chances[np.arange(len(chances)), predicted], predicted == actual
    in_bin = np.eye(BINS)[bin_numbers(confidence)]
    distance = weights @ (in_bin * (confidence - hit)[:, None])
    squares = ((chances - np.eye(chances.shape[1])[actual]) ** 2).sum(axis=1)
    return {
        "ece": np.abs(distance).sum(axis=1) / weights.sum(axis=1),
        "brier": weighted_mean(squares, weights),
        "log_loss": weighted_mean(log_losses(actual, chances), weights),
    }


def _intervals(actual: np.ndarray, predicted: np.ndarray, chances: np.ndarray, units: np.ndarray) -> dict[str, Any]:
    chunks = [_figures(actual, predicted, chances, weights) for weights in resamples(units)]
    return {name: interval(np.concatenate([chunk[name] for chunk in chunks])) for name in chunks[0]}
