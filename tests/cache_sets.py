"""Small image sets drawn for the tests of the cache: raw files with their manifest and split."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from fovea.cache.build import Built, build_cache
from fovea.cache.keys import square_settings
from fovea.cache.shards import RECORD
from fovea.params.augment import AugmentParams
from fovea.raw import digest

ROW = 16 * 16 * 3
RENDER = {
    "hflip": 0.5, "vflip": 0.5, "rotation": 15.0, "scale": (0.9, 1.1),
    "brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "blur": 0.5,
}


def augment_params(**changes: Any) -> AugmentParams:
    """Parameters of the section `augment` with changes; those of `render` may be given as render={...}."""
    render = {**RENDER, **changes.pop("render", {})}
    values = {
        "image_size": 16, "crop": "fundus", "fit": "pad", "interpolation": "bicubic", "exact": False,
        "normalise": "none", "seed": 0, "variants": 2, "balance": False, "render": render,
    }
    return AugmentParams.model_validate({**values, **changes})


def draw_eye(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    """A disc on black with coarse random colours."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(60, 255, (4, 4, 3)).astype(np.uint8)
    image = cv2.resize(colours, (width, height), interpolation=cv2.INTER_LINEAR)
    mask = np.zeros((height, width, 1), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), int(0.45 * height), 1, -1)
    return image * mask


def encode_png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(image))


def tables(
    images: list[str], digests: list[str], targets: list[int], parts: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Manifest and split with the columns that `augment` reads."""
    manifest = pd.DataFrame({
        "image": images, "digest": digests, "label": [f"class {target}" for target in targets],
        "target": np.array(targets, np.int16), "group": None,
    })
    manifest.attrs = {"name": "drawn", "classes": ["class 0", "class 1"], "positive": None, "digest": "00"}
    return manifest, pd.DataFrame({"image": images, "split": parts})


def write_set(raw: Path, count: int = 9) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`count` PNG files; every fourth is of class 1, the last three are val, test and train."""
    images = [f"images/{number}.png" for number in range(count)]
    for number, image in enumerate(images):
        write_png(raw / image, draw_eye(number))
    digests = [digest((raw / image).read_bytes()) for image in images]
    parts = ["train"] * (count - 3) + ["val", "test", "train"]
    return tables(images, digests, [int(number % 4 == 0) for number in range(count)], parts)


class Place:
    """A folder with a store, and a cache that is built anew each time, as DVC does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raw, self.cache, self.store = folder / "raw", folder / "cache", folder / "store"

    def build(self, manifest: pd.DataFrame, split: pd.DataFrame, workers: int = 2, engine: str = "local",
              shards: str | None = None, **changes: Any) -> Built:  # fmt: skip
        shutil.rmtree(self.cache, ignore_errors=True)
        params = augment_params(**changes)
        return build_cache(self.cache, self.raw, manifest, split, params, workers, self.store, engine, shards)

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.cache.iterdir())}

    def settings_folder(self) -> Path:
        return self.store / square_settings(augment_params())

    def recorded(self) -> int:
        """Rows of which the store holds a record."""
        return sum(path.stat().st_size // RECORD.itemsize for path in self.settings_folder().glob("*.rows"))


def places(folder: Path) -> tuple[Place, Place]:
    """Two of the same raw images, each with a store of its own."""
    here, there = Place(folder / "here"), Place(folder / "there")
    here.raw = there.raw = folder / "raw"
    return here, there
