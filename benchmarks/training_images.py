"""The images of benchmarks/training.py: JPEGs as a camera writes them, the same ones resized, and a cache of them."""

import io
import os
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = 5
DRAWN = 16         # different photographs; more files are links to them
LONGER_SIDE = 1500  # px of a drawn one


class Columns(dict[str, np.ndarray]):
    """An index without pandas: a column by its name, or some rows by a mask."""

    def __getitem__(self, which: Any) -> Any:
        return dict.__getitem__(self, which) if isinstance(which, str) else Columns(
            {name: column[which] for name, column in self.items()})  # fmt: skip


class InMemory:
    """What training reads of a `Cache`, where neither pandas nor pyarrow is installed."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.index = pixels, Columns(columns(len(pixels)))
        self.attrs = {"size": pixels.shape[1], "classes": list("abcde")}

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return np.take(self.pixels, rows, axis=0, out=out, mode="clip")


def columns(count: int) -> dict[str, np.ndarray]:
    rows = np.arange(count)
    digests = np.array([f"{row:040x}" for row in rows])
    return {"digest": digests, "variant": 0 * rows, "target": rows % CLASSES, "shard": 0 * rows, "row": rows}


@cache
def photographs() -> list[bytes]:
    """JPEGs of FOVEA_REAL_DATA, of the demo's generator, or of smooth noise where OpenCV is missing."""
    if real := os.environ.get("FOVEA_REAL_DATA"):
        return [path.read_bytes() for path in islice(sorted(Path(real).rglob("*.jp*g")), DRAWN)]
    try:
        from fovea.demo.photograph import draw_photograph, encode_jpeg

        return [encode_jpeg(draw_photograph(f"{n}_left", n % 5, LONGER_SIDE, 0)[0], 90) for n in range(DRAWN)]
    except ModuleNotFoundError:
        return [encode(Image.fromarray(grain).resize((LONGER_SIDE, LONGER_SIDE * 2 // 3)))
                for grain in np.random.default_rng(0).integers(0, 256, (DRAWN, 60, 90, 3), np.uint8)]  # fmt: skip


def encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def resized(jpeg: bytes, side: int) -> Image.Image:
    """With a shorter side of `side` px."""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    scale = side / min(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def write_folders(folder: Path, jpegs: list[bytes], count: int) -> None:
    """`count` files in a folder for each class: what torchvision calls an ImageFolder."""
    for number in range(count):
        path = folder / str(number % CLASSES) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < len(jpegs):
            path.write_bytes(jpegs[number])
        else:
            first = number % len(jpegs)
            os.link(folder / str(first % CLASSES) / f"{first}.jpg", path)


def cache_of(folder: Path, jpegs: list[bytes], count: int, size: int) -> Any:
    """The centre squares in a cache of `count` rows on disk, or in memory where pandas is missing."""
    squares = np.stack([np.asarray(resized(jpeg, size))[:size, :size] for jpeg in jpegs])
    pixels = squares[np.arange(count) % len(squares)]
    try:
        import pandas as pd

        from fovea.cache.read import Cache
    except ModuleNotFoundError:
        return InMemory(pixels)
    folder.mkdir()
    np.save(folder / "0.npy", pixels)
    index = pd.DataFrame(columns(count))
    index.attrs = {"size": size, "shards": ["0.npy"], "classes": list("abcde")}
    index.to_parquet(folder / "index.parquet")
    return Cache(folder)
