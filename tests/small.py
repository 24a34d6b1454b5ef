"""Small inputs that the tests share."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fovea.cache.read import Cache
from fovea.params.section import load
from fovea.params.train import TrainParams
from tests.import_closure import ROOT


def write_cache(folder: Path, images: int = 48, size: int = 32, classes: tuple[str, ...] = ("a", "b", "c")) -> Cache:
    """A cache of noise whose colour goes with the class: a quarter is validation, a quarter test."""
    rng = np.random.default_rng(0)
    target = np.arange(images) % len(classes)
    pixels = rng.integers(0, 150, (images, size, size, 3), dtype=np.uint8)
    pixels[np.arange(images), :, :, target % 3] += 40
    names = [f"image-{i:03d}.png" for i in range(images)]
    index = pd.DataFrame(
        {
            "image": names,
            "digest": [f"{i:040x}" for i in range(images)],
            "label": np.array(classes)[target],
            "target": target.astype(np.int16),
            "split": [("train", "train", "val", "test")[i // len(classes) % 4] for i in range(images)],
            "group": None,
            "variant": 0,
            "shard": 0,
            "row": np.arange(images),
        }
    )
    index.attrs = {
        "name": "small", "classes": list(classes), "positive": None, "digest": "0" * 40, "size": size,
        "square": {"image_size": size, "crop": "none", "fit": "pad", "interpolation": "bicubic", "exact": False,
                   "normalise": "none"},
        "shards": ["0.npy"],
    }
    folder.mkdir(parents=True)
    np.save(folder / "0.npy", pixels)
    index.to_parquet(folder / "index.parquet", index=False)
    return Cache(folder)


def train_params(**changes: Any) -> TrainParams:
    """The shipped section `train` with changes by dotted key, a dot written as two underscores: `full__epochs=2`."""
    values = load("train", TrainParams, ROOT / "params.yaml").model_dump()
    for key, value in {"recipe": None, "full__epochs": 1, "batch_size": 8, **changes}.items():
        *parents, last = key.split("__")
        section = values
        for name in parents:
            section = section[name]
        section[last] = value
    return TrainParams.model_validate(values)
