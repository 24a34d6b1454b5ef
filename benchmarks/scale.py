"""What 1, 10 and 100 million images need of each stage: measured costs of an image and of a row, multiplied.

    python -m benchmarks.scale > measured.md

It prints the tables of docs/scale.md, which holds what it printed last. What is measured, on this machine: seconds of a
core for an image of 6 megapixels, and seconds of a core and bytes of memory for a row of each table, as the slope
between two `SIZES`, each in a process of its own (n = 1). Everything else is a named assumption
below. The search for copies gets the exponent that it has between the two sizes.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import torch
import torchvision

from benchmarks.ingest import DATASET, peak
from fovea.audit.candidates import propose
from fovea.cache.build import plan_shards
from fovea.cache.picture import make_square
from fovea.cache.plan import plan_rows, rows_per_shard
from fovea.cache.render import render
from fovea.cache.threads import one_thread_each
from fovea.demo.photograph import draw_photograph, encode_jpeg
from fovea.evaluation.bootstrap import intervals
from fovea.evaluation.table import write_predictions
from fovea.ingest.check import check_bytes
from fovea.ingest.manifest import build_manifest
from fovea.ingest.records import MOST_BYTES
from fovea.params.augment import AugmentParams
from fovea.params.dataset import DatasetParams
from fovea.params.section import read_sections

# Assumed, not measured
SETS = (1_000_000, 10_000_000, 100_000_000)  # images
SIDE, VARIANTS, EPOCHS, CLASSES = 224, 1, 30, 5
TRAIN, HELD_OUT = 0.7, 0.3  # shares of the images
CORES = 256                 # of the Ray cluster
DRIVER_CORES, DRIVER_GIB = 32, 256  # of the machine that runs `dvc repro`
GPUS, GPU_IMAGES = 8, 2500  # images a second that one GPU trains ResNet-50 on, 224 px, bfloat16
FORWARD = 3                 # times that, without the backward pass
READ = 1e9                  # bytes a second that the driver's disk reads
CORE_HOUR, GPU_HOUR, GB_MONTH = 0.04, 3.0, 0.023  # USD
MAPS = 65_530               # pieces of files that a Linux process may map, vm.max_map_count as it ships
LABEL_ROW = 40              # bytes of a label table
LONGEST = 7 * 24            # hours that a stage may take before we call it broken

SIZES = {"dvc": (1_000, 4_000), "ingest": (5_000, 20_000), "split": (20_000, 80_000), "augment": (20_000, 80_000),
         "evaluate": (5_000, 20_000)}  # rows
DRAWN, ROUNDS, PIXELS = 8, 3, (2000, 3000)
GIB, TB = 2**30, 1e12


class Slope(NamedTuple):
    """Of one more row: core seconds, bytes of memory; and the exponent of the time between the two sizes."""

    seconds: float
    memory: float
    exponent: float
    more: dict[str, float]  # what else the larger size printed


class Need(NamedTuple):
    """Of a stage at one number of images."""

    spread: float   # core hours that Ray or threads spread
    alone: float    # hours of one core
    hours: float    # until it is done
    memory: float   # bytes on the driver, or in each training process
    storage: float  # bytes that it leaves
    gpu: float      # GPU hours


def ingest_rows(count: int, folder: Path) -> dict[str, float]:
    """Links to fifty small images: all that ingest does for a row but decoding."""
    paths = []
    for number in range(50):
        paths.append(folder / f"{number}.jpg")
        paths[-1].write_bytes(encode_jpeg(np.full((32, 32, 3), 5 * number, np.uint8), 90))
    for number in range(count):
        path = folder / "set" / str(number % CLASSES) / f"patient_{number:09}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(paths[number % 50], path)
    begin = time.process_time()
    dataset = DatasetParams.model_validate(DATASET)
    manifest = build_manifest(folder / "set", dataset, 10**8, 0, folder / "store")[0]
    seconds = time.process_time() - begin
    manifest.to_parquet(folder / "manifest.parquet")
    held, table = peak() * 2**20, float(manifest.memory_usage(deep=True).sum())
    draws = np.random.default_rng(0)  # the links are fifty contents, which a file keeps once; photographs differ
    for column, length in (("digest", 20), ("thumbnail", 192), ("fingerprint", 1024)):
        manifest[column] = [draws.bytes(length) for _ in range(count)]
    manifest.to_parquet(folder / "manifest.parquet")
    size = (folder / "manifest.parquet").stat().st_size
    return {"seconds": seconds, "peak": held, "file": size / count, "table": table / count}


def search_copies(count: int, folder: Path) -> dict[str, float]:
    """Smooth random fingerprints without copies: what the search proposes then has to be compared."""
    draws = np.random.default_rng(0)
    prints = np.empty((count, 32, 32), np.uint8)
    for number in range(count):
        noise = draws.normal(128, 300, (32, 32)).astype(np.float32)
        prints[number] = np.clip(cv2.GaussianBlur(noise, (0, 0), 5), 0, 255)
    begin = time.process_time()
    pairs = propose(prints)
    return {"seconds": time.process_time() - begin, "pairs": len(pairs) / count}


def plan_cache(count: int, folder: Path) -> dict[str, float]:
    images = [f"images/{number % CLASSES}/patient_{number:09}.jpg" for number in range(count)]
    digests = [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}".ljust(40, "0") for number in range(count)]
    manifest = pd.DataFrame({
        "image": images, "digest": digests,
        "label": [str(number % CLASSES) for number in range(count)],
        "target": np.arange(count, dtype=np.int16) % CLASSES, "group": None,
    })
    split = pd.DataFrame({"image": images, "split": np.where(np.arange(count) % 10 < 10 * TRAIN, "train", "test")})
    begin = time.process_time()
    index = plan_rows(manifest, split, VARIANTS, False, SIDE)
    plan_shards(index, "")
    seconds = time.process_time() - begin
    return {"seconds": seconds, "table": float(index.memory_usage(deep=True).sum()) / count}


def bootstrap(count: int, folder: Path) -> dict[str, float]:
    """The intervals of that many predictions, the dearest of what follows the forward pass."""
    draws = np.random.default_rng(0)
    labels = draws.integers(0, CLASSES, count)
    chances = draws.dirichlet(np.ones(CLASSES), count)
    names = [str(number) for number in range(CLASSES)]
    table = pd.DataFrame({"image": [f"patient_{number:09}.jpg" for number in range(count)], "split": "test",
                          "label": labels.astype(str), "prediction": chances.argmax(1).astype(str)})
    table = table.join(pd.DataFrame(chances, columns=[f"p_{name}" for name in names]))
    write_predictions(folder / "predictions.csv", table)
    groups = pd.Series(None, index=table["image"], dtype=object)
    begin = time.process_time()
    intervals(table, names, None, groups)
    return {"seconds": time.process_time() - begin, "file": (folder / "predictions.csv").stat().st_size / count}


def dvc_folder(count: int, folder: Path) -> dict[str, float]:
    """`dvc add` of small files, which hashes them and writes their list; reading large ones is added as READ."""
    for number in range(count):
        path = folder / "set" / str(number % 100) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(number.to_bytes(8))
    run = ["dvc", "-q"]
    subprocess.run([*run, "init", "--no-scm"], cwd=folder, check=True)
    most, before = 0.0, os.times()
    with subprocess.Popen([*run, "add", "set"], cwd=folder) as process:
        while process.poll() is None:
            most = max(most, peak(process.pid))  # `getrusage` would count what this process held
            time.sleep(0.02)
    assert process.returncode == 0
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": seconds, "peak": most * 2**20}


MEASURED: dict[str, Callable[[int, Path], dict[str, float]]] = {
    "dvc": dvc_folder, "ingest": ingest_rows, "split": search_copies, "augment": plan_cache, "evaluate": bootstrap,
}


def child(name: str, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        said = MEASURED[name](count, Path(folder))
    print(json.dumps({"peak": peak() * 2**20, **said}))


def slope(name: str) -> Slope:
    fewer, more = SIZES[name]
    few, many = (json.loads(subprocess.run([sys.executable, "-m", "benchmarks.scale", name, str(count)], check=True,
                                           capture_output=True, text=True).stdout.splitlines()[-1])
                 for count in (fewer, more))
    print(f"{name}: {few} {many}", file=sys.stderr, flush=True)
    seconds, memory = ((many[key] - few[key]) / (more - fewer) for key in ("seconds", "peak"))
    exponent = math.log(many["seconds"] / few["seconds"]) / math.log(more / fewer)
    return Slope(seconds, max(memory, 0.0), exponent, many)


def per_image() -> dict[str, float]:
    """Seconds of a core for an image of 6 megapixels, the median of `ROUNDS`; bytes of its JPEG."""
    params = AugmentParams.model_validate(read_sections()["augment"] | {"image_size": SIDE})
    photographs = [draw_photograph(f"{number}_left", number % 5, PIXELS[1], 0)[0] for number in range(DRAWN)]
    jpegs = [encode_jpeg(cv2.resize(one, PIXELS[::-1]), 90) for one in photographs]
    squares = [make_square(data, params)[0] for data in jpegs]
    network = torchvision.models.resnet50(num_classes=CLASSES)
    batch = torch.rand(8, 3, SIDE, SIDE)

    def train(_: object) -> None:
        network(batch).sum().backward()

    with one_thread_each():
        return {
            "check": core_seconds(lambda data: check_bytes(data, 10**8), jpegs),
            "square": core_seconds(lambda data: make_square(data, params), jpegs),
            "variant": core_seconds(lambda one: render(one, 0, "ab", 1, params.render), squares),
            "train": core_seconds(train, [None]) / len(batch),
            "bytes": sum(map(len, jpegs)) / DRAWN,
        }


def core_seconds(work: Callable[[Any], object], items: Sequence[object]) -> float:
    work(items[0])
    found = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for item in items:
            work(item)
        found.append((time.process_time() - begin) / len(items))
    return float(np.median(found))


def needs(images: int, one: dict[str, float], row: dict[str, Slope]) -> dict[str, Need]:
    """What each stage needs for so many images."""
    hour, held = 3600.0, images * HELD_OUT
    rows = images * (1 + VARIANTS * TRAIN)
    search = row["split"].more["seconds"] * (images / SIZES["split"][1]) ** row["split"].exponent / hour
    compared = row["split"].more["pairs"] * images * 2 * one["check"] / hour  # both images of a pair are decoded
    hashed = images * row["dvc"].seconds / hour + images * one["bytes"] / READ / hour
    looked = images * one["check"] / hour
    rendered = (images * one["square"] + (rows - images) * one["variant"]) / hour
    planned = images * (row["augment"].seconds + row["ingest"].seconds) / hour
    trained = EPOCHS * images * TRAIN / GPU_IMAGES / hour
    told = held / (FORWARD * GPU_IMAGES) / hour
    drawn = held * row["evaluate"].seconds / hour
    listed = images * row["ingest"].seconds / hour
    manifest = row["ingest"].more["table"] * images
    index = row["augment"].more["table"] * images
    csv = held * row["evaluate"].more["file"]
    return {
        "dvc, raw images": Need(0, hashed, hashed, images * row["dvc"].memory, images * one["bytes"], 0),
        "ingest": Need(looked, listed, looked / CORES + listed, images * row["ingest"].memory,
                       images * row["ingest"].more["file"], 0),
        "split": Need(search + compared, 0, (search + compared) / DRIVER_CORES,
                      images * row["split"].memory + manifest, 0, 0),
        "augment": Need(rendered, planned, rendered / CORES + planned, images * row["augment"].memory,
                        rows * SIDE**2 * 3, 0),
        "train": Need(0, 0, trained / GPUS, index, 0, trained),
        "evaluate": Need(0, drawn, told + drawn, held * row["evaluate"].memory + index, csv, told),
        "report": Need(0, 0, 0, manifest + 3 * csv, 0, 0),  # a table of text in memory is about three times its file
    }  # fmt: skip


def money(need: Need) -> float:
    """USD: the cluster and the driver for as long as the stage runs, GPUs, and a month of what it leaves."""
    machines = (need.spread + need.hours * DRIVER_CORES) * CORE_HOUR
    return machines + need.gpu * GPU_HOUR + need.storage / 1e9 * GB_MONTH


def shards(images: float) -> float:
    """How many files `data/cache` has; they are half full on average."""
    rows = int(images * (1 + VARIANTS * TRAIN))
    return rows / (rows_per_shard(rows, SIDE) / 2)


def largest(fits: Callable[[int], bool]) -> float:
    """The most images for which `fits`, to two digits; infinity from 10^12 on."""
    found = 0
    for size in (digits * 10**power for power in range(3, 12) for digits in range(10, 100)):
        if not fits(size):
            return found
        found = size
    return math.inf


def limits(one: dict[str, float], row: dict[str, Slope]) -> list[tuple[float, str]]:
    """The most images of each stage before something gives way, the first to break first."""
    found = [(largest(lambda size: shards(size) <= MAPS), f"train: more files than the {MAPS} maps of a process"),
             (largest(lambda size: size * LABEL_ROW <= MOST_BYTES), f"ingest: a label table of {MOST_BYTES >> 30} GiB")]
    for stage in needs(SETS[0], one, row):
        found.append((largest(lambda size, stage=stage: needs(size, one, row)[stage].memory <= DRIVER_GIB * GIB),  # type: ignore[misc]
                      f"{stage}: {DRIVER_GIB} GiB of memory"))
        found.append((largest(lambda size, stage=stage: needs(size, one, row)[stage].hours <= LONGEST),  # type: ignore[misc]
                      f"{stage}: {LONGEST} hours"))
    return sorted((size, what) for size, what in found if math.isfinite(size))


def main() -> None:
    row = {name: slope(name) for name in MEASURED}
    one = per_image()
    print(f"Measured with {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, n = 1; {PIXELS[1]} x {PIXELS[0]} px, "
          f"{one['bytes'] / 1e6:.2f} MB each, to {SIDE} px.\n")
    print("| one image | core seconds |\n|---|---|")
    said = {"check": "ingest: read and decode", "square": "augment: decode, crop, resize",
            "variant": "augment: a variant", "train": "train: ResNet-50 forward and backward, on a CPU"}
    for name, what in said.items():
        print(f"| {what} | {one[name]:.4f} |")
    print("\n| one more row of | from and to | core seconds | bytes of memory | exponent of the time |")
    print("|---|---|---|---|---|")
    for name, found in row.items():
        fewer, more = SIZES[name]
        print(f"| {name} | {fewer:,} to {more:,} | {found.seconds:.6f} | {found.memory:.0f} | {found.exponent:.2f} |")
    print(f"\nThe manifest has {row['ingest'].more['file']:.0f} bytes a row, predictions.csv "
          f"{row['evaluate'].more['file']:.0f}; the search proposes {row['split'].more['pairs']:.2f} pairs an image.\n")
    print("| images | stage | core hours | hours on one core | hours | GPU hours | memory, GiB | leaves, TB | USD |")
    print("|---|---|---|---|---|---|---|---|---|")
    for images in SETS:
        stages, begin = needs(images, one, row), f"| {images / 1e6:.0f} million |"
        for stage, need in stages.items():
            print(f"{begin} {stage} | {need.spread:,.0f} | {need.alone:,.1f} | {need.hours:,.1f} | {need.gpu:,.0f} | "
                  f"{need.memory / GIB:,.1f} | {need.storage / TB:,.2f} | {money(need):,.0f} |")
        print(f"{begin} all | | | {sum(need.hours for need in stages.values()):,.1f} | | | "
              f"{sum(need.storage for need in stages.values()) / TB:,.1f} | {sum(map(money, stages.values())):,.0f} |")
    print("\n| the most images | then breaks |\n|---|---|")
    for size, what in limits(one, row):
        print(f"| {size / 1e6:,.1f} million | {what} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1], int(sys.argv[2]))
    else:
        main()
