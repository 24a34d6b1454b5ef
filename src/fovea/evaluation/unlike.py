"""How unlike the training images an image is: the distance to its nearest neighbours among them, as the model sees both
(Sun, Ming, Zhu and Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022).

The features are what the model's last linear layer gets, at unit length. An image is flagged if it is further away than
all but one in a hundred of the validation images, which the model was not trained on either.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fovea.cache.read import Cache
from fovea.training.data import make_rows
from fovea.training.forward import INFERENCE_BATCH, logits

MOST = 1000      # images of each part that are looked at: two forward passes of seconds, a file of a few MB
NEIGHBOURS = 10  # the distance is that to the tenth; fewer where there are fewer training images
FLAGGED = 0.01   # share of the validation images that would be flagged


class Reference(NamedTuple):
    """What new images are held against."""

    features: np.ndarray     # float16 (m, f), of training images, each of length 1
    threshold: float | None  # distance from which on an image is flagged; None without validation images

    def distances(self, features: np.ndarray) -> np.ndarray:
        """float32 (n,) from 0 to 2 of features (n, f) of length 1: to the `NEIGHBOURS`-th nearest training image."""
        nearest = min(NEIGHBOURS, len(self.features))
        likeness = features @ self.features.astype(np.float32).T
        cosine = np.partition(likeness, -nearest, axis=1)[:, -nearest]
        return np.sqrt(np.maximum(0, 2 - 2 * cosine)).astype(np.float32)

    def flagged(self, distances: np.ndarray) -> np.ndarray:
        """bool (n,): whether images at these distances are unlike the training images. Never without a threshold."""
        return distances > (np.inf if self.threshold is None else self.threshold)


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
        found[part] = of_unit_length(kept)
    reference = Reference(found["train"].astype(np.float16), None)
    if not len(found["val"]):
        return reference
    return reference._replace(threshold=float(np.quantile(reference.distances(found["val"]), 1 - FLAGGED)))


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

