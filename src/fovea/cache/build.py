"""Building the cache: rows that are in the store are taken from there, the others are rendered and kept there.

Each shard is built by itself, by a function of its rows, and appears in the cache when it is complete. A shard of
which no row has changed is a hard link to the store's.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fovea.cache.keys import (
    row_keys,
    shard_key,
    square_keys,
    square_params,
    square_settings,
    variant_settings,
    write_origins,
)
from fovea.cache.known import KnownRows
from fovea.cache.on_ray import RowsOnRay
from fovea.cache.plan import plan_rows
from fovea.cache.rows import RowsOf, Shard, Sources
from fovea.cache.shards import ShardWriter, is_sealed, read_records
from fovea.cache.shared import SharedShards
from fovea.cache.threads import one_thread_each, ordered_map
from fovea.engine import cluster
from fovea.files import writable
from fovea.params.augment import AugmentParams
from fovea.progress import track
from fovea.raw import RawFiles
from fovea.store import locked, share

MOST_NAMED = 20  # images that are named in reports/augment.json


class Built(NamedTuple):
    summary: dict[str, Any]  # for reports/augment.json
    rendered: int            # rows that were not in the store


def build_cache(
    folder: Path, raw: Path, manifest: pd.DataFrame, split: pd.DataFrame, params: AugmentParams, workers: int,
    store: Path, engine: str = "local", shards: str | None = None,
) -> Built:
    """Write shards and `index.parquet` into the new `folder`, rendering only rows that are not in `store`, nor in whole
    shards at the URL or folder `shards`; over a Ray cluster with the engine `ray`.

    The bytes depend on the images and parameters alone: not on what is in the store, nor on `workers` (threads; 0 is
    one per core) or `engine`, nor on the order of the manifest. Raises UserError if a raw file is missing, was changed
    since ingest, or is damaged, and if the store cannot be written; what was rendered until then is kept.
    """
    index = plan_rows(manifest, split, params.variants, params.balance, params.image_size)
    rows = store / square_settings(params)
    with writable(rows):
        share(store)
        with locked(rows):
            write_origins(rows, params)
            planned = plan_shards(index, variant_settings(params))
            shared = SharedShards(shards, rows.name) if shards else None
            rendered = _fill(rows, planned, shared, raw, params, workers, engine)
            _link(rows, planned, folder, index.attrs["shards"])
        records = np.concatenate([read_records(rows, shard.name) for shard in planned])
    starts = np.cumsum([0, *(len(shard.keys) for shard in planned)])
    cropped = records["cropped"][starts[index["shard"]] + index["row"]]
    lost = index["image"][~cropped & (index["variant"] == 0).to_numpy()]
    pixels = blake2b(records["crc"].tobytes(), digest_size=16).hexdigest()
    index.attrs = {**manifest.attrs, "size": params.image_size, "square": square_params(params), "pixels": pixels,
                   "shards": index.attrs["shards"]}
    index.to_parquet(folder / "index.parquet", index=False)
    return Built(summarise(index, sorted(lost)), rendered)


def _link(rows: Path, shards: list[Shard], folder: Path, names: list[str]) -> None:
    with writable(folder.parent):
        folder.mkdir(parents=True)
        for shard, name in zip(shards, names, strict=True):
            link(rows / f"{shard.name}.npy", folder / name)


def summarise(index: pd.DataFrame, uncropped: list[str]) -> dict[str, Any]:
    """The numbers of reports/augment.json; `uncropped` are images whose crop was not possible."""
    return {
        "images": int((index["variant"] == 0).sum()),
        "rows": len(index),
        "variants": int((index["variant"] > 0).sum()),
        "size": index.attrs["size"],
        "uncropped": len(uncropped),
        "uncropped_images": uncropped[:MOST_NAMED],
    }


def plan_shards(index: pd.DataFrame, drawn: str) -> list[Shard]:
    """The shards of an index, in the order of its `attrs["shards"]`; `drawn` as in `row_keys`."""
    order = index.drop_duplicates(["shard", "row"]).sort_values(["shard", "row"])
    columns = [order[name].to_numpy(object) for name in ("image", "digest", "variant")]
    columns += [row_keys(order, drawn), square_keys(order)]
    bounds = np.searchsorted(order["shard"], np.arange(len(index.attrs["shards"]) + 1))
    parts = [[column[start:stop] for column in columns] for start, stop in pairwise(bounds.tolist())]
    return [Shard(shard_key(part[3]), *part) for part in parts]


def _fill(
    folder: Path, shards: list[Shard], shared: SharedShards | None, raw: Path, params: AugmentParams, workers: int,
    engine: str,
) -> int:
    """Build the shards that are not in the store, and see to it that `shared` has all; returns how many rows were
    rendered."""
    size = params.image_size
    todo = [shard for shard in shards
            if not is_sealed(folder, shard.name, size) or (shared and not shared.has(shard.name))]
    if not todo:
        return 0
    stop = threading.Event()
    known = KnownRows(folder, size, without=_begun(folder, todo))

    def complete(shard: Shard) -> int:
        if shared and shared.has(shard.name) and not is_sealed(folder, shard.name, size):
            shared.fetch(folder, shard.name)
        sealed = is_sealed(folder, shard.name, size)
        rendered = 0 if sealed else build_shard(folder, shard, size, rows_of, stop)
        if shared and not stop.is_set() and (rendered or not shared.has(shard.name)):
            shared.keep(folder, shard.name)
        return rendered

    with _rows_of(engine, raw, known, params, workers, stop) as rows_of:
        built = ordered_map(complete, todo, workers or os.cpu_count() or 1, stop)
        rows = sum(len(shard.keys) for shard in todo)
        shown = track(zip(todo, built, strict=True), "augment", rows, count=lambda pair: len(pair[0].keys))
        return sum(rendered for _, rendered in shown)


@contextmanager
def _rows_of(
    engine: str, raw: Path, known: KnownRows, params: AugmentParams, workers: int, stop: threading.Event
) -> Iterator[RowsOf]:
    """Where rows come from: of this thread, or of the workers of a Ray cluster."""
    if engine == "ray":
        with cluster(workers) as ray:
            yield RowsOnRay(ray, raw, known, params, stop).rows_of
    else:
        with RawFiles(raw) as files, one_thread_each():
            yield Sources(files, known, params).rows_of


def _begun(folder: Path, missing: list[Shard]) -> set[str]:
    """Shards that are gone on with, so that their rows are about to move."""
    return {shard.name for shard in missing if (folder / f"{shard.name}.part").exists()}


def build_shard(folder: Path, shard: Shard, size: int, rows_of: RowsOf, stop: threading.Event) -> int:
    """Write the rows of `shard` that are missing in `folder`; returns how many of them had to be rendered.

    Depends on nothing else, so that shards may be built in any order and anywhere. Ends between two images if `stop`
    is set.
    """
    rendered = 0
    with ShardWriter(folder, shard.name, shard.keys, size) as writer:
        for rows, fresh in rows_of(shard, writer.done):
            if stop.is_set():
                break
            for row in rows:
                writer.write(*row)
            rendered += fresh
    return rendered


def link(stored: Path, path: Path) -> None:
    """Make `path` the same file as `stored`, or a copy where the file system has no links between the two."""
    try:
        os.link(stored, path)
    except OSError:
        shutil.copyfile(stored, path)
