"""Rows that the workers of a Ray cluster render.

What is known is read here, and what they make is written here: no worker needs the store, and a killed build keeps what
it got.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fovea.cache.keys import square_origin, variant_origin
from fovea.cache.known import KnownRows, StoredRow
from fovea.cache.rows import Missing, Shard, Wanted, look_up, pieces, render_missing
from fovea.cache.threads import one_thread_each
from fovea.engine import Cluster, files_here, require_same
from fovea.params.augment import AugmentParams

IMAGES_AT_ONCE = 32     # of one task: half a second, of which Ray takes a millisecond
BYTES_AT_ONCE = 4 << 20  # of its rows, about: so much lies in memory for each task that is under way


class Setting(NamedTuple):
    """What a worker needs beside the rows that are asked for."""

    raw: Path
    params: AugmentParams
    origins: tuple[dict[str, Any], dict[str, Any]]  # of squares and variants


class RowsOnRay(NamedTuple):
    cluster: Cluster
    raw: Path
    known: KnownRows
    params: AugmentParams
    stop: threading.Event

    def rows_of(self, shard: Shard, first: int) -> Iterator[tuple[list[StoredRow], int]]:
        """As `RowsOf`. Ends early when `stop` is set."""
        setting = Setting(self.raw.absolute(), self.params, origins(self.params))
        asked = ((batch, [piece.missing for piece in batch if piece.missing]) for batch in self._batches(shard, first))
        for batch, answers in self.cluster.map(render_batch, setting, asked, self.stop):
            rendered = iter(answers)
            yield from (piece.filled(next(rendered) if piece.missing else []) for piece in batch)

    def _batches(self, shard: Shard, first: int) -> Iterator[list[Wanted]]:
        batch: list[Wanted] = []
        for piece in pieces(shard, first):
            batch.append(look_up(piece, self.known))
            rows = sum(len(wanted.rows) for wanted in batch)
            if len(batch) == IMAGES_AT_ONCE or rows * self.params.image_size**2 * 3 >= BYTES_AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch


def render_batch(setting: Setting, batch: list[Missing]) -> list[list[StoredRow]]:
    """On a worker: the rows of each. Raises UserError if it is no worker for this, or as `render_missing`."""
    for theirs, ours in zip(setting.origins, origins(setting.params), strict=True):
        require_same(theirs, ours)
    files = files_here(setting.raw, [missing.image for missing in batch])
    with one_thread_each():
        return [render_missing(missing, files, setting.params) for missing in batch]


def origins(params: AugmentParams) -> tuple[dict[str, Any], dict[str, Any]]:
    """What rows depend on beside the images."""
    return square_origin(params), variant_origin(params)
