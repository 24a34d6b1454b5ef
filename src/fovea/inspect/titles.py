"""A title above the header of a label table, as spreadsheets often have it."""

from fovea.ingest.files import is_image
from fovea.inspect.columns import locate
from fovea.inspect.listing import Listing
from fovea.inspect.words import GROUPS, LABELS, NAMES, plain
from fovea.params.dataset import NAMED_COLUMNS

ABOVE = 6  # rows among which the header is looked for
USUAL = {*NAMES, *LABELS, *GROUPS}


def has_title(file: str, rows: list[list[str]], listing: Listing) -> bool:
    """Whether the first of the rows that are not blank is neither a header nor about an image."""
    first, rest = rows[0], rows[1:]
    if file.lower().endswith(NAMED_COLUMNS) or not rest:
        return False
    if any(plain(cell) in USUAL or is_image(cell) or locate(cell, listing) for cell in first):
        return False
    alone = _filled(first) == 1 and sum(_filled(row) > 1 for row in rest) > 0.5 * len(rest)
    return alone or _is_cut_wrongly(first, rest) or any(map(_is_header, rest[:ABOVE]))


def _filled(row: list[str]) -> int:
    return sum(map(bool, row))


def _is_header(row: list[str]) -> bool:
    return len({plain(cell) for cell in row} & USUAL) > 1


def _is_cut_wrongly(first: list[str], rest: list[list[str]]) -> bool:
    """Whether all rows but the title are a cell with a mark in it: which is meant, the first line has to show."""
    return any(mark not in ",".join(first) and all(len(row) == 1 and mark in row[0] for row in rest) for mark in ";\t,")
