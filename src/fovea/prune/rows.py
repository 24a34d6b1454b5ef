"""Which rows of the store a current revision needs."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fovea.cache.build import plan_shards
from fovea.cache.keys import KEY_BYTES
from fovea.cache.shards import is_sealed, read_records
from fovea.prune.found import Found, contents
from fovea.prune.indexes import CACHE
from fovea.prune.needs import Revision, Stage, agrees, read_origin, users

ReadIndex = Callable[[Stage], pd.DataFrame | None]
Draws = Mapping[str, Mapping[str, Any]]  # origins of variants by their key


class Needed(NamedTuple):
    names: set[str]    # of shards
    keys: np.ndarray   # of their rows, S16 (n,)
    by: set[str]       # names of revisions
    unknown: set[str]  # revisions whose index is not here


def find_rows(store: Path, revisions: list[Revision], read_index: ReadIndex) -> Iterator[Found]:
    """Each folder of rows as what is kept of it and what is freed."""
    for folder in contents(store):
        place = f"rows/{folder.name}"
        origin = read_origin(folder / "squares.json")
        if not origin:
            yield Found(place, "of unknown origin", [folder], [])
            continue
        what = "{image_size} px, crop {crop}, normalise {normalise}".format(**origin["params"])
        draws = {path.stem.partition("-")[2]: read_origin(path) for path in folder.glob("variants-*.json")}
        used_by = users(origin, "augment", revisions)
        needed = find_needed(used_by, draws, read_index)
        note = f"{names} not in DVC's cache here" if (names := ", ".join(sorted(needed.unknown - needed.by))) else ""
        shards = choose_shards(folder, needed, origin["params"]["image_size"])
        stay = shards | {f"variants-{key}" for key, drawn in draws.items() if users(drawn, "augment", used_by)}
        stay |= {"squares"}
        if shards:
            yield Found(place, what, [path for path in contents(folder) if path.stem in stay], sorted(needed.by))
            yield Found(place, "the rest of it", [path for path in contents(folder) if path.stem not in stay], [], note)
        else:
            yield Found(place, what, [folder], [], note)


def find_needed(revisions: list[Revision], draws: Draws, read_index: ReadIndex) -> Needed:
    """What the caches of `revisions` consist of, their variants drawn as `draws` say, and no variants if by none."""
    indexes: dict[tuple[str, str], list[Revision]] = defaultdict(list)  # most revisions share theirs with others
    for one in revisions:
        augment = one.stages["augment"]
        for drawn in [key for key, origin in draws.items() if agrees(origin, augment)] or [""]:
            indexes[augment.outs.get(CACHE, ""), drawn].append(one)
    shards: dict[str, np.ndarray] = {}
    by: set[str] = set()
    unknown: set[str] = set()
    for (_, drawn), group in indexes.items():
        augment = group[0].stages["augment"]
        index = read_index(augment)
        if index is not None:
            shards |= {shard.name: shard.keys for shard in plan_shards(index, drawn)}
            by |= {one.name for one in group}
        elif augment.outs:
            unknown |= {one.name for one in group}
    return Needed(set(shards), np.concatenate([np.empty(0, f"S{KEY_BYTES}"), *shards.values()]), by, unknown)


def choose_shards(folder: Path, needed: Needed, size: int) -> set[str]:
    """Names of the finished shards that are needed as they are, and of others that alone have a row that is needed.

    `size` in px of the rows.
    """
    names = {path.stem for path in folder.iterdir() if path.suffix in (".npy", ".part")}
    chosen = {name for name in names & needed.names if is_sealed(folder, name, size)}
    keys = np.unique(needed.keys)
    if not len(keys):
        return chosen
    missing = ~np.isin(keys, np.concatenate([keys[:0], *(read_records(folder, name)["key"] for name in chosen)]))
    for name in sorted(names - chosen, key=lambda name: (name not in needed.names, name)):
        found = read_records(folder, name)["key"]
        places = np.minimum(np.searchsorted(keys, found), len(keys) - 1)
        places = places[(keys[places] == found) & missing[places]]
        if len(places):
            chosen.add(name)
            missing[places] = False
    return chosen
