"""Pairs of images that may be copies of one picture: turned, mirrored, resized, recompressed, padded, slightly cropped.

Each fingerprint is read along circles around its middle. The magnitudes of the Fourier coefficients along a circle stay
the same when the image is turned or mirrored; a crop shows the middle of a larger image, so each image is also read
with its middle enlarged. What lies near in these figures is turned until it fits best, and kept if it correlates then.
All of this only proposes: fundus photographs look alike.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.pool import ThreadPool
from typing import TypeVar

import numpy as np
import pandas as pd
from scipy import fft
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")
RINGS, ANGLES = 12, 64
FREQUENCIES = 16          # along a circle, for the fit
COMPARED = 8              # of them, for the search
BOTH_SIDES = np.array([1.0] + [2.0] * (FREQUENCIES - 1), np.float32)  # a real signal's spectrum is symmetric
ZOOMS = (1.0, 0.95, 0.9)  # share of the side that is read
DIMENSIONS = 24           # of the search; distances in them are never larger than in all RINGS * COMPARED
FLOOR = 0.1               # of the mean deviation: what hardly differs among the images is mostly noise
RADIUS = 5.0              # deviations; copies of real photographs lie within it in all but a few per cent
CLOSE = 1.5               # deviations, within which turned, mirrored, resized and recompressed copies lie
COPIES = 30               # images within CLOSE on average that are believed to be copies
PROPOSALS = 3             # further images that one may be near on average; where more are, the radius shrinks
ASKED = 256               # images that judge this; as few are compared with each other without a search
ROWS, COLUMNS = 256, 4096  # compared at once: the result fits a core's cache
AT_ONCE = 2048            # images, or pairs
ALIKE = 0.93              # correlation along the circles; nine of ten copies cropped by 5 % at two sides reach it
SURE = 0.98               # correlation from which all pairs are kept
PARTNERS = 3              # of each image that are kept below it, the most alike


def propose(fingerprints: np.ndarray) -> pd.DataFrame:
    """Pairs of uint8 (n, side, side) that may be copies; n need not be large, time grows with its square.

    Columns: whole and part (positions; `part` looks like the middle `zoom` of `whole`), zoom, mirrored, angle (how
    `part` is turned against `whole`, radians), correlation. One row per pair and direction at most, best first.
    """
    whole = spectra(fingerprints, 1.0)
    scale, axes = principal_axes(magnitudes(whole))
    points = magnitudes(whole) * scale @ axes
    found = []
    for zoom in ZOOMS:  # one at a time: 100,000 images take 150 MB each
        waves = spectra(fingerprints, zoom) if zoom != 1.0 else whole
        asking = magnitudes(waves) * scale @ axes
        if len(fingerprints) <= ASKED:
            pairs = np.argwhere(~np.eye(len(fingerprints), dtype=bool))
        else:
            pairs = near(asking, points, search_radius(asking, points))
        if zoom == 1.0:  # found from both ends
            pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        found.append(fits(waves, whole, pairs).assign(zoom=zoom))
    return most_alike(pd.concat(found, ignore_index=True))


def spectra(fingerprints: np.ndarray, zoom: float) -> np.ndarray:
    """complex64 (n, RINGS, FREQUENCIES): Fourier coefficients of the grey along circles around the middle.

    Each image has mean 0 and deviation 1, a circle counting by its length, as its area in the image does. Sampling,
    transform and the mean's removal are one product of matrices.
    """
    matrix = _sampled_waves(fingerprints.shape[1], zoom)
    weights = np.repeat(np.outer(_lengths(), BOTH_SIDES).ravel(), 2)  # of real and imaginary parts, by Parseval

    found = np.empty((len(fingerprints), matrix.shape[1]), np.float32)

    def fill(start: int) -> None:
        greys = fingerprints[start : start + AT_ONCE]
        values = greys.reshape(len(greys), -1).astype(np.float32) @ matrix
        found[start : start + AT_ONCE] = values / np.sqrt((values**2) @ weights + 1e-3)[:, None]

    in_threads(fill, range(0, len(found), AT_ONCE))
    return found.view(np.complex64).reshape(-1, RINGS, FREQUENCIES)


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`map` with a thread per core, and one thread for each product of matrices within."""
    with threadpool_limits(1), ThreadPool(os.cpu_count()) as pool:
        return pool.map(function, items, chunksize=1)


def _lengths() -> np.ndarray:
    """float32 (RINGS,), sum 1."""
    lengths = np.arange(RINGS, dtype=np.float32) + 0.5
    return lengths / lengths.sum()


def _sampled_waves(side: int, zoom: float) -> np.ndarray:
    """float32 (side * side, RINGS * FREQUENCIES * 2): bilinear sampling along circles, then their transform."""
    radius = (np.arange(RINGS) + 0.5) / RINGS * zoom * (side - 1) / 2
    angle = np.arange(ANGLES) / ANGLES * 2 * np.pi
    x, y = ((side - 1) / 2 + np.outer(radius, wave(angle)).ravel() for wave in (np.cos, np.sin))
    left, top = (np.clip(np.floor(value).astype(int), 0, side - 2) for value in (x, y))
    weights = np.zeros((side * side, RINGS * ANGLES))
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (1 - np.abs(x - left - right)) * (1 - np.abs(y - top - down))
        weights[(top + down) * side + left + right, np.arange(RINGS * ANGLES)] += share
    waves = fft.rfft(weights.reshape(-1, RINGS, ANGLES), axis=2)[:, :, :FREQUENCIES] / ANGLES
    waves[:, :, 0] -= (waves[:, :, 0] @ _lengths())[:, None]  # the mean
    return np.ascontiguousarray(waves.astype(np.complex64).reshape(side * side, -1)).view(np.float32)


