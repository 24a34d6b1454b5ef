"""What another version of an image set costs: every stage before training, under DVC, from cold to nothing changed.

    python -m benchmarks.versions

"augment" is the stage alone, as far as its last line; the rest is ingest, split and what DVC does for all three: a swap
back runs no stage. Its copies are why the first table is dearer. In the second one the rows behind "swapped back" were
not waited for. Printed last, on an otherwise idle virtual machine whose disk writes about 210 MB a second (copy with
sync, first table); the images were those of an earlier run, the 350 drawn again:

    35000 JPEGs of 512 px to 128 px, 1 variant, ingest to augment, 2 cores, n = 1
    DVC's cache.type copy, its default without reflinks
    cache of 2.9 GB in 1434 files
                              dvc repro     of cold     augment     of cold    rendered      disk
    cold                        244.79 s    100.0%    130.48 s    100.0%       58800   8.84 GB
    nothing changed               3.83 s      1.6%      0.00 s      0.0%           0   0.00 GB
    350 images changed           83.85 s     34.3%     10.70 s      8.2%         596   1.18 GB
    (one copy of the cache)      13.79 s      5.6%     13.79 s     10.6%           0   2.89 GB
    swapped back                 28.19 s     11.5%      0.00 s      0.0%           0   0.00 GB
    350 images added             72.81 s     29.7%      7.87 s      6.0%         600   0.28 GB
    rotation changed             91.17 s     37.2%     38.01 s     29.1%       23800   5.77 GB
    interpolation changed       188.82 s     77.1%    151.73 s    116.3%       58800   5.80 GB
    DVC's cache.type hardlink
    cache of 2.9 GB in 1434 files
                              dvc repro     of cold     augment     of cold    rendered      disk
    cold                        250.77 s    100.0%    147.58 s    100.0%       58800   3.00 GB
    nothing changed               3.71 s      1.5%      0.00 s      0.0%           0   0.00 GB
    350 images changed           53.86 s     21.5%      9.72 s      6.6%         596   0.61 GB
    (one copy of the cache)       4.44 s      1.8%      4.44 s      3.0%           0   2.89 GB
    swapped back                 17.69 s      7.1%      0.00 s      0.0%           0   0.00 GB
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.ingest import photographs
from fovea.demo.photograph import encode_jpeg
from tests.project import SMALL, Project

IMAGES, SIDE, DRAWN, CHANGED = 35_000, 512, 200, 0.01
SIZE, VARIANTS = 128, 1


class Cost(NamedTuple):
    total: float     # s of `dvc repro`
    augment: float   # s of the stage itself, as far as its last line; 0 if it did not run
    rendered: int    # rows
    disk: float      # GB that the run took beside the raw images


def write_images(raw: Path, drawn: list[np.ndarray], numbers: Iterable[int], side: int, seed: int = 0) -> None:
    """JPEGs, each a drawn photograph turned and lit in its own way: unlike enough that none is a copy of another."""
    with ProcessPoolExecutor() as pool:
        images = pool.map(partial(encode, drawn, side, seed), numbers, chunksize=100)
        for number, data in zip(numbers, images, strict=True):
            path = raw / name(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def name(number: int) -> str:
    """File of an image below the folder of its class."""
    return f"{number % 5}/{number:06}.jpg"


def encode(drawn: list[np.ndarray], side: int, seed: int, number: int) -> bytes:
    draws = np.random.default_rng([seed, number])
    photograph = drawn[number % len(drawn)]
    turn = cv2.getRotationMatrix2D((photograph.shape[1] / 2, photograph.shape[0] / 2), draws.uniform(0, 360), 1)
    turn[:, 2] += draws.uniform(-0.04, 0.04, 2) * side - (photograph.shape[1] - side) / 2
    coarse = draws.uniform(0.4, 1.6, (9, 9)).astype(np.float32)
    light = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    turned = cv2.warpAffine(photograph, turn, (side, side))
    return encode_jpeg(cv2.multiply(turned, cv2.merge([light] * 3), dtype=cv2.CV_8U), 90)


def repro(project: Project) -> Cost:
    """`dvc repro` up to `augment`, by the clock."""
    before = used(project.folder)
    start = began = time.monotonic()
    augment, rendered = 0.0, 0
    command = ["dvc", "repro", "augment"]
    with subprocess.Popen(command, cwd=project.folder, env=project.environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:  # fmt: skip
        assert process.stdout
        for line in process.stdout:
            if line.startswith("Running stage"):
                began = time.monotonic()
            if found := re.match(r"augment: .*, (\d+) rendered", line):
                augment, rendered = time.monotonic() - began, int(found[1])
    assert process.returncode == 0
    return Cost(time.monotonic() - start, augment, rendered, (used(project.folder) - before) / 1e9)


def used(folder: Path) -> int:
    """Bytes on the disk below `folder` without the raw images; a file with several names counts once."""
    found = {}
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(path, name) != folder / "data/raw"]
        for name in names:
            status = os.lstat(Path(path, name))
            found[status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def copy_seconds(folder: Path, to: Path) -> float:
    """One sequential copy of a folder, with what it needs to be on the disk."""
    start = time.monotonic()
    shutil.copytree(folder, to)
    subprocess.run(["sync", "-f", to], check=True)
    seconds = time.monotonic() - start
    shutil.rmtree(to)
    return seconds


def measure(project: Project, drawn: list[np.ndarray]) -> None:
    """The images are there; they are as before at the end."""
    raw, cache = project.folder / "data/raw/small", project.folder / "data/cache"
    some = range(0, IMAGES, int(1 / CHANGED))
    added = range(IMAGES, IMAGES + len(some))
    cold = repro(project)
    size, files = sum(path.stat().st_size for path in cache.iterdir()), len(list(cache.iterdir()))
    print(f"cache of {size / 1e9:.1f} GB in {files} files")
    print(f"{'':<24}  dvc repro     of cold     augment     of cold    rendered      disk")
    show("cold", cold, cold)
    show("nothing changed", repro(project), cold)
    saved = {path: path.read_bytes() for path in (raw / name(number) for number in some)}
    write_images(raw, drawn, some, SIDE, seed=1)
    show(f"{len(some)} images changed", repro(project), cold)
    copied = copy_seconds(cache, project.folder / "copy")
    show("(one copy of the cache)", Cost(copied, copied, 0, size / 1e9), cold)
    for path, data in saved.items():
        path.write_bytes(data)
    show("swapped back", repro(project), cold)
    write_images(raw, drawn, added, SIDE)
    show(f"{len(added)} images added", repro(project), cold)
    for number in added:
        (raw / name(number)).unlink()
    project.set_params({"augment.render.rotation": 20})
    show("rotation changed", repro(project), cold)
    project.set_params({"augment.interpolation": "bilinear"})
    show("interpolation changed", repro(project), cold)


def show(change: str, cost: Cost, cold: Cost) -> None:
    print(f"{change:<24} {cost.total:9.2f} s {cost.total / cold.total:9.1%} {cost.augment:9.2f} s "
          f"{cost.augment / cold.augment:9.1%} {cost.rendered:11} {cost.disk:6.2f} GB", flush=True)


def main() -> None:
    drawn = photographs(SIDE + 80, DRAWN)
    print(f"{IMAGES} JPEGs of {SIDE} px to {SIZE} px, {VARIANTS} variant, ingest to augment, "
          f"{os.cpu_count()} cores, n = 1")
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "small", drawn, range(IMAGES), SIDE)
        for links in ("copy", "hardlink"):
            project = Project.create(Path(folder) / links)
            project.set_params({**SMALL, "augment.image_size": SIZE, "augment.variants": VARIANTS,
                                "augment.crop": "fundus"})
            project.run(f"dvc config cache.type {links}")
            shutil.move(Path(folder) / "small", project.folder / "data/raw/small")
            print(f"DVC's cache.type {links}" + (", its default without reflinks" if links == "copy" else ""))
            measure(project, drawn)
            shutil.move(project.folder / "data/raw/small", Path(folder) / "small")
            shutil.rmtree(project.folder)


if __name__ == "__main__":
    main()
