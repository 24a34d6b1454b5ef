"""Looking at every image that a layout names, and at nothing that was looked at before."""

import os
from collections.abc import Iterable, Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np

from fovea.ingest.address import is_member, locate, path_fault, path_of
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
        stamps = {entry.image: stamp(path_of(real_root, entry.image)) for entry in entries
                  if entry.reason is None and not is_member(root, entry.image)}
        known = seen.unchanged(stamps.values())
        new = []
        for entry in entries:
            facts = known.get(stamps[entry.image]) if entry.image in stamps else None
            if entry.reason is None and facts is None:
                new.append(entry)
            else:
                yield entry if facts is None else _judged(entry, _within(facts, max_pixels))

        def look_at(entry: Entry) -> Facts | str:
            if entry.image in stamps:
                return check_file(locate(root, entry.image), max_pixels, seen.facts)
            pixels = raw.read(entry.image)
            assert isinstance(pixels, np.ndarray)
            return check_array(pixels, max_pixels, seen.facts)

        with ThreadPool(workers or os.cpu_count()) as pool:
            found: list[tuple[Stamp | None, Facts]] = []
            results = track(pool.imap(look_at, new, chunksize=8), "ingest", total=len(new))
            for entry, result in zip(new, results, strict=True):
                if isinstance(result, Facts):
                    found.append((stamps.get(entry.image), result))
                if len(found) == REMEMBERED_AT_ONCE:
                    seen.remember(found)
                    found.clear()
                yield _judged(entry, result)
            seen.remember(found)


def _within(facts: Facts, max_pixels: int) -> Facts | str:
    return too_large(facts.width, facts.height, max_pixels) or facts


def _judged(entry: Entry, result: Facts | str) -> Entry:
    return entry._replace(facts=result) if isinstance(result, Facts) else entry._replace(reason=result)


def _placed(real_root: str, entry: Entry, real: dict[str, str]) -> Entry:
    fault = None if is_member(real_root, entry.image) else path_fault(real_root, entry.image, real)
    return entry._replace(reason=fault) if fault else entry
