"""Everything that reports/audit.json says, and in one sentence each what must be known before the score is believed."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fovea.audit import shortcuts
from fovea.audit.balance import balance
from fovea.audit.baseline import trivial_baseline
from fovea.audit.duplicates import describe_copies, straddling_groups
from fovea.audit.quality import quality
from fovea.params.split import SplitParams


def findings(
    manifest: pd.DataFrame,
    split: pd.DataFrame,
    units: np.ndarray,
    pairs: pd.DataFrame,
    copies: np.ndarray,
    too_large: Sequence[list[int]],
    params: SplitParams,
) -> dict[str, Any]:
    """reports/audit.json: plain values, most important first.

    `units` (n,) names what must not straddle, `pairs`, `copies` and `too_large` are those of `find_copies` and
    `group_copies`, rows as in `manifest`.
    """
    part = split["split"].astype(object).where(split["split"].notna(), None).to_numpy()
    found: dict[str, Any] = {
        "warnings": [],
        "duplicates": describe_copies(manifest, split, pairs, copies, too_large),
        "groups_across_parts": straddling_groups(manifest),
        "shortcuts": [] if params.shortcuts == "off" else shortcuts.shortcuts(manifest, part, units),
        "trivial_baseline": trivial_baseline(manifest, part, units),
        "quality": quality(manifest),
        "balance": balance(manifest),
    }
    found["warnings"] = [*_of_sides(found, params), *shortcuts.warnings(found["shortcuts"]), *_of_labels(found)]
    return found


def _of_sides(found: dict[str, Any], params: SplitParams) -> Iterable[str]:
    leaks, straddling = found["duplicates"]["leaks"], found["groups_across_parts"]["count"]
    if leaks:
        dropped = params.leaks == "drop"
        became = "all but the test copy are dropped" if dropped else "they are kept, so the score is too good"
        yield f"{_count(leaks, 'picture stands', 'pictures stand')} in several parts that the set gives; {became}"
    if straddling:
        yield (f"{_count(straddling, 'group has', 'groups have')} images in several parts that the set gives "
               f"(such as {found['groups_across_parts']['groups'][0]}); the score may be too good")


def _of_labels(found: dict[str, Any]) -> Iterable[str]:
    duplicates = found["duplicates"]
    if conflicts := duplicates["conflicts"]:
        yield f"{_count(conflicts, 'picture stands', 'pictures stand')} several times in the set, with different labels"
    for group in duplicates["too_large"]:
        yield (f"{group['images']} images look like copies of one picture ({group['first']} and others), too many to "
               "be believed; they are treated as different pictures")


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
