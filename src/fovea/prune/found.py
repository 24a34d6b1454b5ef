"""What lies in the store, thing by thing: what it is, and which revisions need it."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fovea.store import LOCK


class Found(NamedTuple):
    """`paths` are files and folders that are kept for revisions of these names, or freed if there are none."""

    place: str  # in the store
    what: str
    paths: list[Path]
    needed_by: list[str]
    note: str = ""


def contents(folder: Path) -> list[Path]:
    """What lies in a folder of the store beside its lock."""
    return sorted(path for path in folder.iterdir() if path.name != LOCK)


class Size(NamedTuple):
    """Bytes of the blocks on the disk. Those of a file that has another name elsewhere stay there if it goes here."""

    own: int
    shared: int

    def __add__(self, other: object) -> "Size":
        return Size(self.own + other.own, self.shared + other.shared) if isinstance(other, Size) else NotImplemented


def size_of(paths: Iterable[Path]) -> Size:
    own = shared = 0
    for status in (path.lstat() for path in _files(paths)):
        if status.st_nlink > 1:
            shared += status.st_blocks * 512
        else:
            own += status.st_blocks * 512
    return Size(own, shared)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            for folder, _, names in os.walk(path):
                yield from (Path(folder, name) for name in names)
        else:
            yield path
