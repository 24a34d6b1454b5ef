"""Label files: tables and parallel lists that name images and say what each one shows."""

import posixpath
from itertools import chain
from pathlib import Path

from fovea.errors import UserError
from fovea.ingest.address import base_name, join, locate, split_address
from fovea.ingest.entry import Entry
from fovea.ingest.files import by_stem
from fovea.ingest.tables import each_row, read_rows, row_name
from fovea.params.dataset import Lists, Table

MARKS = ("1", "1.0", "true")  # of a one-hot column, in upper or lower case
Line = tuple[str, int]  # file and number, for reasons and errors


def read_table(root: Path, source: Table, key: str) -> list[Entry]:
    """Entries of the rows of a table, in their order. Raises UserError for a missing column and an incomplete row."""
    path, shown = locate(root, source.file), root / source.file
    rows = ((line, cells) for line, cells in each_row(path, f"{key}.file", shown) if cells)
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
    needed = max(name, *labels, group or 0, split or 0)
    files = _Files(root, source.images, source.extension)
    entries: list[Entry] = []
    for number, cells in rows:
        line = (source.file, number)
        if len(cells) <= needed:
            raise UserError(f"{shown}, {_at(line)}: has {len(cells)} columns, {key} needs {needed + 1}; "
                            "complete the line or remove it")
        label, reason = _one_hot(cells, labels, line) if len(labels) > 1 else _plain(cells[min(labels)], line)
        given = source.split if split is None else cells[split]
        of_group = None if group is None else cells[group] or None
        for image, fault in _named(files, line, cells[name]):
            entries.append(Entry(image, label, of_group, given or None, fault or reason, rest=image))
    return entries


def read_lists(root: Path, source: Lists, key: str) -> list[Entry]:
    """Entries of two parallel files. Raises UserError unless both hold one value a line and the same number of them."""
    names = _single_column(root, source.names, f"{key}.names")
    labels = _single_column(root, source.labels, f"{key}.labels")
    if len(names) != len(labels):
        raise UserError(f"{key}: {root / source.names} has {len(names)} lines but {root / source.labels} has "
                        f"{len(labels)}; they must name image and label line by line")
    files = _Files(root, source.images, source.extension)
    entries: list[Entry] = []
    for (number, name), (_, written) in zip(names, labels, strict=True):
        line = (source.names, number)
        label, reason = _plain(written, line)
        for image, fault in _named(files, line, name):
            entries.append(Entry(image, label, None, source.split, fault or reason, rest=image))
    return entries


class _Files:
    """Addresses of the images that a label file names; where it leaves the extension out, from a listing per folder."""

    def __init__(self, root: Path, images: str, extension: str | None) -> None:
        self.root, self.images, self.extension = root, images, extension
        self._archive = split_address(images)[0]
        self._listed: dict[str, dict[str, list[str]]] = {}

    def named(self, name: str) -> list[str]:
        """The address of `name`, which need not exist; several if the extension is left open and more than one fits."""
        address = join(self.images, name + (self.extension or ""))
        if self.extension is not None:
            return [address]
        folder, stem = posixpath.split(address.removeprefix(self._archive))
        if folder not in self._listed:
            self._listed[folder] = by_stem(self.root, self._archive + folder)
        start = address[: len(address) - len(stem)]
        return [start + file for file in self._listed[folder].get(stem, [stem])]


def _named(files: _Files, line: Line, name: str) -> list[tuple[str, str | None]]:
    """Address and reason of each file that `name` stands for: if there are several, it stands for none."""
    if not name:
        raise UserError(f"{line[0]}, {_at(line)}: names no image; complete the line or remove it")
    found = files.named(name)
    several = f"several files have the name: {', '.join(map(base_name, found))}" if len(found) > 1 else None
    return [(image, several) for image in found]


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
