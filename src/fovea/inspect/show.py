"""What was found, as text for the terminal."""

from collections.abc import Iterable

from fovea.ingest.label_files import SEVERAL
from fovea.inspect.confirm import Layout
from fovea.inspect.listing import Listing
from fovea.inspect.naming import natural

SHOWN = 8  # names in a line
EXPECTED = """Expected is one of
  a folder for each class               normal/a.jpg  myopia/b.jpg  (train/ val/ test/ above them, or not)
  the class in the file names           normal_1.jpg  myopia_2.jpg
  a table (CSV, TSV, XLSX, ...)         image,label   with names of files that are there
  two lists of as many lines            names.txt  labels.txt
  an .npz                               train_images  train_labels  test_images  test_labels"""


def describe(layout: Layout) -> str:
    """Sources with their reasons, and what there is of images, classes, groups and parts."""
    lines = [f"  {reading.where}\n    {reading.why}{_of_part(reading.source['split'])}" for reading in layout.option]
    lines.append(f"  images   {len(layout.usable)}" + (f" of {len(layout.entries)}" if layout.unusable else ""))
    classes = layout.counts("label")
    lines.append(f"  classes  {len(classes)}: {_listed(classes)}")
    lines.append(f"  groups   {_groups(layout)}")
    parts = layout.counts("given")
    given = _listed({part: parts[part] for part in ("train", "val", "test") if part in parts})
    lines.append(f"  split    {given or 'none given: Fovea draws one'}")
    return "\n".join(lines)


def remarks(layout: Layout, notes: Iterable[str]) -> list[str]:
    """Lines about what will be rejected, what was assumed and what was not used."""
    unusable = _by_kind(layout).items()
    lines = [f"{len(images)} not usable: {reason}, such as {min(images)}" for reason, images in unusable]
    section = layout.dataset
    if section["labels"] and layout.question is None:
        lines.append(f"labels: {', '.join(f'{old} is {new}' for old, new in section['labels'].items())}")
    if section["positive"] and layout.question is None:
        lines.append(f"positive: {section['positive']} is taken for the class that is looked for")
    if layout.question is None:
        lines += _in_one_part(layout)
    return lines + layout.notes + list(notes)


def _in_one_part(layout: Layout) -> list[str]:
    """Lines about classes that the given split has in train alone or in test alone."""
    parts: dict[str, set[str]] = {"train": set(), "test": set()}
    for entry in layout.usable:
        parts.get(entry.given or "", set()).add(str(entry.label))
    train, test = parts["train"], parts["test"]
    if not train or not test:
        return []
    sides = {"only in train, and never tested": train - test, "only in test, and never learnt": test - train}
    return [f"classes {where}: {', '.join(sorted(found, key=natural))}" for where, found in sides.items() if found]


def nothing_fits(listing: Listing, notes: Iterable[str]) -> str:
    """What was seen, and what is expected."""
    tree = listing.tree
    folders = {folder or ".": len(images) for folder, images in sorted(tree.here.items())}
    seen = [f"{len(listing.images)} images" + (f" in {_listed(folders)}" if folders else "")]
    files = {"tables": listing.tables, "arrays": listing.arrays, "archives": listing.archives}
    seen += [f"{what}: {', '.join(names[:SHOWN])}" for what, names in files.items() if names]
    if listing.images:
        seen.append(f"names such as {', '.join(listing.images[:3])}")
    return "\n".join([_first_line(listing), *(f"  {line}" for line in [*seen, *notes]), EXPECTED])


def _first_line(listing: Listing) -> str:
    """The likeliest reason, in words."""
    folders = list(listing.tree.here)
    if listing.images and len(folders) == 1 and folders[0] and not listing.tables:
        reason = f"All images lie in one folder, {folders[0]}, so they would have one class only. "
    elif listing.images:
        reason = ""
    elif listing.tables:
        reason = "There are tables but no images: name the folder that holds both. "
    elif not any(listing.root.iterdir()):
        reason = "The folder is empty. "
    else:
        reason = "" if listing.arrays or listing.archives else "There are no images. "
    return f"No layout fits. {reason}Seen:"


def _of_part(part: str | None) -> str:
    return f"; part {part}, by its name" if part else ""


def _groups(layout: Layout) -> str:
    groups = layout.counts("group")
    if not groups:
        return "none found: each image stands for itself"
    return f"{len(groups)}, " + (f"from the names: {layout.group_why}" if layout.group_why else "from the column")


def _by_kind(layout: Layout) -> dict[str, list[str]]:
    """Reasons without their details."""
    found: dict[str, list[str]] = {}
    for reason, images in layout.unusable.items():
        kind = reason if reason.startswith("no label: no label file") else reason.split(", line")[0]
        kind = SEVERAL if reason.startswith(SEVERAL) else kind
        found.setdefault(kind, []).extend(images)
    return found


def _listed(counts: dict[str, int]) -> str:
    shown = [f"{name} {count}" for name, count in list(counts.items())[:SHOWN]]
    return ", ".join(shown) + (f", ... {len(counts)} in all" if len(counts) > SHOWN else "")
