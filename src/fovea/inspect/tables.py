"""Label tables and pairs of lists, read with ingest's own reader and matched with the images there are."""

import posixpath
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from fovea.errors import UserError
from fovea.ingest.address import locate as locate_file
from fovea.ingest.tables import read_rows, sheet_names
from fovea.inspect.columns import (
    Names,
    Roles,
    find_names,
    find_roles,
    has_header,
    in_more_folders,
    locate,
    of_one_class,
)
from fovea.inspect.listing import Listing, address
from fovea.inspect.nearest import example, nearest
from fovea.inspect.reading import Reading
from fovea.inspect.titles import has_title
from fovea.inspect.words import part_of
from fovea.params.dataset import NAMED_COLUMNS


@dataclass(frozen=True)
class Rows:
    """A table's rows that are not blank."""

    file: str
    cells: list[list[str]]
    first: int = 1  # line of the first of them


def read_all(listing: Listing) -> tuple[list[Rows], list[str]]:
    """The tables that can be read, and a line about each other one, and about sheets that are not read."""
    tables, faults = [], []
    for file in listing.tables:
        path = locate_file(listing.root, address(file))
        try:
            rows = [row for row in read_rows(path, "table", Path(address(file))) if row[1]]
            tables.append(Rows(file, [cells for _, cells in rows], rows[0][0]))
        except UserError as error:
            faults.append(f"not read: {str(error).removeprefix('table: ')}")
        if len(sheets := sheet_names(path)) > 1:
            faults.append(f"{file} has the sheets {', '.join(sheets)}: the first is read")
    return tables, faults


def read_table(table: Rows, listing: Listing) -> tuple[list[Reading], list[str]]:
    """One reading for each column that may be the label; and notes, such as that its images are not there."""
    if has_title(table.file, table.cells, listing):
        return [], [f"{table.file}, line {table.first} looks like a title, not like a header: delete the lines above "
                    "the header"]
    if max(map(len, table.cells)) < 2:
        return [], _blanks(table, listing)
    names = find_names(table.cells, listing, part_of(posixpath.basename(table.file)))
    if names is None:
        said = nearest(table.cells, listing) or f"{example(table.cells)}, which is no file"
        return [], [f"{table.file}: {len(table.cells)} lines, none of its columns names an image that is there; {said}"]
    headed = table.file.lower().endswith(NAMED_COLUMNS) or has_header(table.cells, names, listing)
    header, body = (table.cells[0], table.cells[1:]) if headed else (None, table.cells)
    if not body:
        return [], [f"{table.file}: a header and no rows"]
    if header:
        body = [row[: len(header)] for row in body]  # params.yaml cannot name a column that the header does not
        if names.column >= len(header):
            return [], [f"{table.file}, line {table.first} names {len(header)} columns, and the images stand in column "
                        f"{names.column + 1}: name every column there"]
    roles = find_roles(header, body, names.column)
    names, images = _found(body, names, listing)
    if not images:
        return [], []
    if not roles.labels:
        if header and (same := of_one_class(header, body)):
            return [], [f"{table.file}: all images have one class only, {same}"]
        more = "" if roles.group is None or header is None else (
            f"; its {header[roles.group]} could be the group, as a column beside the labels")
        return [], [f"{table.file} names {len(images)} images but has no column of labels{more}"]
    notes = _notes(table.file, body, names, images)
    return [_reading(table.file, header, body, names, roles, label, images, notes) for label in roles.labels], []


def _blanks(table: Rows, listing: Listing) -> list[str]:
    """A line about `a.jpg 0`: a blank may stand in a name, so ingest takes none for the end of one. Of a list of names
    that are nearly those of images, what is wrong with them.
    """
    first = table.cells[0][0].rsplit(maxsplit=1) if table.cells[0] else []
    if len(first) == 2 and locate(first[0], listing):
        return [f"{table.file}: its columns are separated by blanks; write commas or tabs instead"]
    near = None if find_names(table.cells, listing, None) else nearest(table.cells, listing)
    return [f"{table.file}: {near}"] if near else []


def _found(body: list[list[str]], names: Names, listing: Listing) -> tuple[Names, frozenset[str]]:
    """`names` with all folders that hold images of the rows, and these images."""
    values = [row[names.column] for row in body if names.column < len(row) and row[names.column]]
    images = _images(values, names, listing)
    if len(images) == len(values):
        return names, images
    names = in_more_folders(names, values, listing)
    return names, _images(values, names, listing)


def _images(values: list[str], names: Names, listing: Listing) -> frozenset[str]:
    """The images that the values name, as ingest will find them."""
    if names.extension is None:
        return frozenset(_path(folder, value + end) for value in values for folder, end in locate(value, listing)
                         if folder in names.folders)  # fmt: skip
    paths = {_path(folder, value + names.extension) for folder in names.folders for value in values}
    return frozenset(paths & listing.there)


