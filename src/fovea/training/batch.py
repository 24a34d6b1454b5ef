"""What is to be done for a batch, and what the model gets."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from fovea.training.mix import Mix
from fovea.training.transforms import Draws


class Plan(NamedTuple):
    """Some of the `Rows` by number (b,) int64, and what is done to each."""

    numbers: np.ndarray
    draws: Draws
    mix: Mix | None


class Batch(NamedTuple):
    """`b` images for the model, on its device. Their loss is that of `targets` times `share` and that of `other` times
    the rest."""

    inputs: Tensor   # (b, 3, crop, crop) float32, channels_last
    targets: Tensor  # (b,) int64
    other: Tensor    # (b,) int64, label of the image that is mixed in; `targets` where none is
    share: Tensor    # (b,) float32, 1 where none is
