"""What to correct in a table that names no image: an example of its names, and the image that it nearly names."""

import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterator

from fovea.inspect.listing import Listing
from fovea.inspect.words import NAMES, plain

SAMPLE = 200  # rows that are looked at
ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def _in_one_case(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _without_zeros(name: str) -> str:
    return ZEROS.sub("", _in_one_case(name))


def _without_ending(name: str) -> str:
    return posixpath.splitext(_without_zeros(name))[0]


# What two names are the same by, the smallest difference first, and what to do about it.
DIFFERENCES: list[tuple[Callable[[str], str], str]] = [
    (lambda name: unicodedata.normalize("NFC", name),
     "the two write their accents with other characters (Unicode NFC and NFD): rename the files or correct the column"),
    (_in_one_case, "upper and lower case must be the same in both"),
    (_without_zeros, "write the zeros in front as the file has them"),
    (_without_ending, "the endings must be the same in both"),
]  # fmt: skip


def nearest(rows: list[list[str]], listing: Listing) -> str | None:
    """`column path has C:\\images\\a.jpg; a file a.jpg lies in images: ...`; None if no cell nearly names an image.
    Columns whose values recur are not looked at: a label 1 is not the name of 0001.jpg.
    """
    cells = {_title(rows, column): [row[column] for row in rows[:SAMPLE] if column < len(row) and row[column]]
             for column in _likeliest(rows)}  # fmt: skip
    columns = {title: values for title, values in cells.items() if len(set(values)) > 0.5 * len(values)}
    return _with_folders(columns, listing) or _nearly(columns, listing)


def example(rows: list[list[str]]) -> str:
    """The first value of the column that most likely names images."""
    column = _likeliest(rows)[0]
    value = next((row[column] for row in rows[1:] if column < len(row) and row[column]), rows[0][0])
    return f"{_title(rows, column)} has {value}"


def _likeliest(rows: list[list[str]]) -> list[int]:
    """Columns: those with a usual name of one for images first, then by the number of different values."""
    width = max(map(len, rows[:SAMPLE]))
    cells = [[row[column] for row in rows[:SAMPLE] if column < len(row)] for column in range(width)]
    return sorted(range(width), key=lambda i: (plain(cells[i][0]) not in NAMES if cells[i] else True,
                                               -len(set(cells[i]))))  # fmt: skip


def _title(rows: list[list[str]], column: int) -> str:
    named = column < len(rows[0]) and plain(rows[0][column]) in NAMES
    return f"column {rows[0][column] if named else column + 1}"


def _with_folders(columns: dict[str, list[str]], listing: Listing) -> str | None:
    for title, value in _each(columns):
        name = _last(value)
        if name and name != value and (paths := listing.by_name.get(name)):
            folder, _, file = paths[0].rpartition("/")
            there = f"a file {file} lies in {folder or 'the set itself'}"
            return f"{title} has {value}; {there}: remove the folders from the column"
    return None


def _nearly(columns: dict[str, list[str]], listing: Listing) -> str | None:
    for same, advice in DIFFERENCES:
        files = {same(name): paths[0].rpartition("/")[2] for name, paths in listing.by_name.items()}
        for title, value in _each(columns):
            if file := files.get(same(_last(value))):
                return f"{title} has {value}, the file is {file}: {advice}"
    return None


def _each(columns: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    return ((title, value) for title, values in columns.items() for value in values)


def _last(path: str) -> str:
    return re.split(r"[\\/]", path)[-1]
