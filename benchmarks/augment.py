"""Images per second and core: our chain beside PIL + numpy, on drawn 6-megapixel JPEGs, and the targets.

    python benchmarks/augment.py

All chains take turns in each round, so that a neighbour on the machine slows all of them. "ms of a core" is processor
time, "/s a core" images per second of it; the last "/s" is by wall clock, which counts only on a machine that does
nothing else. "decoding alone" is the floor.

Printed on a machine so crowded that a core did other work most of the time: processor times are too long, and what two
threads gain says nothing. To be run again alone.

    n = 5 rounds of 8 JPEGs, 0.6 MB each; 2 cores, load 6; median (range)
    3000 x 2000 to 224 px
      PIL + numpy             1 thread  288.6 ms of a core (259.2 to 332.6),   3.5/s a core;   1.4/s (1.1 to 1.6)
      fovea                   1 thread   17.5 ms of a core (15.2 to 20.1),  57.1/s a core;  23.0/s (19.1 to 25.9)
      fovea, exact: true      1 thread   32.2 ms of a core (28.6 to 38.2),  31.1/s a core;  12.5/s (9.9 to 13.3)
      decoding alone          1 thread   11.8 ms of a core (9.7 to 13.9),  84.8/s a core;  33.7/s (27.9 to 41.2)
      PIL + numpy             2 threads 286.1 ms of a core (272.0 to 319.3),   3.5/s a core;   1.4/s (1.2 to 1.5)
      fovea                   2 threads  18.2 ms of a core (16.6 to 18.7),  54.9/s a core;  22.5/s (20.1 to 23.2)
      fovea, exact: true      2 threads  33.0 ms of a core (30.6 to 33.7),  30.3/s a core;  11.2/s (10.9 to 12.8)
      decoding alone          2 threads  13.0 ms of a core (9.5 to 16.5),  77.2/s a core;  28.2/s (20.6 to 42.6)
      16.5 times PIL + numpy per core (14.6 to 17.1); target: at least 10: met
      17.5 ms per image and core (15.2 to 20.1); target: at most 15: NOT met
      1.0 times one thread by 2 (0.8 to 1.2); target: at least 1.7: NOT met
    3000 x 2000 to 512 px
      PIL + numpy             1 thread  300.5 ms of a core (254.0 to 334.7),   3.3/s a core;   1.3/s (1.2 to 1.6)
      fovea                   1 thread   25.8 ms of a core (22.7 to 26.4),  38.8/s a core;  16.4/s (14.8 to 18.9)
      fovea, exact: true      1 thread   33.5 ms of a core (31.6 to 37.1),  29.8/s a core;  11.3/s (10.7 to 13.0)
      decoding alone          1 thread   13.6 ms of a core (12.4 to 15.7),  73.3/s a core;  31.7/s (25.3 to 38.7)
      PIL + numpy             2 threads 291.7 ms of a core (272.6 to 308.2),   3.4/s a core;   1.4/s (1.3 to 1.9)
      fovea                   2 threads  23.1 ms of a core (17.4 to 27.0),  43.2/s a core;  16.7/s (15.5 to 26.0)
      fovea, exact: true      2 threads  33.5 ms of a core (29.0 to 41.4),  29.9/s a core;  11.1/s (10.5 to 16.2)
      decoding alone          2 threads  13.0 ms of a core (12.4 to 16.1),  76.7/s a core;  30.1/s (20.4 to 44.6)
      11.8 times PIL + numpy per core (11.1 to 12.8); target: at least 10: met
      25.8 ms per image and core (22.7 to 26.4); target: at most 15: NOT met
      1.1 times one thread by 2 (0.9 to 1.5); target: at least 1.7: NOT met
    from a square of the cache's size
      a variant, 224 px       1 thread    0.9 ms of a core (0.6 to 1.0), 1150.4/s a core; 831.7/s (641.7 to 1541.0)
      ben_graham, 224 px      1 thread    2.4 ms of a core (1.8 to 2.8), 417.0/s a core; 279.9/s (238.5 to 400.7)
      clahe_lightness, 224 px 1 thread    2.5 ms of a core (1.8 to 3.0), 407.6/s a core; 255.6/s (232.1 to 491.9)
      clahe_green, 224 px     1 thread    1.9 ms of a core (1.3 to 2.0), 523.4/s a core; 338.0/s (284.2 to 498.4)
      a variant, 512 px       1 thread    3.4 ms of a core (3.2 to 4.1), 292.6/s a core; 184.0/s (159.3 to 275.0)
      ben_graham, 512 px      1 thread    6.8 ms of a core (6.2 to 8.7), 147.2/s a core;  80.1/s (67.2 to 116.6)
      clahe_lightness, 512 px 1 thread    9.4 ms of a core (8.2 to 11.3), 106.8/s a core;  59.6/s (54.0 to 101.3)
      clahe_green, 512 px     1 thread    5.1 ms of a core (4.4 to 6.7), 197.2/s a core; 135.6/s (99.5 to 152.8)
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
    return decode(data, header, reduction(expected_side(header.height, header.width, params), params.size))


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
        "PIL + numpy": partial(with_pil, size=params.size), "fovea": ours, "fovea, exact: true": exact,
        "decoding alone": floor,
    }
    chains = [Chain(name, run, data, workers) for workers in (1, cores) for name, run in named.items()]
    measured = measure(chains)
    print(f"{PIXELS[1]} x {PIXELS[0]} to {params.size} px")
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
    sized = {size: params.model_copy(update={"size": size}) for size in SIZES}
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
