"""What copies there are, for reports/audit.json: how many, with which labels, on which sides, what became of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fovea.audit.copies import IDENTICAL, NEAR, SAME_PIXELS
from fovea.split import AGAIN, CONFLICT, LEAK, given_parts

SHOWN = 1000  # groups that are listed
DROPPED = {"duplicates": AGAIN, "conflicts": CONFLICT, "leaks": LEAK}


def describe_copies(
    manifest: pd.DataFrame, split: pd.DataFrame, pairs: pd.DataFrame, copies: np.ndarray, too_large: Sequence[list[int]]
) -> dict[str, Any]:
    """Section `duplicates` of reports/audit.json. A leak is a group whose images the set gives to several parts."""
    table = pd.DataFrame({
        "group": copies, "image": manifest["image"].to_numpy(), "label": manifest["label"].to_numpy(),
        "digest": manifest["digest"].to_numpy(), "given": given_parts(manifest), "part": split["split"].to_numpy(),
    }).dropna(subset="group").sort_values("image")  # fmt: skip
    kinds = _kinds(pairs, copies)
    groups = [{**_describe(rows), "kind": kinds[str(name)]} for name, rows in table.groupby("group")]
    groups.sort(key=lambda group: (not group["leak"], not group["conflict"], group["images"]))
    identical = manifest.groupby("digest")["label"].agg(["size", "nunique"])
    identical = identical[identical["size"] > 1]
    return {
        "identical_files": len(identical),
        "identical_conflicts": int((identical["nunique"] > 1).sum()),
        "identical_pixels": sum(group["kind"] == SAME_PIXELS for group in groups),
        "near": sum(group["kind"] == NEAR for group in groups),
        "images": len(table),
        "conflicts": sum(group["conflict"] for group in groups),
        "leaks": sum(group["leak"] for group in groups),
        "leaks_left": sum(group["leak"] and len({part for part in group["parts"] if part}) > 1 for group in groups),
        "too_large": [{"images": len(group), "first": str(manifest["image"].iloc[group].min())} for group in too_large],
        "dropped": {name: int((split["reason"] == reason).sum()) for name, reason in DROPPED.items()},
        "groups": groups[:SHOWN],
    }


def straddling_groups(manifest: pd.DataFrame) -> dict[str, Any]:
    """Section `groups_across_parts`: groups, such as patients, whose images the set gives to several parts."""
    parts = pd.Series(given_parts(manifest), index=manifest.index).groupby(manifest["group"]).nunique()
    names = sorted(str(name) for name in parts.index[parts > 1])
    return {"count": len(names), "groups": names[:SHOWN]}


def _describe(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "images": rows["image"].tolist(),
        "labels": rows["label"].tolist(),
        "parts": [part if isinstance(part, str) else None for part in rows["part"]],
        "conflict": bool(rows["label"].nunique() > 1),
        "leak": bool(rows["given"].nunique() > 1),
    }


def _kinds(pairs: pd.DataFrame, copies: np.ndarray) -> dict[str, str]:
    """Of each group what it takes to see that all its images are one picture."""
    kinds: dict[str, str] = {}
    for kind in (IDENTICAL, SAME_PIXELS, NEAR):  # the later needs more
        some = pairs[pairs["kind"] == kind]
        firsts, seconds = (copies[some[end].to_numpy(np.int64)] for end in ("first", "second"))
        kinds |= {name: kind for name, other in zip(firsts, seconds, strict=True) if name is not None and name == other}
    return kinds
