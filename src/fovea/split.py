"""Which image is for training, for validation, for the test: exact shares per class, groups whole, stable.

The unit that is drawn is a group, or an image without one, together with whatever holds a copy of one of its own
images, so that neither groups nor copies straddle. Units are taken in the order of a hash of their own name and
the seed. No state and no order of files is involved, so a unit's side depends on the others only through the number of
images that each class must give.
"""

from collections.abc import Sequence
from fractions import Fraction
from hashlib import blake2b
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fovea.errors import UserError
from fovea.params.split import SplitParams

PARTS = ("train", "val", "test")
CONFLICT, AGAIN, LEAK = (  # why an image is dropped
    "copy with another label", "copy with the same label", "copy of an image of another given part"
)
# Units on either side of the boundary that the repair considers alone and in pairs: 40,000 exchanges a step, 10 ms.
SINGLES, PAIRS = 80, 16


def split_images(manifest: pd.DataFrame, copies: np.ndarray, params: SplitParams) -> pd.DataFrame:
    """Part of every image: columns image, split ("train" | "val" | "test", null if dropped) and reason (null, or why it
    was dropped), rows and attrs as in `manifest`.

    `copies` (n,) names the group of images that show one picture, None where there is none. A given test or val part
    stays as it is, even where groups straddle it; of copies across it, `params.leaks` decides. What is not given is
    drawn from the rest. Raises UserError if a class cannot have an image in train and in each part that is drawn.
    """
    part = given_parts(manifest)
    reasons = dropped(manifest, copies, part, params)
    part[reasons != None] = None  # noqa: E711  # element by element
    units = np.full(len(manifest), None, dtype=object)
    units[part == "train"] = unit_of(manifest[part == "train"], copies[part == "train"])
    wanted = {"test": params.test, "val": params.val}
    drawn = [name for name, share in wanted.items() if share and not (part == name).any()]
    _require_enough_units(manifest, units, part, drawn)
    for position, name in enumerate(drawn):
        pool = np.flatnonzero(part == "train")
        chosen = draw(units[pool], manifest["target"].to_numpy()[pool], len(manifest.attrs["classes"]),
                      wanted[name], f"{params.seed}:{name}", keep=len(drawn) - position)
        part[pool[chosen]] = name
    _require_all_classes(manifest, part, ["train", *drawn])
    split = manifest[["image"]].assign(split=pd.Series(part, index=manifest.index, dtype="str"),
                                       reason=pd.Series(reasons, index=manifest.index, dtype="str"))
    split.attrs = manifest.attrs
    return split


def summarise(manifest: pd.DataFrame, split: pd.DataFrame) -> dict[str, Any]:
    """Counts for reports/split.json: images of each class in each part, images and groups of each part."""
    rows = {part: manifest[(split["split"] == part).to_numpy()] for part in PARTS}
    return {
        **{part: _class_counts(rows[part], manifest.attrs["classes"]) for part in PARTS},
        "images": {part: len(rows[part]) for part in PARTS},
        "groups": {part: int(rows[part]["group"].nunique()) for part in PARTS},
        "dropped": int(split["split"].isna().sum()),
    }


def dropped(manifest: pd.DataFrame, copies: np.ndarray, part: np.ndarray, params: SplitParams) -> np.ndarray:
    """(n,) object: why an image is left out, None if it stays. Images of a given test part always stay.

    `part` (n,) is the given one, "train" for all others.
    """
    table = pd.DataFrame({"group": copies, "label": manifest["label"].to_numpy(), "part": part,
                          "image": manifest["image"].to_numpy()})
    table["rank"] = table["part"].map({"test": 0, "val": 1, "train": 2})
    table = table[table["group"].notna()].sort_values(["rank", "image"], kind="stable")
    reasons = np.full(len(manifest), None, dtype=object)
    if params.duplicates == "drop-conflicts":
        several = table.groupby("group")["label"].transform("nunique") > 1
        reasons[table.index[several & (table["rank"] > 0)]] = CONFLICT
    if params.duplicates == "first":
        again = table.duplicated(["group", "label"]) & (table["rank"] > 0)
        reasons[table.index[again]] = AGAIN
    leaking = table["rank"] > table.groupby("group")["rank"].transform("min")
    if params.leaks == "drop":
        reasons[table.index[leaking]] = LEAK
    return reasons


