"""Which images of a set show the same picture: identical files, identical pixels, and near-duplicates."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fovea.audit.candidates import propose
from fovea.audit.compared import Compared, Key
from fovea.audit.pixels import COARSE, COPIED, Fit, likeness, shown, small_copy
from fovea.progress import track
from fovea.raw import Content, RawFiles, digest

LARGEST_GROUP = 10         # different contents; a larger group is a chain or a template, reported and not used
HELD = 4096                # small copies in memory, 64 MiB
REMEMBERED_AT_ONCE = 512   # comparisons; a killed run repeats no more than these
IDENTICAL, SAME_PIXELS, NEAR = KINDS = ("identical files", "identical pixels", "near")
Item = TypeVar("Item")
Result = TypeVar("Result")


def find_copies(manifest: pd.DataFrame, raw: Path, workers: int, store: Path) -> pd.DataFrame:
    """Pairs of images that show the same picture: columns first, second (positions in `manifest`), kind (of `KINDS`).

    Of each content one image stands for those with identical files, which are paired with it. Others are read from
    `raw` only if their fingerprints are equal or `propose` finds them alike, with `workers` threads (0: one per core),
    and not if `store` knows the answer. Images with a side below 64 px show too little detail to be near-duplicates.
    Raises UserError if an image is missing or was changed since ingest.
    """
    manifest = manifest.reset_index(drop=True)
    first = manifest.groupby("digest")["image"].transform("idxmin").to_numpy()
    again = np.flatnonzero(first != np.arange(len(manifest)))
    ones = np.flatnonzero(first == np.arange(len(manifest)))
    with Compared(store) as compared, Contents(manifest, raw, workers) as contents:
        same = _same_pixels(manifest, ones, contents, compared)
        near = _near(manifest, ones, contents, compared)
    pairs = [(first[again], again, IDENTICAL), (*same.T, SAME_PIXELS), *((*some.T, kind) for some, kind in near)]
    return pd.concat([pd.DataFrame({"first": one, "second": other, "kind": kind}) for one, other, kind in pairs],
                     ignore_index=True)


class Contents:
    """The images of a set by their position in the manifest; a context manager. Threads may read at once."""

    def __init__(self, manifest: pd.DataFrame, raw: Path, workers: int) -> None:
        self.digests, self._images = manifest["digest"].to_numpy(), manifest["image"].to_numpy()
        self._workers = workers or os.cpu_count()
        self._files = RawFiles(raw)
        self.small = lru_cache(HELD)(lambda position: small_copy(self.read(position)))

    def __enter__(self) -> "Contents":
        return self

    def __exit__(self, *error: object) -> None:
        self._files.__exit__(*error)

    def read(self, position: int) -> Content:
        """Raises UserError if the file is missing or is not the one that the manifest describes."""
        content = self._files.read(self._images[position])
        if digest(content) != self.digests[position]:
            raise self._files.changed(self._images[position])
        return content

    def each(self, function: Callable[[Item], Result], items: Sequence[Item], unit: str) -> Iterator[list[Result]]:
        """`function` of each item, in pieces as they come, with progress."""
        cv2.setNumThreads(1)  # the pool's threads take every core
        piece: list[Result] = []
        with ThreadPool(self._workers) as pool:
            for result in track(pool.imap(function, items, chunksize=16), "comparing", len(items), unit=unit):
                piece.append(result)
                if len(piece) == REMEMBERED_AT_ONCE:
                    yield piece
                    piece = []
        yield piece


def _same_pixels(manifest: pd.DataFrame, ones: np.ndarray, contents: Contents, compared: Compared) -> np.ndarray:
    """int64 (m, 2): pairs with the same pixels in different files; such have the same sides and fingerprint."""
    alike = manifest.iloc[ones].groupby(["width", "height", "fingerprint"])["image"].transform("size") > 1
    positions = ones[alike.to_numpy()]
    found = pd.Series(_shown(positions.tolist(), contents, compared), index=positions, dtype=object)
    first = found.index.to_series().groupby(found).transform("min").to_numpy() if len(found) else positions
    return np.column_stack([first, positions])[first != positions].astype(np.int64)


def _shown(positions: Sequence[int], contents: Contents, compared: Compared) -> list[str]:
    """Digest of the pixels of each image."""
    known = {position: compared.shown(contents.digests[position]) for position in positions}
    missing = [position for position, pixels in known.items() if pixels is None]
    for piece in contents.each(lambda position: (position, shown(contents.read(position))), missing, "images"):
        compared.remember_shown((contents.digests[position], pixels) for position, pixels in piece)
        known.update(piece)
    return [str(known[position]) for position in positions]


def _near(
    manifest: pd.DataFrame, ones: np.ndarray, contents: Contents, compared: Compared
) -> Iterable[tuple[np.ndarray, str]]:
    """Pairs int64 (m, 2) of different contents that show one picture, and their kind."""
    ones = ones[(manifest[["width", "height"]].min(axis=1) >= COARSE).to_numpy()[ones]]
    if len(ones) < 2:
        return []
    prints = np.stack([np.frombuffer(data, np.uint8) for data in manifest["fingerprint"].iloc[ones]])
    found = propose(prints.reshape(len(ones), -1, round(prints.shape[1] ** 0.5)))
    found[["whole", "part"]] = ones[found[["whole", "part"]].to_numpy(np.int64)]
    pairs = found.loc[_likeness(found, contents, compared) >= COPIED, ["whole", "part"]].to_numpy(np.int64)
    sides = manifest[["width", "height"]].to_numpy()
    exact = (sides[pairs[:, 0]] == sides[pairs[:, 1]]).all(axis=1)
    pixels = [_shown(end.tolist(), contents, compared) for end in pairs[exact].T]
    exact[exact] = [one == other for one, other in zip(*pixels, strict=True)]
    return [(pairs[exact], SAME_PIXELS), (pairs[~exact], NEAR)]


def _likeness(found: pd.DataFrame, contents: Contents, compared: Compared) -> np.ndarray:
    """float64 (n,): of each candidate; from the store where it knows them."""
    columns = (found[name].tolist() for name in ("whole", "part", "zoom", "mirrored", "angle"))
    pairs = [(whole, part, Fit(*fit)) for whole, part, *fit in zip(*columns, strict=True)]
    keys = [_key(pair, contents) for pair in pairs]
    known = {key: compared.likeness(key) for key in keys}

    def compare(pair: tuple[int, int, Fit]) -> tuple[Key, float]:
        whole, part, fit = pair
        return _key(pair, contents), likeness(contents.small(whole), contents.small(part), fit)

    missing = sorted(pair for pair, key in zip(pairs, keys, strict=True) if known[key] is None)
    for piece in contents.each(compare, missing, "pairs"):
        compared.remember_likeness(piece)
        known.update(piece)
    return np.array([known[key] for key in keys], dtype=float)


def _key(pair: tuple[int, int, Fit], contents: Contents) -> Key:
    whole, part, fit = pair
    return contents.digests[whole], contents.digests[part], f"{fit.zoom} {fit.mirrored:d} {fit.angle:.3f}"


def group_copies(manifest: pd.DataFrame, pairs: pd.DataFrame) -> tuple[np.ndarray, list[list[int]]]:
    """Which images belong together: (n,) object, the name of the group or None, and the groups that are too large.

    Near-duplicates link images in groups of at most `LARGEST_GROUP` different pictures; in larger ones only identical
    files and pixels count. The name is the smallest digest among its images. Too large groups are lists of positions.
    """
    certain = pairs[pairs["kind"] != NEAR]
    every, sure = (_components(len(manifest), some) for some in (pairs, certain))
    pictures = pd.Series(sure).groupby(every).nunique()
    too_large = pictures.index[pictures > LARGEST_GROUP].to_numpy()
    used = np.where(np.isin(every, too_large), sure + len(manifest), every)
    digests = manifest["digest"].astype(object).reset_index(drop=True)
    names = digests.groupby(used).transform("min").to_numpy(copy=True)
    names[pd.Series(used).groupby(used).transform("size") == 1] = None
    return names, [np.flatnonzero(every == number).tolist() for number in too_large]


def _components(count: int, pairs: pd.DataFrame) -> np.ndarray:
    ends = (pairs["first"].to_numpy(np.int64), pairs["second"].to_numpy(np.int64))
    graph = coo_array((np.ones(len(pairs)), ends), shape=(count, count))
    components: np.ndarray = connected_components(graph, directed=False)[1]
    return components
