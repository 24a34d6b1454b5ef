"""Images per second and core: our chain beside PIL + numpy, on drawn 6-megapixel JPEGs, and the targets.

    python benchmarks/augment.py

All chains take turns in each round, so that a neighbour on the machine slows all of them. "ms of a core" is processor
time, "/s a core" images per second of it; the last "/s" is by wall clock, which counts only on a machine that does
nothing else. "decoding alone" is the floor.

Printed last, right after another job on the machine had ended (load 2):

    n = 5 rounds of 8 JPEGs, 0.6 MB each; 2 cores, load 2; median (range)
    3000 x 2000 to 224 px
      PIL + numpy             1 thread  280.1 ms of a core (246.4 to 307.5),   3.6/s a core;   3.6/s (3.2 to 4.1)
      fovea                   1 thread   15.1 ms of a core (13.4 to 17.0),  66.1/s a core;  66.4/s (55.6 to 75.2)
      fovea, exact: true      1 thread   31.9 ms of a core (29.5 to 47.7),  31.4/s a core;  31.4/s (20.8 to 34.0)
      decoding alone          1 thread   12.4 ms of a core (9.9 to 13.6),  80.7/s a core;  81.2/s (73.4 to 101.8)
      PIL + numpy             2 threads 271.6 ms of a core (244.9 to 286.8),   3.7/s a core;   7.3/s (6.4 to 7.8)
      fovea                   2 threads  15.0 ms of a core (13.5 to 19.6),  66.7/s a core; 114.5/s (82.1 to 129.1)
      fovea, exact: true      2 threads  29.4 ms of a core (25.0 to 34.0),  34.0/s a core;  60.5/s (56.7 to 74.0)
      decoding alone          2 threads  11.2 ms of a core (9.9 to 12.7),  89.1/s a core; 160.2/s (148.4 to 179.2)
      18.1 times PIL + numpy per core (17.0 to 19.2); target: at least 10: met
      15.1 ms per image and core (13.4 to 17.0); target: at most 15: NOT met
      1.5 times one thread by 2 (1.5 to 1.9); target: at least 1.7: NOT met
    3000 x 2000 to 512 px
      PIL + numpy             1 thread  264.1 ms of a core (235.9 to 295.0),   3.8/s a core;   3.8/s (3.4 to 4.2)
      fovea                   1 thread   20.9 ms of a core (20.1 to 25.6),  47.8/s a core;  47.8/s (38.9 to 50.1)
      fovea, exact: true      1 thread   36.0 ms of a core (28.5 to 39.5),  27.8/s a core;  27.7/s (25.1 to 35.2)
      decoding alone          1 thread   14.2 ms of a core (13.7 to 15.3),  70.2/s a core;  68.7/s (65.9 to 73.3)
      PIL + numpy             2 threads 298.6 ms of a core (253.3 to 328.6),   3.3/s a core;   6.2/s (5.9 to 7.7)
      fovea                   2 threads  22.0 ms of a core (17.4 to 24.9),  45.4/s a core;  85.6/s (70.3 to 109.6)
      fovea, exact: true      2 threads  34.2 ms of a core (28.5 to 41.5),  29.3/s a core;  51.5/s (44.8 to 63.6)
      decoding alone          2 threads  13.2 ms of a core (10.9 to 14.5),  75.9/s a core; 139.2/s (117.0 to 158.2)
      11.6 times PIL + numpy per core (11.4 to 12.6); target: at least 10: met
      20.9 ms per image and core (20.1 to 25.6); target: at most 15: NOT met
      1.9 times one thread by 2 (1.5 to 2.2); target: at least 1.7: met
    from a square of the cache's size
      a variant, 224 px       1 thread    0.9 ms of a core (0.8 to 1.0), 1060.9/s a core; 1010.1/s (970.6 to 1370.0)
      ben_graham, 224 px      1 thread    2.2 ms of a core (1.7 to 3.1), 464.2/s a core; 471.1/s (276.4 to 599.9)
      clahe_lightness, 224 px 1 thread    2.8 ms of a core (1.9 to 3.0), 357.5/s a core; 360.9/s (333.7 to 538.6)
      clahe_green, 224 px     1 thread    1.8 ms of a core (1.7 to 2.1), 549.9/s a core; 553.8/s (471.9 to 592.9)
      a variant, 512 px       1 thread    3.8 ms of a core (3.2 to 4.4), 263.0/s a core; 264.5/s (228.4 to 320.1)
      ben_graham, 512 px      1 thread    7.1 ms of a core (6.2 to 8.9), 141.4/s a core; 139.4/s (112.6 to 161.9)
      clahe_lightness, 512 px 1 thread    7.8 ms of a core (7.5 to 10.1), 128.2/s a core; 129.0/s (99.2 to 133.8)
      clahe_green, 512 px     1 thread    6.5 ms of a core (5.7 to 6.9), 154.5/s a core; 152.1/s (141.7 to 176.2)
"""

