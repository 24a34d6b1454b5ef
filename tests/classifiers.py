"""Classifiers for tests of what comes after the pipeline: what train and evaluate leave, made in a second."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from fovea.cache.read import Cache
from fovea.evaluation.prediction import Point, Prediction, digest_of, save_prediction
from fovea.evaluation.unlike import make_reference
from fovea.training.loss import make_loss
from fovea.training.model import build_model, load_model, save_model
from tests.small import train_params

DATA = {"name": "small", "digest": "0" * 40, "index": "0" * 32}
CPU = torch.device("cpu")


def write_model(
    folder: Path, cache: Cache, views: int = 1, temperature: float | None = 2.0, loss: str = "cross_entropy",
    points: list[Point] | None = None, **changes: Any,
) -> Path:
    """model.pt and prediction.pt of an untrained SqueezeNet for the images of `cache`; returns the path of model.pt.

    `changes` are of the record; without `points` there is one that half of the validation images reach.
    """
    torch.manual_seed(0)
    classes, size = cache.attrs["classes"], changes.get("crop") or cache.attrs["size"]
    targets = torch.as_tensor(np.array(cache.index["target"], np.int64))
    outputs = make_loss(train_params(loss__name=loss).loss, targets, len(classes)).outputs
    shape = {"outputs": outputs, "hidden": 0, "dropout": 0.0, "size": size, "stem": "standard"}
    model, _ = build_model("squeezenet1_1", **shape)
    record = {"model": "squeezenet1_1", "crop": None, **shape, "scaling": "imagenet", "loss": loss,
              "square": cache.attrs["square"], "classes": classes, "positive": cache.attrs["positive"], **changes}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.pt"
    save_model(path, model, record)
    points = [Point(classes[-1], "sensitivity", 0.9, 1 / len(classes))] if points is None else points
    reference = make_reference(*load_model(path), cache, CPU)
    found = Prediction(digest_of(path), DATA, views, temperature, points, reference)
    save_prediction(folder / "prediction.pt", found)
    return path
