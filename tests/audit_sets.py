"""Manifests for the tests of the audit: generated ones, and those of the real sets."""

import os
import tempfile
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pandas as pd

from fovea.ingest.manifest import build_manifest
from fovea.params.dataset import DatasetParams
from tests.ingest_sets import SET
from tests.test_ingest_real import SETS

Table = tuple[pd.DataFrame, np.ndarray, np.ndarray]  # manifest, part, units


def generated(images: int, classes: int = 2, groups: int | None = None, seed: int = 0) -> pd.DataFrame:
    """A manifest whose every column is drawn without a look at the label."""
    rng = np.random.default_rng(seed)
    target = np.arange(images) % classes
    names = [f"class {number}" for number in range(classes)]
    folders = rng.choice(["a", "b/c", ""], images)
    cameras = rng.choice(np.array(["Canon CR-2", "Topcon", None], dtype=object), images)
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


def uneven(groups: int, sigma: float, seed: int) -> pd.DataFrame:
    """Patients with lognormal numbers of images, each with one label and, drawn apart from it, one camera."""
    rng = np.random.default_rng(seed)
    sizes = np.maximum(1, rng.lognormal(1, sigma, groups)).astype(int)
    manifest = generated(int(sizes.sum()), seed=seed)
    of_patient = np.repeat(np.arange(groups), sizes)
    target = rng.integers(0, 2, groups)[of_patient]
    manifest["target"], manifest["label"] = target.astype(np.int16), np.array(manifest.attrs["classes"])[target]
    manifest["camera"] = rng.choice(["Canon CR-2", "Topcon"], groups)[of_patient]
    manifest["group"] = [f"patient {number}" for number in of_patient]
    return manifest


def table_of(manifest: pd.DataFrame) -> Table:
    """The given parts, all else in training; a unit is a group, or a file without one."""
    given, group = manifest["given_split"].astype(object), manifest["group"].astype(object)
    units = group.where(group.notna(), manifest["digest"].astype(object))
    part = given.where(given.notna(), "train")
    return manifest, part.to_numpy(dtype=object, copy=True), units.to_numpy(dtype=object, copy=True)


@lru_cache
def real_table(name: str) -> Table:
    """A real set below FOVEA_REAL_DATA."""
    dataset = DatasetParams.model_validate({**SET, "name": name, **SETS[name]})
    with tempfile.TemporaryDirectory() as store:
        folder = Path(os.environ["FOVEA_REAL_DATA"]) / name
        manifest, _ = build_manifest(folder, dataset, 10**8, 1, Path(store))
    return table_of(manifest)
