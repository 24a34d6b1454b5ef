"""Batches on a GPU: pixels and draws go there ahead of the loop, and what is drawn is done to a whole batch at once.

Nothing here waits for the device, but for what is loaded before the first batch.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fovea.training.ahead import ahead
from fovea.training.batch import Batch, Plan
from fovea.training.mix import mix_batched
from fovea.training.scaling import Scaling
from fovea.training.transforms import colour_maps, inside, recolour_batched, warp_batched

if TYPE_CHECKING:
    from fovea.cache.read import Cache

RESIDENT = 1 / 3   # of the free memory at most for the rows of one split; what a model takes is not known yet
LOADED = 2**28     # bytes at once
MAPS = (6, 9, 1, 4)  # columns of affine, colour matrix, lift and erased box
MIXES = (1, 1, 4)    # columns of share, blend and box


class Sent(NamedTuple):
    """A plan on the device. `ready` is None where the device has no streams."""

    numbers: Tensor           # (b,) or with mixing (2, b) int64: of the rows, and the partner of each
    maps: Tensor              # (b, sum of MAPS) float32, with mixing also of MIXES
    pixels: Tensor | None     # (b, size, size, 3) uint8, None if all rows are on the device
    recolours: bool
    erases: bool
    ready: "torch.cuda.Event | None"


def fits(cache: "Cache", count: int, device: torch.device) -> bool:
    """Whether `count` rows may stay in the memory of the device."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return count * cache.attrs["size"] ** 2 * 3 <= free * RESIDENT


def load_rows(cache: "Cache", rows: np.ndarray, device: torch.device) -> Tensor:
    """Pixels of rows (n,) on the device, uint8 (n, size, size, 3)."""
    size = cache.attrs["size"]
    pixels = torch.empty((len(rows), size, size, 3), dtype=torch.uint8, device=device)
    step = max(1, LOADED // (size * size * 3))
    for start in range(0, len(rows), step):
        pixels[start : start + step] = torch.from_numpy(cache.take(rows[start : start + step])).to(device)
    return pixels


class DeviceFeed:
    """Reads rows (n,) of `cache` with their targets (n,) int64 on the device of `scaling`; `resident` are the pixels of
    all of them on the device, uint8 (n, size, size, 3), or None."""

    def __init__(
        self, cache: "Cache", rows: np.ndarray, targets: Tensor, crop: int, scaling: Scaling, resident: Tensor | None
    ) -> None:
        self.cache, self.rows, self.targets, self.crop, self.scaling = cache, rows, targets, crop, scaling
        self.resident, self.device = resident, targets.device
        self.on_cuda = self.device.type == "cuda"
        self.side = torch.cuda.Stream(self.device) if self.on_cuda else None

    def __call__(self, plans: Iterator[Plan], largest: int) -> Iterator[Batch]:
        """A batch for each plan. Buffers come from torch's allocators, which know what streams still use them."""
        for sent in ahead(map(self._send, plans)):
            self._wait_for(sent)
            yield self._batch(sent)

    def _send(self, plan: Plan) -> Sent:
        draws, mix = plan.draws, plan.mix
        matrices, lifts = colour_maps(draws)
        columns = [draws.affine, matrices, lifts, draws.erased]
        numbers = plan.numbers
        if mix:
            columns += [mix.share, mix.blend, mix.box]
            numbers = np.stack([numbers, mix.partner])
        maps = np.concatenate([column.reshape(len(draws.affine), -1) for column in columns], axis=1, dtype=np.float32)
        with self._stream():
            pixels = None if self.resident is not None else self._to_device(self._taken(plan.numbers))
            numbers_there, maps_there = (self._to_device(self._pinned(array)) for array in (numbers, maps))
            ready = self.side.record_event() if self.side else None
        return Sent(numbers_there, maps_there, pixels, draws.changes_colour(), bool(draws.erased.any()), ready)

    def _stream(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self.side) if self.side else nullcontext()

    def _taken(self, numbers: np.ndarray) -> Tensor:
        """Pixels of some rows, pinned where that lets the copy run beside the model."""
        size = self.cache.attrs["size"]
        pixels = torch.empty((len(numbers), size, size, 3), dtype=torch.uint8, pin_memory=self.on_cuda)
        self.cache.take(self.rows[numbers], out=pixels.numpy())
        return pixels

    def _pinned(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.pin_memory() if self.on_cuda else tensor

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    def _wait_for(self, sent: Sent) -> None:
        """The model's stream waits for the copies, the host does not."""
        if sent.ready is None:
            return
        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(sent.ready)
        for tensor in (sent.numbers, sent.maps, sent.pixels):
            if tensor is not None:
                tensor.record_stream(stream)  # or the side stream would fill it again too early

    @torch.no_grad()
    def _batch(self, sent: Sent) -> Batch:
        numbers, *partner = sent.numbers.view(-1, len(sent.maps)).unbind()
        pixels = sent.pixels if self.resident is None else self.resident.index_select(0, numbers)
        assert pixels is not None
        targets = self.targets.index_select(0, numbers)
        affine, matrices, lifts, erased = sent.maps[:, : sum(MAPS)].split(MAPS, dim=1)
        images = warp_batched(pixels.permute(0, 3, 1, 2), affine.reshape(-1, 2, 3), self.crop)
        if sent.recolours:
            images = recolour_batched(images, matrices.reshape(-1, 3, 3), lifts[:, 0])
        images = self.scaling(images)
        if sent.erases:
            images = images.masked_fill_(inside(erased, self.crop), 0)
        if not partner:
            return Batch(_channels_last(images), targets, targets, torch.ones_like(lifts[:, 0]))
        share, blend, box = sent.maps[:, sum(MAPS) :].split(MIXES, dim=1)
        images = mix_batched(images, partner[0], blend[:, 0], box)
        return Batch(_channels_last(images), targets, targets.index_select(0, partner[0]), share[:, 0])


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
