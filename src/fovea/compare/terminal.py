"""A comparison for a terminal of 100 columns."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from fovea.compare.difference import mcnemar, sentence
from fovea.compare.tables import Comparison, code_of, count_rows, own_rows, paired_rows, parameter_rows, reasons
from fovea.report.content import Figure
from fovea.tables import printable
from fovea.versions import describe

WIDTH, CELL, LONGEST_LABEL, MOST_FILES = 100, 24, 40, 6


def lines(found: Comparison) -> Iterator[str]:
    """All that a comparison says, line by line."""
    for side in found.sides:
        first = " (the first)" if side is found.first else ""
        yield _cut(f"{printable(side.name)}{first}: {printable(side.what)}", WIDTH)
    for note in (*found.notes, *reasons(found)):
        yield from textwrap.wrap(printable(note), WIDTH, initial_indent="note: ", subsequent_indent="      ")
    yield from _parameters(found)
    yield from _code(found)
    yield from _images(found)
    yield from _figures(found)


def _parameters(found: Comparison) -> Iterator[str]:
    names = [side.name for side in found.sides]
    rows = [(str(key), [_value(value) for value in values]) for key, *values in parameter_rows(found)]
    short = [row for row in rows if all(len(value) < CELL - 1 for value in row[1])]
    yield from _titled(f"Parameters that differ: {len(rows) or 'none'}", _table(names, short))
    for key, values in rows:
        if (key, values) not in short:
            yield f"  {key}"
            for name, value in zip(names, values, strict=True):
                yield from textwrap.wrap(f"{_cut(printable(name), CELL)}: {value}", WIDTH, initial_indent=" " * 4,
                                         subsequent_indent=" " * 6)


def _code(found: Comparison) -> Iterator[str]:
    yield from _titled("Code of the stages", [])
    for side, one in found.pairs:
        more = ", ..." if len(one.code or []) > MOST_FILES else ""
        files = f" ({', '.join((one.code or [])[:MOST_FILES])}{more})" if one.code else ""
        yield from textwrap.wrap(f"{printable(side.name)}: {code_of(one)}{printable(files)}", WIDTH,
                                 initial_indent="  ", subsequent_indent="    ")


def _images(found: Comparison) -> Iterator[str]:
    for side, one in found.pairs:
        if one.images is not None:
            title = f"Images of {printable(side.name)} against {printable(found.first.name)}"
            if one.images.empty:
                yield from _titled(f"{title}: the same, with the same labels and parts", [])
            else:
                yield from _titled(title, [f"  {_cut(line, WIDTH - 2)}" for line in describe(one.images)])


def _figures(found: Comparison) -> Iterator[str]:
    names = [side.name for side in found.sides]
    counts = ("images", [str(side.metrics.get("n", "-")) for side in found.sides])
    yield from _titled("Test figures, each on its own test part, with 95 % intervals",
                       _table(names, [counts, *((label, list(map(_own, row))) for label, row in own_rows(found))]))
    if any(one.paired for one in found.differences):
        rows = [(label, ["-" if count is None else str(count) for count in row]) for label, row in count_rows(found)]
        rows += [(label, list(map(_pair, row))) for label, row in paired_rows(found)]
        yield from _titled(f"Against {printable(found.first.name)} on the test images that both have, with paired 95 % "
                           "intervals", _table(names[1:], rows))
        yield "  Where an interval holds 0, these images do not tell the two apart."
        yield ""
        for side, one in found.pairs:
            if one.paired:
                text = f"{side.name}: {sentence(one, {})} {mcnemar(one.paired, found.first.name)}"
                yield from textwrap.wrap(printable(text), WIDTH, subsequent_indent="  ")


def _titled(title: str, body: Sequence[str]) -> list[str]:
    return ["", _cut(title, WIDTH), *body]


def _table(names: Sequence[str], rows: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Columns of `CELL` under the names, in as many blocks as the width asks for; a cell may have several lines."""
    if not rows:
        return []
    label = min(max(len(printable(row[0])) for row in rows) + 2, LONGEST_LABEL)
    most = max(1, (WIDTH - 2 - label) // CELL)
    made = []
    for start in range(0, len(names), most):
        block = slice(start, start + most)
        made.append(_line("", names[block], label))
        for title, cells in rows:
            parts = [cell.split("\n") for cell in cells[block]]
            for number in range(max(map(len, parts))):
                made.append(_line("" if number else title, [part[number] if number < len(part) else ""
                                                            for part in parts], label))
    return made


def _line(title: str, cells: Sequence[str], label: int) -> str:
    texts = [_cut(printable(cell), CELL - 1).ljust(CELL) for cell in cells]
    return f"  {_cut(printable(title), label - 1).ljust(label)}{''.join(texts)}".rstrip()


def _value(value: str | None) -> str:
    return "-" if value is None else printable(value)


def _own(figure: Figure) -> str:
    if figure.value is None:
        return "-"
    return f"{figure.value:.3f}" + ("" if figure.interval is None else " ({:.3f} to {:.3f})".format(*figure.interval))


def _pair(one: dict[str, Any] | None) -> str:
    """Two lines: from the first's figure to the other's, and the difference."""
    if one is None or one["difference"] is None:
        return "-"
    limits = one["interval"]
    shown = " ({:+.3f}, {:+.3f})".format(*limits) if limits else ""
    return f"{one['other']:.3f} -> {one['one']:.3f}\n{one['difference']:+.3f}{shown}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
