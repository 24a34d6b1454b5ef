"""The class in the file name: H0001.jpg and N0002.jpg, benign_12.jpg, 12-melanoma.png, p7_grade2_left.jpg."""

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fovea.inspect.words import NO_CLASS, PARTS

MOST_CLASSES = 20
SAMPLE = 500
GRADED = re.compile(r"(?i)(?P<word>grade|class|label|level|stage|dx)[-_ ]?(?P<label>\d{1,2})(?!\d)")
EDGE = r"[\W\d_]"


@dataclass(frozen=True)
class NamePattern:
    """A regular expression with the group `label`, and what it takes for the class, in words."""

    regex: str
    labels: dict[str, str]  # label by file name
    what: str


def find_patterns(names: Sequence[str]) -> list[NamePattern]:
    """Patterns that give every one of the file `names` one of 2 to 20 classes, each on several files; best first.

    Of two that divide the names alike, the first is kept.
    """
    if len(names) < 4:
        return []
    stems = {name: posixpath.splitext(name)[0] for name in names}
    found: dict[tuple[int, ...], NamePattern] = {}
    for make in (_leading, _trailing, *_positions(list(stems.values())), _graded):
        pattern = make(stems)
        if pattern is not None:
            found.setdefault(partition(pattern.labels[name] for name in names), pattern)
    return list(found.values())


def partition(labels: Iterable[object]) -> tuple[int, ...]:
    """Labels as numbers by first appearance: the same for two ways to name the same classes."""
    numbers: dict[object, int] = {}
    return tuple(numbers.setdefault(label, len(numbers)) for label in labels)


def _leading(stems: dict[str, str]) -> NamePattern | None:
    """What stands before the first digit."""
    labels = _labels(stems, lambda stem: _edge(stem, 0))
    if labels is None or _share_a_word(labels):
        return None
    what = "the letter" if max(map(len, labels.values())) == 1 else "what stands"
    regex = f"^(?P<label>{_alternatives(labels)})"
    closed = (_checked(f"{regex}{gap}\\d", labels, f"{what} before the number") for gap in ("", "[-_. (]*"))
    return next((pattern for pattern in closed if pattern), None)


def _trailing(stems: dict[str, str]) -> NamePattern | None:
    """What stands behind the last digit."""
    labels = _labels(stems, lambda stem: _edge(stem, -1))
    if labels is None or _share_a_word(labels):
        return None
    regex = f"\\d[-_. )]*(?P<label>{_alternatives(labels)})[.][^.]*$"
    return _checked(regex, labels, "what stands behind the number")


def _positions(stems: Sequence[str]) -> list[Callable[[dict[str, str]], NamePattern | None]]:
    """A reader for each place of a word that all names may have, by a few of them, from the front and from the back."""
    fewest = min((len(_tokens(stem)) for stem in stems[:: max(1, len(stems) // SAMPLE)]), default=0)
    places = [place for i in range(min(fewest, 6)) for place in (i, -1 - i)]
    return [lambda stems, place=place: _word_at(stems, place) for place in places]  # type: ignore[misc]


def _word_at(stems: dict[str, str], place: int) -> NamePattern | None:
    labels = _labels(stems, lambda stem: _token(stem, place))
    if labels is None:
        return None
    order = f"word {place + 1}" if place >= 0 else "the last word" if place == -1 else f"word {-place} from the end"
    return _checked(f"(^|{EDGE})(?P<label>{_alternatives(labels)}){EDGE}", labels, f"{order} of the name")


def _graded(stems: dict[str, str]) -> NamePattern | None:
    labels = _labels(stems, lambda stem: match["label"] if (match := GRADED.search(stem)) else "")
    if labels is None:
        return None
    words = sorted({match["word"] for stem in stems.values() if (match := GRADED.search(stem))})
    regex = f"({'|'.join(words)})[-_ ]?(?P<label>\\d{{1,2}})(?!\\d)"
    return _checked(regex, labels, f"the number behind {' or '.join(words)}")


def _share_a_word(labels: dict[str, str]) -> bool:
    """Whether all hold the same word, as img_benign and img_malignant do: the others are then the class."""
    return bool(set.intersection(*(set(_tokens(label)) for label in set(labels.values()))))


def _labels(stems: dict[str, str], read: Callable[[str], str]) -> dict[str, str] | None:
    """Labels by name, None if they can be no classes. A few names show that without a look at 100,000."""
    some = {read(stem) for stem in list(stems.values())[:: max(1, len(stems) // SAMPLE)]}
    if not 2 <= len(some) <= MOST_CLASSES or not _are_words(some):
        return None
    labels = {name: read(stem) for name, stem in stems.items()}
    return labels if _are_classes(labels) else None


def _edge(stem: str, place: int) -> str:
    """What stands before the first digit (place 0) or behind the last (-1), "" without digits."""
    pieces = re.split(r"\d", stem)
    return pieces[place].strip("-_. ()") if len(pieces) > 1 else ""


def _tokens(stem: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", stem)


def _token(stem: str, place: int) -> str:
    """The word at that place, "" if there are fewer, which is no class."""
    tokens = _tokens(stem)
    return tokens[place] if -len(tokens) <= place < len(tokens) else ""


def _are_classes(labels: dict[str, str]) -> bool:
    counts = Counter(labels.values())
    enough = 2 <= len(counts) <= min(MOST_CLASSES, len(labels) // 2) and min(counts.values()) >= 2
    return enough and _are_words(counts)


def _are_words(labels: Iterable[str]) -> bool:
    """Whether all names have a label, and these are neither parts nor the words that cameras and eyes give."""
    words = {label.lower() for label in labels}
    return "" not in words and not words & PARTS.keys() and not words <= NO_CLASS


def _alternatives(labels: dict[str, str]) -> str:
    different = sorted(set(labels.values()), key=lambda label: (-len(label), label))  # the longer one first
    if all(len(label) == 1 for label in different):
        return f"[{''.join(map(re.escape, different))}]"
    return "|".join(map(_escape, different))


def _escape(label: str) -> str:
    return re.escape(label).replace(r"\ ", " ").replace(r"\-", "-")


def _checked(regex: str, labels: dict[str, str], what: str) -> NamePattern | None:
    """None where the expression, searched in the whole name as ingest does, finds another word of the same list."""
    for name, label in labels.items():
        match = re.search(regex, name)
        if match is None or match["label"] != label:
            return None
    return NamePattern(regex, labels, what)
