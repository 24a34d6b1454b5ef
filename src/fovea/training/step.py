"""One optimiser step: the gradient of a batch, in parts if the memory asks for it, and what is made of it."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
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

    def __call__(self, batch: Batch, rate: float, whole: int) -> tuple[Tensor, Tensor]:
        """One step at learning rate `rate` on this process's part of a batch of `whole` images.

        The mean loss of the whole batch, and how many of its images were right.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        loss, right = self._gradient(batch, self.world.largest(whole))
        if self.clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.clip)
        self.optimizer.step()
        if self.average:
            self.average.update()
        return loss, right

    def _gradient(self, batch: Batch, largest: int) -> tuple[Tensor, Tensor]:
        """Gradients of the mean loss. Out of GPU memory, half as many images pass at once from now on."""
        while True:
            try:
                count = -(-largest // (self.images or largest))
                return self._accumulated(batch, min(count, max(1, largest // 2)))  # batch norm needs two images
            except torch.OutOfMemoryError:
                self._halve(min(self.images or largest, largest))
            torch.cuda.empty_cache()

    def _halve(self, images: int) -> None:
        if images < 4 or self.world.size > 1:  # of several processes one alone can't begin again
            raise UserError(f"train.micro_batch: {images} images at once are too many for the memory of the GPU; "
                            "set it lower, or take a smaller augment.image_size or model")
        self.images = images // 2
        print(f"train: out of GPU memory with {images} images at once; goes on with {self.images}, whose gradients "
              f"add up to the same batch. train.micro_batch: {self.images} avoids the attempt", file=sys.stderr)

    def _accumulated(self, batch: Batch, count: int) -> tuple[Tensor, Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        weight = self.world.sum(self._of_labels(batch, self.loss.weight).sum())
        total, right = torch.zeros_like(weight), torch.zeros_like(weight)
        for number, part in enumerate(_parts(batch, count), 1):
            with self.world.without_sync(self.module) if number < count else nullcontext():
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


def _parts(batch: Batch, count: int) -> list[Batch]:
    """`batch` in parts of nearly the same length."""
    return [Batch(*part) for part in zip(*(tensor.tensor_split(count) for tensor in batch), strict=True)]
