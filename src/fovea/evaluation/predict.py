"""Predictions of a trained model over the cached validation and test rows."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fovea.cache.read import Cache
from fovea.training.data import Rows, make_rows
from fovea.training.forward import INFERENCE_BATCH, logits
from fovea.training.loss import decided, probabilities


def predict(
    model: nn.Module,
    record: dict[str, Any],
    cache: Cache,
    device: torch.device,
    views: int,
    track: Callable[[Iterable[Any], str, int], Iterator[Any]],
) -> pd.DataFrame:
    """One row for each validation and test image: image, split, label, prediction, and p_<class> for each class.

    `record` is what `load_model` gave with `model`. The probabilities are the mean over `views` views of each image: 1,
    as it is; 2, and mirrored left to right; 8, in all quarter turns. Rows are in the order of the image's name.
    `track(batches, label, images)` shows progress.
    """
    index = cache.index
    chosen = index["split"].isin(["val", "test"]).to_numpy()
    p = chances(model, record, make_rows(cache, chosen, record["crop"], record["scaling"], device), views, track)
    table = index.loc[chosen, ["image", "split", "label"]].reset_index(drop=True)
    classes = np.array(record["classes"], dtype=object)
    table["prediction"] = classes[decided(record["loss"], p)]
    table[[f"p_{name}" for name in classes]] = p
    return table.sort_values("image", ignore_index=True)


def chances(
    model: nn.Module, record: dict[str, Any], rows: Rows, views: int,
    track: Callable[[Iterable[Any], str, int], Iterator[Any]] = lambda batches, label, images: iter(batches),
) -> np.ndarray:
    """Probabilities float64 (n, classes) of all `rows`, in their order. The others as in `predict`."""
    model.to(rows.device).to(memory_format=torch.channels_last)  # as in training, so that no last bit differs
    each = []
    for number in range(views):
        label = "evaluate" if views == 1 else f"evaluate view {number + 1}/{views}"
        batches = track(rows.in_order(INFERENCE_BATCH), label, len(rows))
        outputs = logits(model, (view(inputs, number) for inputs in batches))
        each.append(probabilities(record["loss"], outputs.cpu()).numpy())
    return np.asarray(np.mean(each, axis=0))


def view(inputs: Tensor, number: int) -> Tensor:
    """View 0 to 7 of images (n, 3, s, s): `number // 2` quarter turns, then mirrored left to right if it is odd."""
    if number // 2:
        inputs = torch.rot90(inputs, number // 2, (2, 3))
    if number % 2:
        inputs = inputs.flip(3)
    return inputs.contiguous(memory_format=torch.channels_last)  # as they come from the cache
