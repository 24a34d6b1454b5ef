"""`machine.engine: ray` beside threads, on one machine: what Ray costs where there is nothing to gain.

    python -m benchmarks.engines
    FOVEA_REAL_DATA=... python -m benchmarks.engines     photographs of aptos2019 instead of drawn ones

Both engines take turns in each round, each with as many cores, from nothing: a new store. "start of Ray" is the time
until it has begun and answered once, which is part of each of its times. Printed last, while other programs took most
of the machine, so that the seconds say little and the ratios are rough:

    200 drawn photographs of 3000 x 2000 px, 0.52 MB each; 2 cores, load 8; median of n = 3 rounds in
    turns (range)
      ingest, local     5.90 s (1.29 to 6.04), 1.00 (1.00 to 1.00) of threads
      ingest, ray      19.20 s (11.61 to 32.90), 5.44 (3.26 to 9.03) of threads
      augment, local    7.39 s (1.54 to 12.51), 1.00 (1.00 to 1.00) of threads
      augment, ray     19.76 s (13.85 to 50.09), 4.00 (1.87 to 12.81) of threads
      start of Ray     17.30 s (7.50 to 18.64)

Ray has no gain on one machine: threads use the same cores, and do not wait for its start, nor for torch to be imported
by each worker. What several machines gain was not measured.
"""

import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import cv2
import pandas as pd

from benchmarks.ingest import DATASET
from fovea.cache.build import build_cache
from fovea.demo.photograph import draw_photograph, encode_jpeg
from fovea.engine import cluster
from fovea.ingest.manifest import build_manifest
from fovea.params.augment import AugmentParams
from fovea.params.dataset import DatasetParams
from fovea.params.section import read_sections

IMAGES, DRAWN, PIXELS, ROUNDS = 200, 20, (2000, 3000), 3
REAL = "aptos2019"


def write_set(folder: Path) -> str:
    """`IMAGES` photographs below `folder`, in two classes; returns what they are."""
    if real := os.environ.get("FOVEA_REAL_DATA"):
        paths = sorted((Path(real) / REAL).rglob("*.png")) + sorted((Path(real) / REAL).rglob("*.jp*g"))
        photographs = [(path.suffix, path.read_bytes()) for path in paths[:IMAGES]]
        said = f"{len(photographs)} photographs of {REAL}"
    else:
        drawn = [draw_photograph(f"{number}_left", number % 5, PIXELS[1], 0)[0] for number in range(DRAWN)]
        jpegs = [encode_jpeg(cv2.resize(one, PIXELS[::-1]), 90) for one in drawn]
        photographs = [(".jpg", jpegs[number % DRAWN] + number.to_bytes(4)) for number in range(IMAGES)]
        said = f"{IMAGES} drawn photographs of {PIXELS[1]} x {PIXELS[0]} px"
    for number, (suffix, data) in enumerate(photographs):
        path = folder / str(number % 2) / f"{number:05}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    size = sum(len(data) for _, data in photographs) / len(photographs)
    return f"{said}, {size / 1e6:.2f} MB each"


def ingest(raw: Path, folder: Path, engine: str) -> pd.DataFrame:
    store = folder / f"ingest-{engine}"
    shutil.rmtree(store, ignore_errors=True)
    return build_manifest(raw, DatasetParams.model_validate(DATASET), 10**8, 0, store, engine)[0]


def augment(raw: Path, folder: Path, engine: str, manifest: pd.DataFrame, params: AugmentParams) -> int:
    for name in ("rows", "cache"):
        shutil.rmtree(folder / f"{name}-{engine}", ignore_errors=True)
    split = pd.DataFrame({"image": manifest["image"], "split": "train"})
    return build_cache(folder / f"cache-{engine}", raw, manifest, split, params, 0, folder / f"rows-{engine}",
                       engine).rendered


def start() -> None:
    with cluster(0) as ray:
        list(ray.map(lambda setting, batch: batch, None, [(0, 0)], threading.Event()))


def seconds(work: object, *arguments: object) -> float:
    begin = time.perf_counter()
    work(*arguments)  # type: ignore[operator]
    return time.perf_counter() - begin


def line(name: str, times: list[float], local: list[float]) -> None:
    ratios = [mine / theirs for mine, theirs in zip(times, local, strict=True)]
    print(f"  {name:<15}{statistics.median(times):7.2f} s ({min(times):.2f} to {max(times):.2f}), "
          f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of threads", flush=True)


def main() -> None:
    params = AugmentParams.model_validate(read_sections()["augment"])
    with tempfile.TemporaryDirectory() as name:
        folder, raw = Path(name), Path(name) / "raw"
        said = write_set(raw)
        print(f"{said}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}; median of n = {ROUNDS} rounds in turns "
              "(range)", flush=True)
        manifest = ingest(raw, folder, "local")
        assert manifest.equals(ingest(raw, folder, "ray"))
        times: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            times.setdefault("start", []).append(seconds(start))
            for engine in ("local", "ray"):
                times.setdefault(f"ingest {engine}", []).append(seconds(ingest, raw, folder, engine))
                times.setdefault(f"augment {engine}", []).append(
                    seconds(augment, raw, folder, engine, manifest, params))
        for stage in ("ingest", "augment"):
            for engine in ("local", "ray"):
                line(f"{stage}, {engine}", times[f"{stage} {engine}"], times[f"{stage} local"])
        print(f"  start of Ray   {statistics.median(times['start']):7.2f} s "
              f"({min(times['start']):.2f} to {max(times['start']):.2f})")


if __name__ == "__main__":
    main()
