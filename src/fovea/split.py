"""Which image is for training, for validation, for the test: exact shares per class, groups whole, stable.

The unit that is drawn is a group, or an image without one, together with whatever holds a copy of one of its own
images, so that neither groups nor copies straddle. Units are taken in the order of a hash of their own name and
the seed. No state and no order of files is involved, so a unit's side depends on the others only through the number of
images that each class must give.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fovea.draw import draw, draw_folds
from fovea.errors import UserError
from fovea.params.split import SplitParams

PARTS = ("train", "val", "test")
CONFLICT, AGAIN, LEAK = (  # why an image is dropped
    "copy with another label", "copy with the same label", "copy of an image of another given part"
)


def split_images(manifest: pd.DataFrame, copies: np.ndarray, params: SplitParams) -> pd.DataFrame:
    """Part of every image: columns image, split ("train" | "val" | "test", null if dropped) and reason (null, or why it
    was dropped), rows and attrs as in `manifest`.

    `copies` (n,) names the group of images that show one picture, None where there is none. A given test or val part
    stays as it is, even where groups straddle it; of copies across it, `params.leaks` decides. What is not given is
    drawn from the rest. With `params.folds` the test part, or validation beside a given test part, is that fold of it.
    Raises UserError if a class cannot have an image in train and in each part that is drawn.
    """
    part = given_parts(manifest)
    reasons = dropped(manifest, copies, part, params)
    part[reasons != None] = None  # noqa: E711  # element by element
    units = np.full(len(manifest), None, dtype=object)
    units[part == "train"] = unit_of(manifest[part == "train"], copies[part == "train"])
    fold = [_set_fold_aside(manifest, units, part, params)] if params.folds else []
    drawn = _draw_parts(manifest, units, part, params)
    _require_all_classes(manifest, part, ["train", *fold, *drawn])
    split = manifest[["image"]].assign(split=pd.Series(part, index=manifest.index, dtype="str"),
                                       reason=pd.Series(reasons, index=manifest.index, dtype="str"))
    split.attrs = manifest.attrs
    return split


def _set_fold_aside(manifest: pd.DataFrame, units: np.ndarray, part: np.ndarray, params: SplitParams) -> str:
    """Set the images of fold `params.fold` in `part`: "test", or "val" where a test part is given. Returns which."""
    name = "val" if (part == "test").any() else "test"
    if (part == name).any():
        raise UserError("split.folds: must be 0, because the set gives its test part and its validation part; or set "
                        "val: null in dataset.splits")
    _require_enough_units(manifest, units, part, params.folds, f"too few for {params.folds} folds",
                          ", or lower split.folds")
    pool = np.flatnonzero(part == "train")
    fold = draw_folds(units[pool], manifest["target"].to_numpy()[pool], len(manifest.attrs["classes"]),
                      params.folds, f"{params.seed}:folds")
    part[pool[fold == params.fold]] = name
    return name


def _draw_parts(manifest: pd.DataFrame, units: np.ndarray, part: np.ndarray, params: SplitParams) -> list[str]:
    """Set the images of the test and validation parts in `part`, as far as it has none yet. Returns which are drawn."""
    targets, classes = manifest["target"].to_numpy(), len(manifest.attrs["classes"])
    wanted = {"test": params.test, "val": params.val}
    drawn = [name for name, share in wanted.items() if share and not (part == name).any()]
    _require_enough_units(manifest, units, part, 1 + len(drawn), f"too few to draw {', '.join(['train', *drawn])}",
                          ", or set split.val: 0" if "val" in drawn else "")
    for position, name in enumerate(drawn):
        pool = np.flatnonzero(part == "train")
        chosen = draw(units[pool], targets[pool], classes,
                      wanted[name], f"{params.seed}:{name}", keep=len(drawn) - position)
        part[pool[chosen]] = name
    return drawn


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


def given_parts(manifest: pd.DataFrame) -> np.ndarray:
    given = manifest["given_split"].astype(object)
    return given.where(given.notna(), "train").to_numpy(dtype=object, copy=True)


def _require_enough_units(
    manifest: pd.DataFrame, units: np.ndarray, part: np.ndarray, needed: int, too_few: str, alternative: str
) -> None:
    """Raise UserError unless each class has `needed` units in the part "train", which is what can be drawn from."""
    pool = manifest[part == "train"]
    distinct = _class_counts(pool[~pd.DataFrame({"target": pool["target"], "unit": units[pool.index]}).duplicated()],
                             manifest.attrs["classes"])
    images = _class_counts(pool, manifest.attrs["classes"])
    for label, count in distinct.items():
        if count < needed:
            lost = _class_counts(manifest[part == None], manifest.attrs["classes"])[label]  # noqa: E711
            aside = f" ({lost} more are dropped as copies, see split.duplicates and split.leaks)" if lost else ""
            raise UserError(f"split: class {label} has {images[label]} images{aside} in {count} groups or distinct "
                            f"pictures outside the parts that are set, {too_few}; add images, or merge it through "
                            f"dataset.labels{alternative}")


def _require_all_classes(manifest: pd.DataFrame, part: np.ndarray, parts: Sequence[str]) -> None:
    for name in parts:
        for label, count in _class_counts(manifest[part == name], manifest.attrs["classes"]).items():
            if count == 0:
                raise UserError(f"split: class {label} gets no image in {name}, because its groups also hold other "
                                "classes; add images of that class, or merge it through dataset.labels")
