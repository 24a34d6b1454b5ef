"""From cached rows to batches for the model, prepared one batch ahead in a thread."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from queue import Queue
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fovea.cache.read import Cache
from fovea.seeds import generator
from fovea.training.transforms import Draws, apply_batched, apply_cpu, centred, draw, draw_keys

if TYPE_CHECKING:
    from fovea.params.train import TransformParams

AHEAD = 2  # batches prepared while the model works on one
SCALINGS = {  # name: (mean, deviation) of each channel, of pixels in [0, 1]
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # nearly all of torchvision's weights expect this
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


class Scaling:
    """Pixels (n, 3, h, w) in [0, 255] to float32 as `train.scaling` names it, on any device."""

    def __init__(self, name: str, device: torch.device) -> None:
        mean, deviation = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in SCALINGS[name])
        self.factor, self.shift = 1 / (255 * deviation), -mean / deviation

    def __call__(self, pixels: Tensor) -> Tensor:
        return torch.addcmul(self.shift, pixels.float(), self.factor)

    def looked_up(self, pixels: np.ndarray) -> np.ndarray:
        """The same values of uint8 (n, h, w, 3) on the CPU, read from a table instead of computed."""
        import cv2

        scaled: np.ndarray = cv2.LUT(pixels.reshape(-1, pixels.shape[2], 3), self._table).reshape(pixels.shape)
        return scaled

    @cached_property
    def _table(self) -> np.ndarray:
        """The value of each level in each channel, float32 (256, 1, 3)."""
        levels = torch.arange(256.0).view(1, 1, 256, 1).expand(1, 3, 256, 1)
        return np.ascontiguousarray(self(levels)[0].permute(1, 2, 0).numpy())


@dataclass
class Rows:
    """Some rows of a cache with their targets (n,) int64, as a model of input `crop` px and `scaling` gets them."""

    cache: Cache
    rows: np.ndarray
    targets: Tensor
    keys: list[str]
    crop: int
    scaling: Scaling
    device: torch.device

    def __len__(self) -> int:
        return len(self.rows)

    def in_order(self, batch_size: int, positions: np.ndarray | None = None) -> Iterator[Tensor]:
        """Every row once, or those at `positions` (n,), in order, centre-cropped: inputs (b, 3, crop, crop)."""
        order = np.arange(len(self)) if positions is None else positions
        batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
        size = self.cache.attrs["size"]
        return self._inputs(batches, lambda batch: centred(size, self.crop, len(batch)))

    def shuffled(
        self, batch_size: int, params: "TransformParams", seed: int, epoch: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch in its own order, each image with its own draw: inputs (b, 3, crop, crop), targets (b,)."""
        batches = shuffled_batches(len(self), batch_size, seed, epoch)
        size = self.cache.attrs["size"]

        def draws(batch: np.ndarray) -> Draws:
            return draw(params, size, self.crop, seed, epoch, [self.keys[i] for i in batch])

        for batch, inputs in zip(batches, self._inputs(batches, draws), strict=True):
            yield inputs, self.targets[torch.as_tensor(batch, device=self.device)]

    def _inputs(self, batches: list[np.ndarray], draws: Callable[[np.ndarray], Draws]) -> Iterator[Tensor]:
        on_cpu = self.device.type == "cpu"

        def prepare(batch: np.ndarray) -> tuple[np.ndarray, Draws]:
            pixels = self.cache.take(self.rows[batch])
            drawn = draws(batch)
            return self.scaling.looked_up(apply_cpu(pixels, drawn, self.crop)) if on_cpu else pixels, drawn

        for pixels, drawn in ahead(map(prepare, batches)):
            images = torch.from_numpy(pixels).to(self.device, non_blocking=True).permute(0, 3, 1, 2)  # channels_last
            yield images if on_cpu else self.scaling(apply_batched(images, drawn, self.crop))


def make_rows(cache: Cache, chosen: np.ndarray, crop: int | None, scaling: str, device: torch.device) -> Rows:
    """The rows of `cache` where `chosen` (rows of the index,) bool is true."""
    index = cache.index[chosen]
    targets = torch.as_tensor(index["target"].to_numpy(np.int64), device=device)
    side = crop or cache.attrs["size"]
    return Rows(cache, np.flatnonzero(chosen), targets, draw_keys(index), side, Scaling(scaling, device), device)


def shuffled_batches(count: int, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Positions 0..count-1 in the order of this epoch, in batches.

    A last batch of one image is left out: batch norm cannot estimate a variance from it.
    """
    order = generator(seed, "order", epoch).permutation(count)
    batches = [order[i : i + batch_size] for i in range(0, count, batch_size)]
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches


class Timed:
    """An iterator over `items` that adds up the `seconds` until each came."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = iter(items)
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        start = time.perf_counter()
        try:
            return next(self.items)
        finally:
            self.seconds += time.perf_counter() - start


def ahead(items: Iterator[Any]) -> Generator[Any, None, None]:
    """`items`, computed by a thread up to `AHEAD` before they are asked for. An error in the thread is raised here."""
    queue: Queue[tuple[Any, BaseException | None, bool]] = Queue(AHEAD)
    stopped = threading.Event()

    def work() -> None:
        try:
            for item in items:
                queue.put((item, None, False))
                if stopped.is_set():
                    return
            queue.put((None, None, True))
        except BaseException as error:  # whatever it is, the consumer must get it, or it would wait for ever
            queue.put((None, error, True))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error, done = queue.get()
            if error is not None:
                raise error
            if done:
                return
            yield item
    finally:
        stopped.set()
        while thread.is_alive():  # empty the queue, or the thread would wait for room
            while not queue.empty():
                queue.get_nowait()
            thread.join(0.01)
