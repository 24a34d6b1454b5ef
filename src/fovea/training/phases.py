"""The two phases: the head alone on features of the frozen backbone, then the whole model on images."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from fovea.store import store_folder
from fovea.training.average import Average
from fovea.training.batch import Batch
from fovea.training.distributed import World
from fovea.training.forward import INFERENCE_BATCH, logits
from fovea.training.optimizer import make_optimizer
from fovea.training.prepare import Prepared
from fovea.training.step import Step

if TYPE_CHECKING:
    from fovea.params.train import PhaseParams, TrainParams

Track = Callable[[Iterable[Any], str, int], Iterator[Any]]


@dataclass
class Phase:
    """`step` trains `module` on what `batches(positions, epoch)` makes; `val_logits()` are of all validation rows.

    The processes of `world` share its batches.
    """

    params: "PhaseParams"
    module: nn.Module
    step: Step
    batches: Callable[[list[np.ndarray], int], Iterable[Batch]]
    val_logits: Callable[[], Tensor]
    world: World

    def state(self) -> dict[str, Any]:
        average = self.step.average
        return {"optimizer": self.step.optimizer.state_dict(), "average": average.state() if average else None}

    def restore(self, state: dict[str, Any]) -> None:
        self.step.optimizer.load_state_dict(state["optimizer"])
        if self.step.average:
            self.step.average.restore(state["average"])


def frozen_phase(parts: Prepared, params: "TrainParams", track: Track) -> Phase:
    """The backbone in eval mode sees each stored row once; the head trains on its features, in every process alike."""
    from fovea.training.features import features  # with pandas, which a benchmark on a bare GPU machine lacks

    def features_of(rows: Any, label: str) -> Tensor:
        return features(parts.model, parts.head, rows, params, store_folder("features"), track, label)

    train = features_of(parts.train, "features")
    val = features_of(parts.val, "features of val") if parts.val else None
    targets = parts.train.targets
    unmixed = torch.ones(len(targets), device=targets.device)

    def batches(positions: list[np.ndarray], epoch: int) -> Iterator[Batch]:
        order = np.concatenate([np.empty(0, np.int64), *positions]) % len(targets)
        lengths = [len(batch) for batch in positions]
        for chosen in torch.as_tensor(order, device=targets.device).split(lengths):  # one copy an epoch
            yield Batch(train[chosen], targets[chosen], targets[chosen], unmixed[chosen])

    alone = World()
    step = _step(parts, params, params.frozen, parts.head, parts.head, False, alone)
    return Phase(params.frozen, parts.head, step, batches, lambda: parts.head(val), alone)


def full_phase(parts: Prepared, params: "TrainParams", track: Track, world: World, compiled: bool = False) -> Phase:
    """The whole model trains on the images, each with its own draws."""
    forward = world.wrap(parts.model)
    if compiled:
        forward = cast(nn.Module, torch.compile(forward))
    mixed = bool(params.mix.mixup or params.mix.cutmix)
    step = _step(parts, params, params.full, parts.model, forward, mixed, world)

    def batches(positions: list[np.ndarray], epoch: int) -> Iterable[Batch]:
        return parts.train.batches(positions, params, epoch)

    def val_logits() -> Tensor:
        assert parts.val is not None
        mine = np.arange(world.rank, len(parts.val), world.size)
        some = mine if len(mine) else np.zeros(1, np.int64)  # fewer rows than processes
        inputs = parts.val.in_order(INFERENCE_BATCH, some)
        shown = track(inputs, "validation", math.ceil(len(some) / INFERENCE_BATCH))
        return world.gather(logits(parts.model, shown)[: len(mine)], len(parts.val))

    return Phase(params.full, parts.model, step, batches, val_logits, world)


def _step(
    parts: Prepared, params: "TrainParams", phase: "PhaseParams", module: nn.Module, forward: nn.Module, mixed: bool,
    world: World,
) -> Step:
    optimizer = make_optimizer(phase, module, parts.head)
    average = Average(module, params.average) if params.average else None
    return Step(forward, optimizer, parts.loss, mixed, params.gradient_clip, params.micro_batch, average, world)
