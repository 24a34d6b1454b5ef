"""Random batches of 64 from the cache, beside `numpy.take` from memory, PyTorch's DataLoader, WebDataset and LitData.

    uv run --group benchmarks python -m benchmarks.reading

Each line reads whole epochs: every image once, as uint8 arrays of 64, in an order that is random (WebDataset: its
shards in random order and a buffer of 1,000 images; LitData's loader: its chunks in random order and shuffled within).
All hold raw pixels in files that the page cache holds. Workers live on between epochs, and their start is not timed.
"LitData, any row" reads one batch alone. Printed last
with OMP_NUM_THREADS=1, on a crowded machine (load about 8 on 2 cores, and ended before 512 px):

    2 cores; median of n = 5 interleaved rounds (range); batches of 64
    64 px, 8000 images of 12 KB
      numpy.take from memory           324167 images/s   1.000 (1.000 to 1.000) of numpy.take
      fovea, 1 shard                   294846 images/s   0.910 (0.680 to 0.954) of numpy.take
      fovea, 23 shards                 268040 images/s   0.830 (0.579 to 1.054) of numpy.take
      DataLoader, the same shards       23468 images/s   0.074 (0.056 to 0.087) of numpy.take
      DataLoader, 2 workers             11114 images/s   0.029 (0.028 to 0.041) of numpy.take
      WebDataset                         3520 images/s   0.012 (0.009 to 0.016) of numpy.take
      WebDataset, 2 workers              4285 images/s   0.013 (0.010 to 0.016) of numpy.take
      LitData, any row                     87 images/s   0.000 (0.000 to 0.000) of numpy.take
      LitData, its loader               10472 images/s   0.035 (0.029 to 0.037) of numpy.take
      LitData, 2 workers                  550 images/s   0.001 (0.001 to 0.003) of numpy.take
    224 px, 2000 images of 147 KB
      numpy.take from memory            20160 images/s   1.000 (1.000 to 1.000) of numpy.take
      fovea, 1 shard                    20474 images/s   1.063 (0.892 to 1.107) of numpy.take
      fovea, 71 shards                  18505 images/s   0.979 (0.725 to 0.995) of numpy.take
      DataLoader, the same shards        9228 images/s   0.540 (0.276 to 0.594) of numpy.take
      DataLoader, 2 workers              1731 images/s   0.085 (0.054 to 0.099) of numpy.take
      WebDataset                          832 images/s   0.041 (0.036 to 0.060) of numpy.take
      WebDataset, 2 workers               935 images/s   0.049 (0.030 to 0.063) of numpy.take
      LitData, any row                     89 images/s   0.005 (0.003 to 0.006) of numpy.take
      LitData, its loader                 158 images/s   0.008 (0.006 to 0.011) of numpy.take
      LitData, 2 workers                  154 images/s   0.007 (0.006 to 0.010) of numpy.take
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
SHARD_BYTES = 2**20  # of the cache, the smallest that `augment` writes: the more shards, the harder
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
    print(f"{CORES} cores; median of n = {ROUNDS} interleaved rounds (range); batches of {BATCH}")
    for size, count in SETS.items():
        measure(size, count)
