"""Label files: tables and parallel lists that name images and say what each one shows."""

import posixpath
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from fovea.errors import UserError
from fovea.ingest.address import base_name, join, locate, split_address
from fovea.ingest.entry import Entry, Facts
from fovea.ingest.files import by_stem
from fovea.ingest.records import Row
from fovea.ingest.tables import each_row, read_rows, row_name
from fovea.params.dataset import LabelFile, Lists, Table

MANIFEST = {"image", *Facts._fields, "rest", "label", "target", "group", "given_split"}  # columns of its own
MARKS = ("1", "1.0", "true")  # of a one-hot column, in upper or lower case
SEVERAL = "several files have the name"
Line = tuple[str, int]  # file and number, for reasons and errors


def read_table(root: Path, source: Table, key: str) -> list[Entry]:
    """Entries of the rows of a table, in their order.

    Raises UserError for a missing column, for one to keep that the manifest has itself, and for an incomplete row.
    """
    path, shown = locate(root, source.file), root / source.file
    rows: Iterator[Row] = (row for row in each_row(path, f"{key}.file", shown) if row[1])
    first = next(rows)  # there is one, or each_row has raised
    header = first[1] if source.header else None
    rows = rows if source.header else chain([first], rows)

    def column(setting: str, value: str | int) -> int:
        return _column(value, header, len(first[1]), f"{key}.{setting}", shown)

    name = column("name_column", source.name_column)
    written = source.label_column if isinstance(source.label_column, list) else [source.label_column]
    labels = {column("label_column", label): str(label) for label in written}
    group = None if source.group_column is None else column("group_column", source.group_column)
    split = None if source.split_column is None else column("split_column", source.split_column)
    if taken := sorted(MANIFEST.intersection(source.keep)):
        raise UserError(f"{key}.keep: the manifest has a column {taken[0]} of its own; leave it out, or rename that of "
                        f"{shown}")
    kept = [(wanted, column("keep", wanted)) for wanted in source.keep]
    needed = max(name, *labels, group or 0, split or 0, *(place for _, place in kept))
    files = _Files(root, source)
    entries: list[Entry] = []
    for number, cells in rows:
        line = (source.file, number)
        if len(cells) <= needed:
            raise UserError(f"{shown}, {_at(line)}: has {len(cells)} columns, {key} needs {needed + 1}; "
                            "complete the line or remove it")
        label, reason = _one_hot(cells, labels, line) if len(labels) > 1 else _plain(cells[min(labels)], line)
        given = source.split if split is None else cells[split]
        of_group = None if group is None else cells[group] or None
        beside = tuple((wanted, cells[place]) for wanted, place in kept)
        for image, fault in _named(files, line, cells[name]):
            entries.append(Entry(image, label, of_group, given or None, fault or reason, None, beside, image))
    return entries


def read_lists(root: Path, source: Lists, key: str) -> list[Entry]:
    """Entries of two parallel files. Raises UserError unless both hold one value a line and the same number of them."""
    names = _single_column(root, source.names, f"{key}.names")
    labels = _single_column(root, source.labels, f"{key}.labels")
    if len(names) != len(labels):
        raise UserError(f"{key}: {root / source.names} has {len(names)} lines but {root / source.labels} has "
                        f"{len(labels)}; they must name image and label line by line")
    files = _Files(root, source)
    entries: list[Entry] = []
    for (number, name), (_, written) in zip(names, labels, strict=True):
        line = (source.names, number)
        label, reason = _plain(written, line)
        for image, fault in _named(files, line, name):
            entries.append(Entry(image, label, None, source.split, fault or reason, rest=image))
    return entries


class _Files:
    """Addresses of the images that a label file names; from a listing per folder where their place or extension is
    left open.
    """

    def __init__(self, root: Path, source: LabelFile) -> None:
        self.root, self.folders, self.extension = root, source.folders, source.extension
        self._listed: dict[str, dict[str, list[str]]] = {}  # by the folder's address

    def named(self, name: str) -> list[str]:
        """The address of `name`, which need not exist; several if place or extension are left open and more fit."""
        first = join(self.folders[0], name + (self.extension or ""))
        if len(self.folders) == 1:
            return [first] if self.extension is not None else self._there(self.folders[0], name) or [first]
        found = [address for folder in self.folders for address in self._below(folder, name)]
        return list(dict.fromkeys(found)) or [first]

    def _below(self, folder: str, name: str) -> list[str]:
        """Of several folders part_1, part_2: `a.jpg` may lie in each, `part_1/a.jpg` says itself in which."""
        carried = base_name(folder) + "/"
        inner = name.removeprefix(carried) if len(carried) > 1 else name
        return self._there(folder, name) + (self._there(folder, inner) if inner != name else [])

    def _there(self, folder: str, name: str) -> list[str]:
        """Addresses of the files of that name in `folder`."""
        archive = split_address(folder)[0]
        address = join(folder, name + (self.extension or ""))
        inner, last = posixpath.split(address.removeprefix(archive))
        if archive + inner not in self._listed:
            self._listed[archive + inner] = by_stem(self.root, archive + inner)
        start = address[: len(address) - len(last)]
        files = self._listed[archive + inner].get(last, [])
        return [start + file for file in files if self.extension is None or file == last]


def _named(files: _Files, line: Line, name: str) -> list[tuple[str, str | None]]:
    """Address and reason of each file that `name` stands for: if there are several, it stands for none."""
    if not name:
        raise UserError(f"{line[0]}, {_at(line)}: names no image; complete the line or remove it")
    found = files.named(name)
    if len(found) == 1:
        return [(found[0], None)]
    shown = found if len(files.folders) > 1 else [base_name(image) for image in found]
    return [(image, f"{SEVERAL}: {', '.join(shown)}") for image in found]


def _plain(label: str, line: Line) -> tuple[str | None, str | None]:
    """Label and reason why there is none."""
    return (label, None) if label else (None, f"no label: {line[0]}, {_at(line)}")


def _one_hot(cells: list[str], labels: dict[int, str], line: Line) -> tuple[str | None, str | None]:
    marked = [label for column, label in labels.items() if cells[column].lower() in MARKS]
    if len(marked) == 1:
        return marked[0], None
    if marked:
        return None, f"several labels: {', '.join(marked)} in {line[0]}, {_at(line)}"
    return None, f"no label: no column is 1 in {line[0]}, {_at(line)}"


def _at(line: Line) -> str:
    return f"{row_name(line[0])} {line[1]}"


def _single_column(root: Path, file: str, key: str) -> list[tuple[int, str]]:
    rows = read_rows(locate(root, file), key, root / file)
    for line, cells in rows:
        if len(cells) > 1:
            raise UserError(f"{root / file}, line {line}: has {len(cells)} columns, {key} needs one value a line; "
                            "use layout: table for a file with columns")
    return [(line, cells[0] if cells else "") for line, cells in rows]


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
