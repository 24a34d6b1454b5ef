"""Images as arrays of one `.npz` file, as MedMNIST publishes them: `<split>_images` and `<split>_labels`."""

import zipfile
from pathlib import Path

import numpy as np

from fovea.errors import UserError, one_line
from fovea.ingest.address import locate
from fovea.ingest.entry import Entry
from fovea.ingest.members import plausible_size

IMAGES, LABELS = "_images", "_labels"


def read_arrays(root: Path, file: str, key: str) -> list[Entry]:
    """Entries `<file>!<split>/<position>`. Holds one part's images in memory at a time.

    Raises UserError if the file is missing or no `.npz`, or if its arrays do not fit together.
    """
    packed, path = locate(root, file), root / file
    if not packed.is_file():
        raise UserError(f"{key}.file: {path} does not exist; put the .npz there or correct the name")
    try:
        with zipfile.ZipFile(packed) as members:
            if sum(member.file_size for member in members.infolist()) > plausible_size(packed):
                raise ValueError("it unpacks to so much that it looks like a decompression bomb")
        with np.load(packed, allow_pickle=False) as arrays:
            parts = [name.removesuffix(IMAGES) for name in arrays if name.endswith(IMAGES)]
            if not parts:
                names = " ".join(", ".join(arrays).split())[:300] or "nothing"
                raise UserError(f"{key}.file: {path} holds no <split>{IMAGES}, only {names}")
            return [entry for part in parts for entry in _read_part(arrays, file, part, f"{key}.file: {path}")]
    except UserError:
        raise
    except Exception as error:  # numpy and zipfile raise whatever they like for damaged bytes; MemoryError among them
        raise UserError(f"{key}.file: {path} cannot be read as .npz ({one_line(error)}); fetch it again") from None


def _read_part(arrays: "np.lib.npyio.NpzFile", file: str, part: str, where: str) -> list[Entry]:
    if part + LABELS not in arrays:
        raise UserError(f"{where} holds {part}{IMAGES} but no {part}{LABELS}")
    images, labels = arrays[part + IMAGES], arrays[part + LABELS]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise UserError(f"{where}: {part}{IMAGES} is {images.dtype} {images.shape}, must be uint8 (n, h, w[, 1 or 3])")
    if labels.size != len(images):
        raise UserError(f"{where}: {part}{LABELS} {labels.shape} must hold one label for each of {len(images)} images")
    return [
        Entry(f"{file}!{part}/{position}", _label(label), given=part)
        for position, label in enumerate(labels.reshape(-1).tolist())
    ]


def _label(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
