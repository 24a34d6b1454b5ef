"""Indexes of caches that were built, or would be now. None is fetched: what is not here does not need what is here."""

import json
from pathlib import Path

import pandas as pd

from fovea.cache.plan import plan_rows
from fovea.errors import UserError
from fovea.params.augment import AugmentParams
from fovea.prune.needs import Stage
from fovea.revisions import cached

CACHE = "data/cache"
COLUMNS = ["image", "digest", "variant", "shard", "row"]


def read_index(root: Path, cache: Path, augment: Stage) -> pd.DataFrame | None:
    """`COLUMNS` and the attribute `shards` of the index that `augment` made or would make; None if it is not here.

    `cache` is the folder of DVC's local cache for the project in `root`.
    """
    if not augment.outs:
        return _plan(root, AugmentParams.model_validate(augment.params))
    path = _file_of_folder(cache, augment.outs.get(CACHE, ""), "index.parquet")
    return pd.read_parquet(path, columns=COLUMNS) if path else None


def _plan(root: Path, params: AugmentParams) -> pd.DataFrame | None:
    try:
        manifest, split = (pd.read_parquet(root / "data" / f"{name}.parquet") for name in ("manifest", "split"))
        return plan_rows(manifest, split, params.variants, params.balance, params.image_size)
    except (FileNotFoundError, UserError):  # there is no such run yet, or ingest has run since: nothing was rendered
        return None


def _file_of_folder(cache: Path, folder: str, name: str) -> Path | None:
    """A file of a folder by the md5 that DVC has for it, which ends in .dir; None if either is not in `cache`."""
    listing = cached(cache, folder)
    files = json.loads(listing.read_bytes()) if folder and listing.is_file() else []
    paths = [cached(cache, file["md5"]) for file in files if file["relpath"] == name]
    return next((path for path in paths if path.is_file()), None)
