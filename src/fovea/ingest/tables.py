"""Label tables as rows of text: CSV, TSV, TXT and XLSX."""

import csv
import io
from pathlib import Path
from typing import Any

import openpyxl

from fovea.errors import UserError

Row = tuple[int, list[str]]  # line number from 1, cells without blanks around them
DELIMITERS = "\t;,"


def read_rows(path: Path, key: str) -> list[Row]:
    """Rows of a table, blank ones as `[]`, those at the end left out. `key` of params.yaml named the file.

    Raises UserError if the file is missing, empty or not readable as a table.
    """
    if not path.is_file():
        raise UserError(f"{key}: {path} does not exist; {_nearby(path)}")
    rows = _read_xlsx(path, key) if path.suffix.lower() == ".xlsx" else _read_text(path, key)
    while rows and not rows[-1][1]:
        rows.pop()
    if not rows:
        raise UserError(f"{key}: {path} is empty; it should hold one line per image")
    return rows


def _read_text(path: Path, key: str) -> list[Row]:
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{key}: {path}, line {line}: is not UTF-8 text; save it as CSV in UTF-8, or as XLSX") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count) if any(mark in first for mark in DELIMITERS) else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        return [(reader.line_num, _stripped(cells)) for cells in reader]
    except csv.Error as error:
        raise UserError(f"{key}: {path}, line {reader.line_num}: {error}; correct the quotes in that line") from None


def _read_xlsx(path: Path, key: str) -> list[Row]:
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = list(book.worksheets[0].iter_rows(values_only=True))
        book.close()
    except Exception as error:  # a damaged archive raises whatever zipfile, XML or openpyxl like
        raise UserError(f"{key}: {path} cannot be read as XLSX ({error}); save it again, or as CSV") from None
    return [(number, _stripped([_cell(value) for value in row])) for number, row in enumerate(rows, 1)]


def _cell(value: Any) -> str:
    """A spreadsheet keeps 0 as a number; labels are text."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _stripped(cells: list[str]) -> list[str]:
    cells = [cell.strip() for cell in cells]
    return cells if any(cells) else []


def _nearby(path: Path) -> str:
    names = sorted(item.name for item in path.parent.iterdir()) if path.parent.is_dir() else []
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{path.parent} holds {shown}" if names else f"{path.parent} is missing or empty"
