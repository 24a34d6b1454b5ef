"""Two versions of an image set beside each other: what came, what went, and what changed."""

import io
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow

from fovea.errors import UserError
from fovea.revisions import read_at
from fovea.tables import printable

MANIFEST, SPLIT = "data/manifest.parquet", "data/split.parquet"
CHANGES = {
    "added": "added", "removed": "removed", "relabelled": "relabelled", "content": "same name, other content",
    "renamed": "renamed", "moved": "moved between parts",
}  # fmt: skip
SIDES = ("image", "label", "split")  # columns of a version that stand in a comparison, the old ones as old_<column>
SHOWN = 3                            # names that a summary gives of each change


class Image(NamedTuple):
    image: str
    digest: str
    label: str
    split: str | None


Pairs = list[tuple[Image | None, Image | None]]  # of the old and the new version


@dataclass(frozen=True)
class Version:
    """One version of a set. `images` has columns image, digest, label, group, given_split, and split if `is_split`."""

    name: str
    images: pd.DataFrame
    is_split: bool


def read_version(name: str | None) -> Version:
    """A version by its manifest file (`.parquet`), or by what DVC or git knows under `name`; None is the workspace.

    The split lies beside the manifest; one that is not of the same images is left aside. Raises UserError if there is
    no such version.
    """
    try:
        if name is None:
            return version_of("workspace", bytes_of_file)
        if name.endswith(".parquet"):
            return version_of(name, bytes_of_file, name, str(Path(name).with_name("split.parquet")))
        return version_of(name, partial(read_at, name))
    except LookupError as error:
        raise UserError(f"{name or 'workspace'}: no manifest ({error}); give a revision that holds the dvc.lock "
                        "of a run (git commit it), or a manifest file with the ending .parquet") from None


def version_of(name: str, read: Callable[[str], bytes], manifest: str = MANIFEST, split: str = SPLIT) -> Version:
    """The version whose files `read` gives, which raises LookupError for a file that is not there.

    Raises LookupError if it has no manifest, UserError if that is none.
    """
    try:
        images = _table(read(manifest), ["image", "digest", "label", "group", "given_split"])
    except pyarrow.ArrowException as error:
        raise UserError(f"{name}: {manifest} is no manifest ({str(error).splitlines()[0]}); "
                        "`dvc repro ingest` writes one") from None
    try:
        parts = _table(read(split), ["image", "split"])
    except (LookupError, pyarrow.ArrowException):
        return Version(name, images, False)
    if set(parts["image"]) != set(images["image"]):  # the split of another manifest: ingest has run since
        return Version(name, images, False)
    return Version(name, images.merge(parts, on="image", validate="one_to_one"), True)


def bytes_of_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise LookupError(f"{path}: {error.strerror}") from None


def _table(data: bytes, columns: list[str]) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(data), columns=columns).astype(object)


def compare_versions(old: Version, new: Version) -> pd.DataFrame:
    """`compare` by the split if both versions have one, else by the split that the set itself gives."""
    column = "split" if old.is_split and new.is_split else "given_split"
    return compare(*(version.images.assign(split=version.images[column]) for version in (old, new)))


def compare(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """One row for each image that differs between two tables of image (unique), digest, label and split.

    The same content is the same image, whatever its name: in an array file all numbers shift if one image goes. Of
    several with one digest, those with the same name belong together, then with the same label, then in the order of
    their names. What is left under the same name has other content. Returns change (names of `CHANGES` joined by "; "),
    image, label, split, old_image, old_label, old_split, None where a side has none; sorted by image.
    """
    gone, came = _images(old), _images(new)
    pairs: Pairs = []
    for key in (lambda one: (one.digest, one.image), lambda one: (one.digest, one.label), lambda one: one.digest,
                lambda one: one.image):
        same, gone, came = _match(gone, came, key)
        pairs += same
    pairs += [(one, None) for one in gone] + [(None, one) for one in came]
    rows = [[change, *_sides(now), *_sides(was)] for was, now in pairs if (change := _change(was, now))]
    rows.sort(key=lambda row: str(row[1] or row[4]))
    return pd.DataFrame(rows, columns=["change", *SIDES, *(f"old_{column}" for column in SIDES)], dtype=object)


def _images(table: pd.DataFrame) -> list[Image]:
    """Sorted by name."""
    rows = table[list(Image._fields)].astype(object)
    return sorted(map(Image._make, rows.where(rows.notna(), None).to_numpy()), key=lambda one: one.image)


def _match(
    gone: list[Image], came: list[Image], key: Callable[[Image], Any]
) -> tuple[list[tuple[Image, Image]], list[Image], list[Image]]:
    """Pairs of the same `key` as far as they go, one by one in order, and what is left of both."""
    waiting: dict[Any, deque[Image]] = defaultdict(deque)
    for one in came:
        waiting[key(one)].append(one)
    pairs = [(one, waiting[key(one)].popleft()) for one in gone if waiting[key(one)]]
    was, now = ({pair[side].image for pair in pairs} for side in (0, 1))
    return pairs, [one for one in gone if one.image not in was], [one for one in came if one.image not in now]


def _change(was: Image | None, now: Image | None) -> str:
    if was is None or now is None:
        return "added" if was is None else "removed"
    found = {"relabelled": was.label != now.label, "content": was.digest != now.digest,
             "renamed": was.image != now.image, "moved": was.split != now.split}
    return "; ".join(change for change, differs in found.items() if differs)


def _sides(one: Image | None) -> list[str | None]:
    return [None] * len(SIDES) if one is None else [one.image, one.label, one.split]


def describe(table: pd.DataFrame) -> list[str]:
    """Two lines for each kind of change: how many images, by class, and the first names."""
    lines = []
    for words, count, classes, names in summarise(table):
        by_class = printable(", ".join(f"{name}: {of}" for name, of in classes.items()))
        lines.append(f"{words:<26}{count:>7}   {by_class}".rstrip())
        if names:
            shown = ", ".join(printable(name) for name in names) + (", ..." if count > len(names) else "")
            lines.append(" " * 36 + shown)
    return lines


def summarise(table: pd.DataFrame) -> list[tuple[str, int, dict[str, int], list[str]]]:
    """Of each kind of change: its words, how many images, how many by class, and the first names."""
    found = []
    for change, words in CHANGES.items():
        rows = table[np.array([change in changes.split("; ") for changes in table["change"]], dtype=bool)]
        names = [_name(row, change) for _, row in rows.head(SHOWN).iterrows()]
        found.append((words, len(rows), _by_class(rows, change), names))
    return found


def _by_class(rows: pd.DataFrame, change: str) -> dict[str, int]:
    labels = rows["label"].fillna(rows["old_label"])
    if change == "relabelled":
        labels = rows["old_label"] + " -> " + rows["label"]
    if change == "moved":
        labels = labels + " " + rows["old_split"].fillna("none") + " -> " + rows["split"].fillna("none")
    return {str(label): int(count) for label, count in labels.value_counts().sort_index().items()}


def _name(row: "pd.Series[str]", change: str) -> str:
    if change == "renamed":
        return f"{row['old_image']} -> {row['image']}"
    return row["old_image"] if change == "removed" else row["image"]
