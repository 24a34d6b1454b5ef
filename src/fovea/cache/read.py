"""Reading the cache: random rows out of memory-mapped shards. Imports nothing but numpy and pandas."""

import ctypes
import math
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fovea.errors import UserError

HEADER = 128      # bytes before the pixels of a `.npy` file, whatever its shape
HUGE_PAGE = 2**21
WIDEST = 2**30    # bytes
MAP_FIXED = 0x10  # of mmap(2) on Linux and macOS; Python's mmap has no address to pass it with
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
AGAIN = "run dvc checkout data/cache, or dvc repro augment"


class Cache:
    """A folder that `build_cache` wrote. Nothing is loaded but the index; pages of pixels come as they are read.

    Raises UserError if a file is missing or its length is not what the index says.
    """

    index: pd.DataFrame    # one row per cached row: image, digest, label, target, split, group, variant, shard, row
    attrs: dict[str, Any]  # name, classes, positive and digest of the set; size in px; `SquareParams` as square;
                           # names of the shards; pixels: digest of the CRC-32 of all rows, so that other pixels have
                           # another index

    def __init__(self, folder: Path | str) -> None:
        folder = Path(folder)
        if not (folder / "index.parquet").is_file():
            raise UserError(f"{folder / 'index.parquet'}: missing; {AGAIN}")
        self.index = pd.read_parquet(folder / "index.parquet")
        self.attrs = {str(name): value for name, value in self.index.attrs.items()}
        paths = [folder / name for name in self.attrs["shards"]]
        shards, rows = self.index["shard"].to_numpy(), self.index["row"].to_numpy()
        counts = np.zeros(len(paths), np.int64)
        np.maximum.at(counts, shards, rows + 1)
        self._pixels, starts = map_shards(paths, counts, self.attrs["size"])
        self._places = starts[shards] + rows

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Pixels of `rows` (n,), positions in `index` from 0: uint8 RGB (n, size, size, 3), in `out` if it is given.

        `out` must be C-contiguous: it is filled without a copy in between. Raises IndexError for a row outside.
        """
        rows = np.asarray(rows)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows must be from 0 to {len(self) - 1}, got {rows.min()} to {rows.max()}")
        # other modes than "clip" fill a buffer first
        return np.take(self._pixels, self._places[rows], axis=0, out=out, mode="clip")


def map_shards(paths: list[Path], counts: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """All shards side by side in memory: uint8 (n, size, size, 3), read-only, and the row where each begins.

    `counts` are their rows. One `numpy.take` then reaches every row; copying row by row out of a map for each shard
    is slower where rows are small, and Python keeps the file of each map open, more than the usual limit of 1,024.
    """
    row = size * size * 3
    step = _step(row)
    lengths = HEADER + counts * row
    starts = np.cumsum([0, *-(-lengths // step)]) * step
    reserved, end = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, int(starts[-1])
    try:
        memory = mmap.mmap(-1, HUGE_PAGE + end, flags=reserved, prot=mmap.PROT_READ)
    except OSError as error:
        raise UserError(f"data/cache: {end / 1e9:.0f} GB of addresses are not to be had ({error.strerror}); make "
                        "augment.image_size a multiple of 32, which needs fewest, or raise `ulimit -v`") from None
    address = np.frombuffer(memory, np.uint8).ctypes.data
    first = -address % HUGE_PAGE
    for path, start, length in zip(paths, starts[:-1].tolist(), lengths.tolist(), strict=True):
        _map(path, address + first + start, length)
    pixels = np.frombuffer(memory, np.uint8, end, first + HEADER)
    return pixels.reshape(-1, size, size, 3), starts[:-1] // row


def _step(row: int) -> int:
    """Shards begin at multiples of these bytes: of a row, and of a page, where alone a file can be mapped.

    At huge pages Linux can map 2 MB at once; but rows of an odd size would then lie so far apart that the addresses do
    not suffice. The gaps cost addresses, no memory.
    """
    step = math.lcm(row, HUGE_PAGE)
    return step if step <= WIDEST else math.lcm(row, mmap.PAGESIZE)


def _map(path: Path, address: int, length: int) -> None:
    """Map the file read-only at `address`, over what was reserved there."""
    if not path.is_file():
        raise UserError(f"{path}: missing; {AGAIN}")
    with path.open("rb", buffering=0) as file:
        found = os.fstat(file.fileno()).st_size
        if found != length:
            raise UserError(f"{path}: {found} bytes instead of {length}; {AGAIN}")
        if LIBC.mmap(address, length, mmap.PROT_READ, mmap.MAP_SHARED | MAP_FIXED, file.fileno(), 0) != address:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
