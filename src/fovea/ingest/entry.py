"""What a label layout says about one image, and what its bytes say."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one readable image: digest (40 hex digits), size in bytes, px as displayed, format's lower-case name."""

    digest: str
    bytes: int
    width: int
    height: int
    format: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One image as a layout names it. `image` is its address relative to the set's folder, with `/`.

    `label`, `group` and `given` stand as written. A layout that can tell by itself that an entry is unusable gives the
    `reason`; one that has already read the pixels (arrays) gives the `facts`. `rest` is the address with every
    character `blotted` that gives label or given split; naming.py blots the group and makes each blot a `*`. It is ""
    where the address says nothing else (arrays).
    """

    image: str
    label: str | None
    group: str | None = None
    given: str | None = None
    reason: str | None = None
    facts: Facts | None = None
    rest: str = field(default="", compare=False)  # two sources may read the same label from different parts


def blotted(text: str, *spans: tuple[int, int]) -> str:
    """`text` of the same length, with NUL, which no file name holds, in each span: so positions stay valid."""
    for start, stop in spans:
        text = text[:start] + "\0" * (stop - start) + text[stop:]
    return text
