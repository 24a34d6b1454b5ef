"""A training over a small cache, as the stage builds it, for tests of the loop."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from fovea.cache.read import Cache
from fovea.params.train import TrainParams
from fovea.training.loop import Trainer
from fovea.training.prepare import prepare
from tests.small import train_params

CPU = torch.device("cpu")


def silent(items: Iterable[Any], label: str, total: int) -> Iterator[Any]:
    return iter(items)


def trainer(cache: Cache, params: TrainParams, with_val: bool = True, track: Any = silent, **more: Any) -> Trainer:
    parts = prepare(params, cache, CPU)
    return Trainer(parts if with_val else parts._replace(val=None), params, track, lambda *epoch: None, **more)


def run(cache: Cache, **changes: Any) -> Trainer:
    trained = trainer(cache, train_params(**changes))
    trained.run()
    return trained
