"""Images per second and core: our chain beside PIL + numpy, on drawn 6-megapixel JPEGs.

    python benchmarks/augment.py

Printed last on a crowded machine (load about 11 on 2 cores), so that only processor times count, which "ms of a core"
and "images/s a core" are:

    n = 3 rounds of 8 JPEGs of 3000 x 2000 px, 0.6 MB each, to 224 px; 2 cores; median (range)
    PIL + numpy           1 thread     1.4 images/s (0.9 to 1.6), 267.5 ms of a core each,    3.7 images/s a core
    fovea, exact: true    1 thread    10.3 images/s (10.0 to 10.8),  31.8 ms of a core each,   31.5 images/s a core
    fovea                 1 thread    21.2 images/s (19.8 to 21.3),  15.7 ms of a core each,   63.6 images/s a core
    PIL + numpy           2 threads    1.2 images/s (1.2 to 1.3), 268.8 ms of a core each,    3.7 images/s a core
    fovea, exact: true    2 threads   11.7 images/s (10.2 to 12.0),  26.8 ms of a core each,   37.4 images/s a core
    fovea                 2 threads   23.9 images/s (20.9 to 25.3),  13.8 ms of a core each,   72.7 images/s a core
    one rendered variant  1 thread   435.4 images/s (410.3 to 460.0),   0.7 ms of a core each, 1337.3 images/s a core
"""

import io
import os
import time
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from fovea.cache.build import one_thread_each, ordered_map
from fovea.cache.picture import make_square
from fovea.cache.render import render
from fovea.demo.photograph import draw_photograph, encode_jpeg
from fovea.params.augment import AugmentParams
from fovea.params.section import read_sections

SIZE = 224
IMAGES = 8
ROUNDS = 3
PIXELS = (2000, 3000)


def load() -> list[bytes]:
    """JPEGs of 2000 x 3000 px, quality 90, of drawn fundus photographs."""
    photographs = [draw_photograph(f"{number}_left", number % 5, PIXELS[1], 0)[0] for number in range(IMAGES)]
    return [encode_jpeg(cv2.resize(photograph, PIXELS[::-1]), 90) for photograph in photographs]


def with_pil(data: bytes) -> np.ndarray:
    """Decode in full, crop to the box of a full-size mask, resize: what a notebook does."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    mask = pixels.max(axis=2) > 20
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(Image.fromarray(box).resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def rounds(chain: Callable[[bytes], object], load: list[bytes], workers: int) -> np.ndarray:
    """Images per second, and milliseconds of processor time per image: float64 (ROUNDS, 2)."""
    found = []
    for _ in range(ROUNDS):
        wall, processor = time.perf_counter(), time.process_time()
        for _ in ordered_map(chain, load, workers):
            pass
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        found.append((len(load) / wall, 1000 * processor / len(load)))
    return np.array(found)


def show(name: str, chain: Callable[[bytes], object], load: list[bytes], workers: int) -> None:
    chain(load[0])
    measured = rounds(chain, load, workers)
    (wall, processor), (low, _), (high, _) = (reduce(measured, axis=0) for reduce in (np.median, np.min, np.max))
    print(f"{name:21} {workers} thread{'s' if workers > 1 else ' '} {wall:6.1f} images/s ({low:.1f} to {high:.1f}), "
          f"{processor:5.1f} ms of a core each, {1000 / processor:6.1f} images/s a core")


def main() -> None:
    params = AugmentParams.model_validate({**read_sections()["augment"], "size": SIZE})
    exact = params.model_copy(update={"exact": True})
    data = load()
    cores = os.cpu_count() or 1
    print(f"n = {ROUNDS} rounds of {IMAGES} JPEGs of {PIXELS[1]} x {PIXELS[0]} px, "
          f"{sum(map(len, data)) / IMAGES / 1e6:.1f} MB each, to {SIZE} px; {cores} cores; median (range)")
    with one_thread_each():
        for workers in sorted({1, cores}):
            show("PIL + numpy", with_pil, data, workers)
            show("fovea, exact: true", lambda item: make_square(item, exact), data, workers)
            show("fovea", lambda item: make_square(item, params), data, workers)
        square = make_square(data[0], params)[0]
        show("one rendered variant", lambda item: render(square, 0, "ab", 1, params.render), data * 25, 1)


if __name__ == "__main__":
    main()
