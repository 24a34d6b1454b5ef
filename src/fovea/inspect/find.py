"""All ways to read a set, from everything that lies in it: tables, lists, arrays, folders and file names."""

import posixpath
from dataclasses import dataclass, field, replace

from fovea.inspect.arrays import read_arrays_names
from fovea.inspect.confirm import Layout, confirm
from fovea.inspect.folders import by_name_alone, options
from fovea.inspect.listing import Listing, Tree, say_unread
from fovea.inspect.patterns import partition
from fovea.inspect.reading import Option, Reading, covered
from fovea.inspect.tables import read_all, read_lists, read_table
from fovea.inspect.words import part_of

MOST_LAYOUTS = 9
SHARE = 0.9  # of the images of the fullest reading, below which a reading is no alternative to it
OVERLAP = 0.1  # of a table's images that another may name as well, without being an alternative to it


@dataclass
class Found:
    """`layouts` fit, the likelier first; `notes` say what was seen and not used."""

    layouts: list[Layout]
    notes: list[str] = field(default_factory=list)


def find(listing: Listing, name: str, labels: str | None, number: int | None = None) -> Found:
    """Every layout that fits, confirmed by ingest's own readers.

    `labels` are those of the layout with this `number` from 1, or of the only one: others name their classes otherwise.
    """
    tables, faults = read_all(listing)
    notes = listing.notes + say_unread(listing.unread) + faults
    by_file: list[list[Reading]] = [[reading] for reading in read_lists(tables, listing)]
    for table in tables:
        readings, said = read_table(table, listing)
        notes += said
        by_file += [readings] if readings else []
    ways = [_with_rest(option, listing) for option in _together(by_file)]
    ways += read_arrays_names(listing)
    ways += options(listing.tree) if listing.images else []
    ways, set_aside = _fullest([_settle_parts(option) for option in ways])
    if more := [option[0].label_key or option[0].where for option in ways[MOST_LAYOUTS:]]:
        set_aside.append(f"not shown: {len(more)} more that could be the label, {', '.join(more)}")
    confirmed = [confirm(option, listing, name, None) for option in ways[:MOST_LAYOUTS]]
    layouts = [layout for layout in confirmed if isinstance(layout, Layout) and len(layout.counts("label")) > 1]
    notes += set_aside + [fault for fault in confirmed if isinstance(fault, str)]
    layouts = _different(layouts + _by_name(layouts, listing, name))
    meant = number or (1 if len(layouts) == 1 else 0)
    if labels is not None and 1 <= meant <= len(layouts):
        named = confirm(layouts[meant - 1].option, listing, name, labels)
        layouts[meant - 1 : meant] = [named] if isinstance(named, Layout) else []
    return Found(layouts, notes)


def _together(by_file: list[list[Reading]]) -> list[Option]:
    """Options of the tables: those named after parts are one, and so are others that name different images."""
    found = []
    for of_part in (True, False):
        mine = [readings for readings in by_file if (_part(readings[0]) is not None) == of_part]
        for files in _disjoint(sorted(mine, key=lambda readings: -len(readings[0].images))):
            found += [_same_label(files, first) for first in files[0]]
    return found


def _disjoint(by_file: list[list[Reading]]) -> list[list[list[Reading]]]:
    """Files shared out so that no two of one share name the same images."""
    shares: list[list[list[Reading]]] = []
    for readings in by_file:
        images = readings[0].images
        for share in shares:
            if len(images & covered(other[0] for other in share)) <= OVERLAP * len(images):
                share.append(readings)
                break
        else:
            shares.append([readings])
    return shares


def _same_label(files: list[list[Reading]], first: Reading) -> Option:
    """`first`, and of each other file the reading with the same label column, or else its likeliest."""
    option = []
    for readings in files:
        same = [reading for reading in readings if reading.label_key == first.label_key]
        option.append(first if first in readings else (same or readings)[0])
    return sorted(option, key=lambda reading: ("train", "val", "test", None).index(_part(reading)))


def _part(reading: Reading) -> str | None:
    """The part of a split that a table's name, its images' folder or its own folder names."""
    source = reading.source
    file = source.get("file") or source.get("names") or ""
    images = source.get("images", "")
    folders = images if isinstance(images, str) else " ".join(images)
    texts = (posixpath.basename(file), posixpath.dirname(file), folders)
    return source["split"] or next((part for text in texts if (part := part_of(text))), None)


def _with_rest(option: Option, listing: Listing) -> Option:
    """`option`, and a reading of the folders none of whose images it names: a set may have several roots."""
    option = [reading.in_part(_part(reading)) for reading in option]
    mine = {path.rpartition("/")[0] for path in covered(option)}
    rest = [path for path in listing.images if path.rpartition("/")[0] not in mine]
    if not rest:
        return option
    more = [reading for choice in options(Tree(rest))[:1] for reading in choice]
    if any(_holds(reading.source["images"], folder) for reading in more for folder in mine):
        return option
    return [reading.in_part(_part(reading)) for reading in more] + option


def _holds(folder: str, other: str) -> bool:
    return folder == "" or other == folder or other.startswith(f"{folder}/")


def _settle_parts(option: Option) -> Option:
    """One part alone is no split: train.csv beside nothing else holds all images."""
    if len({reading.source["split"] for reading in option}) > 1:
        return option
    return [replace(reading, source={**reading.source, "split": None}) for reading in option]


def _fullest(ways: list[Option]) -> tuple[list[Option], list[str]]:
    """The options that label nearly as many images as the fullest, and a line about each file of the others."""
    most = max((len(covered(option)) for option in ways), default=0)
    full = [option for option in ways if len(covered(option)) >= SHARE * most]
    used = {reading.where for option in full for reading in option}
    aside = {reading.where: f"{reading.where} labels {len(reading.images)} of the images only, and is not used"
             for option in ways for reading in option if reading.where not in used}  # fmt: skip
    return full, list(aside.values())


def _by_name(layouts: list[Layout], listing: Listing, name: str) -> list[Layout]:
    """Words in the file names that say something else than folders do, or than a column that is only guessed."""
    if not layouts or any(_is_certain(layout) for layout in layouts):
        return []
    found = []
    for option in by_name_alone(listing.tree):
        layout = confirm(option, listing, name, None)
        if isinstance(layout, Layout) and _are_words(layout) and not any(_refines(layout, other) for other in layouts):
            found.append(layout)
    return found


def _is_certain(layout: Layout) -> bool:
    return any(reading.source["layout"] in ("pattern", "lists", "arrays") or "few different" not in reading.why
               for reading in layout.option if reading.source["layout"] != "folders")  # fmt: skip


def _are_words(layout: Layout) -> bool:
    return all(len(label) > 2 for label in layout.counts("label"))


def _refines(one: Layout, other: Layout) -> bool:
    """Whether the classes of one follow from those of the other."""
    labels = {entry.image: entry.label for entry in other.usable}
    pairs = {(entry.label, labels[entry.image]) for entry in one.usable if entry.image in labels}
    return len(pairs) <= max(len(one.counts("label")), len(other.counts("label")))


def _different(layouts: list[Layout]) -> list[Layout]:
    """The first of those that put the same images into the same classes, groups and parts, whatever their names."""
    first: dict[tuple[object, ...], Layout] = {}
    for layout in layouts:
        usable = sorted(layout.usable, key=lambda entry: entry.image)
        images = tuple(entry.image for entry in usable)
        same = [partition(getattr(entry, name) for entry in usable) for name in ("label", "group", "given")]
        first.setdefault((images, *same), layout)
    return list(first.values())
