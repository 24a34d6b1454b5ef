"""`.npz` files with <split>_images, by the headers of their arrays."""

import zipfile

import numpy as np

from fovea.ingest.address import locate
from fovea.ingest.arrays import IMAGES
from fovea.inspect.listing import Listing, address
from fovea.inspect.reading import Option, Reading


def read_arrays_names(listing: Listing) -> list[Option]:
    """One option for each `.npz` that holds images; their pixels are read when ingest's reader confirms it."""
    found: list[Option] = []
    for file in listing.arrays:
        if parts := _parts(listing, file):
            source = {"layout": "arrays", "file": file, "split": None}
            why = f"its arrays {', '.join(part + IMAGES for part in parts)}, with as many labels"
            images = (f"{file}!{part}/{position}" for part, count in parts.items() for position in range(count))
            found.append([Reading(source, f"arrays {file}", why, frozenset(images))])
    return found


def _parts(listing: Listing, file: str) -> dict[str, int]:
    """Number of images by part, {} if the file is no `.npz` of images."""
    end = f"{IMAGES}.npy"
    try:
        with zipfile.ZipFile(locate(listing.root, address(file))) as archive:
            return {name.removesuffix(end): _length(archive, name) for name in archive.namelist() if name.endswith(end)}
    except (OSError, ValueError, zipfile.BadZipFile):
        return {}


def _length(archive: zipfile.ZipFile, name: str) -> int:
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return int(read(member)[0][0])
