"""A thread that works ahead of the loop, buffers that it uses again, and a clock of what the loop waits."""

import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from queue import Queue
from typing import Any

import numpy as np

AHEAD = 2  # batches prepared while the model works on one


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


class Ring:
    """Arrays of one shape that are filled again as soon as nothing refers to them.

    A view counts as a reference, so does a tensor made of it, and what autograd keeps of that. A loop that drops each
    batch gets by with `AHEAD` and two: one that the model uses, one that is being filled. One that keeps them gets new
    ones.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.arrays: list[np.ndarray] = []

    def free(self) -> np.ndarray:
        """A float32 array that nothing else uses; its content is arbitrary."""
        for i in range(len(self.arrays)):
            if _references(self.arrays, i) == UNUSED:
                return self.arrays[i]
        self.arrays.append(np.empty(self.shape, np.float32))
        return self.arrays[-1]


def _references(arrays: list[np.ndarray], i: int) -> int:
    return sys.getrefcount(arrays[i])


UNUSED = _references([np.empty(0)], 0)  # what Python counts for the list and the call, which differs between versions
