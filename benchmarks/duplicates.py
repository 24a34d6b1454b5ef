"""How many planted copies are found among 10,000 images, and what is taken for a copy that is none.

    FOVEA_REAL_DATA=... python -m benchmarks.duplicates

Printed last, without the names of files that it lists. The 19 pairs of aptos2019 are 12 and planted copies, the 4
of palm 1 and copies of it; looked at, each of the 13 is one photograph twice:

    2 cores
    drawn photographs of 200 px: 9250 images and 750 planted copies, sought in 4.9 s
        recompressed, quality 40       100.0% of 75
        mirrored                       100.0% of 75
        turned by 90 degrees           100.0% of 75
        turned by 180 degrees          100.0% of 75
        turned by 5 degrees            100.0% of 75
        turned by 30 degrees           100.0% of 75
        half the size                  100.0% of 75
        1.5 times the size             100.0% of 75
        cropped by 3 % at each side    100.0% of 75
        cropped by 5 % at two sides     56.0% of 75
        taken for copies beside these: 0 pairs
    35000 images, seconds, median of 5 (range)
        search alone                     2.3 (2.2 to 2.4)
        all up to the candidates         4.2 (3.8 to 4.8)
    aptos2019, each content once: 3534 images and 750 planted copies, sought in 11.5 s
        recompressed, quality 40       100.0% of 75
        mirrored                       100.0% of 75
        turned by 90 degrees           100.0% of 75
        turned by 180 degrees          100.0% of 75
        turned by 5 degrees            100.0% of 75
        turned by 30 degrees            65.3% of 75
        half the size                  100.0% of 75
        1.5 times the size             100.0% of 75
        cropped by 3 % at each side    100.0% of 75
        cropped by 5 % at two sides     80.0% of 75
        taken for copies beside these: 19 pairs
    palm, each content once: 795 images and 750 planted copies, sought in 4.9 s
        recompressed, quality 40        98.7% of 75
        mirrored                       100.0% of 75
        turned by 90 degrees           100.0% of 75
        turned by 180 degrees          100.0% of 75
        turned by 5 degrees             98.7% of 75
        turned by 30 degrees           100.0% of 75
        half the size                  100.0% of 75
        1.5 times the size             100.0% of 75
        cropped by 3 % at each side     98.7% of 75
        cropped by 5 % at two sides     88.0% of 75
        taken for copies beside these: 4 pairs
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fovea.audit.candidates import ZOOMS, magnitudes, near, principal_axes, propose, search_radius, spectra
from fovea.audit.copies import find_copies
from fovea.decode import decode_small
from fovea.demo.photograph import draw_photograph, encode_jpeg
from fovea.ingest.digest import bytes_digest
from fovea.ingest.manifest import build_manifest
from fovea.params.dataset import DatasetParams
from tests.real_sets import FOLDER

IMAGES, OF_EACH, SIDE = 10_000, 75, 200
SEARCHED, ROUNDS = 35_000, 5


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((image.shape[1] / 2 - 0.5, image.shape[0] / 2 - 0.5), degrees, 1)
    return cv2.warpAffine(image, matrix, image.shape[1::-1])


def cropped(image: np.ndarray, left: float, right: float) -> np.ndarray:
    """Without a share of each side from the left and top, and from the right and bottom."""
    height, width = image.shape[:2]
    return image[round(left * height) : round((1 - right) * height), round(left * width) : round((1 - right) * width)]


Way = Callable[[np.ndarray], np.ndarray]
WAYS: dict[str, Way] = {
    "recompressed, quality 40": lambda image: image,
    "mirrored": lambda image: image[:, ::-1],
    "turned by 90 degrees": lambda image: np.rot90(image),
    "turned by 180 degrees": lambda image: np.rot90(image, 2),
    "turned by 5 degrees": lambda image: turned(image, 5),
    "turned by 30 degrees": lambda image: turned(image, 30),
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "1.5 times the size": lambda image: cv2.resize(image, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC),
    "cropped by 3 % at each side": lambda image: cropped(image, 0.03, 0.03),
    "cropped by 5 % at two sides": lambda image: cropped(image, 0, 0.05),
}  # fmt: skip
FOLDERS = {"layout": "folders", "images": "", "split_folders": False, "split": None}
DATASET = DatasetParams.model_validate({
    "name": "set", "labels": {}, "classes": [], "positive": None, "group": None, "splits": None, "sources": [FOLDERS],
})  # fmt: skip


def draw(number: int) -> bytes:
    cv2.setNumThreads(1)
    return encode_jpeg(draw_photograph(f"{number}_left", number % 5, SIDE, 0)[0], 90)


def plant(folder: Path, originals: Sequence[Path]) -> dict[str, list[frozenset[str]]]:
    """Write OF_EACH copies for each way; returns the pairs of file names that must be found."""
    planted: dict[str, list[frozenset[str]]] = {}
    for number, (way, change) in enumerate(WAYS.items()):
        for original in originals[number * OF_EACH : (number + 1) * OF_EACH]:
            pixels = np.ascontiguousarray(change(decode_small(original.read_bytes(), 10**6)))
            name = f"{original.stem}-copy.jpg"
            (folder / name).write_bytes(encode_jpeg(pixels, 40 if "40" in way else 85))
            planted.setdefault(way, []).append(frozenset((original.name, name)))
    return planted


def search(name: str, root: Path, store: Path) -> pd.DataFrame:
    """Plant copies among the images of `root`, seek them, print what was found; returns the manifest."""
    originals = sorted(root.rglob("*.jpg"), key=lambda path: path.name)
    planted = plant(root / "a", originals)
    manifest = build_manifest(root, DATASET, 10**8, 0, store)[0]
    start = time.perf_counter()
    pairs = find_copies(manifest, root, 0, store)
    seconds = time.perf_counter() - start
    names = manifest["image"].str.rsplit("/").str[-1].to_numpy()
    found = set(map(frozenset, names[pairs[["first", "second"]].to_numpy(int)].tolist()))
    copies = len(manifest) - len(originals)
    print(f"{name}: {len(originals)} images and {copies} planted copies, sought in {seconds:.1f} s")
    for way, wanted in planted.items():
        print(f"    {way:<30} {np.mean([pair in found for pair in wanted]):6.1%} of {len(wanted)}")
    planted_pairs = {pair for several in planted.values() for pair in several}
    others = sorted(", ".join(sorted(pair)) for pair in found - planted_pairs)
    print(f"    taken for copies beside these: {len(others)} pairs", *others, sep="\n      ", flush=True)
    return manifest


def time_search(fingerprints: np.ndarray) -> None:
    """Candidates among SEARCHED fingerprints, each the mean of two real ones, one of them turned."""
    one, other = np.random.default_rng(0).integers(0, len(fingerprints), (2, SEARCHED))
    mixed = (fingerprints[one] // 2 + np.rot90(fingerprints[other], axes=(1, 2)) // 2).astype(np.uint8)
    figures = {zoom: magnitudes(spectra(mixed, zoom)) for zoom in ZOOMS}
    scale, axes = principal_axes(figures[1.0])
    points = {zoom: values * scale @ axes for zoom, values in figures.items()}

    def search_all() -> None:
        for zoom in ZOOMS:
            near(points[zoom], points[1.0], search_radius(points[zoom], points[1.0]))

    print(f"{SEARCHED} images, seconds, median of {ROUNDS} (range)")
    for name, work in (("search alone", search_all), ("all up to the candidates", lambda: propose(mixed))):
        seconds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        print(f"    {name:<30} {np.median(seconds):5.1f} ({min(seconds):.1f} to {max(seconds):.1f})", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "store"
        root = new_set(Path(scratch) / "drawn")
        with ProcessPoolExecutor() as pool:
            for number, data in enumerate(pool.map(draw, range(IMAGES - OF_EACH * len(WAYS)), chunksize=50)):
                (root / "ab"[number % 2] / f"{number:05}.jpg").write_bytes(data)
        print(f"{os.cpu_count()} cores")
        manifest = search(f"drawn photographs of {SIDE} px", root, store)
        time_search(np.frombuffer(b"".join(manifest["fingerprint"]), np.uint8).reshape(-1, 32, 32))
        if FOLDER is None:
            sys.exit("FOVEA_REAL_DATA is not set: real images are left out")
        for name in ("aptos2019", "palm"):
            root = new_set(Path(scratch) / name)
            contents = {bytes_digest(data): (path.name, data) for path in sorted((Path(FOLDER) / name).rglob("*.jpg"))
                        for data in [path.read_bytes()]}
            for number, (file, data) in enumerate(contents.values()):
                (root / "ab"[number % 2] / file).write_bytes(data)
            search(f"{name}, each content once", root, store)


def new_set(root: Path) -> Path:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
    return root


if __name__ == "__main__":
    main()
