"""Images per second and core: our chain beside PIL + numpy, on drawn 6-megapixel JPEGs.

    python benchmarks/augment.py

Printed last on a crowded machine (load about 7 on 2 cores), so that only processor times count, which "ms of a core"
and "images/s a core" are:

    n = 3 rounds of 8 JPEGs of 3000 x 2000 px, 0.6 MB each, to 224 px; 2 cores; median (range)
    PIL + numpy             1 thread     1.7 images/s (1.6 to 1.9), 294.9 ms of a core each,    3.4 images/s a core
    fovea, exact: true      1 thread    11.5 images/s (10.7 to 16.7),  36.6 ms of a core each,   27.4 images/s a core
    fovea                   1 thread    33.5 images/s (29.8 to 33.9),  14.4 ms of a core each,   69.3 images/s a core
    PIL + numpy             2 threads    2.0 images/s (1.9 to 2.0), 250.6 ms of a core each,    4.0 images/s a core
    fovea, exact: true      2 threads   15.3 images/s (14.9 to 16.1),  32.3 ms of a core each,   30.9 images/s a core
    fovea                   2 threads   26.1 images/s (26.0 to 26.6),  18.7 ms of a core each,   53.6 images/s a core
    one rendered variant    1 thread   492.0 images/s (387.1 to 496.4),   0.9 ms of a core each, 1076.6 images/s a core
    ben_graham, 224 px      1 thread   128.6 images/s (123.5 to 153.8),   3.7 ms of a core each,  267.6 images/s a core
    clahe_lightness, 224 px 1 thread   145.8 images/s (137.6 to 147.1),   3.4 ms of a core each,  294.5 images/s a core
    clahe_green, 224 px     1 thread   408.9 images/s (386.7 to 426.8),   2.4 ms of a core each,  421.1 images/s a core
    ben_graham, 512 px      1 thread    47.1 images/s (39.5 to 48.4),  10.6 ms of a core each,   94.1 images/s a core
    clahe_lightness, 512 px 1 thread    40.1 images/s (37.4 to 40.9),  12.7 ms of a core each,   78.7 images/s a core
    clahe_green, 512 px     1 thread    55.3 images/s (53.5 to 87.3),   8.8 ms of a core each,  114.1 images/s a core
"""

import io
import itertools
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from PIL import Image

from fovea.cache.build import one_thread_each, ordered_map
from fovea.cache.normalise import NORMALISATIONS, normalise
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


def rounds(chain: Callable[[Any], object], load: list[Any], workers: int) -> np.ndarray:
    """Images per second, and milliseconds of processor time per image: float64 (ROUNDS, 2)."""
    found = []
    for _ in range(ROUNDS):
        wall, processor = time.perf_counter(), time.process_time()
        for _ in ordered_map(chain, load, workers):
            pass
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        found.append((len(load) / wall, 1000 * processor / len(load)))
    return np.array(found)


def show(name: str, chain: Callable[[Any], object], load: list[Any], workers: int) -> None:
    chain(load[0])
    measured = rounds(chain, load, workers)
    (wall, processor), (low, _), (high, _) = (reduce(measured, axis=0) for reduce in (np.median, np.min, np.max))
    print(f"{name:23} {workers} thread{'s' if workers > 1 else ' '} {wall:6.1f} images/s ({low:.1f} to {high:.1f}), "
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
        for size, how in itertools.product((SIZE, 512), NORMALISATIONS):
            square = make_square(data[0], params.model_copy(update={"size": size}))[0]
            show(f"{how}, {size} px", partial(normalise, how=how), 25 * [square], 1)


if __name__ == "__main__":
    main()
