"""Small image sets on disk for the tests of ingest."""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from fovea.ingest.manifest import build_manifest
from fovea.params.dataset import DatasetParams

FOLDERS = {"layout": "folders", "images": "", "split_folders": False, "split": None}
TABLE = {
    "layout": "table", "file": "labels.csv", "images": "images", "header": True, "name_column": "image",
    "label_column": "level", "group_column": None, "split_column": None, "extension": "", "split": None,
}  # fmt: skip
LISTS = {"layout": "lists", "names": "names.csv", "labels": "labels.csv", "images": "images", "extension": ".jpeg",
         "split": None}  # fmt: skip
SET: dict[str, Any] = {"name": "set", "labels": {}, "classes": [], "positive": None, "group": None,
                       "splits": {"train": "train", "val": "val", "test": "test"}}  # fmt: skip


def encoded(seed: int, size: tuple[int, int] = (24, 16), kind: str = "jpeg", **options: Any) -> bytes:
    """Bytes of a picture of noise, (width, height) px; another seed, other bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(options.pop("mode", "RGB")).save(buffer, kind, **options)
    return buffer.getvalue()


def write_images(root: Path, *names: str) -> None:
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(seed))


def ingest(root: Path, *sources: dict[str, Any], workers: int = 2, max_pixels: int = 10**6, **changes: Any) -> Any:
    """Manifest and rejected table of the set in `root`."""
    dataset = DatasetParams.model_validate({**SET, "sources": list(sources), **changes})
    with tempfile.TemporaryDirectory() as store:
        return build_manifest(root, dataset, max_pixels, workers, Path(store))


def labels_of(manifest: pd.DataFrame) -> dict[str, str]:
    return dict(zip(manifest["image"], manifest["label"], strict=True))


def column_of(manifest: pd.DataFrame, column: str) -> dict[str, str | None]:
    values = manifest[column].astype(object).where(manifest[column].notna(), None)
    return dict(zip(manifest["image"], values, strict=True))


def reasons_of(rejected: pd.DataFrame) -> dict[str, str]:
    return dict(zip(rejected["image"], rejected["reason"], strict=True))
