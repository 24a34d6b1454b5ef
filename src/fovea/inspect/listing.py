"""What lies in a folder: images by `walk` of ingest, label tables and arrays. No image is opened.

Paths here are those of ingest, except that an archive is a folder: `images.zip!/train/a.jpg`.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from fovea.errors import UserError
from fovea.ingest.address import locate
from fovea.ingest.files import UNSUPPORTED, is_image, walk

TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".json", ".jsonl", ".ndjson", ".parquet")
ARRAYS = ".npz"
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
UNREAD = (*UNSUPPORTED, ".raw", ".rar", ".7z")  # what somebody may take for images of the set
ENDS = (*TABLES, ARRAYS, *ARCHIVES, *UNREAD)
INSIDE = re.compile(r"(\.(?:zip|tar|tar\.gz|tgz)!)/", re.IGNORECASE)


def address(path: str) -> str:
    """The path as params.yaml has it: `images.zip!train/a.jpg`. Also of paths in a longer text."""
    return INSIDE.sub(r"\1", path) if "!" in path else path


class Listing:
    """The files of a set in `root`; `tables`, `arrays`, `archives` and `unread` are paths relative to it, sorted."""

    def __init__(self, root: Path, images: Iterable[str], others: Iterable[str], notes: Iterable[str] = ()) -> None:
        self.root, self.notes = root, list(notes)
        self.images = sorted(images)
        files = sorted(others)
        self.unread = [path for path in files if path.lower().endswith(UNREAD)]
        self.tables = [path for path in files if path.lower().endswith(TABLES)]
        self.arrays = [path for path in files if path.lower().endswith(ARRAYS)]
        self.archives = [path for path in files if path.lower().endswith(ARCHIVES)]

    @cached_property
    def there(self) -> set[str]:
        return set(self.images)

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """Images by the last part of their path, with and without extension."""
        found: dict[str, list[str]] = defaultdict(list)
        for path in self.images:
            name = path.rpartition("/")[2]
            found[name].append(path)
            found[name.rpartition(".")[0]].append(path)
        return found

    @cached_property
    def tree(self) -> "Tree":
        return Tree(self.images)


def say_unread(files: list[str]) -> list[str]:
    """A line about the files that Fovea cannot use, if there are any."""
    counts = Counter(os.path.splitext(path)[1].lower() for path in files)
    shown = ", ".join(f"{count} {ending}" for ending, count in counts.most_common())
    return [f"{len(files)} other file{'s' * (len(files) > 1)}: {shown}, which Fovea does not read"] if files else []


class Tree:
    """Folders that hold images. `here` has the images directly in a folder, `below` their number at any depth."""

    def __init__(self, images: Iterable[str]) -> None:
        self.here: dict[str, list[str]] = defaultdict(list)
        self.below: dict[str, int] = defaultdict(int)
        children: dict[str, set[str]] = defaultdict(set)
        for path in images:
            self.here[path.rpartition("/")[0]].append(path)
        for folder, paths in list(self.here.items()):
            self.below[folder] += len(paths)
            while folder:
                above = folder.rpartition("/")[0]
                children[above].add(folder)
                self.below[above] += len(paths)
                folder = above
        self.children = {folder: sorted(names) for folder, names in children.items()}

    def all_below(self, folder: str) -> list[str]:
        """Images at any depth, but not those in archives there, which a source has to name by itself."""
        inside = [child for child in self.children.get(folder, []) if not child.endswith("!")]
        return self.here.get(folder, []) + [path for child in inside for path in self.all_below(child)]


def list_folder(root: Path) -> Listing:
    """Everything below `root` that ingest could use, hidden files left out. Archives are looked into if there are no
    images beside them: these are then most likely what was unpacked from them.
    """
    images = [path for path in walk(root, "") if is_image(path) and is_text(path)]
    others = list(_others(root))
    archives = [path for path in others if path.lower().endswith(ARCHIVES)]
    if archives and images:
        return Listing(root, images, others, [f"{', '.join(archives)}: not opened, because there are images beside it"])
    inside = list_archives(root, archives)
    others += inside.tables + inside.arrays + inside.unread
    return Listing(root, images + inside.images, others, inside.notes)


def list_archives(root: Path, archives: Iterable[str]) -> Listing:
    """What lies in `archives`, paths relative to `root`; they are unpacked into the store, as ingest would."""
    images: list[str] = []
    others: list[str] = []
    notes = []
    for archive in archives:
        try:
            start = f"{archive}!"
            images += [f"{start}/{path.removeprefix(start)}" for path in walk(root, start) if is_image(path)]
            others += [f"{start}/{path}" for path in _others(locate(root, start))]
        except UserError as error:
            notes.append(str(error))
    return Listing(root, images, others, notes)


def _others(root: Path) -> Iterable[str]:
    """Paths of tables, arrays, archives and of `UNREAD` below `root`, relative to it."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(ENDS) and not name.startswith("."):
                path = os.path.relpath(os.path.join(folder, name), root)
                if is_text(path):
                    yield path


def is_text(path: str) -> bool:
    """False for names that are no UTF-8: ingest rejects these."""
    try:
        return path.isascii() or bool(path.encode())
    except UnicodeEncodeError:
        return False
