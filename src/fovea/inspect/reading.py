"""One source that fits, with the reason, before ingest's own readers have confirmed it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Reading:
    """`source` is an entry of dataset.sources; `images` are the paths that it labels; `where` names it in a line."""

    source: dict[str, Any]
    where: str
    why: str
    images: frozenset[str]
    notes: tuple[str, ...] = ()
    label_key: str = ""  # what is read as the label, where one file has several that fit

    def in_part(self, part: str | None) -> "Reading":
        """The same with the given split `part`, unless a column or folder gives it."""
        source = self.source
        if part is None or source.get("split_column") is not None or source.get("split_folders"):
            return self
        return replace(self, source={**source, "split": part})


Option = list[Reading]  # sources that together read a set in one way


def covered(option: Iterable[Reading]) -> frozenset[str]:
    """The images that any of `option` labels."""
    return frozenset().union(*(reading.images for reading in option))
