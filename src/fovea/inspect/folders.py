"""A folder for each class, parts of a split above them, several roots; where there are none, the file names."""

import posixpath
from typing import Any

from fovea.inspect.listing import Tree
from fovea.inspect.patterns import find_patterns
from fovea.inspect.reading import Option, Reading, covered
from fovea.inspect.words import GENERIC, OF_A_PLACE, are_numbered, is_of_a_group, is_part, part_of

MOST_CLASSES = 200


def options(tree: Tree, folder: str = "") -> list[Option]:
    """Ways to read the class of the images below `folder` from folders and names, the likelier first; [] if none."""
    children = tree.children.get(folder, [])
    direct = tree.here.get(folder, [])
    if not children:
        return _by_name(tree, folder)
    if len(children) == 1 and not direct:
        return options(tree, children[0])
    parts = {child: part_of(posixpath.basename(child)) for child in children}
    if len({part for part in parts.values() if part}) > 1:
        return _by_part(tree, folder, {child: part for child, part in parts.items() if part})
    found = []
    if _are_classes(tree, folder):
        found.append([_by_class(tree, folder)])
    if roots := _roots(tree, folder, bool(found)):
        found.append(roots)
    return found or _by_name(tree, folder)


def _by_part(tree: Tree, folder: str, parts: dict[str, str]) -> list[Option]:
    read = {child: choices for child in parts if (choices := options(tree, child))}
    most = max(map(len, read.values()), default=0)
    found = []
    for number in range(most):
        option = [
            reading.in_part(parts[child])
            for child, choices in read.items()
            for reading in choices[min(number, len(choices) - 1)]
        ]
        found.append(_joined(tree, folder, option, parts))
    return found


def _joined(tree: Tree, folder: str, option: Option, parts: dict[str, str]) -> Option:
    """One source with split_folders for a folder per class right below each part, which are all that is there."""
    found = [reading.source["images"] for reading in option if reading.source["layout"] == "folders"]
    archived = any(part.endswith("!") for part in parts)
    if archived or sorted(found) != tree.children[folder] or len(found) < len(option) or tree.here.get(folder):
        return option
    names = ", ".join(posixpath.basename(part) for part in parts)
    classes = sorted({posixpath.basename(child) for part in parts for child in tree.children[part]})
    source = {"layout": "folders", "images": folder, "split_folders": True, "split": None}
    why = f"a folder for each part of the split ({names}), in each a folder per class ({_few(classes)})"
    return [Reading(source, _where(folder), why, covered(option))]


def _are_classes(tree: Tree, folder: str) -> bool:
    children = tree.children[folder]
    names = [posixpath.basename(child) for child in children]
    images = sum(tree.below[child] for child in children)
    return (
        not any(name.endswith("!") for name in names)
        and 2 <= len(children) <= min(MOST_CLASSES, images // 2)
        and not all(map(is_of_a_group, names))
        and not are_numbered(names)
        and not all(map(OF_A_PLACE.match, names))
        and not any(GENERIC.match(name) or is_part(name) for name in names)
    )


def _by_class(tree: Tree, folder: str) -> Reading:
    children = tree.children[folder]
    source: dict[str, Any] = {"layout": "folders", "images": folder, "split_folders": False, "split": None}
    images = frozenset(path for child in children for path in tree.all_below(child))
    names = [posixpath.basename(child) for child in children]
    why = f"a folder for each class ({_few(names)})"
    below = {posixpath.basename(inner) for child in children for inner in tree.children.get(child, [])}
    parts = {part_of(name) for name in below}
    if len(parts - {None}) < 2:
        return Reading(source, _where(folder), why, images)
    if None in parts:
        note = f"the folders {_few(sorted(below))} below the classes are not read as a split: not all name a part"
        return Reading(source, _where(folder), why, images, (note,))
    why += f", in each a folder for each part of the split ({_few(sorted(below))})"
    return Reading({**source, "split_folders": "below"}, _where(folder), why, images)


def _roots(tree: Tree, folder: str, are_classes: bool) -> Option:
    """The readings of folders beside each other. Where these could be classes, only if they hold the same ones."""
    children = tree.children[folder]
    if are_classes and not _same_inside(tree, children):
        return []
    if not are_classes and all(is_of_a_group(posixpath.basename(child)) for child in children):
        return []
    first = [choices[0] for child in children if (choices := options(tree, child))]
    return [reading for option in first for reading in option]


def _same_inside(tree: Tree, children: list[str]) -> bool:
    inside = [{posixpath.basename(inner) for inner in tree.children.get(child, [])} for child in children]
    shared = set.intersection(*inside)
    return len(shared) > 1 and not any(is_of_a_group(name) or is_part(name) for name in shared)


def _by_name(tree: Tree, folder: str) -> list[Option]:
    paths = tree.all_below(folder)
    by_name = {posixpath.basename(path): path for path in paths}
    found = []
    for pattern in find_patterns(list(by_name)):
        source: dict[str, Any] = {"layout": "pattern", "images": folder, "pattern": pattern.regex, "split": None}
        first = {label: name for name, label in sorted(pattern.labels.items(), reverse=True)}
        examples = ", ".join(f"{label} in {name}" for label, name in sorted(first.items())[:3])
        why = f"the class is {pattern.what} ({examples}{', ...' if len(first) > 3 else ''})"
        found.append([Reading(source, f"file names{f' in {folder}' if folder else ''}", why, frozenset(paths))])
    return found


def by_name_alone(tree: Tree) -> list[Option]:
    """Patterns that hold for all file names, whatever the folders."""
    return _by_name(tree, "")


def _where(folder: str) -> str:
    return f"folders in {folder}" if folder else "folders"


def _few(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f", ... {len(names)} in all" if len(names) > 6 else "")