import io
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from fovea.cache.normalise import NORMALISATIONS, normalise
from fovea.cache.picture import expected_side, make_square, reduction
from fovea.cache.render import render
from fovea.cache.threads import one_thread_each, ordered_map
from fovea.decode import decode, read_header
from fovea.demo.photograph import draw_photograph, encode_jpeg
from fovea.params.augment import AugmentParams
from fovea.params.section import read_sections

SIZES = (224, 512)
IMAGES = 8
ROUNDS = 5
PIXELS = (2000, 3000)
TIMES_PIL, MOST_MS, GAIN = 10, 15, 1.7  # the targets: per core, per image and core, by all cores over one


class Chain(NamedTuple):
    name: str
    run: Callable[[Any], object]
    load: list[Any]
    workers: int


def load() -> list[bytes]:
    """JPEGs of 2000 x 3000 px, quality 90, of drawn fundus photographs."""
    photographs = [draw_photograph(f"{number}_left", number % 5, PIXELS[1], 0)[0] for number in range(IMAGES)]
    return [encode_jpeg(cv2.resize(photograph, PIXELS[::-1]), 90) for photograph in photographs]


def with_pil(data: bytes, size: int) -> np.ndarray:
    """Decode in full, crop to the box of a full-size mask, resize: what a notebook does."""
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    mask = pixels.max(axis=2) > 20
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(Image.fromarray(box).resize((size, size), Image.Resampling.BICUBIC))


def decode_alone(data: bytes, params: AugmentParams) -> np.ndarray:
    """By the factor that the chain decodes with."""
    header = read_header(data)
    return decode(data, header, reduction(expected_side(header.height, header.width, params), params.image_size))


def measure(chains: list[Chain]) -> np.ndarray:
    """Images per second, and milliseconds of processor time per image: float64 (ROUNDS, chains, 2)."""
    for chain in chains:
        chain.run(chain.load[0])
    return np.array([[once(chain) for chain in chains] for _ in range(ROUNDS)])


def once(chain: Chain) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    for _ in ordered_map(chain.run, chain.load, chain.workers):
        pass
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return len(chain.load) / wall, 1000 * processor / len(chain.load)


def show(chains: list[Chain], measured: np.ndarray) -> None:
    for chain, values in zip(chains, measured.swapaxes(0, 1), strict=True):
        (wall, processor), low, high = (reduce(values, axis=0) for reduce in (np.median, np.min, np.max))
        print(f"  {chain.name:23} {chain.workers} thread{'s' if chain.workers > 1 else ' '} "
              f"{processor:5.1f} ms of a core ({low[1]:.1f} to {high[1]:.1f}), {1000 / processor:5.1f}/s a core; "
              f"{wall:5.1f}/s ({low[0]:.1f} to {high[0]:.1f})", flush=True)


def compare(data: list[bytes], params: AugmentParams, cores: int) -> None:
    """The chains at one size, by one thread and by as many as cores, and the targets."""
    ours = partial(make_square, params=params)
    exact = partial(make_square, params=params.model_copy(update={"exact": True}))
    floor = partial(decode_alone, params=params)
    named: dict[str, Callable[[Any], object]] = {
        "PIL + numpy": partial(with_pil, size=params.image_size), "fovea": ours, "fovea, exact: true": exact,
        "decoding alone": floor,
    }
    chains = [Chain(name, run, data, workers) for workers in (1, cores) for name, run in named.items()]
    measured = measure(chains)
    print(f"{PIXELS[1]} x {PIXELS[0]} to {params.image_size} px")
    show(chains, measured)
    processor = measured[:, :, 1]
    judge("times PIL + numpy per core", processor[:, 0] / processor[:, 1], TIMES_PIL, least=True)
    judge("ms per image and core", processor[:, 1], MOST_MS, least=False)
    judge(f"times one thread by {cores}", measured[:, len(named) + 1, 0] / measured[:, 1, 0], GAIN, least=True)


def judge(name: str, values: np.ndarray, target: float, least: bool) -> None:
    middle = np.median(values)
    met = "met" if (middle >= target if least else middle <= target) else "NOT met"
    print(f"  {middle:.1f} {name} ({values.min():.1f} to {values.max():.1f}); "
          f"target: at {'least' if least else 'most'} {target}: {met}")


def main() -> None:
    params = AugmentParams.model_validate(read_sections()["augment"])
    sized = {size: params.model_copy(update={"image_size": size}) for size in SIZES}
    data = load()
    cores = os.cpu_count() or 1
    print(f"n = {ROUNDS} rounds of {IMAGES} JPEGs, {sum(map(len, data)) / IMAGES / 1e6:.1f} MB each; {cores} cores, "
          f"load {os.getloadavg()[0]:.0f}; median (range)")
    with one_thread_each():
        for changed in sized.values():
            compare(data, changed, cores)
        steps = []
        for size, changed in sized.items():
            squares = [make_square(item, changed)[0] for item in data] * 4
            draw = partial(render, seed=0, digest="ab", variant=1, strengths=params.render)
            steps.append(Chain(f"a variant, {size} px", draw, squares, 1))
            steps += [Chain(f"{how}, {size} px", partial(normalise, how=how), squares, 1) for how in NORMALISATIONS]
        print("from a square of the cache's size")
        show(steps, measure(steps))


if __name__ == "__main__":
    main()
