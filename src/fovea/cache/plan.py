"""Which rows the cache will have, before a pixel is read: their order, their variants, their places in the shards."""

import numpy as np
import pandas as pd

from fovea.errors import UserError

COLUMNS = ["image", "digest", "label", "target", "split", "group", "variant", "shard", "row"]


def plan_rows(
    manifest: pd.DataFrame, split: pd.DataFrame, variants: int, balance: bool, rows_per_shard: int
) -> pd.DataFrame:
    """The index of the cache, one row per cached row, ordered by (digest, image, variant). Columns as in `COLUMNS`.

    Only train images have variants. Raises UserError unless `split` names the images of `manifest`, each once.
    """
    images = join(manifest, split).sort_values(["digest", "image"], kind="stable", ignore_index=True)
    counts = np.zeros(len(images), np.int64)
    train = (images["split"] == "train").to_numpy()
    counts[train] = count_variants(images["target"].to_numpy()[train], variants, balance)
    rows = images.loc[np.repeat(np.arange(len(images)), counts + 1)].reset_index(drop=True)
    first = np.repeat(np.cumsum(counts + 1) - (counts + 1), counts + 1)
    place = np.arange(len(rows))
    rows["variant"] = (place - first).astype(np.int32)
    rows["shard"] = (place // rows_per_shard).astype(np.int32)
    rows["row"] = place % rows_per_shard
    return rows[COLUMNS]


def join(manifest: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """The manifest with the column `split`, without the images that split has dropped."""
    images, parts = manifest["image"], split["image"]
    if images.duplicated().any() or parts.duplicated().any() or set(images) != set(parts):
        raise UserError("data/split.parquet does not name the images of data/manifest.parquet; run: dvc repro split")
    return manifest.merge(split[["image", "split"]], on="image", validate="one_to_one").dropna(subset="split")


def count_variants(targets: np.ndarray, variants: int, balance: bool) -> np.ndarray:
    """Variants of each train image, int64 (n,); `targets` (n,) are class indices in order of digest.

    With `balance`, every class gets the number of rows (images and variants) of the largest class with `variants`
    per image. What does not divide evenly goes one each to the first images of the class, which is a random choice
    that does not depend on names: a digest is as good as a draw.
    """
    counts = np.full(len(targets), variants, np.int64)
    if not balance or len(targets) == 0:
        return counts
    largest = np.unique(targets, return_counts=True)[1].max()
    for target in np.unique(targets):
        members = np.flatnonzero(targets == target)
        wanted = largest * (1 + variants) - len(members)
        counts[members] = wanted // len(members)
        counts[members[: wanted % len(members)]] += 1
    return counts
