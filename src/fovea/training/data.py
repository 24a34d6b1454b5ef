"""From cached rows to batches for the model: the order of an epoch, and what is drawn for each image in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fovea.seeds import generator
from fovea.training.batch import Batch, Plan
from fovea.training.mix import draw_mix
from fovea.training.on_cpu import CpuFeed
from fovea.training.on_device import DeviceFeed, fits, load_rows
from fovea.training.scaling import Scaling
from fovea.training.transforms import centred, draw, draw_keys

if TYPE_CHECKING:
    from fovea.cache.read import Cache
    from fovea.params.train import TrainParams


@dataclass
class Rows:
    """Some rows of a cache with their targets (n,) int64, as a model of input `crop` px and `scaling` gets them."""

    cache: "Cache"
    rows: np.ndarray
    targets: Tensor
    keys: list[str]
    crop: int
    scaling: Scaling
    device: torch.device
    feed: Callable[[Iterator[Plan], int], Iterator[Batch]]

    def __len__(self) -> int:
        return len(self.rows)

    def in_order(self, batch_size: int, positions: np.ndarray | None = None) -> Iterator[Tensor]:
        """Every row once, or those at `positions`, in order, centre-cropped: inputs (b, 3, crop, crop)."""
        every = np.arange(len(self)) if positions is None else positions
        size = self.cache.attrs["size"]
        chunks = [every[i : i + batch_size] for i in range(0, len(every), batch_size)]
        plans = (Plan(chunk, centred(size, self.crop, len(chunk)), None) for chunk in chunks)
        for batch in self.feed(plans, batch_size):
            yield batch.inputs

    def batches(self, batches: list[np.ndarray], params: "TrainParams", epoch: int) -> Iterator[Batch]:
        """A batch for each array of positions, as `epoch_batches` gives them or slices of whole pairs of those.

        What is drawn for an image depends on `params.seed`, the epoch, the image, and how often it came before in the
        epoch.
        """
        plans = (self._plan(positions, params, epoch) for positions in batches)
        return self.feed(plans, max(map(len, batches), default=0))

    def _plan(self, positions: np.ndarray, params: "TrainParams", epoch: int) -> Plan:
        repeats, numbers = np.divmod(positions, len(self))
        keys = [f"{self.keys[n]}/{r}" if r else self.keys[n] for n, r in zip(numbers, repeats, strict=True)]
        draws = draw(params.transforms, self.cache.attrs["size"], self.crop, params.seed, epoch, keys)
        return Plan(numbers, draws, draw_mix(params.mix, self.crop, params.seed, epoch, keys))


def make_rows(
    cache: "Cache",
    chosen: np.ndarray,
    crop: int | None,
    scaling: str,
    device: torch.device,
    resident: bool | None = None,
) -> Rows:
    """The rows of `cache` where `chosen` (rows of the index,) bool is true.

    `resident` rows are kept in the memory of the device; None: if it is a GPU and they fit. On the CPU, true and false
    both mean the transforms of a GPU, so that they can be compared.
    """
    index, rows = cache.index[chosen], np.flatnonzero(chosen)
    targets = torch.as_tensor(np.array(index["target"], np.int64), device=device)
    side, scale = crop or cache.attrs["size"], Scaling(scaling, device)
    feed: Callable[[Iterator[Plan], int], Iterator[Batch]]
    if device.type == "cpu" and resident is None:
        feed = CpuFeed(cache, rows, targets, side, scale)
    else:
        keep = fits(cache, len(rows), device) if resident is None else resident
        feed = DeviceFeed(cache, rows, targets, side, scale, load_rows(cache, rows, device) if keep else None)
    return Rows(cache, rows, targets, draw_keys(index), side, scale, device, feed)


def epoch_batches(targets: Tensor | np.ndarray, params: "TrainParams", seed: int, epoch: int) -> list[np.ndarray]:
    """The order of an epoch over rows with `targets` (n,): positions in batches, the same on every machine.

    A position is the number of a row, 0 to n - 1, plus n for each time that the row came before in this epoch, which
    happens with `sampling: balanced` alone: take it modulo n. Positions 2j and 2j + 1 of a batch are mixed with each
    other. A last batch of one image is left out: batch norm cannot estimate a variance from it.
    """
    draws = generator(seed, "order", epoch)
    if params.sampling == "balanced":
        order = draws.permutation(_balanced(torch.as_tensor(targets).cpu().numpy(), draws))
    else:
        order = draws.permutation(len(targets))
    batches = [order[i : i + params.batch_size] for i in range(0, len(order), params.batch_size)]
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches


def _balanced(targets: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """As many positions of each class, together as many as rows or a few less. Of one class no row comes twice more
    often than another."""
    classes = np.unique(targets)
    wanted = max(1, len(targets) // len(classes))
    found = []
    for name in classes:
        rows = draws.permutation(np.flatnonzero(targets == name))
        repeats, places = np.divmod(np.arange(wanted), len(rows))
        found.append(rows[places] + repeats * len(targets))
    return np.concatenate(found)
