"""From what a layout writes to our terms: one entry per row, class, group and part by the rules of `dataset`."""

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from fovea.errors import UserError
from fovea.ingest.address import base_name
from fovea.ingest.archives import DUPLICATE
from fovea.ingest.entry import Entry, blotted
from fovea.params.dataset import DatasetParams


def in_our_terms(entries: Iterable[Entry], dataset: DatasetParams) -> list[Entry]:
    """Entries with class, group and given split as `dataset` says; unusable ones with a reason. In `rest` a `*` stands
    for each part of the address that gives one of these.

    Raises UserError for a given split that `dataset.splits` does not name, and a `dataset.group` that matches nothing.
    """
    named = [_named(entry, dataset) for entry in _without_repeats(entries)]
    if dataset.group is not None:
        _require_groups(named, dataset.group)
    return named


def _without_repeats(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The first entry of each image, the others with a reason. Where they contradict each other, none is the first."""
    by_image: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.reason and entry.reason.startswith(DUPLICATE):  # of an archive, which says of which two it is
            yield entry
        else:
            by_image[entry.image].append(entry)
    for first, *others in by_image.values():
        if all(other.agrees(first) for other in others):
            yield first
            yield from (other._replace(reason=f"{DUPLICATE}: named before") for other in others)
        else:
            reason = f"{DUPLICATE}: with different labels, groups or splits"
            yield from (entry._replace(reason=reason) for entry in (first, *others))


def _named(entry: Entry, dataset: DatasetParams) -> Entry:
    label = None if entry.label is None else dataset.labels.get(entry.label, entry.label)
    reason = entry.reason
    if reason is None and dataset.classes and label not in dataset.classes:
        reason = f"label outside dataset.classes: {label}"
    group, rest = entry.group, entry.rest
    if group is None and dataset.group is not None:
        group, span = _group(entry.image, dataset.group)
        rest = blotted(rest, span) if rest else ""
    rest = re.sub("\0+", "*", rest) if "\0" in rest else rest  # the question costs a tenth
    return Entry(entry.image, label, group, _given(entry.given, dataset.splits), reason, entry.facts, entry.kept, rest)


def _group(image: str, pattern: str) -> tuple[str | None, tuple[int, int]]:
    """The group that `pattern` finds in an address, and where, as (start, stop)."""
    # The rule of .gitignore: a pattern with a slash is meant for the whole address.
    searched = image if "/" in pattern else base_name(image)
    match = re.search(pattern, searched)
    if not match or not match["group"]:
        return None, (0, 0)
    start = len(image) - len(searched)
    return match["group"], (start + match.start("group"), start + match.end("group"))


def _given(written: str | None, splits: Mapping[str, str] | None) -> str | None:
    if written is None or splits is None:
        return None
    if written not in splits:
        raise UserError(f"dataset.splits: the set gives the split {written}, which is not among {', '.join(splits)}; "
                        f"add it, such as {{{written}: test}}, or set splits: null to ignore given splits")
    return splits[written]


def _require_groups(entries: list[Entry], pattern: str) -> None:
    usable = [entry for entry in entries if entry.reason is None]
    without = sorted(entry.image for entry in usable if entry.group is None)
    if not without:
        return
    if len(without) == len(usable):
        raise UserError(f"dataset.group: {pattern} matches no image, not even {without[0]}; correct it or set null")
    print(f"warning: dataset.group: {pattern} does not match {len(without)} of {len(usable)} images, such as "
          f"{without[0]}; each of these is a group of its own", file=sys.stderr)
