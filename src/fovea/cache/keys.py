"""What a stored row depends on. Rows are used again only under the same keys, so that a stale one cannot be.

The square of an image depends on less than its variants do: with another seed or strength the squares stay.
"""

from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fovea import decode, dicom, seeds
from fovea.cache import circle, crop, field, normalise, picture, render, resize
from fovea.files import write_json
from fovea.params.augment import AugmentParams, SquareParams
from fovea.store import code_of, library_version, origin_key

SQUARE_CODE = code_of(decode, dicom, circle, crop, field, normalise, picture, resize)
VARIANT_CODE = code_of(render, seeds)
LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pydicom", "simplejpeg", "torch")  # that touch a pixel
DRAWN = {"seed", "render"}  # what variants alone depend on; the rest says how many there are
KEY_BYTES = 16


def square_params(params: AugmentParams) -> dict[str, Any]:
    """The values of `SquareParams` alone."""
    return params.model_dump(mode="json", include=set(SquareParams.model_fields))


def square_origin(params: AugmentParams) -> dict[str, Any]:
    """What the squares depend on beside the images."""
    libraries = {name: library_version(name) for name in LIBRARIES}
    return {"params": square_params(params), "code": SQUARE_CODE,
            "libraries": libraries}


def variant_origin(params: AugmentParams) -> dict[str, Any]:
    """What the variants depend on beside their squares."""
    return {"params": params.model_dump(mode="json", include=DRAWN), "code": VARIANT_CODE}


def square_settings(params: AugmentParams) -> str:
    """The folder of the store: the key of `square_origin`."""
    return origin_key(square_origin(params))


def variant_settings(params: AugmentParams) -> str:
    """The key of `variant_origin`."""
    return origin_key(variant_origin(params))


def write_origins(folder: Path, params: AugmentParams) -> None:
    """Leave beside the rows what they are made from."""
    write_json(folder / "squares.json", square_origin(params))
    write_json(folder / f"variants-{variant_settings(params)}.json", variant_origin(params))


def row_keys(index: pd.DataFrame, drawn: str) -> np.ndarray:
    """A key for each row of an index by its `digest` and `variant`, S16 (n,), unique below `square_settings`.

    `drawn` is the `variant_settings`.
    """
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

