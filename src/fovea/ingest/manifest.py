"""The manifest: every decision about every file in one row, accepted or rejected."""

import re
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pandas as pd

from fovea.errors import UserError
from fovea.ingest.entry import Entry
from fovea.ingest.examine import examine
from fovea.ingest.files import IMAGE_SUFFIXES
from fovea.ingest.layouts import read_sources
from fovea.ingest.naming import in_our_terms
from fovea.params.dataset import DatasetParams
from fovea.tables import as_utf8

FACTS = {  # columns of the manifest by their type; object is bytes
    "digest": "str", "bytes": "int64", "width": "int32", "height": "int32", "format": "str", "frames": "int32",
    "camera": "str", "compression": "str", "brightness": "float32", "sharpness": "float32", "saturated": "float32",
    "offset": "float32", "thumbnail": "object", "fingerprint": "object",
}  # fmt: skip
SHOWN = 3  # rejected files that a message names


def build_manifest(
    root: Path, dataset: DatasetParams, max_pixels: int, workers: int, store: Path, engine: str = "local"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look at every image of the set in `root` with `workers` threads (0: one per core), or over a Ray cluster with the
    engine `ray`, and remember it in `store`.

    Returns the manifest (image, the fields of `Facts`, rest, label, target, group, given_split and the columns that
    tables keep; attrs name, classes, positive, digest) and the rejected files (image, reason, label), both sorted by
    image. Neither depends on the order of the files, on `workers` or on `engine`. Raises UserError if the set cannot be
    used as a whole.
    """
    if not root.is_dir():
        raise UserError(f"dataset.name: the folder {root} does not exist; put or link the image set there, or fetch it "
                        f"with `dvc pull {root}` (a queue or --temp run sees it only after `dvc add {root}`)")
    entries = in_our_terms(read_sources(root, dataset), dataset)
    if not entries:
        raise UserError(f"dataset.sources: no images ({', '.join(IMAGE_SUFFIXES)}) in {root}; correct `images`")
    entries = list(examine(root, entries, max_pixels, workers, store, engine))
    entries.sort(key=lambda entry: (entry.image, entry.reason or ""))
    accepted = [entry for entry in entries if entry.reason is None]
    rejected = _rejected_table([entry for entry in entries if entry.reason is not None])
    classes = _class_order({str(entry.label) for entry in accepted}, dataset, rejected)
    return _manifest_table(accepted, classes, dataset), rejected


def check_rejected(manifest: pd.DataFrame, rejected: pd.DataFrame, max_rejected: float) -> None:
    """Raise UserError if more than the share `max_rejected` of all files was rejected."""
    total = len(manifest) + len(rejected)
    if len(rejected) > max_rejected * total:
        raise UserError(f"ingest.max_rejected: {len(rejected)} of {total} files are unusable, more than the share "
                        f"{max_rejected}: {_first(rejected)}; the table of rejected files has all; correct them or "
                        "raise ingest.max_rejected")


def summarise(manifest: pd.DataFrame, rejected: pd.DataFrame) -> dict[str, Any]:
    """Counts for reports/ingest.json; width and height in px, reasons without their details."""
    counts = manifest["label"].value_counts()
    return {
        "images": len(manifest),
        "rejected": len(rejected),
        "classes": {name: int(counts[name]) for name in manifest.attrs["classes"]},
        "groups": int(manifest["group"].nunique()),
        "formats": _counts(manifest["format"]),
        "several_frames": int((manifest["frames"] > 1).sum()),
        "given": _counts(manifest["given_split"]),
        "width": [int(manifest["width"].min()), int(manifest["width"].max())],
        "height": [int(manifest["height"].min()), int(manifest["height"].max())],
        "reasons": _counts(rejected["reason"].str.split(":").str[0]),
    }


def _class_order(found: set[str], dataset: DatasetParams, rejected: pd.DataFrame) -> list[str]:
    """`dataset.classes`, or the labels sorted. Raises UserError unless each of two or more classes has images."""
    aside = f" ({len(rejected)} files were rejected: {_first(rejected)})" if len(rejected) else ""
    classes = dataset.classes or _sorted_classes(found)
    missing = [name for name in classes if name not in found]
    if not found:
        raise UserError(f"dataset.sources: {dataset.name} has no usable image{aside}; correct the files or the source")
    if missing:
        raise UserError(f"dataset.classes: no usable image has the label {', '.join(missing)}{aside}; "
                        "remove that class or correct dataset.labels")
    if len(classes) < 2:
        raise UserError(f"dataset.classes: all images have the label {classes[0]}{aside}; a classifier needs two "
                        "classes, correct dataset.sources or dataset.labels")
    if dataset.positive is not None and (len(classes) != 2 or dataset.positive not in classes):
        raise UserError(f"dataset.positive: is {dataset.positive}, but the classes are {', '.join(classes)}; "
                        "name one of exactly two, or set null")
    return classes


def _sorted_classes(labels: set[str]) -> list[str]:
    if all(re.fullmatch(r"[+-]?\d+", label) for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)


def _manifest_table(accepted: list[Entry], classes: list[str], dataset: DatasetParams) -> pd.DataFrame:
    targets = {name: target for target, name in enumerate(classes)}
    columns: dict[str, pd.Series[Any]] = {"image": pd.Series([entry.image for entry in accepted], dtype="str")}
    for name, dtype in FACTS.items():
        columns[name] = pd.Series([getattr(entry.facts, name) for entry in accepted], dtype=dtype)
    columns["rest"] = pd.Series([entry.rest for entry in accepted], dtype="str")
    columns["label"] = pd.Series([entry.label for entry in accepted], dtype="str")
    columns["target"] = pd.Series([targets[str(entry.label)] for entry in accepted], dtype="int16")
    columns["group"] = pd.Series([entry.group for entry in accepted], dtype="str")
    columns["given_split"] = pd.Series([entry.given for entry in accepted], dtype="str")
    for name in dict.fromkeys(name for entry in accepted for name, _ in entry.kept):
        columns[name] = pd.Series([dict(entry.kept).get(name) or None for entry in accepted], dtype="str")
    manifest = pd.DataFrame(columns)
    manifest.attrs = {"name": dataset.name, "classes": classes, "positive": dataset.positive,
                      "digest": _set_digest(accepted)}
    return manifest


def _set_digest(accepted: list[Entry]) -> str:
    digest = blake2b(digest_size=20)
    for entry in accepted:
        assert entry.facts is not None
        said = (entry.image, entry.facts.digest, entry.label, entry.group, entry.given)
        digest.update(repr((*said, entry.kept) if entry.kept else said).encode())
    return digest.hexdigest()


def _rejected_table(rejected: list[Entry]) -> pd.DataFrame:
    rows = [[as_utf8(text or "") for text in (entry.image, entry.reason, entry.label)] for entry in rejected]
    return pd.DataFrame(rows, columns=["image", "reason", "label"], dtype="str")


def _first(rejected: pd.DataFrame) -> str:
    shown = [f"{row.image} ({row.reason})" for row in rejected.head(SHOWN).itertuples()]
    return ", ".join(shown) + (", ..." if len(rejected) > SHOWN else "")


def _counts(values: "pd.Series[Any]") -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}
