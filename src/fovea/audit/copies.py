"""Which images of a set show the same picture: identical files, identical pixels, and near-duplicates."""

import os
from functools import lru_cache
from multiprocessing.pool import ThreadPool
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fovea.audit.candidates import propose
from fovea.audit.compared import Compared, Key
from fovea.audit.pixels import COARSE, COPY, Fit, likeness, same_pixels, small_copy
from fovea.errors import UserError
from fovea.progress import track
from fovea.raw import RawFiles, digest

LARGEST_GROUP = 10    # images; a larger one is a chain or a template, reported and not used
HELD = 4096           # small copies in memory, 64 MiB
COMPARED_AT_ONCE = 512
IDENTICAL, SAME_PIXELS, NEAR = KINDS = ("identical files", "identical pixels", "near")


def find_copies(manifest: pd.DataFrame, raw: Path, workers: int, store: Path) -> pd.DataFrame:
    """Pairs of images that show the same picture: columns first, second (positions in `manifest`), kind (of `KINDS`).

    Of each content one image stands for those with identical files, which are paired with it. Only pairs that
    `propose` finds alike are read from `raw` and compared, with `workers` threads (0: one per core), unless `store`
    knows them. Images with a side below 64 px show too little detail: of these only identical files are found.
    Raises UserError if an image is missing or was changed since ingest.
    """
    first = manifest.groupby("digest")["image"].transform("idxmin").to_numpy()
    again = np.flatnonzero(first != np.arange(len(manifest)))
    identical = pd.DataFrame({"first": first[again], "second": again, "kind": IDENTICAL})
    large = (manifest[["width", "height"]].min(axis=1) >= COARSE).to_numpy()
    ones = np.flatnonzero(large & (first == np.arange(len(manifest))))
    if len(ones) < 2:
        return identical
    fingerprints = np.frombuffer(b"".join(manifest["fingerprint"].iloc[ones]), np.uint8)
    side = int(np.sqrt(len(fingerprints) // len(ones)))
    found = propose(fingerprints.reshape(len(ones), side, side))
    found[["whole", "part"]] = ones[found[["whole", "part"]].to_numpy(np.int64)]
    with Compared(store) as compared:
        results = _compare(found, manifest, raw, workers, compared)
    ends = found[["whole", "part"]].to_numpy(np.int64).tolist()
    alike = [(*pair, SAME_PIXELS if same else NEAR)
             for pair, (score, same) in zip(ends, results, strict=True) if score >= COPY]
    return pd.concat([identical, pd.DataFrame(alike, columns=["first", "second", "kind"])], ignore_index=True)


def _compare(
    found: pd.DataFrame, manifest: pd.DataFrame, raw: Path, workers: int, compared: Compared
) -> list[tuple[float, bool]]:
    """Likeness of each candidate, and whether its pixels are the same; from the store where it knows them."""
    digests, images = manifest["digest"].to_numpy(), manifest["image"].to_numpy()
    sides = manifest[["width", "height"]].to_numpy()
    columns = (found[name].tolist() for name in ("whole", "part", "zoom", "mirrored", "angle"))
    pairs = [(whole, part, Fit(*fit)) for whole, part, *fit in zip(*columns, strict=True)]
    keys: list[Key] = [(digests[whole], digests[part], f"{fit.zoom} {fit.mirrored:d} {fit.angle:.3f}")
                       for whole, part, fit in pairs]
    results = {key: compared.recall(key) for key in keys}
    missing = sorted((pair, key) for pair, key in zip(pairs, keys, strict=True) if results[key] is None)
    if not missing:
        return [results[key] or (0.0, False) for key in keys]

    with RawFiles(raw) as files:

        def content(position: int) -> bytes | np.ndarray:
            data = files.read(images[position])
            if digest(data) != digests[position]:
                raise UserError(f"{raw / images[position]}: changed since ingest; run dvc repro")
            return data

        @lru_cache(HELD)
        def copy(position: int) -> np.ndarray:
            return small_copy(content(position))

        def compare(job: tuple[tuple[int, int, Fit], Key]) -> tuple[Key, tuple[float, bool]]:
            (whole, part, fit), key = job
            score = likeness(copy(whole), copy(part), fit)
            equal_sides = bool((sides[whole] == sides[part]).all())
            return key, (score, score >= COPY and equal_sides and same_pixels(content(whole), content(part)))

        cv2.setNumThreads(1)  # the pool's threads take every core
        with ThreadPool(workers or os.cpu_count()) as pool:
            done = list(track(pool.imap(compare, missing, chunksize=16), "comparing", len(missing), unit="pairs"))
    compared.remember(done)
    results.update(done)
    return [results[key] or (0.0, False) for key in keys]


def group_copies(manifest: pd.DataFrame, pairs: pd.DataFrame) -> tuple[np.ndarray, list[list[int]]]:
    """Which images belong together: (n,) object, the name of the group or None, and the groups that are too large.

    Near-duplicates link images in groups of at most `LARGEST_GROUP`; in larger ones only identical pixels count. The
    name is the smallest digest among its images. Too large groups are lists of positions.
    """
    certain = pairs[pairs["kind"] != NEAR]
    every, sure = (_components(len(manifest), some) for some in (pairs, certain))
    sizes = np.bincount(every)
    too_large = np.flatnonzero(sizes > LARGEST_GROUP)
    used = np.where(np.isin(every, too_large), sure + len(manifest), every)
    digests = manifest["digest"].astype(object).reset_index(drop=True)
    names = digests.groupby(used).transform("min").to_numpy(copy=True)
    names[pd.Series(used).groupby(used).transform("size") == 1] = None
    near = [np.flatnonzero(every == number).tolist() for number in too_large]
    return names, [group for group in near if len(set(sure[group])) > 1]


def _components(count: int, pairs: pd.DataFrame) -> np.ndarray:
    ends = (pairs["first"].to_numpy(np.int64), pairs["second"].to_numpy(np.int64))
    graph = coo_array((np.ones(len(pairs)), ends), shape=(count, count))
    components: np.ndarray = connected_components(graph, directed=False)[1]
    return components
