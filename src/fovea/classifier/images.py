"""The images that `fovea predict` is given: files, folders, patterns, archives, URLs."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fovea.errors import UserError
from fovea.ingest.address import ARCHIVE, locate, path_fault
from fovea.ingest.check import too_heavy
from fovea.ingest.files import is_image, is_unsupported, walk
from fovea.urls import is_url, list_files, read_url, refuse_password


class Image(NamedTuple):
    """The image `address` in the folder `root`; `shown` is what it is called."""

    root: Path
    address: str
    shown: str


def list_images(paths: Iterable[str]) -> list[Image]:
    """The images of all `paths`, each once, those of a folder or archive by name.

    A folder and an archive (.zip, .tar, .tar.gz, .tgz) are searched at any depth; what ends neither of them ends is
    taken for an image whatever its name. Raises UserError if a path is not there, or holds no image.
    """
    found: dict[str, Image] = {}
    for path in paths:
        try:
            images = [image for each in _matches(path) for image in _images_of(each)]
        except OSError as error:
            raise UserError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from None
        if not images:
            raise UserError(f"{path}: holds no image; Fovea reads JPEG, PNG, TIFF, WebP, BMP, GIF and DICOM")
        found |= {image.shown: image for image in images}
    return list(found.values())


def _matches(path: str) -> list[str]:
    if is_url(path):
        return [path]
    path = os.path.expanduser(path)  # no shell does so within quotes
    if os.path.lexists(path):
        return [path]
    if matches := sorted(glob.glob(path, recursive=True)):
        return matches
    raise UserError(f"{path}: no such file or folder")


def _images_of(path: str) -> Iterator[Image]:
    """Whoever names a link means what it leads to."""
    folder, name = os.path.split(os.path.realpath(path))
    if is_url(path):
        yield from _images_at(path)
    elif os.path.isdir(path):
        yield from (Image(Path(path), address, os.path.join(path, address)) for address in sorted(walk(Path(path), "")))
    elif ARCHIVE.search(f"{name}!"):
        under = sorted(walk(Path(folder), f"{name}!"))
        yield from (Image(Path(folder), address, path + address.removeprefix(name)) for address in under)
    else:
        yield Image(Path(folder), name, path)


def _images_at(url: str) -> Iterator[Image]:
    """The image there, by its name, or those below."""
    refuse_password("IMAGES", url)
    if is_image(url):
        yield Image(Path(), url, url)
        return
    list_files([url])
    yield from (Image(Path(), address, address) for address in sorted(walk(Path(), url)))


def read_image(image: Image, max_pixels: int) -> bytes:
    """Its bytes. Raises UserError with the reason if it can't be read, or is larger than `max_pixels` could be."""
    if is_unsupported(image.address):
        raise UserError(f"a format that is not read: {os.path.splitext(image.address)[1].lower()}")
    try:
        if is_url(image.address):
            return read_url(image.address)
        if fault := path_fault(os.path.realpath(image.root), image.address, {}):
            raise UserError(fault)
        path = locate(image.root, image.address)
        if reason := too_heavy(path.stat().st_size, max_pixels):
            raise UserError(reason)
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}") from None
