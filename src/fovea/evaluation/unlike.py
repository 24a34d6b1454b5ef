"""How unlike the training images an image is: by its distance to the nearest of them.

Twice: between features, what the model's last linear layer gets, at unit length (Sun, Ming, Zhu and Li, "Out-of-
Distribution Detection with Deep Nearest Neighbors", ICML 2022), and between images of 8 x 8 pixels, because a model
that saw few images may have the same features whatever it is shown. Each is divided by what all but a few of the
validation images stay below, which the model was not trained on either; the larger counts, and above 1 is flagged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from fovea.cache.read import Cache
from fovea.training.data import make_rows
from fovea.training.forward import INFERENCE_BATCH, logits

MOST = 1000      # images of each part that are looked at: two forward passes of seconds, a file of a few MB
NEIGHBOURS = 10  # the distance is that to the tenth; fewer where there are fewer training images
FLAGGED = 0.005  # share of the validation images that would be flagged by either
SMALL = 8        # px
LEAST = 1e-6     # limit, of a model to which all images are the same


class Reference(NamedTuple):
    """What new images are held against: training images, and what validation images stay below."""

    features: np.ndarray                # float16 (m, f)
    pixels: np.ndarray                  # float16 (m, 192)
    limits: tuple[float, float] | None  # of the distances of features and pixels; None without validation images

    def distances(self, features: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """float64 (n,) of features (n, f) and pixels (n, 192): above 1 is unlike the training images, NaN unknown."""
        if self.limits is None:
            return np.full(len(features), np.nan)
        both = zip((self.features, self.pixels), (features, pixels), self.limits, strict=True)
        return np.max([nearest(known, new) / limit for known, new, limit in both], axis=0)


def nearest(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    """float64 (n,): the Euclidean distance of each row of `new` (n, f) to the `NEIGHBOURS`-th nearest of `known`."""
    known, new = known.astype(np.float64), new.astype(np.float64)
    squares = (new**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * new @ known.T
    place = min(NEIGHBOURS, len(known)) - 1
    return np.sqrt(np.maximum(0, np.partition(squares, place, axis=1)[:, place]))


def make_reference(model: nn.Module, record: dict[str, Any], cache: Cache, device: torch.device) -> Reference:
    """Of the `model` and `record` of `load_model`, at most `MOST` training and validation images as they are stored.

    The index is in the order of the digests, so that its first images are as good as drawn.
    """
    index = cache.index
    found = {}
    for part in ("train", "val"):
        chosen = ((index["split"] == part) & (index["variant"] == 0)).to_numpy(copy=True)
        chosen[np.flatnonzero(chosen)[MOST:]] = False
        rows = make_rows(cache, chosen, record["crop"], record["scaling"], device)
        model.to(device).to(memory_format=torch.channels_last)
        with kept_features(model) as kept:
            if len(rows):
                logits(model, rows.in_order(INFERENCE_BATCH))
        found[part] = of_unit_length(kept), shrunk(cache.take(np.flatnonzero(chosen)))
    known = [values.astype(np.float16) for values in found["train"]]
    if not len(found["val"][0]):
        return Reference(known[0], known[1], None)
    limits = [float(np.quantile(nearest(*pair), 1 - FLAGGED)) for pair in zip(known, found["val"], strict=True)]
    return Reference(known[0], known[1], (max(LEAST, limits[0]), max(LEAST, limits[1])))


def shrunk(squares: np.ndarray) -> np.ndarray:
    """float32 (n, 192) in [0, 1]: `SMALL` x `SMALL` pixels of squares uint8 (n, s, s, 3)."""
    small = [cv2.resize(square, (SMALL, SMALL), interpolation=cv2.INTER_AREA).ravel() for square in squares]
    return np.array(small, np.float32).reshape(len(squares), SMALL * SMALL * 3) / 255


@contextmanager
def kept_features(model: nn.Module) -> Iterator[list[Tensor]]:
    """A list that gets, for each batch that passes through `model`, what its last linear layer gets: (b, f)."""
    kept: list[Tensor] = []
    within: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        within[:] = arguments  # a later linear layer takes its place

    def pass_on(*_: Any) -> None:
        kept.append(within[0].flatten(1).float())

    hooks = [layer.register_forward_pre_hook(keep) for layer in model.modules() if isinstance(layer, nn.Linear)]
    hooks.append(model.register_forward_hook(pass_on))
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def of_unit_length(kept: list[Tensor]) -> np.ndarray:
    """float32 (n, f) of batches (b, f); (0, 0) of none. Features that are all 0 stay so."""
    if not kept:
        return np.zeros((0, 0), np.float32)
    return np.asarray(nn.functional.normalize(torch.cat(kept)).cpu().numpy())

