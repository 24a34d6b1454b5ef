"""Random batches of 64 from the cache, beside `numpy.take` from memory, PyTorch's DataLoader, WebDataset and LitData.

    uv run --group benchmarks python -m benchmarks.reading

Each line reads whole epochs: every image once, as uint8 arrays of 64, in an order that is random (WebDataset: its
shards in random order and a buffer of 1,000 images; LitData's loader: its chunks in random order and shuffled within).
All hold raw pixels in files that the page cache holds. Workers live on between epochs, and their start is not timed.
"LitData, any row" reads one batch alone. Printed last:

"""

import io
import os
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import litdata
import numpy as np
import pandas as pd
import torch
import webdataset
from litdata.streaming.cache import Cache as LitDataWriter
from torch.utils.data import DataLoader, Dataset

from fovea.cache.read import Cache

SETS = {64: 8_000, 224: 2_000, 512: 500}  # px: images
BATCH = 64
ROUNDS = 5
SECONDS = 0.5
SHARD_BYTES = 4 * 2**20  # of the cache, the smallest that `augment` writes: the more shards, the harder
OTHER_BYTES = 64 * 2**20  # of a shard of WebDataset and of a chunk of LitData
CORES = os.cpu_count() or 1
Epoch = Callable[[], Iterator[Any]]


def split(pixels: np.ndarray, bytes_each: int) -> list[np.ndarray]:
    return np.array_split(pixels, max(CORES, pixels.nbytes // bytes_each))


def write_cache(folder: Path, pixels: np.ndarray, parts: list[np.ndarray]) -> Cache:
    """The files of `augment` without what reading does not read."""
    folder.mkdir()
    names = [f"{number}.npy" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        np.save(folder / name, part)
    places = [(shard, row) for shard, part in enumerate(parts) for row in range(len(part))]
    index = pd.DataFrame(np.random.default_rng(0).permutation(places), columns=["shard", "row"])
    index.attrs = {"size": pixels.shape[1], "shards": names}
    index.to_parquet(folder / "index.parquet")
    return Cache(folder)


def taken(count: int, size: int, take: Callable[[np.ndarray, np.ndarray], object], most: int | None = None) -> Epoch:
    """`take(rows, out)` into a ring of three batches; `most` rows in an epoch."""
    ring = np.zeros((3, BATCH, size, size, 3), np.uint8)
    draws = np.random.default_rng(1)

    def epoch() -> Iterator[np.ndarray]:
        order = draws.permutation(count)[:most]
        for number, start in enumerate(range(0, len(order), BATCH)):
            rows = order[start : start + BATCH]
            take(rows, ring[number % 3, : len(rows)])
            yield rows

    return epoch


class Shards(Dataset[np.ndarray]):
    """What a user writes for DataLoader: each shard of the cache as a memory map."""

    def __init__(self, folder: Path, cache: Cache) -> None:
        self.shards = [np.load(folder / name, mmap_mode="r") for name in cache.attrs["shards"]]
        self.places = cache.index[["shard", "row"]].to_numpy()

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> np.ndarray:
        shard, row = self.places[number]
        return np.asarray(self.shards[shard][row])


def data_loader(dataset: Any, workers: int, kind: Any = DataLoader, **options: Any) -> Epoch:
    loader = kind(dataset, num_workers=workers, persistent_workers=workers > 0, **options)
    return lambda: iter(loader)


def web_dataset(folder: Path, pixels: np.ndarray, workers: int) -> Epoch:
    """Tar files of raw pixels."""
    folder.mkdir(exist_ok=True)
    size = pixels.shape[1]
    parts = split(pixels, OTHER_BYTES)
    for number, part in enumerate(parts):
        with tarfile.open(folder / f"{number:04}.tar", "w") as tar:
            for row, image in enumerate(part):
                member = tarfile.TarInfo(f"{number:04}-{row:06}.pixels")
                member.size = image.nbytes
                tar.addfile(member, io.BytesIO(image.tobytes()))
    names = [str(path) for path in sorted(folder.iterdir())]

    def unpack(sample: dict[str, bytes]) -> np.ndarray:
        return np.frombuffer(sample["pixels"], np.uint8).reshape(size, size, 3)

    dataset = webdataset.WebDataset(names, shardshuffle=len(names)).shuffle(1000).map(unpack)
    return data_loader(dataset.batched(BATCH, collation_fn=np.stack), workers, webdataset.WebLoader, batch_size=None)


def lit_data(folder: Path, pixels: np.ndarray) -> Path:
    """Chunks of arrays."""
    folder.mkdir()
    writer = LitDataWriter(str(folder), chunk_bytes=OTHER_BYTES)
    for number, image in enumerate(pixels):
        writer[number] = image
    writer.done()
    writer.merge()
    return folder


def lit_random(folder: Path, size: int) -> Epoch:
    dataset = litdata.StreamingDataset(str(folder))
    def take(rows: np.ndarray, out: np.ndarray) -> None:
        np.stack([dataset[row] for row in rows.tolist()], out=out)

    return taken(len(dataset), size, take, BATCH)  # all of them would take minutes


def lit_loader(folder: Path, workers: int) -> Epoch:
    dataset = litdata.StreamingDataset(str(folder), shuffle=True)
    return data_loader(dataset, workers, litdata.StreamingDataLoader, batch_size=BATCH)


def rivals(folder: Path, pixels: np.ndarray) -> dict[str, Epoch]:
    count, size = len(pixels), pixels.shape[1]
    parts = split(pixels, SHARD_BYTES)
    one = write_cache(folder / "one", pixels, [pixels])
    many = write_cache(folder / "many", pixels, parts)
    chunks = lit_data(folder / "litdata", pixels)
    shards = Shards(folder / "many", many)
    shuffled = {"batch_size": BATCH, "shuffle": True}
    return {
        "numpy.take from memory": taken(count, size, lambda rows, out: np.take(pixels, rows, 0, out, "clip")),
        "fovea, 1 shard": taken(count, size, one.take),
        f"fovea, {len(parts)} shards": taken(count, size, many.take),
        "DataLoader, the same shards": data_loader(shards, 0, **shuffled),
        f"DataLoader, {CORES} workers": data_loader(shards, CORES, **shuffled),
        "WebDataset": web_dataset(folder / "tar", pixels, 0),
        f"WebDataset, {CORES} workers": web_dataset(folder / "tar", pixels, CORES),
        "LitData, any row": lit_random(chunks, size),
        "LitData, its loader": lit_loader(chunks, 0),
        f"LitData, {CORES} workers": lit_loader(chunks, CORES),
    }


def images_per_second(epoch: Epoch) -> float:
    """Over whole epochs, for at least `SECONDS`."""
    start, count = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < SECONDS:
        count += sum(map(len, epoch()))
    return count / seconds


def measure(size: int, count: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        contestants = rivals(Path(folder), pixels)
        speeds: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(1 + ROUNDS):  # in the first, pages are mapped and workers start
            for name, epoch in contestants.items():
                speed = images_per_second(epoch)
                if number:
                    speeds[name].append(speed)
    print(f"{size} px, {count} images of {size * size * 3 / 2**10:.0f} KB")
    reference = np.array(speeds["numpy.take from memory"])
    for name, found in speeds.items():
        share = np.array(found) / reference
        print(f"  {name:30}{np.median(found):>9.0f} images/s   {np.median(share):.3f} "
              f"({share.min():.3f} to {share.max():.3f}) of numpy.take", flush=True)  # fmt: skip


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    print(f"{CORES} cores; median of n = {ROUNDS} interleaved epochs (range); batches of {BATCH}")
    for size, count in SETS.items():
        measure(size, count)
