"""The steps of `fovea inspect`: list, find, show, and write if asked to."""

import gc
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fovea.errors import UserError
from fovea.inspect.confirm import Layout
from fovea.inspect.find import Found, find
from fovea.inspect.listing import Listing, address, list_archives, list_folder
from fovea.inspect.place import How, is_whole_set, place, set_name, write_section
from fovea.inspect.section import section_text
from fovea.inspect.show import describe, nothing_fits, remarks
from fovea.params.section import read_sections

UNDECIDED = 2  # exit code with --write where the user has to say something first


@dataclass(frozen=True)
class Wish:
    """What the user asked for. `layout` counts from 1; `labels` is H=0,N=0,P=1; `how` is None without --write."""

    name: str | None = None
    layout: int | None = None
    labels: str | None = None
    how: How | None = None
    params: Path = Path("params.yaml")


def inspect(path: Path, wish: Wish) -> int:
    """Print what lies at `path`; returns the exit code: 0, 1 if nothing fits, 2 if --write needs a decision first.

    Raises UserError for a path that is not there and for what cannot be written.
    """
    if not path.exists():
        raise UserError(f"{path}: not found; name a folder, an archive, a table or an .npz")
    name = set_name(path, wish.name)
    with _no_collection():
        listing = listing_of(path)
        found = find(listing, name, wish.labels, wish.layout)
    if not found.layouts:
        _say(nothing_fits(listing, found.notes))
        return 1
    _say(_heading(path, found))
    layout = _choose(found, wish)
    if layout is None:
        print(f"\nSay which one: {_command(path, wish)} --layout 1 --write")
        return UNDECIDED if wish.how else 0
    return _show_and_write(path, layout, found.notes, wish)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's search for circles of references: of 100,000 entries, which all stay, it takes a second."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _say(text: str) -> None:
    """Print with archives as params.yaml has them; a file name that is no UTF-8 must not end the command."""
    print(address(text).encode("utf-8", "backslashreplace").decode())


def listing_of(path: Path) -> Listing:
    """What belongs to the set: a folder's files, a table's folder without other tables, one archive or `.npz`."""
    if path.is_dir():
        return list_folder(path)
    if is_whole_set(path):
        if path.suffix.lower() == ".npz":
            return Listing(path.parent, [], [path.name])
        return list_archives(path.parent, [path.name])
    listing = list_folder(path.parent)
    return Listing(path.parent, listing.images, [path.name, *listing.unread])


def _heading(path: Path, found: Found) -> str:
    if len(found.layouts) == 1:
        return f"{path}\n{describe(found.layouts[0])}"
    numbered = [f"Layout {number}\n{describe(layout)}" for number, layout in enumerate(found.layouts, 1)]
    return "\n\n".join([f"{path}: {len(numbered)} layouts fit", *numbered])


def _choose(found: Found, wish: Wish) -> Layout | None:
    if wish.layout is None:
        return found.layouts[0] if len(found.layouts) == 1 else None
    if not 1 <= wish.layout <= len(found.layouts):
        there = "is 1" if len(found.layouts) == 1 else f"are {len(found.layouts)}"
        raise UserError(f"--layout {wish.layout}: there {there}")
    return found.layouts[wish.layout - 1]


def _show_and_write(path: Path, layout: Layout, notes: list[str], wish: Wish) -> int:
    for line in remarks(layout, notes):
        _say(f"  note: {line}")
    print(f"\n{section_text(layout.dataset, meanings=False)}")
    command = _command(path, wish)
    if layout.question:
        _say(f"{layout.question}.\nSay which are the same: {command} --labels {_to_fill(layout)} --write")
        return UNDECIDED if wish.how else 0
    if wish.how is None:
        write = f"{command} --write" if wish.params.exists() else shlex.join(["fovea", "init", "NAME", str(path)])
        print(_too_many(layout, wish.params) or f"Next: {write}")
        return 0
    name = layout.dataset["name"]
    read_sections(wish.params)  # its errors come before anything is written
    print(place(path, name, wish.how))
    for change in write_section(wish.params, layout.dataset):
        if not change.startswith("dataset."):
            print(f"{wish.params}: {change}")
    print(f"{wish.params}: section dataset written")
    print(_too_many(layout, wish.params) or "Next: uv run dvc repro")
    return 0


def _command(path: Path, wish: Wish) -> str:
    """The command as the user gave it, without --write."""
    said = {"--name": wish.name, "--layout": wish.layout, "--labels": wish.labels}
    words = [str(word) for item in said.items() if item[1] is not None for word in item]
    return shlex.join(["uv", "run", "fovea", "inspect", str(path), *words])


def _to_fill(layout: Layout) -> str:
    """`H=?,N=?`, quoted for the shell where blanks or the like need it."""
    return shlex.quote(",".join(f"{label}=..." for label in layout.dataset["labels"]))


def _too_many(layout: Layout, params: Path) -> str | None:
    """What to do first where ingest would stop, None where it would not."""
    allowed = read_sections(params)["ingest"]["max_rejected"] if params.exists() else 0.05
    if layout.rejected_share <= allowed:
        return None
    return (f"Next: correct what the notes say; {layout.rejected_share:.0%} of the files are not usable, and ingest "
            f"stops at {allowed:.0%} (ingest.max_rejected). Then uv run dvc repro")  # fmt: skip
