"""Which column of a label table is what: the name by the files there are, the others by usual names and by content."""

import posixpath
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from fovea.inspect.listing import Listing
from fovea.inspect.patterns import partition
from fovea.inspect.words import GROUPS, LABELS, NAMES, NO_LABELS, is_part, part_of, plain

SAMPLE = 400  # rows from which the name column is found
MOST_CLASSES = 30
MOST_FOLDERS = 50  # of one table; with more, ingest would look for each name too often
OVERLAP = 0.1  # share of names below which it does not count that another folder has them as well, or lacks them
BINARY = {"0", "1", "0.0", "1.0", "true", "false", "True", "False", "TRUE", "FALSE"}
SET = {"1", "1.0", "true", "True", "TRUE"}


@dataclass(frozen=True)
class Names:
    """Where the column `column` finds images: in `folders`, `extension` added (None: whatever the file has)."""

    column: int
    folders: tuple[str, ...]
    extension: str | None
    hits: int  # different values of the sampled rows


def find_names(rows: list[list[str]], listing: Listing, part: str | None) -> Names | None:
    """The column whose values name the most images, None if none names any. `part` is that of the table's name."""
    sample = rows[1 :: max(1, len(rows) // SAMPLE)] or rows
    width = max(map(len, sample))
    found = [names for column in range(width) if (names := _names_in(sample, column, listing, part))]
    usual = {name: -place for place, name in enumerate(NAMES)}
    return max(found, key=lambda names: (names.hits, usual.get(plain(_cell(rows[0], names.column)), -99)), default=None)


def _names_in(sample: list[list[str]], column: int, listing: Listing, part: str | None) -> Names | None:
    places: Counter[tuple[str, str]] = Counter()
    for value in {_cell(row, column) for row in sample}:  # each once: a label 1 on every other row names 1.jpg
        places.update(set(locate(value, listing)))
    if not places:
        return None
    folders: Counter[str] = Counter()
    for (folder, _), hits in places.items():
        folders[folder] += hits
    # 1.png may lie in Training and in Validation: the folder of the table's own part, even if it lacks a few.
    own = [name for name in folders if part is not None and part_of(name) == part]
    enough = (1 - OVERLAP) * max(folders.values())
    near = [name for name in own if folders[name] >= enough]
    folder = min(near or folders, key=lambda name: (-folders[name], len(name), name))
    extensions = [extension for place, extension in places if place == folder]
    return Names(column, (folder,), extensions[0] if len(extensions) == 1 else None, folders[folder])


def in_more_folders(names: Names, values: list[str], listing: Listing) -> Names:
    """`names` with each further folder that has a hundredth of `values` which those before it lack, and hardly one
    that they have: a name that is found twice stands for none.
    """
    places: dict[str, set[str]] = defaultdict(set)
    extensions: dict[str, set[str]] = defaultdict(set)
    for value in values:
        for folder, extension in locate(value, listing):
            places[folder].add(value)
            extensions[folder].add(extension)
    folders, found = list(names.folders), set().union(*(places[folder] for folder in names.folders))
    for folder in sorted(places, key=lambda folder: (-len(places[folder]), folder)):
        new = places[folder] - found
        if len(new) >= max(1, 0.01 * len(values)) and len(places[folder] & found) <= OVERLAP * len(new):
            folders.append(folder)
            found |= new
    if not 1 < len(folders) <= MOST_FOLDERS:
        return names
    different = set().union(*(extensions[folder] for folder in folders))
    added = different.pop() if len(different) == 1 else None
    return replace(names, folders=tuple(sorted(folders)), extension=added)


def locate(value: str, listing: Listing) -> list[tuple[str, str]]:
    """(folder, extension to add) of each image that `value`, a name or path with or without extension, may name."""
    if not value or value.startswith("/"):
        return []
    value = posixpath.normpath(value)
    found = []
    for path in listing.by_name.get(posixpath.basename(value), []):
        stem, suffix = posixpath.splitext(path)
        whole, extension = (path, "") if path.endswith(value) else (stem, suffix)
        if whole == value or whole.endswith(f"/{value}"):
            found.append((whole.removesuffix(value).rstrip("/"), extension))
    return found


def has_header(rows: list[list[str]], names: Names, listing: Listing) -> bool:
    """Whether the first row names the columns: its cell names no image, and no other row repeats its other cells."""
    first = rows[0]
    if locate(_cell(first, names.column), listing) or posixpath.splitext(_cell(first, names.column))[1]:
        return False
    if any(plain(cell) in {*NAMES, *LABELS} for cell in first):
        return True
    return not any(
        cell and any(_cell(row, column) == cell for row in rows[1:])
        for column, cell in enumerate(first)
        if column != names.column
    )


@dataclass(frozen=True)
class Roles:
    """Columns by position. `labels` has each column, or tuple of one-hot columns, that may be the label, best first."""

    labels: list[int | tuple[int, ...]]
    usual: bool  # the label column is known by its name
    group: int | None
    split: int | None


def find_roles(header: list[str] | None, body: list[list[str]], name: int) -> Roles:
    width = max(map(len, [header or [], *body]))
    columns = {i: [_cell(row, i) for row in body] for i in range(width) if i != name}
    titles = {i: plain(_cell(header or [], i)) for i in columns}
    split = next((i for i, values in columns.items() if _are_parts(values)), None)
    group = min((i for i in columns if titles[i] in GROUPS), key=lambda i: GROUPS.index(titles[i]), default=None)
    rest = {i: values for i, values in columns.items() if i not in (split, group)}
    usual = sorted((i for i in rest if titles[i] in LABELS and _few(rest[i])), key=lambda i: LABELS.index(titles[i]))
    if usual:
        return Roles(_different(usual, rest), True, group, split)
    possible = {i: values for i, values in rest.items() if not NO_LABELS.search(titles[i])}
    one_hot = _one_hot(possible)
    if one_hot:
        return Roles([one_hot], False, group, split)
    few = [i for i, values in possible.items() if _few(values)]
    return Roles(_different(few, possible), False, group, split)


def of_one_class(header: list[str], body: list[list[str]]) -> str | None:
    """`0 in level` where a column with a usual name of one for labels has a single value."""
    for column, title in enumerate(header):
        values = {_cell(row, column) for row in body} - {""}
        if plain(title) in LABELS and len(values) == 1:
            return f"{values.pop()} in {title}"
    return None


def _different(columns: list[int], values: dict[int, list[str]]) -> list[int | tuple[int, ...]]:
    """Columns that divide the rows in different ways. Of two that do it alike, the one with words, not numbers."""
    kept: dict[tuple[int, ...], int] = {}
    for column in columns:
        same = kept.setdefault(partition(values[column]), column)
        if values[same][0].isdigit() and not values[column][0].isdigit():
            kept[partition(values[column])] = column
    return list(kept.values())


def _one_hot(columns: dict[int, list[str]]) -> tuple[int, ...] | None:
    """The columns of zeros and ones, if nearly every row has a single one among them."""
    binary = [i for i, values in columns.items() if set(values) <= BINARY]
    if len(binary) < 2:
        return None
    rows = list(zip(*(columns[i] for i in binary), strict=True))
    single = sum(sum(cell in SET for cell in row) == 1 for row in rows)
    return tuple(binary) if single >= 0.95 * len(rows) else None


def _are_parts(values: list[str]) -> bool:
    return all(is_part(value) for value in values) and len({part_of(value) for value in values}) > 1


def _few(values: list[str]) -> bool:
    """Two to thirty different values, each on several rows on average."""
    different = len(set(values) - {""})
    return 2 <= different <= min(MOST_CLASSES, max(2, len(values) // 2))


def _cell(row: list[str], column: int) -> str:
    return row[column] if column < len(row) else ""
