"""Label tables whose columns have names: JSON, JSON-lines and Parquet. The first row is that of the names."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from fovea.errors import UserError, one_line
from fovea.ingest.text import encoding_of, not_text

Row = tuple[int, list[str]]  # line or record from 1, 0 for the names of the columns; cells
Object = tuple[tuple[str, Any], ...]  # of JSON; unlike a dict it keeps a name that stands twice
SHAPES = "must be a list of records, {column: [values]} or {name: label}"
NAMES = ["name", "label"]  # columns of {name: label}
MOST_BYTES = 1 << 30  # of a table and of what it unpacks to: 400,000 images with 55 columns are 250 MB of CSV
MOST_CELLS = 50_000_000


def read_json(path: Path, where: str) -> Iterator[Row]:
    """Rows of a list of records, of `{column: [values]}`, or of `{name: label}` with the columns `name` and `label`."""
    value = _parsed(path.read_bytes(), where)
    if isinstance(value, list):
        yield from _from_records(list(enumerate(value, 1)), f"{where}, record")
    elif isinstance(value, tuple) and value and all(isinstance(cells, list) for _, cells in value):
        yield from _from_columns(value, where)
    elif isinstance(value, tuple) and not any(isinstance(label, list | tuple) for _, label in value):
        yield from [(0, NAMES)] if value else []
        yield from ((number, [name, as_text(label)]) for number, (name, label) in enumerate(value, 1))
    else:
        raise UserError(f"{where} {SHAPES}")


def read_json_lines(path: Path, where: str) -> Iterator[Row]:
    """Rows of a file with one JSON record a line; blank lines are passed over."""
    records, line = [], 0
    try:
        with path.open(encoding=encoding_of(path)) as file:
            for line, text in enumerate(file, 1):
                if text.strip():
                    records.append((line, _parsed(text, where, line)))
    except UnicodeDecodeError:
        raise not_text(path, where, line) from None
    yield from _from_records(records, f"{where}, line")


def read_parquet(path: Path, where: str) -> Iterator[Row]:
    """Rows of a Parquet table, some thousand at a time; what it says of its size is believed before any is read."""
    try:
        with pq.ParquetFile(path) as table:
            facts = table.metadata
            size = sum(facts.row_group(number).total_byte_size for number in range(facts.num_row_groups))
            if size > MOST_BYTES or facts.num_rows * facts.num_columns > MOST_CELLS:
                raise ValueError(f"{size >> 20} MiB in {facts.num_rows} rows are too much for a label table")
            yield 0, list(table.schema_arrow.names)
            batches = (zip(*(column.to_pylist() for column in batch.columns), strict=True)
                       for batch in table.iter_batches(4096))
            for number, values in enumerate(chain.from_iterable(batches), 1):
                yield number, [as_text(value) for value in values]
    except Exception as error:  # Arrow raises whatever it likes for damaged bytes
        raise UserError(f"{where} cannot be read as Parquet ({one_line(error)}); write it again") from None


def as_text(value: Any) -> str:
    """A cell as text: 1.0 is `1`, true is `true`, a missing value is empty, half a character pair is spelled out."""
    if value is None or value != value:  # NaN is unequal to itself
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _parsed(data: bytes | str, where: str, line: int | None = None) -> Any:
    """The JSON value in `data`, objects as tuples of pairs."""
    try:
        return json.loads(data, object_pairs_hook=tuple)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}, line {line or error.lineno}: is no JSON ({error.msg}); write it again") from None
    except (ValueError, RecursionError) as error:  # no text, a number of 5,000 digits, a thousand brackets
        at = "" if line is None else f", line {line}"
        raise UserError(f"{where}{at}: cannot be read as JSON ({error}); write it again in UTF-8") from None


def _from_records(records: list[tuple[int, Any]], where: str) -> Iterator[Row]:
    for number, record in records:
        if not isinstance(record, tuple):
            raise UserError(f"{where} {number}: is no record, such as {{\"image\": \"a.jpg\"}}; correct it")
        if len(dict(record)) < len(record):
            raise UserError(f"{where} {number}: names a column twice; correct it")
    columns = list(dict.fromkeys(name for _, record in records for name, _ in record))
    if columns:
        yield 0, [as_text(name) for name in columns]
    for number, record in records:
        cells = dict(record)
        yield number, [as_text(cells.get(column)) for column in columns]


def _from_columns(columns: Object, where: str) -> Iterator[Row]:
    lengths = {name: len(cells) for name, cells in columns}
    if len(lengths) < len(columns):
        raise UserError(f"{where}: names a column twice; correct it")
    shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
    if lengths[shortest] != lengths[longest]:
        raise UserError(f"{where}: column {shortest} has {lengths[shortest]} values but {longest} has "
                        f"{lengths[longest]}; each needs one per image")
    yield 0, [as_text(name) for name, _ in columns]
    rows: Iterable[tuple[Any, ...]] = zip(*(cells for _, cells in columns), strict=True)
    yield from ((number, [as_text(value) for value in values]) for number, values in enumerate(rows, 1))
