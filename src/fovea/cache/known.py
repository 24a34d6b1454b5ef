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
        pixels = {path.stem: path for suffix in ("part", "npy") for path in folder.glob(f"*.{suffix}")}
        self._paths = [path for name, path in sorted(pixels.items()) if name not in without]
        records = [read_records(folder, path.stem) for path in self._paths]
        self._size = size
        self._records = np.concatenate([*records, np.empty(0, RECORD)])
        self._order = np.argsort(self._records["key"], kind="stable")
        self._sorted = self._records["key"][self._order]
        self._ends = np.cumsum([len(one) for one in records])

    def read(self, key: bytes) -> StoredRow | None:
        """The row with this key, None if none of those that had it is on the disk any more as it was written."""
        first, last = (int(np.searchsorted(self._sorted, key, side)) for side in ("left", "right"))
        rows = (self._read(int(place)) for place in self._order[first:last])
        return next((row for row in rows if row), None)

    def _read(self, place: int) -> StoredRow | None:
        shard = int(np.searchsorted(self._ends, place, side="right"))
        row = place - (int(self._ends[shard - 1]) if shard else 0)
        record = self._records[place]
        pixels = read_row(self._paths[shard], row, self._size, record)
        return None if pixels is None else StoredRow(pixels, bool(record["cropped"]))
