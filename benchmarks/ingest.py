"""What taking in a set of images costs: cold, again, and with 1 % of them changed, beside PIL + imagehash.

    python -m benchmarks.ingest

Printed last, on a machine that somebody else used a little:

    2 cores; ms of a core for each image, median of 3 rounds (range)
    3000 x 2000 px, 0.6 MB, n = 8     PIL + imagehash  128.55 (119.05 to 129.61)
    3000 x 2000 px, 0.6 MB, n = 8     fovea             11.75 (11.75 to 13.85)
    224 px, n = 500                   PIL + imagehash    2.01 (1.97 to 2.05)
    224 px, n = 500                   fovea              1.03 (0.89 to 1.10)
    35000 images of 224 px, all cores, a process each, n = 1
    cold                                45.61 s, 100.0% of cold; listing 0.05 s; peak 251 MiB
    again, files just written            2.97 s,   6.5% of cold; listing 0.06 s; peak 252 MiB
    again, nothing changed               2.81 s,   6.2% of cold; listing 0.05 s; peak 252 MiB
    1 % changed                          3.42 s,   7.5% of cold; listing 0.06 s; peak 259 MiB
    100000 images, the others 64 px     50.58 s, 110.9% of cold; listing 0.19 s; peak 435 MiB
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
from PIL import Image, ImageFilter, ImageStat

from fovea.demo.photograph import draw_photograph, encode_jpeg
from fovea.ingest.check import check_file
from fovea.ingest.files import walk
from fovea.ingest.manifest import build_manifest
from fovea.params.dataset import DatasetParams

SMALL, MANY, CHANGED = 35_000, 100_000, 0.01
DRAWN = 200            # photographs that the small images are cut from
LARGE = (2000, 3000)   # px
ROUNDS = 3
DATASET: dict[str, Any] = {
    "name": "set", "labels": {}, "classes": [], "positive": None, "group": None, "splits": None,
    "sources": [{"layout": "folders", "images": "", "split_folders": False, "split": None}],
}  # fmt: skip


def photographs(side: int, count: int) -> list[np.ndarray]:
    return [draw_photograph(f"{number}_left", number % 5, side, 0)[0] for number in range(count)]


def write_small(folder: Path, drawn: list[np.ndarray], numbers: range, side: int, seed: int = 0) -> None:
    """JPEGs of `side` px, each cut, turned and lit in its own way."""
    for number in numbers:
        draws = np.random.default_rng([seed, number])
        photograph = drawn[number % len(drawn)]
        matrix = cv2.getRotationMatrix2D((photograph.shape[1] / 2, photograph.shape[0] / 2), draws.uniform(0, 360), 1)
        matrix[:, 2] += draws.uniform(-20, 20, 2) - (photograph.shape[1] - side) / 2
        image = cv2.convertScaleAbs(cv2.warpAffine(photograph, matrix, (side, side)), alpha=draws.uniform(0.7, 1.2))
        path = folder / str(number % 5) / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_jpeg(image, 90))


def with_pil(path: Path) -> object:
    """What a careful notebook does for each image: load, digest, 256 bits of a hash, brightness, sharpness, EXIF."""
    digest = blake2b(path.read_bytes()).hexdigest()
    with Image.open(path) as image:
        image.load()
        grey = image.convert("L")
        edges = ImageStat.Stat(grey.filter(ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), 1, 128)))
        thumbnail = np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BOX))
        return (digest, image.size, dict(image.getexif()), imagehash.dhash(grey, 16), ImageStat.Stat(grey).mean,
                edges.var, thumbnail)  # fmt: skip


def milliseconds(check: Callable[[Path], object], paths: list[Path]) -> np.ndarray:
    """float64 (ROUNDS,): processor time per image, one thread."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for path in paths:
            check(path)
        found.append((time.process_time() - start) / len(paths) * 1e3)
    return np.array(found)


def take_in(folder: Path, store: Path) -> dict[str, float]:
    """Wall seconds, processor seconds and peak MiB of a process that builds the manifest."""
    command = [sys.executable, "-m", "benchmarks.ingest", str(folder), str(store)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(printed.splitlines()[-1])
    return result


def child(folder: Path, store: Path) -> None:
    start = time.perf_counter()
    images = sum(1 for _ in walk(folder, ""))
    listing = time.perf_counter() - start
    start, processor = time.perf_counter(), time.process_time()
    manifest, _ = build_manifest(folder, DatasetParams.model_validate(DATASET), 10**8, 0, store)
    assert len(manifest) == images
    print(json.dumps({"wall": time.perf_counter() - start, "processor": time.process_time() - processor,
                      "listing": listing, "peak": peak()}))


def peak(process: int | str = "self") -> float:
    """Most MiB that a process held, on Linux; `getrusage` would count those of the process that started it. 0 once it
    has ended."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def line(name: str, figures: dict[str, float], cold: float) -> None:
    print(f"{name:<34}{figures['wall']:7.2f} s, {figures['wall'] / cold:6.1%} of cold; "
          f"listing {figures['listing']:.2f} s; peak {figures['peak']:.0f} MiB", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        large, root, store = (Path(scratch) / name for name in ("large", "set", "store"))
        large.mkdir()
        for number, photograph in enumerate(photographs(LARGE[1], 8)):
            (large / f"{number}.jpg").write_bytes(encode_jpeg(cv2.resize(photograph, LARGE[::-1]), 90))
        paths = sorted(large.iterdir())
        drawn = photographs(300, DRAWN)
        write_small(root, drawn, range(SMALL), 224)
        small = sorted(root.rglob("*.jpg"))[:500]
        megabytes = np.mean([path.stat().st_size for path in paths]) / 1e6
        print(f"{os.cpu_count()} cores; ms of a core for each image, median of {ROUNDS} rounds (range)")
        for name, some in ((f"{LARGE[1]} x {LARGE[0]} px, {megabytes:.1f} MB, n = {len(paths)}", paths),
                           (f"224 px, n = {len(small)}", small)):
            for what, check in (("PIL + imagehash", with_pil), ("fovea", lambda path: check_file(path, 10**8))):
                times = milliseconds(check, some)
                spread = f"({times.min():.2f} to {times.max():.2f})"
                print(f"{name:<34}{what:<16}{np.median(times):7.2f} {spread}", flush=True)
        print(f"\n{SMALL} images of 224 px, all cores, a process each, n = 1")
        cold = take_in(root, store)
        line("cold", cold, cold["wall"])
        line("again, files just written", take_in(root, store), cold["wall"])
        line("again, nothing changed", take_in(root, store), cold["wall"])
        write_small(root, drawn, range(0, SMALL, round(1 / CHANGED)), 224, seed=1)
        line("1 % changed", take_in(root, store), cold["wall"])
        write_small(root, drawn, range(SMALL, MANY), 64)
        line(f"{MANY} images, the others 64 px", take_in(root, store), cold["wall"])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()
