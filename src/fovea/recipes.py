"""Recipes: the settings of a published piece of work, written into params.yaml with its comments kept.

A recipe is a YAML file that holds
    summary:   one line
    layout:    how the images lie below data/raw/<dataset.name>
    params:    every section of params.yaml but `machine`, complete, so that the recipe applied before does not matter
    variants:  name: what differs from `params`; the first is taken unless another is asked for; may be left out
    quick:     what differs in a trial on a CPU; may be left out
    published: variant: {accuracy: of the test part}, for `fovea sweep` to show beside ours; may be left out
"""

import copy
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedBase, CommentedMap
from ruamel.yaml.representer import RoundTripRepresenter

from fovea.errors import UserError
from fovea.files import replacing
from fovea.params.section import SECTIONS, read_sections

COMPLETE = tuple(name for name in SECTIONS if name != "machine")
COMMENT_COLUMN = 38  # where params.yaml has its comments


@dataclass(frozen=True)
class Choice:
    """One way to run a recipe. `variant` is None where the recipe has no variants."""

    name: str
    variant: str | None
    quick: bool


def recipe_names(folder: Path) -> list[str]:
    """Names of the recipes in `folder`. Raises UserError if there are none."""
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if not names:
        raise UserError(f"{folder}: no recipes there; run from the folder that holds params.yaml")
    return names


def read_recipe(name: str, folder: Path) -> CommentedMap:
    """The recipe as its file has it. Raises UserError if it is unknown or lacks a section."""
    names = recipe_names(folder)
    if name not in names:
        raise UserError(f"recipe {name}: unknown; known are {', '.join(names)}")
    recipe = read_document(folder / f"{name}.yaml")
    missing = [section for section in COMPLETE if section not in recipe["params"]]
    if missing:
        raise UserError(f"{folder / name}.yaml: params: {', '.join(missing)}: missing; a recipe states every section")
    return recipe


def choose(recipe: CommentedMap, name: str, variant: str | None, quick: bool) -> Choice:
    """Raises UserError if the recipe has no such variant or no quick form."""
    variants = list(recipe.get("variants", {}))
    if variant is not None and variant not in variants:
        known = f"known are {', '.join(variants)}" if variants else "it has none"
        raise UserError(f"recipe {name}: variant {variant}: unknown; {known}")
    if quick and "quick" not in recipe:
        raise UserError(f"recipe {name}: has no quick form; leave --quick out")
    return Choice(name, variant or next(iter(variants), None), quick)


def resolve(recipe: CommentedMap, choice: Choice) -> CommentedMap:
    """The sections that `choice` writes. The title and `train` say which recipe, which variant, and whether quick."""
    params: CommentedMap = copy.deepcopy(recipe["params"])
    if choice.variant:
        _merge(params, recipe["variants"][choice.variant])
    if choice.quick:
        _merge(params, recipe["quick"])
    notes = [note for note in (choice.variant, "quick" if choice.quick else None) if note]
    if notes:
        params["report"]["title"] += f" ({', '.join(notes)})"
    params["train"]["recipe"] = f"{choice.name}/{choice.variant}" if choice.variant else choice.name
    params["train"]["quick"] = choice.quick
    return params


def write_recipe(path: Path, params: CommentedMap) -> list[str]:
    """Merge `params` into the file `path`; comments, order and other keys stay. Returns what changed, a line a key."""
    read_sections(path)  # its errors name file and line
    document = read_document(path)
    before = dict(leaves(document))
    _merge(document, params)
    after = dict(leaves(document))
    if after != before:
        with replacing(path) as temporary:
            temporary.write_text(dump(document), encoding="utf-8")
    return differences(before, after)


def leaves(node: Any, key: str = "") -> list[tuple[str, str]]:
    """(key, value as text) of every setting: ("train.head.hidden", "256"). A `{...}` is one, and so is each source."""
    if _is_block(node):
        return [leaf for name, value in node.items() for leaf in leaves(value, f"{key}.{name}".lstrip("."))]
    if isinstance(node, list) and any(isinstance(value, dict) for value in node):
        return [(f"{key}.{position}", _text(value)) for position, value in enumerate(node)]
    return [(key, _text(node))]


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """`key: old -> new` of every setting that differs, new keys last."""
    keys = dict.fromkeys([*before, *after])
    return [
        f"{key}: {before.get(key, '(none)')} -> {after.get(key, '(none)')}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def read_document(path: Path) -> CommentedMap:
    """A YAML file with its comments, order and quotes, so that `dump` gives the same text again."""
    document: CommentedMap = _yaml().load(path)
    return document


def parse(text: str) -> CommentedMap:
    """YAML text as `read_document` reads a file."""
    document: CommentedMap = _yaml().load(text)
    return document


def dump(document: Any) -> str:
    """The document as text, laid out as params.yaml is."""
    stream = io.StringIO()
    _yaml().dump(document, stream)
    return stream.getvalue()


def _merge(target: CommentedMap, wanted: CommentedMap, depth: int = 0) -> None:
    """Write each value of `wanted` into `target`. A block of keys is merged, a list or `{...}` replaced as a whole."""
    for key, value in wanted.items():
        if _is_block(value) and isinstance(target.get(key), dict):
            _merge(target[key], value, depth + 1)
        elif key not in target or _text(target[key]) != _text(value):
            target[key] = copy.deepcopy(value)
            _align_comment(target, key, depth)


def _is_block(value: Any) -> bool:
    return isinstance(value, CommentedMap) and len(value) > 0 and not value.fa.flow_style()


def _align_comment(parent: CommentedMap, key: str, depth: int) -> None:
    """Put the comment of a changed line back into its column, which a longer value may have pushed right."""
    comment = parent.ca.items.get(key, [None] * 3)[2]
    value = parent[key]
    is_one_line = not isinstance(value, CommentedBase) or not value or value.fa.flow_style()
    if comment is not None and is_one_line:
        length = 2 * depth + len(dump({key: value}).splitlines()[0])
        comment.column = COMMENT_COLUMN if length < COMMENT_COLUMN else length + 2
        parent.ca.items[key] = [None, None, comment, None]  # of a list over several lines it stood before the items


def _text(value: Any) -> str:
    """A value on one line, as YAML would have it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_text(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return value if isinstance(value, str) and value else json.dumps(value)


class _Representer(RoundTripRepresenter):
    """Writes null as `null`; the base class leaves the place empty."""


_Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)


def _yaml() -> YAML:
    yaml = YAML()  # round trip: keeps comments, order and quotes
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 4096  # never folds a line
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