def magnitudes(waves: np.ndarray) -> np.ndarray:
    """float32 (n, RINGS * COMPARED), the same for a turned or mirrored image."""
    return (np.abs(waves[:, :, :COMPARED]) * np.sqrt(_lengths())[:, None]).reshape(len(waves), -1)


def principal_axes(figures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the magnitudes (n, d) of whole images: float32 (d,), which makes them units of the deviation among them, and
    (d, DIMENSIONS), the axes along which they differ most then."""
    deviation = figures.std(axis=0)
    scale = 1 / (deviation + FLOOR * deviation.mean() + 1e-6)
    centred = (figures - figures.mean(axis=0)) * scale
    return scale, np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :DIMENSIONS].astype(np.float32)


def search_radius(asking: np.ndarray, points: np.ndarray) -> float:
    """RADIUS, or less: that within which `PROPOSALS` others lie on average beside the copies."""
    some = asking[:: max(1, len(asking) // ASKED)]
    squares = (some**2).sum(axis=1)[:, None] + (points**2).sum(axis=1) - 2 * some @ points.T
    close = int(np.count_nonzero(squares <= CLOSE**2))  # each image itself among them
    wanted = min(squares.size, len(some) * PROPOSALS + min(close, (1 + COPIES) * len(some))) - 1
    return min(RADIUS, float(np.sqrt(max(np.partition(squares, wanted, axis=None)[wanted], 0.0))))


def near(asking: np.ndarray, points: np.ndarray, radius: float) -> np.ndarray:
    """int64 (m, 2): positions of all pairs of (n, d) and (n, d) within `radius`, without those of equal position.

    Sorted by the first axis, only a window of the others can be near; within it everything is compared.
    """
    order, asked = np.argsort(points[:, 0], kind="stable"), np.argsort(asking[:, 0], kind="stable")
    points, asking = points[order], asking[asked]
    columns = np.ascontiguousarray(np.hstack([points, -0.5 * (points**2).sum(axis=1, keepdims=True)]).T)
    rows = np.hstack([asking, np.ones((len(asking), 1), np.float32)])

    def hits(start: int) -> Iterator[np.ndarray]:
        block = rows[start : start + ROWS]
        least = (0.5 * ((block[:, :-1] ** 2).sum(axis=1) - radius**2))[:, None]
        low, high = np.searchsorted(points[:, 0], [block[0, 0] - radius, block[-1, 0] + radius])
        for left in range(low, high, COLUMNS):
            width = min(COLUMNS, high - left)
            places = np.flatnonzero(block @ columns[:, left : left + width] >= least)
            yield np.column_stack([asked[start + places // width], order[left + places % width]])

    pieces = in_threads(lambda start: list(hits(start)), range(0, len(rows), ROWS))
    found = np.concatenate([np.empty((0, 2), np.int64), *(piece for several in pieces for piece in several)])
    return found[found[:, 0] != found[:, 1]]


def fits(wholes: np.ndarray, parts: np.ndarray, pairs: np.ndarray) -> pd.DataFrame:
    """Of pairs (m, 2) those that correlate when turned, mirrored or not: whole, part, mirrored, angle, correlation."""
    pieces = np.array_split(pairs, 1 + len(pairs) // AT_ONCE)
    turns = in_threads(lambda some: best_turns(wholes[some[:, 0]], parts[some[:, 1]]), pieces)
    correlation, place = (np.concatenate(column) for column in zip(*turns, strict=True))
    table = pd.DataFrame({"whole": pairs[:, 0], "part": pairs[:, 1], "mirrored": place >= ANGLES,
                          "angle": place % ANGLES * (2 * np.pi / ANGLES), "correlation": correlation})
    return table[correlation >= ALIKE]


def best_turns(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each two spectra the highest correlation, float32 (m,), and at which turn; from ANGLES on, mirrored ones."""
    first = first * (_lengths()[:, None] * ANGLES)
    products = [np.einsum("nrf,nrf->nf", first, other) for other in (second.conj(), second)]
    shifts = fft.irfft(np.stack(products, axis=1), n=ANGLES, axis=2).reshape(len(first), 2 * ANGLES)
    place = shifts.argmax(axis=1)
    return shifts[np.arange(len(first)), place], place


def most_alike(pairs: pd.DataFrame) -> pd.DataFrame:
    """Each pair once, as it fits best, if it is `SURE` or among the `PARTNERS` most alike others of either image."""
    ends = np.sort(pairs[["whole", "part"]].to_numpy(np.int64), axis=1)
    pairs = pairs.assign(low=ends[:, 0], high=ends[:, 1])
    pairs = pairs.sort_values(["correlation", "low", "high"], ascending=[False, True, True], kind="stable")
    pairs = pairs.drop_duplicates(["low", "high"], ignore_index=True)
    unsure = pairs[pairs["correlation"] < SURE]
    both = pd.concat([unsure["low"], unsure["high"]]).sort_index(kind="stable")
    rank = both.groupby(both).cumcount().groupby(level=0).min().reindex(pairs.index, fill_value=0)
    return pairs[rank < PARTNERS].drop(columns=["low", "high"]).reset_index(drop=True)
