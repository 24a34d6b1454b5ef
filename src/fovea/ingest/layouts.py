"""Label layouts: each reader turns one of `dataset.sources` into entries. docs/layouts.md shows them."""

import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fovea.errors import UserError
from fovea.ingest.arrays import read_arrays
from fovea.ingest.entry import Entry
from fovea.ingest.files import join, walk
from fovea.ingest.tables import read_rows
from fovea.params.dataset import AnySource, Arrays, DatasetParams, Folders, Lists, Pattern, Table


def read_sources(root: Path, dataset: DatasetParams) -> list[Entry]:
    """Entries of all sources, and of images that lie beside them and that no label file names.

    Raises UserError if a folder or file of a source is missing, or if a label file names no existing image.
    """
    entries: list[Entry] = []
    for number, source in enumerate(dataset.sources):
        entries += _read(root, source, f"dataset.sources.{number}", dataset.splits)
    return entries + _unlabelled(root, dataset.sources, {entry.image for entry in entries})


def _read(root: Path, source: AnySource, key: str, splits: Mapping[str, str] | None) -> Iterable[Entry]:
    if isinstance(source, Arrays):
        return read_arrays(root, source.file, key)
    _require_folder(root, source.images, f"{key}.images")
    if isinstance(source, Folders):
        return _read_folders(root, source, key, splits)
    if isinstance(source, Pattern):
        return _read_pattern(root, source)
    entries = _read_table(root, source, key) if isinstance(source, Table) else _read_lists(root, source, key)
    _require_images(root, source, entries, key)
    return entries


def _read_folders(root: Path, source: Folders, key: str, splits: Mapping[str, str] | None) -> list[Entry]:
    levels = 2 if source.split_folders else 1
    entries = []
    for image in walk(root, source.images):
        folders = posixpath.relpath(image, source.images or ".").split("/")[:-1]
        given = folders[0] if source.split_folders and folders else source.split
        if len(folders) < levels:
            entries.append(Entry(image, None, reason="no label: lies in no class folder"))
        else:
            entries.append(Entry(image, folders[levels - 1], given=given))
    labels = {entry.label for entry in entries if entry.label is not None}
    if not source.split_folders and labels and labels <= set(splits or ()):
        raise UserError(f"{key}.split_folders: the folders {', '.join(sorted(labels))} are named like the parts of "
                        f"dataset.splits, not like classes; set split_folders: true")
    return entries


def _read_pattern(root: Path, source: Pattern) -> list[Entry]:
    entries = []
    for image in walk(root, source.images):
        match = re.search(source.pattern, posixpath.basename(image))
        reason = None if match else f"no label: name does not match {source.pattern}"
        entries.append(Entry(image, match["label"] if match else None, given=source.split, reason=reason))
    return entries


def _read_table(root: Path, source: Table, key: str) -> list[Entry]:
    path = root / source.file
    rows = [(line, cells) for line, cells in read_rows(path, f"{key}.file") if cells]
    header = rows.pop(0)[1] if source.header else None
    width = len(header or rows[0][1])

    def column(setting: str, value: str | int) -> int:
        return _column(value, header, width, f"{key}.{setting}", path)

    name, label = column("name_column", source.name_column), column("label_column", source.label_column)
    group = None if source.group_column is None else column("group_column", source.group_column)
    split = None if source.split_column is None else column("split_column", source.split_column)
    needed = max(name, label, group or 0, split or 0)
    entries = []
    for line, cells in rows:
        if len(cells) <= needed:
            raise UserError(f"{path}, line {line}: has {len(cells)} columns, {key} needs {needed + 1}; "
                            "complete the line or remove it")
        given = source.split if split is None else cells[split]
        of_group = "" if group is None else cells[group]
        entries.append(_named(source, (line, cells[name]), cells[label], of_group, given))
    return entries


def _read_lists(root: Path, source: Lists, key: str) -> list[Entry]:
    names = _single_column(root / source.names, f"{key}.names")
    labels = _single_column(root / source.labels, f"{key}.labels")
    if len(names) != len(labels):
        raise UserError(f"{key}: {root / source.names} has {len(names)} lines but {root / source.labels} has "
                        f"{len(labels)}; they must name image and label line by line")
    return [_named(source, name, label, "", source.split) for name, (_, label) in zip(names, labels, strict=True)]


def _single_column(path: Path, key: str) -> list[tuple[int, str]]:
    rows = read_rows(path, key)
    for line, cells in rows:
        if len(cells) > 1:
            raise UserError(f"{path}, line {line}: has {len(cells)} columns, {key} needs one value a line; "
                            "use layout: table for a file with columns")
    return [(line, cells[0] if cells else "") for line, cells in rows]


def _named(source: Table | Lists, name: tuple[int, str], label: str, group: str, given: str | None) -> Entry:
    file = source.file if isinstance(source, Table) else source.names
    line, text = name
    if not text:
        raise UserError(f"{file}, line {line}: names no image; complete the line or remove it")
    reason = None if label else f"no label: {file}, line {line}"
    return Entry(join(source.images, text + source.extension), label or None, group or None, given or None, reason)


def _column(column: str | int, header: list[str] | None, width: int, key: str, path: Path) -> int:
    """Position of a column. Raises UserError that lists the columns there are."""
    if header is None:
        if isinstance(column, int) and 0 <= column < width:
            return column
        raise UserError(f"{key}: {path} has no column {column!r}; its columns are numbers from 0 to {width - 1}")
    if header.count(str(column)) != 1:
        problem = "no column" if str(column) not in header else "more than one column"
        raise UserError(f"{key}: {path} has {problem} {str(column)!r}; its columns are {', '.join(header)}")
    return header.index(str(column))


def _require_folder(root: Path, folder: str, key: str) -> None:
    if not (root / folder).is_dir():
        there = sorted(item.name for item in root.iterdir() if item.is_dir())
        found = f"{root} has the folders {', '.join(there)}" if there else f'{root} has no folders, "" names itself'
        raise UserError(f"{key}: {root / folder} is not a folder; {found}")


def _require_images(root: Path, source: Table | Lists, entries: list[Entry], key: str) -> None:
    if any(os.path.lexists(root / entry.image) for entry in entries if "\0" not in entry.image):
        return
    file = source.file if isinstance(source, Table) else source.names
    first = entries[0].image if entries else "nothing"
    there = min(walk(root, source.images), default="no image")
    raise UserError(f"{key}: {root / file} names no image that exists (first: {first}; the folder holds {there}); "
                    f"correct {key}.images or {key}.extension")


def _unlabelled(root: Path, sources: Iterable[AnySource], named: set[str]) -> list[Entry]:
    folders = {source.images for source in sources if isinstance(source, Table | Lists)}
    images = {image for folder in folders for image in walk(root, folder)} - named
    return [Entry(image, None, reason="no label: no label file names it") for image in images]
