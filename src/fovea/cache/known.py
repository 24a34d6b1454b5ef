"""Rows that were rendered before, by whichever run, wherever they lie in the store."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fovea.cache.shards import RECORD, read_records, read_row


class StoredRow(NamedTuple):
    pixels: np.ndarray  # uint8 (size, size, 3)
    cropped: bool       # whether the crop that was asked for was possible


class KnownRows:
    """The rows in `folder` as they are now, but for those of the shards `without`. Costs a small read per shard."""

    def __init__(self, folder: Path, size: int, without: set[str]) -> None:
        names = sorted({path.stem for path in folder.glob("*.rows")} - without)
        records = [read_records(folder, name) for name in names]
        self._size = size
        self._paths = [_pixels(folder, name) for name in names]
        self._records = np.concatenate([*records, np.empty(0, RECORD)])
        self._order = np.argsort(self._records["key"], kind="stable")
        self._sorted = self._records["key"][self._order]
        self._ends = np.cumsum([len(one) for one in records])

    def find(self, keys: np.ndarray) -> np.ndarray:
        """The places, for `read`, of rows with these keys (n,): int64 (n,), -1 for those that are not known."""
        if not len(self._sorted):
            return np.full(len(keys), -1)
        near = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[near] == keys, self._order[near], -1)

    def read(self, place: int) -> StoredRow | None:
        """None for place -1, and for a row that is not on the disk any more as it was written."""
        if place < 0:
            return None
        shard = int(np.searchsorted(self._ends, place, side="right"))
        row = place - (int(self._ends[shard - 1]) if shard else 0)
        record = self._records[place]
        pixels = read_row(self._paths[shard], row, self._size, record)
        return None if pixels is None else StoredRow(pixels, bool(record["cropped"]))


def _pixels(folder: Path, name: str) -> Path:
    finished = folder / f"{name}.npy"
    return finished if finished.exists() else folder / f"{name}.part"
