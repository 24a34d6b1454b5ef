"""Learning-rate range test: one short training whose learning rate rises exponentially from step to step.

Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3; exponential, smoothed and stopped
early as in fastai. What it leaves in the model is of no use.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from fovea.errors import UserError

FIRST, LAST, STEPS = 1e-7, 10.0, 100  # learning rates, and steps between them
SMOOTHING = 0.9                       # share of the mean that stays at each step
GIVE_UP = 4.0                         # stops when the smoothed loss is this many times the best one
SKIPPED = 5                           # first points, of which too few losses are in the mean


@dataclass(frozen=True)
class RangeTest:
    """float64 (n,) each, n up to STEPS: learning rate, loss of the batch before that step, and smoothed loss."""

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray


def range_test(step: Callable[[Any, float], Tensor], batches: Iterable[Any]) -> RangeTest:
    """Call `step(batch, rate)`, which trains and gives the loss before it, on the first STEPS of `batches`.

    Each step waits for the device, to see whether to go on. Stops at a loss that is not finite; raises UserError
    if the first one is not.
    """
    rates = np.geomspace(FIRST, LAST, STEPS)
    losses: list[float] = []
    for rate, batch in zip(rates.tolist(), batches, strict=False):
        loss = step(batch, rate).item()
        if not math.isfinite(loss) and not losses:
            raise UserError("train.weights: the loss is not finite before the first step; use other weights")
        if not math.isfinite(loss):
            break
        losses.append(loss)
        smooth = smoothed(np.array(losses))
        if len(losses) > SKIPPED and smooth[-1] > GIVE_UP * smooth[SKIPPED:].min():
            break
    return RangeTest(rates[: len(losses)], np.array(losses), smoothed(np.array(losses)))


def smoothed(losses: np.ndarray) -> np.ndarray:
    """float64 (n,): exponential moving mean of `losses` (n,), divided by the sum of its weights, as in Adam."""
    mean, out = 0.0, np.empty(len(losses))
    for step, loss in enumerate(losses.tolist()):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        out[step] = mean / (1 - SMOOTHING ** (step + 1))
    return out


def suggestions(test: RangeTest) -> tuple[float, float] | None:
    """Learning rate where the smoothed loss falls steepest over log(rate), and a tenth of the one of its minimum.

    Both up to the minimum. None if the loss never falls: too few points, or it rises from the first on.
    """
    lowest = SKIPPED + int(np.argmin(test.smoothed[SKIPPED:])) if len(test.smoothed) > SKIPPED else 0
    if lowest < SKIPPED + 2:
        return None
    part = slice(SKIPPED, lowest + 1)
    slopes = np.gradient(test.smoothed[part], np.log(test.rates[part]))
    return float(test.rates[part][np.argmin(slopes)]), float(test.rates[lowest] / 10)
