"""Predictions of a trained model over the cached validation and test rows."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from fovea.cache.read import Cache
from fovea.training.data import make_rows
from fovea.training.loop import INFERENCE_BATCH, logits
from fovea.training.loss import decided, probabilities


def predict(
    model: nn.Module,
    record: dict[str, Any],
    cache: Cache,
    device: torch.device,
    track: Callable[[Iterable[Any], str, int], Iterator[Any]],
) -> pd.DataFrame:
    """One row for each validation and test image: image, split, label, prediction, and p_<class> for each class.

    `record` is what `load_model` gave with `model`. Rows are in the order of the image's name.
    """
    index = cache.index
    chosen = index["split"].isin(["val", "test"]).to_numpy()
    rows = make_rows(cache, chosen, record["crop"], record["scaling"], device)
    batches = track(rows.in_order(INFERENCE_BATCH), "evaluate", math.ceil(len(rows) / INFERENCE_BATCH))
    model.to(device).to(memory_format=torch.channels_last)  # as in training, so that no last bit differs
    p = probabilities(record["loss"], logits(model, batches).cpu()).numpy()
    table = index.loc[chosen, ["image", "split", "label"]].reset_index(drop=True)
    classes = np.array(record["classes"], dtype=object)
    table["prediction"] = classes[decided(record["loss"], p)]
    table[[f"p_{name}" for name in classes]] = p
    return table.sort_values("image", ignore_index=True)
