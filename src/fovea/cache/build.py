"""Building the cache: every image once through decode, crop, resize and render, packed in the order of the plan."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import pandas as pd
import torch

from fovea.cache.picture import make_square
from fovea.cache.plan import plan_rows
from fovea.cache.render import render
from fovea.cache.shards import SHARD_BYTES, rows_per_shard, write_shards
from fovea.errors import UserError
from fovea.params.augment import AugmentParams
from fovea.progress import track
from fovea.raw import RawFiles, digest

ROWS_AT_ONCE = 64  # an image of a rare class is decoded again for each 64 of its rows, so that memory stays bounded
AHEAD = 4          # tasks per worker that may wait for the writer
Item = TypeVar("Item")
Result = TypeVar("Result")


class Task(NamedTuple):
    """Consecutive rows of one image: `variants` are their numbers, 0 is the image itself."""

    image: str
    digest: str
    variants: list[int]


def build_cache(
    folder: Path, raw: Path, manifest: pd.DataFrame, split: pd.DataFrame, params: AugmentParams, workers: int,
    shard_bytes: int = SHARD_BYTES,
) -> dict[str, int]:
    """Write `shard-*.npy` and `index.parquet` into the new `folder`; returns the numbers of reports/augment.json.

    The bytes depend on the images and parameters alone: not on `workers` (threads; 0 is one per core) nor on the
    order of the manifest. Raises UserError if a raw file is missing, was changed since ingest, or is damaged.
    """
    per_shard = rows_per_shard(params.size, shard_bytes)
    index = plan_rows(manifest, split, params.variants, params.balance, per_shard)
    images = int((index["variant"] == 0).sum())
    folder.mkdir(parents=True)
    with RawFiles(raw) as files, one_thread_each():
        results = ordered_map(lambda task: make_rows(task, files, params), tasks(index), workers or os.cpu_count() or 1)
        lost: list[str] = []
        shards = write_shards(folder, _rows(results, images, lost), len(index), params.size, per_shard)
    index.attrs = {**manifest.attrs, "size": params.size, "shards": shards}
    index.to_parquet(folder / "index.parquet", index=False)
    return {
        "images": images,
        "rows": len(index),
        "variants": int((index["variant"] > 0).sum()),
        "size": params.size,
        "uncropped": len(lost),
    }


def tasks(index: pd.DataFrame) -> Iterator[Task]:
    """The work of each image in the order of the cache, in pieces of at most `ROWS_AT_ONCE` rows."""
    starts = np.flatnonzero(index["variant"].to_numpy() == 0)
    stops = np.append(starts[1:], len(index))
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        image, content = str(index["image"].iat[start]), str(index["digest"].iat[start])
        for first in range(0, stop - start, ROWS_AT_ONCE):
            yield Task(image, content, list(range(first, min(first + ROWS_AT_ONCE, stop - start))))


def make_rows(task: Task, files: RawFiles, params: AugmentParams) -> tuple[Task, list[np.ndarray], bool]:
    """Rows uint8 (size, size, 3) of a task, and whether its crop was possible. Depends on nothing else."""
    content = files.read(task.image)
    if digest(content) != task.digest:
        raise UserError(f"{files.folder / task.image}: changed since ingest; run dvc repro")
    try:
        square, found = make_square(content, params)
    except UserError as error:
        raise UserError(f"{files.folder / task.image}: {error}; replace or remove it and run dvc repro") from None
    rows = [
        render(square, params.seed, task.digest, variant, params.render) if variant else square
        for variant in task.variants
    ]
    return task, rows, found


def _rows(results: Iterable[tuple[Task, list[np.ndarray], bool]], images: int, lost: list[str]) -> Iterator[np.ndarray]:
    """All rows in order, with progress; images whose crop was not possible are added to `lost`."""
    for task, rows, found in track(results, "augment", total=images):
        if not found and task.variants[0] == 0:
            lost.append(task.image)
        yield from rows


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`map` in threads: results in order, few waiting. The first error is raised and what waits is cancelled."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def one_thread_each() -> Iterator[None]:
    """torch and OpenCV use one thread per call: the pool's threads already take every core."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
