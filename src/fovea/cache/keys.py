"""What a stored row depends on. Rows are used again only under the same keys, so that a stale one cannot be.

The square of an image depends on less than its variants do: with another seed or strength the squares stay.
"""

import json
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd

from fovea import decode, dicom, seeds
from fovea.cache import circle, crop, field, normalise, picture, render, resize
from fovea.params.augment import AugmentParams
from fovea.store import code_version

SQUARE_CODE = code_version(decode, dicom, circle, crop, field, normalise, picture, resize)
VARIANT_CODE = code_version(render, seeds)
LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pydicom", "simplejpeg", "torch")  # that touch a pixel
COUNTS = {"variants", "balance"}  # how many rows there are, not what is in them
DRAWN = {"seed", "render"}        # what variants alone depend on
KEY_BYTES = 16


def square_settings(params: AugmentParams) -> str:
    """What the squares depend on beside the images, 16 hex digits: the folder of the store."""
    return _hash(params.model_dump(exclude=COUNTS | DRAWN), SQUARE_CODE, *map(_version, LIBRARIES)).hex()


def row_keys(index: pd.DataFrame, params: AugmentParams) -> np.ndarray:
    """A key for each row of an index by its `digest` and `variant`, S16 (n,), unique below `square_settings`."""
    drawn = _hash(params.model_dump(include=DRAWN), VARIANT_CODE).hex()
    keys = [_key(digest, variant, drawn) for digest, variant in zip(index["digest"], index["variant"], strict=True)]
    return np.array(keys, f"S{KEY_BYTES}")


def square_keys(index: pd.DataFrame) -> np.ndarray:
    """The key of the square that each row of an index is, or was made from, S16 (n,)."""
    return np.array([_key(digest, 0, "") for digest in index["digest"]], f"S{KEY_BYTES}")


def shard_key(keys: np.ndarray) -> str:
    """16 hex digits that name the shard of rows with these keys (n,), in this order."""
    return blake2b(keys.tobytes(), digest_size=8).hexdigest()


def _key(digest: str, variant: int, drawn: str) -> bytes:
    text = f"{digest}/{variant}/{drawn}" if variant else digest
    return blake2b(text.encode(), digest_size=KEY_BYTES).digest()


def _hash(*parts: Any) -> bytes:
    return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).digest()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # pydicom is an extra
        return "none"
