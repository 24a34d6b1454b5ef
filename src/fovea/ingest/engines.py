"""Looking at images: in threads of this process, or by the workers of a Ray cluster."""

import os
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fovea.engine import cluster, files_here, require_same
from fovea.ingest.address import is_member, locate
from fovea.ingest.check import Recall, check_array, check_file, check_url, forget
from fovea.ingest.entry import Facts
from fovea.ingest.seen import CODE
from fovea.raw import RawFiles
from fovea.store import library_version
from fovea.urls import is_url

AT_ONCE = 32  # images of one task on Ray: a third of a second, of which Ray takes a millisecond
LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pydicom", "simplejpeg")  # that Facts depend on


def look_at(address: str, raw: RawFiles, max_pixels: int, recall: Recall) -> Facts | str:
    """Facts of one image of a set, or the reason why it cannot be used."""
    if is_url(address):
        return check_url(address, max_pixels, recall)
    if not is_member(raw.folder, address):
        return check_file(locate(raw.folder, address), max_pixels, recall)
    pixels = raw.read(address)
    assert isinstance(pixels, np.ndarray)
    return check_array(pixels, max_pixels, recall)


def in_threads(
    root: Path, addresses: Sequence[str], max_pixels: int, workers: int, recall: Recall
) -> Iterator[Facts | str]:
    """`look_at` each of `addresses`, in their order, in `workers` threads (0: one per core)."""
    with RawFiles(root) as raw, ThreadPool(workers or os.cpu_count()) as pool:
        look = partial(look_at, raw=raw, max_pixels=max_pixels, recall=recall)
        yield from pool.imap(look, addresses, chunksize=8)


def on_ray(root: Path, addresses: Sequence[str], max_pixels: int, workers: int) -> Iterator[Facts | str]:
    """The same over a Ray cluster. The workers do not ask what is known of a content: they decode a copy again."""
    if not addresses:
        return  # an unchanged set does not wait for Ray
    setting = Setting(root.absolute(), max_pixels, _origin())
    batches = ((start, addresses[start : start + AT_ONCE]) for start in range(0, len(addresses), AT_ONCE))
    with cluster(workers) as ray:
        for _, results in ray.map(look_at_all, setting, batches, threading.Event()):
            yield from results


class Setting(NamedTuple):
    """What a worker needs beside the addresses."""

    root: Path
    max_pixels: int
    origin: dict[str, Any]


def look_at_all(setting: Setting, addresses: Sequence[str]) -> list[Facts | str]:
    """On a worker: `look_at` each of these. Raises UserError if it is no worker for this."""
    require_same(setting.origin, _origin())
    raw = files_here(setting.root, addresses)
    return [look_at(address, raw, setting.max_pixels, forget) for address in addresses]


def _origin() -> dict[str, Any]:
    return {"code": CODE, "libraries": {name: library_version(name) for name in LIBRARIES}}
