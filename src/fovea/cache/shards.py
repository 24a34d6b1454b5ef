"""Writing the packed rows: `.npy` files that numpy maps into memory."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

SHARD_BYTES = 256 * 2**20


def rows_per_shard(size: int, shard_bytes: int) -> int:
    """Rows of (size, size, 3) bytes that fit into a shard, at least one."""
    return max(1, shard_bytes // (size * size * 3))


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.npy"


def write_shards(folder: Path, rows: Iterable[np.ndarray], total: int, size: int, per_shard: int) -> list[str]:
    """Write `total` rows uint8 (size, size, 3) in their order; returns the names of the shards.

    Plain writes, not a writable map: a full disk is then an OSError, not the signal SIGBUS.
    """
    stream = iter(rows)
    starts = range(0, total, per_shard)
    for number, start in enumerate(starts):
        count = min(per_shard, total - start)
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
        with shard_path(folder, number).open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for _ in range(count):
                file.write(next(stream).data)
    return [shard_path(folder, number).name for number in range(len(starts))]
