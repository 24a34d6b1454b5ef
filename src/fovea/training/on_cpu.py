"""Batches on the CPU: one image after another, while it lies in the processor's cache."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fovea.training.ahead import Ring, ahead
from fovea.training.batch import Batch, Plan
from fovea.training.mix import mix_cpu
from fovea.training.scaling import Scaling
from fovea.training.transforms import apply_cpu, erase

if TYPE_CHECKING:
    from fovea.cache.read import Cache


class CpuFeed:
    """Reads rows (n,) of `cache` with their targets (n,) int64. One thread prepares: the cores are the model's."""

    def __init__(self, cache: "Cache", rows: np.ndarray, targets: Tensor, crop: int, scaling: Scaling) -> None:
        self.cache, self.rows, self.targets, self.crop, self.scaling = cache, rows, targets, crop, scaling

    def __call__(self, plans: Iterator[Plan], largest: int) -> Iterator[Batch]:
        """A batch for each plan, of at most `largest` images."""
        size = self.cache.attrs["size"]
        stored = np.empty((largest, size, size, 3), np.uint8)
        ring = Ring((largest, self.crop, self.crop, 3))
        yield from ahead(self._batch(plan, stored, ring.free()) for plan in plans)

    def _batch(self, plan: Plan, stored: np.ndarray, inputs: np.ndarray) -> Batch:
        count = len(plan.numbers)
        inputs = inputs[:count]
        pixels = self.cache.take(self.rows[plan.numbers], out=stored[:count])
        for i, image in enumerate(apply_cpu(pixels, plan.draws, self.crop)):
            self.scaling.looked_up(image, inputs[i])
            erase(inputs[i], plan.draws.erased[i], 0)
        targets = self.targets[torch.from_numpy(plan.numbers)]
        images = torch.from_numpy(inputs).permute(0, 3, 1, 2)
        if plan.mix is None:
            return Batch(images, targets, targets, torch.ones(count))
        mix_cpu(inputs, plan.mix)
        return Batch(images, targets, targets[torch.from_numpy(plan.mix.partner)], torch.from_numpy(plan.mix.share))
