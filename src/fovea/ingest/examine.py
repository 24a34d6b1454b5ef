"""Looking at every image that a layout names, and at nothing that was looked at before."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fovea.ingest.address import is_member, path_fault, path_of
from fovea.ingest.check import too_heavy, too_large
from fovea.ingest.engines import in_threads, on_ray
from fovea.ingest.entry import Entry, Facts
from fovea.ingest.seen import Seen, Stamp, stamp, stamp_of_url
from fovea.progress import track
from fovea.urls import found as found_at
from fovea.urls import is_url

REMEMBERED_AT_ONCE = 256  # images; a killed ingest looks again at no more than these


def examine(
    root: Path, entries: Iterable[Entry], max_pixels: int, workers: int, store: Path, engine: str
) -> Iterator[Entry]:
    """`entries` in any order, with the facts of their images or a reason; in `workers` threads (0: one per core), or by
    the workers of a Ray cluster with the engine `ray`.

    What `store` holds of an unchanged file is taken as it is; a file that changed is read, and decoded only if its
    content is new. What is found is remembered as it comes, so that a killed run has not worked for nothing.
    """
    real_root = os.path.realpath(root)
    real: dict[str, str] = {}
    entries = [_placed(real_root, entry, real, max_pixels) for entry in entries]
    with Seen(store) as seen:
        stamps = {entry.image: found_now for entry in entries if entry.reason is None
                  and (found_now := _stamp(real_root, entry.image))}
        known = seen.unchanged(stamps.values())
        new = []
        for entry in entries:
            facts = known.get(stamps[entry.image]) if entry.image in stamps else None
            if entry.reason is None and facts is None:
                new.append(entry)
            else:
                yield entry if facts is None else _judged(entry, _within(facts, max_pixels))

        addresses = [entry.image for entry in new]
        looked_at = (on_ray(root, addresses, max_pixels, workers) if engine == "ray" else
                     in_threads(root, addresses, max_pixels, workers, seen.facts))
        found: list[tuple[Stamp | None, Facts]] = []
        for entry, result in zip(new, track(looked_at, "ingest", total=len(new)), strict=True):
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


def _placed(real_root: str, entry: Entry, real: dict[str, str], max_pixels: int) -> Entry:
    fault = None if is_member(real_root, entry.image) else path_fault(real_root, entry.image, real)
    if is_url(entry.image) and (there := found_at(entry.image)):  # a file's own size is asked for when it is read
        fault = too_heavy(there.size, max_pixels)
    return entry._replace(reason=fault) if fault else entry


def _stamp(real_root: str, address: str) -> Stamp | None:
    if is_url(address):
        return stamp_of_url(address)
    return None if is_member(real_root, address) else stamp(path_of(real_root, address))
