"""What sets one result apart from another: parameters, images, code, and figures on the same test images."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from fovea.compare.side import Side
from fovea.errors import UserError
from fovea.evaluation.paired import compare_paired
from fovea.lock import differing, differing_values
from fovea.versions import Version, compare_versions

OTHER_CONTENT = "\0other content"  # no name of a file has it


@dataclass(frozen=True)
class Difference:
    parameters: list[tuple[str, str | None, str | None]]  # dotted name, first, other; None where it was not there
    data: list[str]                                       # image sets that differ
    code: list[str] | None                                # files of stages that differ; None where not known
    images: pd.DataFrame | None                           # `versions.compare`; None where a manifest is missing
    paired: dict[str, Any] | None                         # `compare_paired`: `one` is the other, `other` the first
    unpaired: str                                         # why there is no comparison of figures, "" if there is


def difference(first: Side, other: Side) -> Difference:
    """How `other` differs from `first`. Figures are compared on the test images that both have: of the same content if
    both manifests are at hand, else of the same name."""
    was, now = first.lock, other.lock
    parameters = [(key, was.parameters.get(key), now.parameters.get(key))
                  for key in differing_values(was.parameters, now.parameters)]
    code = None if was.code is None or now.code is None else differing(was.code, now.code)
    images = compare_versions(first.images, other.images) if first.images and other.images else None
    return Difference(parameters, differing(was.data, now.data), code, images, *_paired(first, other, images))


def _paired(first: Side, other: Side, images: pd.DataFrame | None) -> tuple[dict[str, Any] | None, str]:
    for side in (other, first):
        if side.predictions is None:
            return None, f"{side.name}: {side.missing}"
    assert first.predictions is not None and other.predictions is not None
    names = {} if images is None else _first_names(images)
    try:
        found = compare_paired(_renamed(other.predictions, names), first.predictions, first.classes,
                               _groups(first.images, other.images, names))
    except UserError as error:
        return None, str(error)
    if found["figures"]:
        return found, ""
    alone = " and ".join(str(len(side.predictions)) for side in (first, other) if side.predictions is not None)
    return None, f"the test parts, of {alone} images, share none with the same label"


def _first_names(images: pd.DataFrame) -> dict[str, str]:
    """Of images that changed, the name that the first version has for the same content, or one that it has for none."""
    names = zip(images["image"], images["old_image"], images["change"], strict=True)
    return {now: was if was and "content" not in change.split("; ") else now + OTHER_CONTENT
            for now, was, change in names if now}


def _renamed(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    return table.assign(image=table["image"].map(lambda name: names.get(name, name)))


def _groups(first: Version | None, other: Version | None, names: dict[str, str]) -> "pd.Series[Any]":
    """The group of each image by its name in the first version; what that does not know, the other may."""
    known = [_renamed(version.images, renamed) for version, renamed in ((first, {}), (other, names)) if version]
    joined = pd.concat([table.set_index("image")["group"].dropna() for table in known] or [pd.Series(dtype=object)])
    return joined[~joined.index.duplicated()]


def sentence(found: Difference, metrics: dict[str, Any]) -> str:
    """The difference in balanced accuracy; `metrics` are of the one that is compared with."""
    figure = found.paired["figures"]["balanced_accuracy"] if found.paired else None
    if found.paired and figure and figure["difference"] is not None:
        limits = figure["interval"]
        shown = f" ({limits[0]:+.3f} to {limits[1]:+.3f})" if limits else ""
        compared, *others = found.paired["rows"].values()
        left = f" ({sum(others)} others are left out)" if any(others) else ""
        return (f"Balanced accuracy {figure['difference']:+.3f}{shown} on the {compared} test images that both "
                f"have{left}.")
    return f"Its figures are of its own test part: {found.unpaired}." if metrics else ""


def mcnemar(paired: dict[str, Any], first: str) -> str:
    """McNemar's test in a sentence; `first` is the name of the one that is compared with."""
    test = paired["mcnemar"]
    return (f"Only it is right on {test['only_one_right']}, only {first} on {test['only_other_right']}: exact McNemar "
            f"p = {test['p']:.3f}.")


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count > 1)}" if count else ""


def what_changed(found: Difference) -> str:
    """In a few words, "nothing" if nothing did."""
    parts = [counted(len(found.parameters), "parameter"), "the images" if found.data else "",
             counted(len(found.code or []), "file") + " of code" if found.code else ""]
    return ", ".join(part for part in parts if part) or "nothing"
