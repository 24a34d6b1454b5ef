"""What ingest makes of an option: its own readers are run on it, and what they return is counted."""

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fovea.errors import UserError
from fovea.ingest.address import is_member, path_fault
from fovea.ingest.entry import Entry
from fovea.ingest.layouts import read_sources
from fovea.ingest.naming import in_our_terms
from fovea.inspect.groups import find_group
from fovea.inspect.listing import Listing, address
from fovea.inspect.naming import (
    UNKNOWN,
    find_positive,
    merge_spellings,
    name_alike,
    name_parts,
    natural,
    parse_labels,
    require_all,
)
from fovea.inspect.reading import Option, Reading
from fovea.inspect.words import part_of
from fovea.params.dataset import DatasetParams

MASK = re.compile(r"(?i)[-_ ](mask|seg|segmentation|gt|annotation)(_\d+)?\.[^.]*$")


@dataclass
class Layout:
    """One way to read the set. `dataset` is the section of params.yaml; `entries` are those of ingest."""

    option: Option
    dataset: dict[str, Any]
    entries: list[Entry]
    faults: dict[str, str]  # address: why ingest will not open it
    notes: list[str] = field(default_factory=list)
    group_why: str | None = None
    question: str | None = None  # what only the user can say, before ingest can run

    @cached_property
    def usable(self) -> list[Entry]:
        """The images that ingest will open."""
        return [entry for entry in self.entries if entry.reason is None and entry.image not in self.faults]

    @cached_property
    def unusable(self) -> dict[str, list[str]]:
        """Addresses by the reason with which ingest will reject them."""
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            reason = self.faults.get(entry.image) or entry.reason
            if reason is not None:
                found.setdefault(reason.split(": /")[0], []).append(entry.image)
        return found

    @property
    def rejected_share(self) -> float:
        return 1 - len(self.usable) / max(1, len(self.entries))

    def counts(self, name: str) -> dict[str, int]:
        """Usable images by `label`, `given` or `group`, in their natural order."""
        counts = Counter(value for entry in self.usable if (value := getattr(entry, name)) is not None)
        return {key: counts[key] for key in sorted(counts, key=natural)}


def confirm(option: Option, listing: Listing, name: str, labels: str | None) -> Layout | str:
    """The layout as ingest reads it, or its error. `labels` is what the user said of the classes, H=0,N=0,P=1."""
    section: dict[str, Any] = {
        "name": name, "sources": [_source(reading) for reading in option], "labels": {}, "classes": [],
        "positive": None, "group": None, "splits": None,
    }  # fmt: skip
    try:
        entries = read_sources(listing.root, DatasetParams.model_validate(section))
    except UserError as error:
        return str(error)
    faults = _faults(entries, listing)
    usable = [entry for entry in entries if entry.reason is None and entry.image not in faults]
    question = _name_classes(section, option, usable, labels)
    group_why = None
    if not any(entry.group for entry in entries) and (found := find_group(usable)):
        section["group"], group_why = found
    section["splits"] = name_parts({entry.given for entry in entries if entry.given is not None})
    # Before the user has named the classes, they are counted as written.
    terms = section | {"labels": {}} if question else section
    entries = in_our_terms(entries, DatasetParams.model_validate(terms))
    notes = [note for reading in option for note in reading.notes]
    if any(part == "test" and part_of(written) == "val" for written, part in (section["splits"] or {}).items()):
        notes.append("the set gives a validation part and no test part: the former is used as test part")
    notes += _left_out(entries, listing) + _masks(usable)
    return Layout(option, section, entries, faults, notes, group_why, question)


def _masks(usable: list[Entry]) -> list[str]:
    masks = [entry.image for entry in usable if MASK.search(entry.image)]
    if not 0 < len(masks) < len(usable):
        return []
    return [f"{len(masks)} names end as those of masks do, such as {min(masks)}; move out what is no photograph"]


def _source(reading: Reading) -> dict[str, Any]:
    """The source with its paths as ingest has them."""
    source = dict(reading.source)
    for key in {"images", "file", "names", "labels"} & source.keys():
        value = source[key]
        source[key] = address(value) if isinstance(value, str) else [address(folder) for folder in value]
    return source


def _left_out(entries: Iterable[Entry], listing: Listing) -> list[str]:
    """A line for each folder with images that ingest will not look at."""
    read = {entry.image for entry in entries}
    folders = Counter(path.rpartition("/")[0] or "." for path in listing.images if address(path) not in read)
    return [f"{count} images in {folder} have no label and are left out" for folder, count in sorted(folders.items())]


def _faults(entries: Iterable[Entry], listing: Listing) -> dict[str, str]:
    """Why entries are no files of the set, by address. Ingest asks it of all; links and what is not listed suffice."""
    root = os.path.realpath(listing.root)
    files = {address(path) for path in listing.images} - _links(listing)
    doubtful = {entry.image for entry in entries} - files
    real: dict[str, str] = {}
    return {image: fault for image in doubtful
            if not is_member(root, image) and (fault := path_fault(root, image, real))}  # fmt: skip


def _links(listing: Listing) -> set[str]:
    """Addresses of links, by a look at each folder: at each of 100,000 images it takes half a second."""
    found: set[str] = set()
    for folder in listing.tree.here:
        if not os.path.isdir(listing.root / folder):  # of an archive, from which no link is unpacked
            continue
        with os.scandir(listing.root / folder) as items:
            found.update(posixpath.join(folder, item.name) for item in items if item.is_symlink())
    return found


def _name_classes(section: dict[str, Any], option: Option, usable: list[Entry], labels: str | None) -> str | None:
    """Fill in `labels`, `classes` and `positive`. Returns the question that is left, if any."""
    counts = Counter(str(entry.label) for entry in usable)
    question, alike = None, name_alike(_vocabularies(option, usable))
    if labels is not None:
        section["labels"] = merge_spellings(counts) | parse_labels(labels, counts)
        if not alike:
            require_all(section["labels"], counts)
    elif alike:
        section["labels"] = merge_spellings(counts)
    else:
        section["labels"] = dict.fromkeys(sorted(counts, key=natural), UNKNOWN)
        question = _question(option, usable)
    classes = sorted({section["labels"].get(label, label) for label in counts}, key=natural)
    section["classes"] = [] if question else classes
    section["positive"] = find_positive(classes)
    return question


def _vocabularies(option: Option, usable: list[Entry]) -> list[list[str]]:
    """The labels of each source, sorted."""
    if len(option) == 1:
        return []
    labels = {entry.image: str(entry.label) for entry in usable}
    found = []
    for reading in option:
        mine = {labels[image] for path in reading.images if (image := address(path)) in labels}
        found.append(sorted(mine, key=natural))
    return [mine for mine in found if mine]


def _question(option: Option, usable: list[Entry]) -> str:
    named = [f"{reading.where} has {', '.join(mine)}" for reading, mine in
             zip(option, _vocabularies(option, usable), strict=False)]  # fmt: skip
    return f"the sources name their classes differently: {'; '.join(named)}"
