"""A training over a small cache, as the stage builds it, for tests of the loop."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from fovea.cache.read import Cache
from fovea.params.train import TrainParams
from fovea.training.data import make_rows
from fovea.training.loop import Trainer
from fovea.training.loss import make_loss
from fovea.training.model import build_model
from tests.small import train_params

CPU = torch.device("cpu")


def silent(items: Iterable[Any], label: str, total: int) -> Iterator[Any]:
    return iter(items)


def trainer(cache: Cache, params: TrainParams, with_val: bool = True, **more: Any) -> Trainer:
    torch.manual_seed(params.seed)
    classes = len(cache.attrs["classes"])
    size = params.crop or cache.attrs["size"]
    train, val = (
        make_rows(cache, (cache.index["split"] == part).to_numpy(), params.crop, params.scaling, CPU)
        for part in ("train", "val")
    )
    loss = make_loss(params.loss, train.targets, classes)
    model, head = build_model(params.model, loss.outputs, params.head.hidden, params.head.dropout, size)
    track = more.pop("track", silent)
    return Trainer(
        model, head, train, val if with_val else None, classes, params, track, lambda *epoch: None, **more
    )


def run(cache: Cache, **changes: Any) -> Trainer:
    trained = trainer(cache, train_params(**changes))
    trained.run()
    return trained
