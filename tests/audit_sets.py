"""Manifests for the tests of the audit: generated ones, and those of the real sets with what headers and pixels say."""

import os
from collections.abc import Iterator
from hashlib import blake2b
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from fovea.ingest.manifest import build_manifest
from fovea.params.dataset import DatasetParams
from fovea.params.split import SplitParams
from fovea.split import split_images, unit_of
from tests.ingest_sets import SET
from tests.test_ingest_real import SETS

Table = tuple[pd.DataFrame, np.ndarray, np.ndarray]  # manifest, part, units


def generated(images: int, classes: int = 2, groups: int | None = None, seed: int = 0) -> pd.DataFrame:
    """A manifest whose every column is drawn without a look at the label."""
    rng = np.random.default_rng(seed)
    target = np.arange(images) % classes
    names = [f"class {number}" for number in range(classes)]
    folders, cameras = rng.choice(["a", "b/c", ""], images), rng.choice(["Canon CR-2", "Topcon", None], images)
    width = rng.choice([600, 800, 1024, 3000], images)
    frame = pd.DataFrame({
        "image": [f"{folder}/img_{number:05d}.jpg" for number, folder in enumerate(folders)],
        "digest": [blake2b(f"{seed}:{number}".encode(), digest_size=20).hexdigest() for number in range(images)],
        "bytes": rng.lognormal(12, 0.4, images).astype(np.int64),
        "width": width.astype(np.int32), "height": rng.integers(400, 2000, images).astype(np.int32),
        "format": rng.choice(["jpeg", "jpeg", "png"], images), "frames": np.int32(1),
        "camera": pd.Series(cameras, dtype="str"), "compression": rng.choice(["0a1b2c3d", "ffee0011"], images),
        "rest": [f"{folder}/{word}_{number}.jpg" for folder, word, number in
                 zip(folders, rng.choice(["img", "scan"], images), rng.integers(0, images, images), strict=True)],
        "brightness": rng.normal(0.45, 0.05, images).astype(np.float32),
        "sharpness": rng.normal(2.0, 0.15, images).astype(np.float32),
        "saturated": rng.uniform(0, 0.02, images).astype(np.float32),
        "offset": rng.uniform(0, 0.05, images).astype(np.float32),
        "thumbnail": [bytes(one) for one in rng.integers(0, 256, (images, 192), dtype=np.uint8)],
        "label": np.array(names, dtype=object)[target], "target": target.astype(np.int16),
        "group": None if groups is None else [f"patient {number}" for number in rng.integers(0, groups, images)],
        "given_split": None,
    })  # fmt: skip
    frame["group"] = frame["group"].astype("str") if groups is not None else frame["group"].astype(object)
    frame.attrs = {"name": "generated", "classes": names, "positive": None, "digest": "0" * 40}
    return frame


def whole(manifest: pd.DataFrame) -> Table:
    """All images in training; a unit is a group, or an image without one."""
    units = manifest["group"].astype(object).where(manifest["group"].notna(), manifest["digest"].astype(object))
    return manifest, np.full(len(manifest), "train", dtype=object), units.to_numpy(dtype=object)


def real_table(name: str, folder: Path | None = None, changes: dict[str, Any] | None = None) -> Table:
    """A real set below FOVEA_REAL_DATA with every column of the manifest, its parts and units."""
    folder = folder or Path(os.environ["FOVEA_REAL_DATA"]) / name
    dataset = DatasetParams.model_validate({**SET, "name": name, **(changes or SETS[name])})
    manifest, _ = build_manifest(folder, dataset, 10**8, 0)
    part = split_images(manifest, SplitParams(seed=0, test=0.2, val=0.15, duplicates="keep", leaks="keep",
                                              shortcuts="off"))["split"].to_numpy(dtype=object)
    if "thumbnail" not in manifest:
        with ThreadPool(1) as pool:
            facts = pd.DataFrame(list(pool.imap(lambda image: _facts(folder, image), manifest["image"])))
        attrs, facts["rest"] = manifest.attrs, list(_rests(name, manifest))
        manifest = pd.concat([manifest, facts.set_index(manifest.index)], axis=1)
        manifest.attrs = attrs
    return manifest, part, unit_of(manifest)


def _rests(name: str, manifest: pd.DataFrame) -> Iterator[str]:
    for image in manifest["image"]:
        folder, file = os.path.split(image)
        yield f"{folder}/{file[1:]}" if name == "palm" and "Training" in folder else image


def _facts(folder: Path, image: str) -> dict[str, Any]:
    """What the manifest says of an image, from PIL and by the definitions of its columns."""
    with Image.open(folder / image) as file:
        exif = file.getexif()
        camera = " ".join(str(exif[tag]).strip() for tag in (271, 272) if tag in exif) or None
        tables = repr(sorted((key, list(table)) for key, table in getattr(file, "quantization", {}).items()))
        layers = repr(getattr(file, "layer", ""))
        file.draft("RGB", (512, 512))
        pixels = np.asarray(file.convert("RGB"))
    side = 256 / max(pixels.shape[:2])
    scaled = cv2.resize(pixels, None, fx=side, fy=side, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(scaled, cv2.COLOR_RGB2GRAY)
    lit = grey > 20
    rows, columns = np.nonzero(lit) if lit.any() else (np.zeros(1), np.zeros(1))
    away = np.hypot(rows.mean() - (grey.shape[0] - 1) / 2, columns.mean() - (grey.shape[1] - 1) / 2)
    return {
        "frames": 1, "camera": camera,
        "compression": blake2b((tables + layers).encode(), digest_size=4).hexdigest(),
        "brightness": np.float32(grey[lit].mean() / 255 if lit.any() else 0),
        "sharpness": np.float32(np.log10(max(float(cv2.Laplacian(grey, cv2.CV_64F).var()), 1e-3))),
        "saturated": np.float32((scaled.max(axis=2) >= 254).mean()), "offset": np.float32(away / min(grey.shape)),
        "thumbnail": cv2.resize(pixels, (8, 8), interpolation=cv2.INTER_AREA).tobytes(),
    }  # fmt: skip