def _path(folder: str, name: str) -> str:
    return posixpath.normpath(posixpath.join(folder, name))


def _notes(file: str, body: list[list[str]], names: Names, images: frozenset[str]) -> tuple[str, ...]:
    parts = [folder for folder in names.folders if part_of(folder)]
    notes = []
    if len({part_of(folder) for folder in parts}) > 1:
        notes.append(f"{file}: its folders {', '.join(parts)} are not read as a split; for one, add a column with it")
    if len(images) < 0.95 * len(body):
        notes.append(f"{file}: {len(images)} of its {len(body)} names were found; put the other images into "
                     f"{' or '.join(names.folders) or 'the same folder'}")
    return tuple(notes)


def _reading(
    file: str, header: list[str] | None, body: list[list[str]], names: Names, roles: Roles,
    label: int | tuple[int, ...], images: frozenset[str], notes: tuple[str, ...],
) -> Reading:  # fmt: skip
    def column(position: int) -> str | int:
        return header[position] if header else position

    def optional(position: int | None) -> str | int | None:
        return None if position is None else column(position)

    labels = [column(i) for i in label] if isinstance(label, tuple) else column(label)
    source: dict[str, Any] = {
        "layout": "table", "file": file, "images": _one_or_list(names.folders), "header": header is not None,
        "name_column": column(names.column), "label_column": labels, "group_column": optional(roles.group),
        "split_column": optional(roles.split), "extension": names.extension, "split": None,
    }  # fmt: skip
    why = [f"{len(images)} of {len(body)} names in {_named(column(names.column))} are images"
           f"{_in(names.folders, images)}{_added(names.extension)}"]  # fmt: skip
    guessed = not roles.usual and not isinstance(labels, list)
    why.append(f"class in {_named(labels)}{', which has few different values' if guessed else ''}")
    others = {"group": roles.group, "part": roles.split}
    why += [f"{what} in {_named(column(place))}" for what, place in others.items() if place is not None]
    return Reading(source, f"table {file}", "; ".join(why), images, notes, str(labels))


def _one_or_list(folders: tuple[str, ...]) -> str | list[str]:
    return folders[0] if len(folders) == 1 else list(folders)


def _in(folders: tuple[str, ...], images: frozenset[str]) -> str:
    if len(folders) == 1:
        return f" in {folders[0]}" if folders[0] else ""
    counts = {folder or ".": sum(path.startswith(f"{folder}/".lstrip("/")) for path in images) for folder in folders}
    return f" in {len(folders)} folders ({', '.join(f'{folder} {count}' for folder, count in counts.items())})"


def _named(column: Any) -> str:
    if isinstance(column, list):
        return f"the one-hot columns {', '.join(map(str, column))}"
    return column if isinstance(column, str) else f"column {column + 1}"


def _added(extension: str | None) -> str:
    return " whatever their extension" if extension is None else f", {extension} added" if extension else ""


def read_lists(tables: list[Rows], listing: Listing) -> list[Reading]:
    """Pairs of files with one value a line and as many lines: names of images in one, few labels in another."""
    lines = [table for table in tables if not table.file.lower().endswith(NAMED_COLUMNS)]
    single = [table for table in lines if max(map(len, table.cells)) == 1]
    found = {table.file: find_names(table.cells, listing, part_of(table.file)) for table in single}
    named = {file: names for file, names in found.items() if names and names.hits > 1}
    readings = []
    for table in single:
        if names := named.get(table.file):
            names, images = _found(table.cells, names, listing)
            others = [other for other in single if other.file not in named and _fits(table, other)]
            if others and images:
                closest = max(others, key=lambda other: SequenceMatcher(None, table.file, other.file).ratio())
                readings.append(_pair(table, closest, names, images))
    return readings


def _fits(names: Rows, labels: Rows) -> bool:
    values = {row[0] for row in labels.cells}
    beside = posixpath.dirname(names.file) == posixpath.dirname(labels.file)
    few = len(values) <= max(2, len(labels.cells) // 2)
    return beside and few and len(names.cells) == len(labels.cells) and part_of(names.file) == part_of(labels.file)


def _pair(table: Rows, labels: Rows, names: Names, images: frozenset[str]) -> Reading:
    source = {"layout": "lists", "names": table.file, "labels": labels.file, "images": _one_or_list(names.folders),
              "extension": names.extension, "split": None}  # fmt: skip
    why = (f"{len(images)} of {len(table.cells)} lines of {table.file} are images"
           f"{_in(names.folders, images)}{_added(names.extension)}; as many labels in {labels.file}")
    return Reading(source, f"lists {table.file} and {labels.file}", why, images, (), labels.file)
