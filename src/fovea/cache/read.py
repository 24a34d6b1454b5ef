"""Reading the cache: random rows out of memory-mapped shards. Imports nothing but numpy and pandas."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


class Cache:
    """A folder that `build_cache` wrote. Nothing is loaded but the index; pages of pixels come as they are read."""

    index: pd.DataFrame    # one row per cached row: image, digest, label, target, split, group, variant, shard, row
    attrs: dict[str, Any]  # name, classes, positive and digest of the set; size in px; file names of the shards

    def __init__(self, folder: Path | str) -> None:
        self.index = pd.read_parquet(Path(folder) / "index.parquet")
        self.attrs = {str(name): value for name, value in self.index.attrs.items()}
        self._shards = [np.asarray(np.load(Path(folder) / name, mmap_mode="r")) for name in self.attrs["shards"]]
        self._shard, self._row = self.index["shard"].to_numpy(), self.index["row"].to_numpy()

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Pixels of `rows` (n,), positions in `index` from 0: uint8 RGB (n, size, size, 3), in `out` if it is given.

        `out` must be C-contiguous: it is filled without a copy in between. Raises IndexError for a row outside.
        """
        rows = np.asarray(rows)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows must be from 0 to {len(self) - 1}, got {rows.min()} to {rows.max()}")
        size = self.attrs["size"]
        out = np.empty((len(rows), size, size, 3), np.uint8) if out is None else out
        shards, places = self._shard[rows], self._row[rows]
        for number in np.unique(shards):
            chosen = np.flatnonzero(shards == number)
            self._take(self._shards[number], places[chosen], chosen, out)
        return out

    def _take(self, shard: np.ndarray, places: np.ndarray, chosen: np.ndarray, out: np.ndarray) -> None:
        if len(chosen) == len(out):
            np.take(shard, places, axis=0, out=out, mode="clip")  # other modes fill a buffer first
        else:
            for position, place in zip(chosen.tolist(), places.tolist(), strict=True):
                np.copyto(out[position], shard[place])  # taking and scattering would move every byte twice
