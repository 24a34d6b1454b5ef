"""What the classes and parts are called: from what the sources write to the section `dataset`."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from fovea.errors import UserError
from fovea.inspect.words import NEGATIVE, part_of

UNKNOWN = "?"  # stands for the class that only the user can name


def merge_spellings(counts: Counter[str]) -> dict[str, str]:
    """{as written: commonest spelling} of labels that differ in upper case and blanks alone."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for label, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        spellings[" ".join(label.casefold().split())].append(label)
    return {other: first for first, *others in spellings.values() for other in others}


def name_alike(vocabularies: Sequence[Iterable[str]]) -> bool:
    """Whether the sources name their classes alike: none has only labels that no other source has."""
    joined: list[set[str]] = []
    for labels in vocabularies:
        mine = {" ".join(label.casefold().split()) for label in labels}
        apart = [group for group in joined if not group & mine]
        touching = [group for group in joined if group & mine]
        joined = [*apart, mine.union(*touching)]
    return len(joined) <= 1


def parse_labels(text: str, found: Iterable[str]) -> dict[str, str]:
    """`H=0,N=0,P=1` as a mapping. Raises UserError for a label that was not found."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    labels = {written.strip(): name.strip() for written, _, name in pairs}
    if unclear := [written for written, name in labels.items() if not written or not name]:
        raise UserError(f"--labels: {', '.join(unclear)}: write label=class, such as H=normal,P=myopia")
    known = sorted(set(found), key=natural)
    if wrong := [written for written in labels if written not in known]:
        raise UserError(f"--labels: {', '.join(wrong)}: no such label; found were {', '.join(known)}")
    return labels


def require_all(labels: Mapping[str, str], found: Iterable[str]) -> None:
    """Raises UserError for a label that `labels` neither renames nor has as a class."""
    if missing := sorted(set(found) - labels.keys() - set(labels.values()), key=natural):
        more = ",".join(f"{label}=..." for label in missing)
        raise UserError(f"--labels: {', '.join(missing)}: say their classes too, with {more}; a label may keep its "
                        f"name, {missing[0]}={missing[0]}")


def natural(label: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts numbers in labels as numbers: grade2 before grade10, and numbers before words."""
    pieces = re.findall(r"\d+|\D+", label)
    return tuple((0, int(piece)) if piece.isdecimal() else (1, piece) for piece in pieces)


def find_positive(classes: Sequence[str]) -> str | None:
    """Of two classes, the one beside a usual name of what is not looked for (0, normal, benign)."""
    others = [name for name in classes if name.casefold() not in NEGATIVE]
    return others[0] if len(classes) == 2 and len(others) == 1 else None


def name_parts(given: Iterable[str]) -> dict[str, str] | None:
    """{as written: train, val or test}. Where a set gives a validation part and no test part, that is the test part."""
    parts = {name: part_of(name) or "train" for name in sorted(given)}
    if "val" in parts.values() and "test" not in parts.values():
        parts = {name: "test" if part == "val" else part for name, part in parts.items()}
    return dict(sorted(parts.items(), key=lambda item: ("train", "val", "test").index(item[1]))) or None
