"""Patients in the names of images: both eyes of one (12_left, 12_right), or numbered (patient7_3)."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import takewhile

from fovea.ingest.entry import Entry
from fovea.inspect.words import PERSON

SIDE = re.compile(r"(?i)^(?P<base>.+?)(?P<mark>[-_ ])(?P<side>left|right|od|os|l|r)(?=[-_ .]|$)")
NUMBERED = re.compile(rf"(?i)(?P<all>(?P<word>{PERSON}|lesion)[-_ ]?\d+)")


def find_group(entries: Iterable[Entry]) -> tuple[str, str] | None:
    """A pattern for dataset.group that fits at least half of the images, and what it found, in words; or None."""
    labels = {entry.image: str(entry.label) for entry in entries}
    addresses = list(labels)
    if not addresses:
        return None
    return _sides(addresses) or _numbered(addresses) or _folders(labels)


def _sides(addresses: list[str]) -> tuple[str, str] | None:
    sides: dict[str, set[str]] = defaultdict(set)
    marks, words, fitting = set(), set(), 0
    for seen, address in enumerate(addresses, 1):
        if seen - fitting > 0.5 * len(addresses):
            return None  # before the other half of 100,000 names is looked at
        if match := SIDE.match(posixpath.splitext(address.rpartition("/")[2])[0]):
            fitting += 1
            sides[match["base"]].add(match["side"].lower())
            marks.add(match["mark"])
            words.add(match["side"])
    both = sum(len(found) > 1 for found in sides.values())
    if fitting < 0.5 * len(addresses) or both < 0.1 * len(sides) or not both:
        return None
    mark = next(iter(marks)) if len(marks) == 1 else f"[{''.join(sorted(marks, key='_ -'.index))}]"
    side = f"{mark}({'|'.join(sorted(words))})"
    # The optional form fits names without a side as well: each is then its own group, without a warning of ingest.
    pattern = f"^(?P<group>.+?){side}[-_ .]" if fitting == len(addresses) else f"^(?P<group>.+?)({side})?[.][^.]*$"
    return pattern, f"names end in {' and '.join(mark_of(marks) + word for word in sorted(words))}: one patient's eyes"


def mark_of(marks: set[str]) -> str:
    return next(iter(marks)) if len(marks) == 1 else ""


def _numbered(addresses: list[str]) -> tuple[str, str] | None:
    for whole in (False, True):
        texts = [address if whole else address.rpartition("/")[2] for address in addresses]
        found = takewhile(bool, map(NUMBERED.search, texts))  # up to the first that has none
        matches = [match for match in found if match]
        if len(matches) == len(texts) and len({match["all"] for match in matches}) < len(texts):
            words = "|".join(sorted({match["word"] for match in matches}))
            regex = f"(?P<group>({words})[-_ ]?\\d+)"
            # A pattern with a slash is searched in the whole address, by ingest's rule.
            return (f"{regex}[^/]*/" if whole else regex), f"such as {matches[0]['all']} in the {_place(whole)}"
    return None


def _folders(labels: dict[str, str]) -> tuple[str, str] | None:
    """Numbered folders below those of the classes: glaucoma/g012/1.jpg."""
    folders: dict[str, set[str]] = defaultdict(set)
    for address, label in labels.items():
        folders[address.rpartition("/")[0]].add(label)
    names = {posixpath.basename(folder) for folder in folders}
    of_one_class = all(len(found) == 1 for found in folders.values())
    above = {posixpath.basename(posixpath.dirname(folder)) for folder in folders}
    if not of_one_class or not set(labels.values()) <= above or not all(re.search(r"\d", name) for name in names):
        return None
    return "/(?P<group>[^/]+)/[^/]+$", f"the folders below the classes, such as {min(names)}"


def _place(whole: bool) -> str:
    return "folder's name" if whole else "image's name"
