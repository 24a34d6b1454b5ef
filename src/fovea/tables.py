"""Tables of names from an image set that people open in a spreadsheet, which takes some names for formulas."""

import csv
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from fovea.files import replacing

# A quote before such a text is counted in, so that each text has one cell and each cell one text.
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def safe_cell(text: str) -> str:
    """`text` as UTF-8 that a spreadsheet does not take for a formula: a quote is set before =, +, -, @ and blanks."""
    text = as_utf8(text)
    return f"'{text}" if FORMULA.match(text) else text


def as_utf8(text: str) -> str:
    """`text` with what no UTF-8 file can hold, or no reader takes, spelled out: half a character pair, NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def printable(text: str) -> str:
    """`text` for a line on a terminal: names from foreign sets may hold what a terminal obeys, or end the line."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def plain_text(cell: str) -> str:
    """The UTF-8 text that `safe_cell` turned into `cell`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def write_table(path: Path | str, table: pd.DataFrame) -> None:
    """Write a CSV file, whole or not at all: text is made safe, None is an empty cell, numbers have nine digits."""
    safe = pd.DataFrame({name: column if is_numeric_dtype(column) else column.map(_cell)
                         for name, column in table.items()})
    with replacing(path) as temporary:
        # Text is quoted: a carriage return in a name would end the line otherwise
        safe.to_csv(temporary, index=False, float_format="%.9g", quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")


def read_table(path: Path | str, text: Collection[str] | None = None) -> pd.DataFrame:
    """Read what `write_table` wrote: columns `text` as text, as it was, None has become ""; the others as float64, NaN
    where nothing stood. Without `text` all are text."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    return pd.DataFrame({name: column.map(plain_text) if text is None or name in text
                         else pd.to_numeric(column).astype(float) for name, column in table.items()})


def _cell(value: Any) -> str:
    return "" if pd.isna(value) else safe_cell(str(value))
