"""Which rows the cache will have, before a pixel is read: their order, their variants, their places in the shards.

The index is ordered by content, so that neither names nor history change what is drawn for an image. In the shards the
rows lie by name, because what changes together (a new batch, a patient) has names side by side. Shards end where the
digests say so, as in content-defined chunking (Muthitacharoen et al. 2001), not after a fixed number of rows: a new
image moves the rows behind it no further than to the end of its own shard, and all other shards keep their bytes.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pandas as pd

from fovea.errors import UserError

COLUMNS = ["image", "digest", "label", "target", "split", "group", "variant", "shard", "row"]
MOST_SHARDS = 1024          # full ones; more files cost DVC time, fewer make each change dearer
SMALLEST = 2**20            # bytes of a full shard: a few hundred small images still keep every core busy
LARGEST = 256 * 2**20
ROWS_AT_ONCE = 64           # rows of one image that are never parted, nor rendered by more than one decoding


def plan_rows(manifest: pd.DataFrame, split: pd.DataFrame, variants: int, balance: bool, size: int) -> pd.DataFrame:
    """The index of the cache, one row per cached row, ordered by (digest, image, variant). Columns as in `COLUMNS`.

    `attrs` holds the file names of the shards, to which the column `shard` refers; `row` is the place in that file.
    Only train images have variants. Raises UserError unless `split` names the images of `manifest`, each once.
    """
    images = join(manifest, split).sort_values(["digest", "image"], kind="stable", ignore_index=True)
    counts = np.zeros(len(images), np.int64)
    train = (images["split"] == "train").to_numpy()
    counts[train] = count_variants(images["target"].to_numpy()[train], variants, balance)
    index = images.loc[np.repeat(np.arange(len(images)), counts + 1)].reset_index(drop=True)
    first = np.repeat(np.cumsum(counts + 1) - (counts + 1), counts + 1)
    index["variant"] = (np.arange(len(index)) - first).astype(np.int32)
    _place(index, rows_per_shard(len(index), size))
    return index[COLUMNS]


def join(manifest: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """What the cache needs of the manifest, with the column `split`, without the images that split has dropped."""
    named, parts = manifest["image"], split["image"]
    if named.duplicated().any() or parts.duplicated().any() or set(named) != set(parts):
        raise UserError("data/split.parquet does not name the images of data/manifest.parquet; run: dvc repro split")
    images = manifest[["image", "digest", "label", "target", "group"]]  # a table may keep a column `split` of its own
    return images.merge(split[["image", "split"]], on="image", validate="one_to_one").dropna(subset="split")


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


def rows_per_shard(rows: int, size: int) -> int:
    """Rows of (size, size, 3) bytes in a full shard, at least one. A power of two in bytes, so that a set that grows
    gets new sizes, which move every row, only each time it doubles."""
    share = rows * size * size * 3 // MOST_SHARDS
    return max(1, min(max(1 << share.bit_length(), SMALLEST), LARGEST) // (size * size * 3))


def _place(index: pd.DataFrame, most: int) -> None:
    """Add `shard` and `row` to the index, and the names of the shards to its attributes."""
    order = index.sort_values(["image", "variant"]).index.to_numpy()
    digests, variants = index["digest"].to_numpy()[order], index["variant"].to_numpy()[order]
    starts = np.flatnonzero(variants % min(ROWS_AT_ONCE, most) == 0)
    sizes = np.diff(np.append(starts, len(index)))
    heads = np.array(list(cuts(zip(digests[starts], sizes.tolist(), strict=True), most)), bool)
    shard = np.repeat(np.cumsum(heads) - 1, sizes)
    bounds = np.append(np.flatnonzero(np.diff(shard, prepend=-1)), len(index))
    keys = [f"{digest}/{variant}" for digest, variant in zip(digests, variants, strict=True)]
    names = [_name(keys[start:stop]) for start, stop in pairwise(bounds.tolist())]
    numbers, unique = pd.factorize(np.array(names, object))  # shards with the same rows are one file
    index["shard"], index["row"] = np.int32(0), np.int64(0)
    index.iloc[order, index.columns.get_loc("shard")] = numbers[shard].astype(np.int32)  # type: ignore[index]
    index.iloc[order, index.columns.get_loc("row")] = np.arange(len(index)) - bounds[:-1][shard]  # type: ignore[index]
    index.attrs["shards"] = unique.tolist()


def cuts(pieces: Iterable[tuple[str, int]], most: int) -> Iterator[bool]:
    """For each piece of rows (digest, number), whether a shard begins with it.

    From a quarter of `most` rows on, a piece begins a shard by the chance that its digest makes, so that shards have
    half of `most` on average; at the latest it does when the shard would have more than `most`.
    """
    filled = most
    for digest, rows in pieces:
        chance = 4 * rows / most
        begins = filled + rows > most or (filled >= most / 4 and int(digest[:8], 16) < chance * 2**32)
        filled = rows if begins else filled + rows
        yield begins


def _name(keys: list[str]) -> str:
    return blake2b("\n".join(keys).encode(), digest_size=8).hexdigest() + ".npy"
