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
from fovea.errors import UserError
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
    found["warnings"] = [*_of_sides(found), *shortcuts.warnings(found["shortcuts"]), *_of_labels(found)]
    return found


def refuse(found: dict[str, Any], params: SplitParams) -> None:
    """Raise UserError for what `leaks: fail` and `shortcuts: fail` do not accept."""
    leaks = [group["images"] for group in found["duplicates"]["groups"] if group["leak"]]
    if params.leaks == "fail" and leaks:
        raise UserError(f"split.leaks: {_count(found['duplicates']['leaks'], 'picture stands', 'pictures stand')} in "
                        f"several parts that the set gives, such as {' and '.join(leaks[0][:2])}; reports/audit.json "
                        "names them: remove all but one of each, or set split.leaks: drop")
    if params.shortcuts == "fail" and any(shortcut["flagged"] for shortcut in found["shortcuts"]):
        raise UserError("split.shortcuts: the label can be told without the picture, see above and reports/audit.json; "
                        "correct the image set, or set split.shortcuts: warn")


def _of_sides(found: dict[str, Any]) -> Iterable[str]:
    duplicates, straddling = found["duplicates"], found["groups_across_parts"]
    if leaks := duplicates["leaks"]:
        left = duplicates["leaks_left"]
        became = "all copies but those in one part are dropped" if not left else (
            f"{left} still do, so the score may be too good (split.leaks: drop)")
        yield f"{_count(leaks, 'picture stands', 'pictures stand')} in several parts that the set gives; {became}"
    if count := straddling["count"]:
        yield (f"{_count(count, 'group has', 'groups have')} images in several parts that the set gives (such as "
               f"{straddling['groups'][0]}); the score may be too good")


def _of_labels(found: dict[str, Any]) -> Iterable[str]:
    duplicates = found["duplicates"]
    if conflicts := duplicates["conflicts"]:
        example = next(group for group in duplicates["groups"] if group["conflict"])
        dropped = duplicates["dropped"]["conflicts"]
        became = f"{_count(dropped, 'image is', 'images are')} dropped" if dropped else (
            "look at them, or leave them out with split.duplicates: drop-conflicts")
        yield (f"{_count(conflicts, 'picture stands', 'pictures stand')} several times in the set, with different "
               f"labels (such as {example['images'][0]}); {became}")
    if too_large := duplicates["too_large"]:
        images = sum(group["images"] for group in too_large)
        yield (f"{images} images look like copies of {_count(len(too_large), 'picture', 'pictures')} (such as "
               f"{too_large[0]['first']}), more of each than can be believed; they are treated as different pictures, "
               "and may stand on both sides of the split")


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
