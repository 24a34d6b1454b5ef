"""What a report says of the audit: copies, shortcuts, outliers, and the tags of the run."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from fovea.report.content import PARTS
from fovea.report.pictures import Picture, originals
from fovea.report.results import Results

DUPLICATES = {  # keys of the audit's duplicates
    "identical_files": "groups of identical files", "identical_conflicts": "of them with several labels",
    "identical_pixels": "groups of identical pixels",
    "near": "groups of near-duplicates", "images": "images in these groups", "conflicts": "groups with several labels",
    "leaks": "groups on both sides of the given split",
}
DROPPED = {"duplicates": "copies dropped", "conflicts": "images with several labels dropped",
           "leaks": "copies across given parts dropped"}
QUALITY = {"dark": "Dark", "bright": "Bright", "blurred": "Blurred", "saturated": "Saturated",
           "off_centre": "Field off centre"}
CHANCE, SCALE_FROM = 0.5, 0.3  # of the bars of AUROCs, which end at 1
MOST_WARNINGS, MOST_GROUPS, MOST_OF_GROUP, MOST_OUTLIERS, MOST_SHORTCUTS = 4, 12, 4, 6, 12  # shown; the audit has more


@dataclass(frozen=True)
class Named:
    """An image that the audit names."""

    image: str
    label: str               # its class and part, or what there is to say of it
    picture: Picture | None  # None if it is not in the cache


@dataclass(frozen=True)
class Twins:
    """One picture several times."""

    title: str
    images: list[Named]
    more: int  # that are not shown


def audit_tags(audit: dict[str, Any], setting: Any) -> dict[str, str]:
    """What the MLflow run is tagged with: strong shortcuts, "none" or "off"; how many warnings."""
    strong = [f"{one['feature']} (AUROC {one['auroc']:.2f})" for one in audit["shortcuts"] if one["flagged"]]
    nothing = "none" if looked_for(setting) else "off"
    return {"fovea.shortcuts": ", ".join(strong) or nothing, "fovea.warnings": str(len(audit["warnings"]))}


def looked_for(setting: Any) -> bool:
    """Whether `split.shortcuts` let shortcuts be looked for; YAML reads a bare `off` as false."""
    return setting in ("warn", "fail")


def duplicate_counts(results: Results) -> list[tuple[str, int]]:
    """What was found and what was dropped, without zeros."""
    found, dropped = results.audit["duplicates"], results.audit["duplicates"]["dropped"]
    rows = [(label, found[key]) for key, label in DUPLICATES.items()]
    rows += [(label, dropped[key]) for key, label in DROPPED.items()]
    return [(label, count) for label, count in rows if count]


def duplicate_groups(results: Results) -> list[Twins]:
    """The first MOST_GROUPS groups of the audit, which names conflicts and leaks first."""
    groups = results.audit["duplicates"]["groups"][:MOST_GROUPS]
    shown = _pictures(results, [image for group in groups for image in group["images"][:MOST_OF_GROUP]])
    return [_twins(group, shown) for group in groups]


def _twins(group: dict[str, Any], shown: dict[str, Picture]) -> Twins:
    said = {"conflict": "different labels", "leak": "on both sides of the given split"}
    kind = "near-duplicates" if group["kind"] == "near" else group["kind"]
    title = ", ".join([kind, *(text for key, text in said.items() if group[key])])
    rows = list(zip(group["images"], group["labels"], group["parts"], strict=True))[:MOST_OF_GROUP]
    images = [Named(image, f"{label}, {PARTS.get(part, 'dropped')}", shown.get(image)) for image, label, part in rows]
    return Twins(title, images, len(group["images"]) - len(images))


def outliers(results: Results) -> list[tuple[str, int, list[Named]]]:
    """Fault, how many images have it, and the worst of them; faults that no image has are left out."""
    found = {key: results.audit["quality"][key] for key in QUALITY if results.audit["quality"][key]["count"]}
    shown = _pictures(results, [image for fault in found.values() for image in fault["images"][:MOST_OUTLIERS]])
    return [(QUALITY[key], fault["count"],
             [Named(image, "", shown.get(image)) for image in fault["images"][:MOST_OUTLIERS]])
            for key, fault in found.items()]


def _pictures(results: Results, images: list[str]) -> dict[str, Picture]:
    """Those of `images` that are in the cache, by name; what was dropped is not."""
    cached = set(results.cache.index["image"])
    known = [image for image in dict.fromkeys(images) if image in cached]
    return dict(zip(known, originals(results.cache, pd.Series(known, dtype="str")), strict=True))


def along(auroc: float) -> str:
    """Place of an AUROC on a bar from SCALE_FROM to 1, in per cent."""
    return f"{100 * max(auroc - SCALE_FROM, 0) / (1 - SCALE_FROM):.1f}%"
