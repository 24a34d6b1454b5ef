"""Label tables as rows of text: CSV, TSV, TXT and XLSX here, JSON, JSON-lines and Parquet in records.py."""

import csv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from fovea.errors import UserError, one_line
from fovea.ingest.records import MOST_BYTES, MOST_CELLS, Row, as_text, read_json, read_json_lines, read_parquet
from fovea.ingest.text import encoding_of, not_text

DELIMITERS = "\t;,"


def read_rows(path: Path, key: str, shown: Path | None = None) -> list[Row]:
    """All rows of a table as `each_row` gives them, blank ones at the end left out."""
    rows = list(each_row(path, key, shown))
    while not rows[-1][1]:
        rows.pop()
    return rows


def each_row(path: Path, key: str, shown: Path | None = None) -> Iterator[Row]:
    """Rows of a table, cells without blanks around them, blank rows as `[]`. At most a part is held in memory, but of
    JSON everything. `key` of params.yaml named the file; `shown` is its name in errors, if not `path`.

    Raises UserError if the file is missing, empty, too large or not readable as a table.
    """
    shown = shown or path
    where = f"{key}: {shown}"
    if not path.is_file():
        raise UserError(f"{where} does not exist; {_nearby(path, shown)}")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{where} has more than {MOST_BYTES >> 30} GiB, which no label table has; correct {key}")
    cells_read, blank = 0, True
    for line, cells in READERS.get(path.suffix.lower(), _read_text)(path, where):
        cells_read += max(1, len(cells))
        if cells_read > MOST_CELLS:
            raise UserError(f"{where} has more than {MOST_CELLS:,} cells, which no label table has; correct {key}")
        cells = [cell.strip() for cell in cells]
        row = cells if any(cells) else []
        blank = blank and not row
        yield line, row
    if blank:
        raise UserError(f"{where} is empty; it should hold one line per image")


def row_name(path: str) -> str:
    """What a row of the table is called: the JSON file or Parquet table has records, others have lines."""
    return "record" if path.lower().endswith((".json", ".parquet")) else "line"


def _read_text(path: Path, where: str) -> Iterator[Row]:
    line = 0
    try:
        with path.open(encoding=encoding_of(path), newline="") as file:
            first = next((text for text in file if text.strip()), "")
            file.seek(0)
            delimiter = max(DELIMITERS, key=first.count) if any(mark in first for mark in DELIMITERS) else ","
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            for cells in reader:
                line = reader.line_num
                yield line, cells
    except UnicodeDecodeError:
        raise not_text(path, where, line) from None
    except csv.Error as error:
        raise UserError(f"{where}, line {reader.line_num}: {error}; correct the quotes in that line") from None


def _read_xlsx(path: Path, where: str) -> Iterator[Row]:
    import openpyxl  # takes a third of a second, of which other tables need nothing

    try:
        with zipfile.ZipFile(path) as members:
            if sum(member.file_size for member in members.infolist()) > MOST_BYTES:
                raise ValueError(f"it unpacks to more than {MOST_BYTES >> 30} GiB")
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # a sheet that claims 16,384 columns would be filled up to them
        width = 0
        for line, values in enumerate(sheet.iter_rows(values_only=True), 1):
            cells = [as_text(value) for value in values]
            width = width or (len(cells) if any(cells) else 0)
            yield line, cells + [""] * (width - len(cells) if any(cells) else 0)  # empty cells at the end are not kept
        book.close()
    except Exception as error:  # a damaged archive raises whatever zipfile, XML or openpyxl like
        raise UserError(f"{where} cannot be read as XLSX ({one_line(error)}); save it again, or as CSV") from None


def sheet_names(path: Path) -> list[str]:
    """Sheets of an XLSX, of which the first is read; [] of other tables and of what cannot be read."""
    if path.suffix.lower() != ".xlsx":
        return []
    import openpyxl

    try:
        with closing(openpyxl.load_workbook(path, read_only=True)) as book:
            return [sheet.title for sheet in book.worksheets]
    except Exception:  # as above; the reader of the rows says what is wrong
        return []


READERS: dict[str, Callable[[Path, str], Iterator[Row]]] = {
    ".xlsx": _read_xlsx,
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
}


def _nearby(path: Path, shown: Path) -> str:
    names = sorted(item.name for item in path.parent.iterdir()) if path.parent.is_dir() else []
    first = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{shown.parent} holds {first}" if names else f"{shown.parent} is missing or empty"
