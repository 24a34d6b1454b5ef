"""Small copies of cached images, as data URIs that need no file beside the page."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from fovea.cache.read import Cache

SIDE = 192     # px, of a small copy: twice what most screens show, for dense ones
AT_ONCE = 64   # images in memory
QUALITY = 80   # of the JPEG; about 7 kB a fundus photograph


@dataclass(frozen=True)
class Picture:
    image: str
    label: str
    uri: str


def data_uri(pixels: np.ndarray, side: int = SIDE, quality: int = QUALITY) -> str:
    """RGB uint8 (size, size, 3) as a JPEG data URI, at most `side` px."""
    if pixels.shape[0] > side:
        pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorspace="RGB")
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode("ascii")


def pictures(cache: Cache, rows: np.ndarray) -> list[Picture]:
    """The cached rows, in the order given."""
    if not len(rows):
        return []
    index = cache.index.iloc[rows]
    pixels = cache.take(rows)
    return [Picture(image, label, data_uri(one))
            for image, label, one in zip(index["image"], index["label"], pixels, strict=True)]


def examples(cache: Cache, label: str, count: int) -> list[Picture]:
    """`count` training images of a class."""
    return pictures(cache, spread(cache.index, label, count))


def spread(index: pd.DataFrame, label: str, count: int) -> np.ndarray:
    """Rows of `count` training images of a class. In the index's order, by digest, even steps are a fair draw."""
    rows = np.flatnonzero((index["split"] == "train") & (index["variant"] == 0) & (index["label"] == label))
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]


def originals(cache: Cache, images: Sequence[str] | pd.Series) -> list[Picture]:
    """The images of these names, in this order."""
    return pictures(cache, original_rows(cache, images))


def originals_pixels(cache: Cache, images: Sequence[str] | pd.Series) -> Iterator[np.ndarray]:
    """uint8 (size, size, 3) of each, in this order: some at a time, for all of a test part can be gigabytes."""
    rows = original_rows(cache, images)
    for first in range(0, len(rows), AT_ONCE):
        yield from cache.take(rows[first : first + AT_ONCE])


def original_rows(cache: Cache, images: Sequence[str] | pd.Series) -> np.ndarray:
    """int64 (n,): the rows of the cache that hold these images as they are."""
    rows = np.flatnonzero(cache.index["variant"] == 0)
    places = pd.Series(rows, index=cache.index["image"].iloc[rows])
    return places.loc[list(images)].to_numpy()
