"""Files of an image set: which there are, and whether a path is one of them."""

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif")
LEADS_OUT = "leads out of the set's folder"
# With `cache.type: symlink` DVC turns each file of a set into a link to its own store: those are part of the set.
DVC_STORE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")


def join(folder: str, name: str) -> str:
    """Address of `name` in `folder`, both relative to the set's folder, without `.` and `..` where possible."""
    return posixpath.normpath(posixpath.join(folder, name))


def walk(root: Path, folder: str) -> Iterator[str]:
    """Addresses of the images below `folder` by their extension, hidden files left out, in no particular order.

    Links to folders are followed inside the set; one that leads out is not, its own address is yielded instead.
    """
    yield from _walk(os.path.realpath(root), "" if folder in ("", ".") else posixpath.normpath(folder), frozenset())


def _walk(root: str, folder: str, above: frozenset[str]) -> Iterator[str]:
    real = os.path.realpath(os.path.join(root, folder))
    if real in above:  # a link to a folder above itself would never end
        return
    with os.scandir(real) as items:
        for item in items:
            address = posixpath.join(folder, item.name)
            if item.name.startswith("."):
                continue
            if item.is_dir():
                if item.is_symlink() and not _inside(root, address):
                    yield address
                else:
                    yield from _walk(root, address, above | {real})
            elif item.name.lower().endswith(IMAGE_SUFFIXES):
                yield address


def path_fault(root: str, address: str) -> str | None:
    """Why `address` is not a file of the set in `root` (a real path), None if it is one. Reads no file."""
    if not _is_text(address):
        return "its name is not UTF-8 text"
    if posixpath.isabs(address) or address.split("/", 1)[0] == "..":
        return LEADS_OUT
    path = os.path.join(root, address)
    if not os.path.lexists(path):
        return "no such file"
    if not _inside(root, address):
        return f"symbolic link that {LEADS_OUT}"
    if not os.path.exists(path):
        return "symbolic link to nothing"
    return None if os.path.isfile(path) else "not a file"


def _is_text(address: str) -> bool:
    try:
        return b"\0" not in address.encode()
    except UnicodeEncodeError:  # bytes of a file name that are no UTF-8, as the system hands them over
        return False


def _inside(root: str, address: str) -> bool:
    real = os.path.realpath(os.path.join(root, address))
    return real == root or real.startswith(root + os.sep) or DVC_STORE.search(real) is not None
