"""Exponential moving average of weights, which is validated and kept instead of the weights that are trained."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

KEEPS = 10  # the average of n steps keeps at most (1 + n) / (KEEPS + n) of itself, so that it forgets where it began


class Average:
    """The average of all weights and buffers of `module` over its training steps.

    After n updates each takes (1 - d) of the live values, d = min(decay, (1 + n) / (10 + n)), as TensorFlow's
    ExponentialMovingAverage; integer buffers, such as counts of batches, are those of the live ones.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._live = [*module.parameters(), *module.buffers()]
        self._mean = [tensor.detach().clone() for tensor in self._live]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the live values after a step. No value is read back from the device."""
        self.updates += 1
        share = 1 - min(self.decay, (1 + self.updates) / (KEEPS + self.updates))
        pairs = list(zip(self._mean, self._live, strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in floats], [live for _, live in floats], share)
        for mean, live in pairs:
            if not mean.is_floating_point():
                mean.copy_(live)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module holds the average inside, and its live values again after."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for mean, live in zip(self._mean, self._live, strict=True):
            kept = live.detach().clone()
            live.copy_(mean)
            mean.copy_(kept)

    def state(self) -> tuple[int, list[Tensor]]:
        return self.updates, self._mean

    @torch.no_grad()
    def restore(self, state: tuple[int, list[Tensor]]) -> None:
        self.updates = state[0]
        for mean, saved in zip(self._mean, state[1], strict=True):
            mean.copy_(saved)
