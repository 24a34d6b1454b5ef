"""Looking at every image that a layout names, and at nothing that was looked at before."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np

from fovea.ingest.address import is_member, locate, path_fault
from fovea.ingest.check import check_array, check_file, too_large
from fovea.ingest.entry import Entry, Facts
from fovea.ingest.seen import Seen, Stamp, stamp
from fovea.progress import track
from fovea.raw import RawFiles

REMEMBERED_AT_ONCE = 256  # images; a killed ingest looks again at no more than these


def examine(root: Path, entries: Iterable[Entry], max_pixels: int, workers: int, store: Path) -> Iterator[Entry]:
    """`entries` in any order, with the facts of their images or a reason; in `workers` threads (0: one per core).

    What `store` holds of an unchanged file is taken as it is; a file that changed is read, and decoded only if its
    content is new. What is found is remembered as it comes, so that a killed run has not worked for nothing.
    """
    real_root = os.path.realpath(root)
    real: dict[str, str] = {}
    entries = [_placed(real_root, entry, real) for entry in entries]
    with Seen(store) as seen, RawFiles(root) as raw:
        stamps = {entry.image: stamp(locate(root, entry.image)) for entry in entries
                  if entry.reason is None and not is_member(root, entry.image)}
        known = seen.unchanged(stamps.values())

        def look_at(entry: Entry) -> tuple[Entry, Facts | str | None]:
            if entry.reason is not None:
                return entry, None
            if entry.image not in stamps:
                pixels = raw.read(entry.image)
                assert isinstance(pixels, np.ndarray)
                return entry, check_array(pixels, max_pixels, seen.facts)
            if facts := known.get(stamps[entry.image]):
                return entry, too_large(facts.width, facts.height, max_pixels) or facts
            return entry, check_file(locate(root, entry.image), max_pixels, seen.facts)

        with ThreadPool(workers or os.cpu_count()) as pool:
            found: list[tuple[Stamp | None, Facts]] = []
            for entry, result in track(pool.imap(look_at, entries, chunksize=8), "ingest", total=len(entries)):
                if isinstance(result, str):
                    entry = replace(entry, reason=result)
                elif result is not None:
                    entry = replace(entry, facts=result)
                    if stamps.get(entry.image) not in known:
                        found.append((stamps.get(entry.image), result))
                if len(found) == REMEMBERED_AT_ONCE:
                    seen.remember(found)
                    found.clear()
                yield entry
            seen.remember(found)


def _placed(real_root: str, entry: Entry, real: dict[str, str]) -> Entry:
    fault = None if is_member(real_root, entry.image) else path_fault(real_root, entry.image, real)
    return replace(entry, reason=fault) if fault else entry
