"""Label layouts: each reader turns one of `dataset.sources` into entries. docs/layouts.md shows them."""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from fovea.errors import UserError
from fovea.ingest.address import base_name, exists, locate, place_of, split_address
from fovea.ingest.archives import DUPLICATE, unpack
from fovea.ingest.arrays import read_arrays
from fovea.ingest.entry import Entry, blotted
from fovea.ingest.files import beginning, is_image, is_unsupported, walk
from fovea.ingest.label_files import read_lists, read_table
from fovea.params.dataset import AnySource, Arrays, DatasetParams, Folders, LabelFile, Lists, Pattern, Table
from fovea.urls import is_url, list_files

# Level of the folders below `images` that name the class and the given split
LEVELS: dict[bool | str, tuple[int, int | None]] = {False: (0, None), True: (1, 0), "below": (0, 1)}


def read_sources(root: Path, dataset: DatasetParams) -> list[Entry]:
    """Entries of all sources, of images that lie beside them and that no label file names, and of the members of
    their archives that could not be unpacked.

    Raises UserError if a folder or file of a source is missing, or if a label file names no existing image.
    """
    list_files(sorted({folder for source in dataset.sources for folder in _folders(source) if is_url(folder)}))
    entries: list[Entry] = []
    for number, source in enumerate(dataset.sources):
        entries += _read(root, source, f"dataset.sources.{number}", dataset.splits)
    entries += _unlabelled(root, dataset.sources, {entry.image for entry in entries})
    entries = [_unsupported(entry) if is_unsupported(entry.image) else entry for entry in entries]
    entries += _not_unpacked(root, dataset.sources, {entry.image for entry in entries})
    return entries


def _unsupported(entry: Entry) -> Entry:
    return entry._replace(reason=f"unsupported: {posixpath.splitext(entry.image)[1].lower()}")


def _read(root: Path, source: AnySource, key: str, splits: Mapping[str, str] | None) -> Iterable[Entry]:
    if isinstance(source, Arrays):
        return read_arrays(root, source.file, key)
    for folder in _folders(source):
        _require_folder(root, folder, f"{key}.images")
    if isinstance(source, Folders):
        return _read_folders(root, source, key, splits)
    if isinstance(source, Pattern):
        return _read_pattern(root, source)
    entries = read_table(root, source, key) if isinstance(source, Table) else read_lists(root, source, key)
    _require_images(root, source, entries, key)
    return entries


def _folders(source: AnySource) -> list[str]:
    """The folders of images of a source."""
    if isinstance(source, LabelFile):
        return source.folders
    return [] if isinstance(source, Arrays) else [source.images]


def _read_folders(root: Path, source: Folders, key: str, splits: Mapping[str, str] | None) -> list[Entry]:
    of_label, of_split = LEVELS[source.split_folders]
    start = len(beginning(source.images))
    entries = []
    for image in walk(root, source.images):
        folders = image[start:].split("/")[:-1]
        given = folders[of_split] if of_split is not None and of_split < len(folders) else source.split
        if of_label < len(folders):
            spans = [_span(start, folders, level) for level in (of_label, of_split) if level is not None]
            entries.append(Entry(image, folders[of_label], given=given, rest=blotted(image, *spans)))
        else:
            entries.append(Entry(image, None, reason="no label: lies in no class folder"))
    labels = {entry.label for entry in entries if entry.label is not None}
    if not source.split_folders and labels and labels <= set(splits or ()):
        raise UserError(f"{key}.split_folders: the folders {', '.join(sorted(labels))} are named like the parts of "
                        f"dataset.splits, not like classes; set split_folders: true")
    return entries


def _span(start: int, folders: list[str], level: int) -> tuple[int, int]:
    """Where the folder of that level stands in an address whose folders begin at `start`; empty if there is none."""
    first = start + sum(len(folder) + 1 for folder in folders[:level])
    return first, first + len("".join(folders[level : level + 1]))


def _read_pattern(root: Path, source: Pattern) -> Iterator[Entry]:
    for image in walk(root, source.images):
        name = base_name(image)
        match = re.search(source.pattern, name)
        if match and match["label"]:
            start = len(image) - len(name)
            rest = blotted(image, (start + match.start("label"), start + match.end("label")))
            yield Entry(image, match["label"], given=source.split, rest=rest)
        else:
            yield Entry(image, None, given=source.split, reason=f"no label: name does not match {source.pattern}")


def _require_folder(root: Path, folder: str, key: str) -> None:
    if is_url(folder):
        if next(walk(root, folder), None) is None:
            raise UserError(f"{key}: no image lies below {folder}; correct it")
        return
    if locate(root, folder).is_dir():
        return
    archive = split_address(folder)[0]
    if archive and (root / archive[:-1]).is_file():
        place = place_of(root, archive)
        there = sorted(item.name for item in Path(place.folder).iterdir() if item.is_dir())
        found = f"{archive} has the folders {', '.join(there)}" if there else f"{archive} has no folders"
    elif (root / folder).is_file():
        found = f"it is a file; the folder in an archive is written {posixpath.normpath(folder)}!"
    else:
        there = sorted(item.name for item in root.iterdir() if item.is_dir())
        found = f"{root} has the folders {', '.join(there)}" if there else f'{root} has no folders, "" names itself'
    raise UserError(f"{key}: {root / folder} is not a folder; {found}")


def _require_images(root: Path, source: Table | Lists, entries: list[Entry], key: str) -> None:
    if any(exists(root, entry.image) for entry in entries if "\0" not in entry.image):
        return
    file = source.file if isinstance(source, Table) else source.names
    first = entries[0].image if entries else "nothing"
    images = (image for folder in source.folders for image in walk(root, folder) if is_image(image))
    there = min(images, default="no image")
    raise UserError(f"{key}: {root / file} names no image that exists (first: {first}; the folder holds {there}); "
                    f"correct {key}.images or {key}.extension")


def _unlabelled(root: Path, sources: Iterable[AnySource], named: set[str]) -> list[Entry]:
    folders = {folder for source in sources if isinstance(source, LabelFile) for folder in source.folders}
    images = {image for folder in folders for image in walk(root, folder)} - named
    return [Entry(image, None, reason="no label: no label file names it") for image in images]


def _not_unpacked(root: Path, sources: Iterable[AnySource], named: set[str]) -> Iterator[Entry]:
    """Members of the archives in use that are not in the store; those that a label file names have an entry."""
    paths = {str(value) for source in sources for key, value in source if key in ("file", "names", "labels")}
    paths.update(folder for source in sources for folder in _folders(source))
    for archive in sorted({place_of(root, path).archive for path in paths} - {""}):
        for name, reason in unpack(root / archive[:-1]).faults:
            if archive + name not in named or reason.startswith(DUPLICATE):
                yield Entry(archive + name, None, reason=reason)