def _class_counts(rows: pd.DataFrame, classes: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(rows["target"], minlength=len(classes)).tolist()
    return dict(zip(classes, counts, strict=True))


def unit_of(manifest: pd.DataFrame, copies: np.ndarray) -> np.ndarray:
    """(n,) object: name of what must not straddle: images linked by a common group or as copies of one picture.

    The name is the smallest among its groups and the digests of images without one, so it depends on nothing outside.
    """
    digest = manifest["digest"].astype(object)
    group, copy = manifest["group"].astype(object), pd.Series(copies, index=manifest.index, dtype=object)
    owner = group.where(group.notna(), digest)
    links, owners = (pd.factorize(names)[0] for names in (copy.where(copy.notna(), manifest["image"]), owner))
    images = np.arange(len(manifest))
    ends = np.concatenate([links + len(manifest), owners + 2 * len(manifest)])  # nodes: images, pictures, owners
    graph = coo_array((np.ones(len(ends)), (np.tile(images, 2), ends)), shape=(3 * len(manifest),) * 2)
    component = connected_components(graph, directed=False)[1][: len(manifest)]
    return owner.groupby(component).transform("min").to_numpy()


def draw(
    units: np.ndarray, targets: np.ndarray, classes: int, share: float, purpose: str, keep: int
) -> np.ndarray:
    """(n,) bool: images of whole `units` (n,) that make up `share` of each class of `targets` (n,), rounded half up.

    A class gives at least one image and keeps at least `keep` units. Units are taken in the order of their hash while
    no class exceeds its number. Whole units cannot always hit every number: then up to two on each side are exchanged
    as long as the sum over classes of deviation^2 / number falls.
    """
    codes, names = pd.factorize(units)
    order = np.argsort(np.array([_rank(purpose, name) for name in names], dtype=np.uint64))
    counts = np.zeros((len(names), classes), dtype=np.int64)
    np.add.at(counts, (codes, targets), 1)
    wanted = np.array([_number(int(total), share, keep) for total in counts.sum(axis=0)])
    contents, kinds = np.unique(counts[order], axis=0, return_inverse=True)  # units alike in content are one kind
    kinds = kinds.reshape(-1)
    taken = np.zeros(len(names), dtype=bool)
    taken[order] = _repaired(contents, kinds, _greedy(contents, kinds, wanted, keep), wanted, keep)
    return taken[codes]


def _rank(purpose: str, name: str) -> int:
    return int.from_bytes(blake2b(f"{purpose}:{name}".encode(), digest_size=8).digest())


def _number(total: int, share: float, keep: int) -> int:
    """Images of a class to draw. Shares are decimals: 0.29 of 50 is 14.5, not 14.499999."""
    rounded = int(Fraction(str(share)) * total + Fraction(1, 2))
    return max(0, min(max(rounded, 1), total - keep))


def _greedy(contents: np.ndarray, kinds: np.ndarray, wanted: np.ndarray, keep: int) -> np.ndarray:
    """(units,) bool: each unit in turn, unless a class would exceed `wanted` (classes,) or keep too few units.

    `kinds` (units,) is the row of `contents` (kinds, classes) that holds the unit's number of images.
    """
    images = wanted.tolist()
    units = _spare_units(contents, kinds, keep).tolist()
    holds = [[(target, row[target]) for target in np.flatnonzero(row).tolist()] for row in contents]
    taken = np.zeros(len(kinds), dtype=bool)
    for unit, kind in enumerate(kinds.tolist()):
        if all(images[target] >= count and units[target] for target, count in holds[kind]):
            taken[unit] = True
            for target, count in holds[kind]:
                images[target] -= count
                units[target] -= 1
    return taken


def _spare_units(contents: np.ndarray, kinds: np.ndarray, keep: int) -> np.ndarray:
    """(classes,) how many of the units that hold a class can be taken."""
    return np.maximum((contents[kinds] > 0).sum(axis=0) - keep, 0)


def _repaired(
    contents: np.ndarray, kinds: np.ndarray, taken: np.ndarray, wanted: np.ndarray, keep: int
) -> np.ndarray:
    """`taken`, with units exchanged, added or removed as long as that brings the classes nearer to `wanted`."""
    contents = np.vstack([contents, np.zeros_like(wanted)])  # the last kind is nothing
    nothing = len(contents) - 1
    spare = _spare_units(contents, kinds, keep)
    while (missing := wanted - contents[kinds[taken]].sum(axis=0)).any():
        sides = [_options(kinds, np.flatnonzero(~taken)), _options(kinds, np.flatnonzero(taken)[::-1])]
        chosen = [np.where(options < 0, nothing, kinds[options]) for options in sides]
        into, out = (contents[pair].sum(axis=1) for pair in chosen)
        units_in, units_out = ((contents[pair] > 0).sum(axis=1) for pair in chosen)
        spare_now = spare - (contents[kinds[taken]] > 0).sum(axis=0)
        cost = _cost(missing - into[:, None] + out, spare_now - units_in[:, None] + units_out, wanted)
        best = np.unravel_index(np.argmin(cost), cost.shape)
        if cost[best] >= cost[0, 0]:  # nothing for nothing
            break
        for options, choice, value in zip(sides, best, (True, False), strict=True):
            taken[options[choice][options[choice] >= 0]] = value
    return taken


def _cost(missing: np.ndarray, spare: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Cost of what is missing, (..., classes). A class without any image, or that keeps too few units, costs most."""
    deviation = (missing**2 / np.maximum(wanted, 1)).sum(axis=-1)
    unusable = ((missing == wanted) & (wanted > 0)) | (spare < 0)
    cost: np.ndarray = (deviation + missing.shape[-1] * wanted.sum() ** 2 * unusable.sum(axis=-1)).round(9)
    return cost


def _options(kinds: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(options, 2): none, one or two of the first `units`, -1 for none; of units alike only the first two count."""
    nth = pd.Series(kinds[units]).groupby(kinds[units]).cumcount()
    near = units[nth.to_numpy() < 2][:SINGLES].tolist()
    pairs = [(-1, -1), *((unit, -1) for unit in near), *combinations(near[:PAIRS], 2)]
    return np.array(pairs, dtype=np.int64)


def given_parts(manifest: pd.DataFrame) -> np.ndarray:
    given = manifest["given_split"].astype(object)
    return given.where(given.notna(), "train").to_numpy(dtype=object, copy=True)


def _require_enough_units(manifest: pd.DataFrame, units: np.ndarray, part: np.ndarray, drawn: Sequence[str]) -> None:
    parts = ["train", *drawn]
    pool = manifest[part == "train"]
    distinct = _class_counts(pool[~pd.DataFrame({"target": pool["target"], "unit": units[pool.index]}).duplicated()],
                             manifest.attrs["classes"])
    images = _class_counts(pool, manifest.attrs["classes"])
    for label, count in distinct.items():
        if count < len(parts):
            alternative = ", or set split.val: 0" if "val" in drawn else ""
            lost = _class_counts(manifest[part == None], manifest.attrs["classes"])[label]  # noqa: E711
            aside = f" ({lost} more are dropped as copies, see split.duplicates and split.leaks)" if lost else ""
            raise UserError(f"split: class {label} has {images[label]} images{aside} in {count} groups or distinct "
                            f"pictures outside the given parts, too few to draw {', '.join(parts)}; add images, or "
                            f"merge it through dataset.labels{alternative}")


def _require_all_classes(manifest: pd.DataFrame, part: np.ndarray, parts: Sequence[str]) -> None:
    for name in parts:
        for label, count in _class_counts(manifest[part == name], manifest.attrs["classes"]).items():
            if count == 0:
                raise UserError(f"split: class {label} gets no image in {name}, because its groups also hold other "
                                "classes; add images of that class, or merge it through dataset.labels")
