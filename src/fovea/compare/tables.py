"""The rows of a comparison's tables, for the terminal and the page alike."""

from dataclasses import dataclass
from typing import Any

from fovea.compare.difference import Difference
from fovea.compare.side import Side
from fovea.report.content import METRICS, Figure
from fovea.versions import CHANGES, summarise

COUNTS = {"compared": "images in both", "only_other": "only in the first", "only_one": "only in the other",
          "other_label": "in both, other label"}


@dataclass(frozen=True)
class Comparison:
    """`sides` begins with the one that the others are held against; `differences` are theirs, in their order."""

    sides: list[Side]
    differences: list[Difference]
    notes: list[str]  # what else to know of a side

    @property
    def first(self) -> Side:
        return self.sides[0]

    @property
    def pairs(self) -> list[tuple[Side, Difference]]:
        return list(zip(self.sides[1:], self.differences, strict=True))


def parameter_rows(found: Comparison) -> list[tuple[str | None, ...]]:
    """Dotted name, and the value on each side, None where it has none; of those that differ anywhere."""
    names = sorted({name for one in found.differences for name, _, _ in one.parameters})
    return [(name, *(side.lock.parameters.get(name) for side in found.sides)) for name in names]


def own_rows(found: Comparison) -> list[tuple[str, list[Figure]]]:
    """Name, and the figure of each side on its own test part."""
    return [(label, [Figure(side.metrics.get(key), side.intervals.get(key)) for side in found.sides])
            for key, label in METRICS.items()]


def paired_rows(found: Comparison) -> list[tuple[str, list[dict[str, Any] | None]]]:
    """Name, and the `compare_paired` figure of each difference: all classes together, then the sensitivity of each."""
    compared = [one.paired for one in found.differences]
    rows = [(label, [pair and pair["figures"][key] for pair in compared]) for key, label in METRICS.items()]
    return rows + [(f"Sensitivity of {name}", [pair and pair["sensitivity"].get(name) for pair in compared])
                   for name in found.first.classes]


def reach(values: list[dict[str, Any] | None]) -> float:
    """The farthest from 0 that an interval of a row goes: half the width of its bars."""
    return max((abs(limit) for one in values if one and one["interval"] for limit in one["interval"]), default=1)


def along(value: float, farthest: float) -> str:
    """Where a difference lies on a bar from -`farthest` to `farthest`, for CSS."""
    return f"{50 + 50 * value / farthest:.1f}%"


def count_rows(found: Comparison) -> list[tuple[str, list[int | None]]]:
    """How many test images are compared, and how many are not."""
    return [(label, [one.paired["rows"][key] if one.paired else None for one in found.differences])
            for key, label in COUNTS.items()]


def image_rows(found: Comparison) -> list[tuple[str, list[int | None]]]:
    """Kind of change, and how many images of each difference have it."""
    columns = [None if one.images is None else [count for _, count, _, _ in summarise(one.images)]
               for one in found.differences]
    return [(words, [column[number] if column else None for column in columns])
            for number, words in enumerate(CHANGES.values())]


def reasons(found: Comparison) -> list[str]:
    """What is not compared, and why; what is compared by less than the content of the images."""
    lines = []
    for side, one in found.pairs:
        if one.unpaired:
            lines.append(f"{side.name}: its figures are not compared: {one.unpaired}")
        if one.images is None:
            missing = [f"{each.name}: {each.unknown}" for each in (found.first, side) if each.images is None]
            lines.append(f"{side.name}: its images are not compared ({'; '.join(missing)})"
                         + ("; test images are matched by name alone" if one.paired else ""))
    return lines


def code_of(one: Difference) -> str:
    """How much code differs, in words."""
    if one.code is None:
        return "not known"
    return f"{len(one.code)} file{'s' * (len(one.code) > 1)}" if one.code else "the same"
