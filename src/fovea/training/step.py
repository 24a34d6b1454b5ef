"""One optimiser step: the gradient of a batch, in parts if the memory asks for it, and what is made of it."""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fovea.errors import UserError
from fovea.training.average import Average
from fovea.training.batch import Batch
from fovea.training.distributed import World
from fovea.training.loss import Loss, predicted


@dataclass
class Step:
    """Trains `module` on one batch at a call. `images` is how many pass through it at once, None for all.

    The loss is the mean over the whole batch, whatever its parts and processes; batch norm alone sees the parts.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    mixed: bool
    clip: float
    images: int | None
    average: Average | None
    world: World

    def __call__(self, batch: Batch, rate: float) -> tuple[Tensor, Tensor]:
        """One step at learning rate `rate`: the mean loss of the whole batch, and how many of its images were right."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        loss, right = self._gradient(batch)
        if self.clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.clip)
        self.optimizer.step()
        if self.average:
            self.average.update()
        return loss, right

    def _gradient(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Gradients of the mean loss. Out of GPU memory, half as many images pass at once from now on."""
        while True:
            try:
                return self._accumulated(batch)
            except torch.OutOfMemoryError:
                self._halve(min(self.images or math.inf, len(batch.targets)))
            torch.cuda.empty_cache()

    def _halve(self, images: float) -> None:
        if images < 4 or self.world.size > 1:  # of several processes one alone can't begin again
            raise UserError(f"train.micro_batch: {images:.0f} images at once are too many for the memory of the GPU; "
                            "set it lower, or take a smaller augment.image_size or model")
        self.images = int(images) // 2
        print(f"train: out of GPU memory with {images:.0f} images at once; goes on with {self.images}, whose gradients "
              f"add up to the same batch. train.micro_batch: {self.images} avoids the attempt", file=sys.stderr)

    def _accumulated(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        weight = self.world.sum(self._of_labels(batch, self.loss.weight).sum())
        total, right = torch.zeros_like(weight), torch.zeros_like(weight)
        parts = _parts(batch, self.images)
        for number, part in enumerate(parts, 1):
            if number < len(parts):
                with self.world.without_sync(self.module):
                    loss, correct = self._backward(part, weight)
            else:
                loss, correct = self._backward(part, weight)
            total += loss
            right += correct
        return self.world.sum(total), self.world.sum(right)

    def _backward(self, part: Batch, weight: Tensor) -> tuple[Tensor, Tensor]:
        kind = part.inputs.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
            outputs = self.module(part.inputs)
        outputs = outputs.float()
        loss = self._of_labels(part, lambda labels: self.loss.each(outputs, labels)).sum() / weight
        (loss * self.world.size).backward()  # the processes' gradients are averaged
        with torch.no_grad():
            return loss.detach(), (predicted(self.loss.params.name, outputs) == part.targets).sum()

    def _of_labels(self, batch: Batch, value: Callable[[Tensor], Tensor]) -> Tensor:
        """`value` (b,) of each image's label, or of both labels of a mixed image by their shares."""
        if not self.mixed:
            return value(batch.targets)
        return batch.share * value(batch.targets) + (1 - batch.share) * value(batch.other)


def _parts(batch: Batch, images: int | None) -> list[Batch]:
    """`batch` in as few parts of nearly the same length as have at most `images`."""
    count = -(-len(batch.targets) // (images or len(batch.targets)))
    return [Batch(*part) for part in zip(*(tensor.tensor_split(count) for tensor in batch), strict=True)]
