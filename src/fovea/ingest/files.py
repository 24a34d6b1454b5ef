"""Files of an image set: which there are."""

import os
import posixpath
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from fovea.ingest.address import inside, place_of, split_address
from fovea.urls import is_url, names_in, walk_url

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".dcm",
                  ".dicom")  # fmt: skip
UNSUPPORTED = (".heic", ".heif", ".jp2", ".j2k", ".avif", ".nef", ".cr2", ".arw", ".dng", ".psd", ".svg", ".pdf")


def walk(root: Path, folder: str) -> Iterator[str]:
    """Addresses of the images below `folder` by their extension, hidden files left out, in no particular order; with
    those of `UNSUPPORTED`, so that no picture vanishes without a reason.

    Links to folders are followed inside the set; one that leads out is not, its own address is yielded instead.
    """
    if is_url(folder):
        yield from (address for address in walk_url(folder) if is_image(address) or is_unsupported(address))
        return
    place = place_of(root, folder)
    top = "" if place.name in ("", ".") else posixpath.normpath(place.name)
    for name in _walk(os.path.realpath(place.folder), top):
        yield place.archive + name


def _walk(root: str, top: str) -> Iterator[str]:
    open_folders: list[tuple[str, frozenset[str]]] = [(top, frozenset())]
    while open_folders:
        folder, above = open_folders.pop()
        real = os.path.realpath(os.path.join(root, folder))
        if real in above:  # a link to a folder above itself would never end
            continue
        start = f"{folder}/" if folder else ""
        with os.scandir(real) as items:
            for item in items:
                name = start + item.name
                if item.name.startswith("."):
                    continue
                if _is_folder(item):
                    if item.is_symlink() and not inside(root, name):
                        yield name
                    else:
                        open_folders.append((name, above | {real}))
                elif is_image(item.name) or is_unsupported(item.name):
                    yield name


def _is_folder(item: "os.DirEntry[str]") -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link to itself
        return False


def _names_on_disk(root: Path, folder: str) -> list[str]:
    place = place_of(root, folder)
    real = os.path.realpath(place.folder)
    try:
        if not inside(real, place.name):
            return []
        with os.scandir(os.path.join(real, place.name)) as items:
            return sorted(item.name for item in items if not item.name.startswith(".") and not _is_folder(item))
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return []


def is_image(name: str) -> bool:
    """Whether a file is an image by its extension."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_unsupported(name: str) -> bool:
    """Whether a file is, by its extension, a picture that Fovea does not read."""
    return name.lower().endswith(UNSUPPORTED)


def beginning(folder: str) -> str:
    """What the addresses of all images in `walk(folder)` begin with."""
    if is_url(folder):
        return folder.rstrip("/") + "/"
    archive, inner = split_address(folder)
    top = posixpath.normpath(inner)
    return archive if top == "." else f"{archive}{top}/"


def by_stem(root: Path, folder: str) -> dict[str, list[str]]:
    """Names of the files in `folder` (not below it) by their name with and without extension, from one listing.

    Of several files with one stem the images count, if there are any. A folder that is not there, or not in the set,
    has none.
    """
    names = names_in(folder) if is_url(folder) else _names_on_disk(root, folder)
    stems: dict[str, list[str]] = defaultdict(list)
    for name in names:
        stems[posixpath.splitext(name)[0]].append(name)
    for stem, found in stems.items():
        if len(found) > 1:
            stems[stem] = [name for name in found if is_image(name)] or found
    return stems | {name: [name] for name in names}
