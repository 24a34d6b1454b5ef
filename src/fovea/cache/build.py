"""Building the cache: rows that are in the store are taken from there, the others are rendered and kept there.

Each shard is built by itself, by a function of its rows, and appears in the cache when it is complete. A shard of
which no row has changed is a hard link to the store's.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fovea.cache.keys import row_keys, shard_key, square_keys, square_settings, variant_settings, write_origins
from fovea.cache.known import KnownRows, StoredRow
from fovea.cache.picture import make_square
from fovea.cache.plan import ROWS_AT_ONCE, plan_rows
from fovea.cache.render import render
from fovea.cache.shards import ShardWriter, is_sealed, read_records
from fovea.cache.threads import one_thread_each, ordered_map
from fovea.errors import UserError
from fovea.files import writable
from fovea.params.augment import AugmentParams
from fovea.progress import track
from fovea.raw import RawFiles, digest
from fovea.store import locked, share

MOST_NAMED = 20  # images that are named in reports/augment.json


class Built(NamedTuple):
    summary: dict[str, Any]  # for reports/augment.json
    rendered: int            # rows that were not in the store


class Shard(NamedTuple):
    """Columns of the index for the rows of one shard, in their order there, each (n,)."""

    name: str              # in the store
    images: np.ndarray
    digests: np.ndarray
    variants: np.ndarray
    keys: np.ndarray
    squares: np.ndarray    # keys of the squares that the rows are made from


@dataclass(frozen=True)
class Sources:
    """What rows are made from."""

    files: RawFiles
    known: KnownRows
    params: AugmentParams


def build_cache(
    folder: Path, raw: Path, manifest: pd.DataFrame, split: pd.DataFrame, params: AugmentParams, workers: int,
    store: Path,
) -> Built:
    """Write shards and `index.parquet` into the new `folder`, rendering only rows that are not in `store`.

    The bytes depend on the images and parameters alone: not on what is in the store, nor on `workers` (threads; 0 is
    one per core), nor on the order of the manifest. Raises UserError if a raw file is missing, was changed since
    ingest, or is damaged, and if the store cannot be written; what was rendered until then is kept.
    """
    index = plan_rows(manifest, split, params.variants, params.balance, params.image_size)
    rows = store / square_settings(params)
    with writable(rows):
        share(store)
        with locked(rows):
            write_origins(rows, params)
            shards = plan_shards(index, variant_settings(params))
            rendered = _fill(rows, shards, raw, params, workers or os.cpu_count() or 1)
            _link(rows, shards, folder, index.attrs["shards"])
        records = np.concatenate([read_records(rows, shard.name) for shard in shards])
    starts = np.cumsum([0, *(len(shard.keys) for shard in shards)])
    cropped = records["cropped"][starts[index["shard"]] + index["row"]]
    lost = index["image"][~cropped & (index["variant"] == 0).to_numpy()]
    pixels = blake2b(records["crc"].tobytes(), digest_size=16).hexdigest()
    index.attrs = {**manifest.attrs, "size": params.image_size, "pixels": pixels, "shards": index.attrs["shards"]}
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


def _fill(folder: Path, shards: list[Shard], raw: Path, params: AugmentParams, workers: int) -> int:
    """Build the shards that are not in the store; returns how many rows were rendered."""
    missing = [shard for shard in shards if not is_sealed(folder, shard.name, params.image_size)]
    if not missing:
        return 0
    known = KnownRows(folder, params.image_size, without=_begun(folder, missing))
    stop = threading.Event()
    with RawFiles(raw) as files, one_thread_each():
        sources = Sources(files, known, params)
        built = ordered_map(lambda shard: build_shard(folder, shard, sources, stop), missing, workers, stop)
        return sum(track(built, "augment", total=len(missing), unit="shards"))


def _begun(folder: Path, missing: list[Shard]) -> set[str]:
    """Shards that are gone on with, so that their rows are about to move."""
    return {shard.name for shard in missing if (folder / f"{shard.name}.part").exists()}


def build_shard(folder: Path, shard: Shard, sources: Sources, stop: threading.Event) -> int:
    """Write the rows of `shard` that are missing in `folder`; returns how many of them had to be rendered.

    Depends on nothing else, so that shards may be built in any order and anywhere. Ends between two images if `stop`
    is set.
    """
    rendered = 0
    with ShardWriter(folder, shard.name, shard.keys, sources.params.image_size) as writer:
        for start, end in pieces(shard.images, writer.done):
            if stop.is_set():
                break
            rows, fresh = make_rows(Shard(shard.name, *(column[start:end] for column in shard[1:])), sources)
            for row in rows:
                writer.write(*row)
            rendered += fresh
    return rendered


def pieces(images: np.ndarray, first: int) -> Iterator[tuple[int, int]]:
    """Rows of the same image that stand together, from row `first` on, at most `ROWS_AT_ONCE`: memory is bounded."""
    start = first
    for end in range(first + 1, len(images) + 1):
        if end == len(images) or images[end] != images[start] or end - start == ROWS_AT_ONCE:
            yield start, end
            start = end


def make_rows(piece: Shard, sources: Sources) -> tuple[list[StoredRow], int]:
    """All rows of a piece of one image, and how many of them had to be rendered."""
    known, params = sources.known, sources.params
    found = [known.read(key) for key in piece.keys]
    missing = found.count(None)
    if not missing:
        return [row for row in found if row], 0
    square = known.read(piece.squares[0]) or decode_square(piece, sources)
    rows = [
        row or (StoredRow(render(square.pixels, params.seed, piece.digests[0], variant, params.render), square.cropped)
                if variant else square)
        for row, variant in zip(found, piece.variants, strict=True)
    ]
    return rows, missing


def decode_square(piece: Shard, sources: Sources) -> StoredRow:
    """The square of an image from its raw file."""
    image, files = piece.images[0], sources.files
    content = files.read(image)
    if digest(content) != piece.digests[0]:
        raise UserError(f"{files.folder / image}: changed since ingest; run dvc repro")
    try:
        return StoredRow(*make_square(content, sources.params))
    except UserError as error:
        raise UserError(f"{files.folder / image}: {error}; replace or remove it and run dvc repro") from None


def link(stored: Path, path: Path) -> None:
    """Make `path` the same file as `stored`, or a copy where the file system has no links between the two."""
    try:
        os.link(stored, path)
    except OSError:
        shutil.copyfile(stored, path)
