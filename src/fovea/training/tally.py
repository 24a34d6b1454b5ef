"""The figures of the running epoch, which stay on the device until they are asked for."""

from typing import Any

import torch
from torch import Tensor

from fovea.training.progress import Progress


class Tally:
    """Sums over the batches of an epoch, beginning with what `at` has of it. Nothing is read back but in `settle`."""

    def __init__(self, at: Progress, device: torch.device) -> None:
        self._at = at
        self._sums = torch.tensor([at.loss, at.right], device=device)
        self._bad = torch.full((), -1, device=device)  # first batch whose loss is not finite
        self._logged: list[tuple[dict[str, Any], Tensor]] = []

    def add(self, loss: Tensor, right: Tensor, images: int, logged_rate: float | None) -> None:
        """Take in a batch by its mean `loss` () and the number of its images that were `right` ().

        With `logged_rate`, its learning rate, it becomes a row of `at.steps`.
        """
        at = self._at
        self._sums += torch.stack([loss * images, right])
        self._bad = torch.where((self._bad < 0) & ~torch.isfinite(loss), at.batches, self._bad)
        at.seen += images
        if logged_rate is not None:
            where = {"step": at.step, "epoch": at.epoch(), "samples": at.samples + at.seen, "lr": logged_rate}
            self._logged.append((where, loss))
        at.batches, at.step = at.batches + 1, at.step + 1

    def settle(self) -> int | None:
        """Read the figures back into `at`; the number of the first batch whose loss is not finite, if there is one."""
        if (bad := int(self._bad)) >= 0:
            return bad
        self._at.loss, self._at.right = self._sums.tolist()
        self._at.steps += [{**where, "loss": loss.item()} for where, loss in self._logged]
        self._logged.clear()
        return None
