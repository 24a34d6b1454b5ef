"""How images were made, kept and named, as columns of small integers: what a label might be read from without looking."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

BINS = (4, 16)     # of a number, with about equally many images each
FOLDERS, TOKENS = 3, 4  # levels of folders, and words and numbers of a file name, that are looked at, from the left
TOKEN = re.compile(r"[^\W\d_]+|\d+")
ALIKE = 0.95       # share of images stored in one way from which bytes per pixel tell of the picture, not of storage

Levels = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Feature:
    """One thing known of every image, in levels from coarse to fine.

    Each level is int64 (n,) from 0: images with the same number are alike in it. `kind` is what a model has to do with
    it: "picture" (it shows in the pixels), "storage" (it may), "detail" (it is the picture), "name" (no model sees it).
    """

    name: str
    kind: str
    levels: Levels


def features(manifest: pd.DataFrame) -> list[Feature]:
    """All features in which images of `manifest` differ. A missing camera, compression or number is a value too."""
    width, height = manifest["width"].astype(float), manifest["height"].astype(float)
    found = {
        "image size": ("picture", _of_number(width * height) + _of_word(width * 2**26 + height)),
        "width": ("picture", _of_number(width) + _of_word(width)),
        "height": ("picture", _of_number(height) + _of_word(height)),
        "aspect ratio": ("picture", _of_number(width / height) + _of_word((width / height).round(4))),
        "file format": ("picture", _of_word(manifest["format"])),
        "compression": ("picture", _of_word(manifest["compression"])),
        "camera": ("picture", _of_word(manifest["camera"])),
        "bytes per pixel": ("detail" if stored_alike(manifest) else "storage",
                            _of_number(manifest["bytes"] / (width * height))),
        **{name: ("name", levels) for name, levels in _of_addresses(manifest["rest"]).items()},
    }  # fmt: skip
    return [Feature(name, kind, levels) for name, (kind, levels) in found.items() if np.ptp(levels[-1])]


def stored_alike(manifest: pd.DataFrame) -> bool:
    """Whether all but a few files have the same format and compression, so that their bytes differ by the picture."""
    ways = manifest["format"].astype(object) + ";" + manifest["compression"].astype(object).fillna("")
    return bool(ways.value_counts(normalize=True).iloc[0] >= ALIKE)


def _of_word(values: pd.Series) -> Levels:
    """The number of each value in sorted order, 0 for a missing one."""
    return (pd.factorize(values, sort=True)[0].astype(np.int64) + 1,)


def _of_number(values: pd.Series) -> Levels:
    """Bins between quantiles, 0 for a missing number. A frequent number is a quantile, and these are bins too."""
    numbers = values.to_numpy(float)
    known = numbers[~np.isnan(numbers)]
    levels = []
    for bins in BINS if len(known) else ():
        edges = np.unique(np.quantile(known, np.arange(1, bins) / bins))
        place = sum(np.searchsorted(edges, numbers, side=side) for side in ("left", "right"))
        levels.append(np.where(np.isnan(numbers), 0, 1 + place))
    return tuple(levels) or (np.zeros(len(numbers), dtype=np.int64),)


def _of_addresses(rest: pd.Series) -> dict[str, Levels]:
    """Folders, words, numbers, length and extension of what the layout left over of each address."""
    paths = [re.split(r"[/!]", address) for address in rest]
    stems, extensions = zip(*(_parted(path[-1]) for path in paths), strict=True)
    tokens = [TOKEN.findall(stem) for stem in stems]
    words = [[token for token in some if not token.isdecimal()] for some in tokens]
    numbers = [[token for token in some if token.isdecimal()] for some in tokens]
    found = {f"folder {place + 1}": _of_word(_nth([path[:-1] for path in paths], place)) for place in range(FOLDERS)}
    for place in range(TOKENS):
        found[f"word {place + 1} of the file name"] = _of_word(_nth(words, place))
        found[f"number {place + 1} of the file name"] = _of_number(_nth(numbers, place).astype(float))
    found["length of the file name"] = _of_number(pd.Series([float(len(stem)) for stem in stems]))
    found["extension of the file name"] = _of_word(pd.Series(extensions, dtype=object))
    return found


def _parted(name: str) -> tuple[str, str]:
    stem, dot, extension = name.rpartition(".")
    return (stem, extension.lower()) if dot else (name, "")


def _nth(lists: Sequence[Sequence[str]], place: int) -> pd.Series:
    return pd.Series([some[place] if place < len(some) else None for some in lists], dtype=object)
