"""Reading one section of params.yaml into its schema, with errors that name the YAML key."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from fovea.errors import UserError

SECTIONS = ("dataset", "ingest", "split", "augment", "train", "evaluate", "report", "machine")


class Section(BaseModel):
    """Base of every schema: unknown keys are refused, every value stands in params.yaml, none here."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, values: Any) -> Any:
        """Python counts true as 1. The text 1e-3 is let through: YAML 1.1 does not know it for a number."""
        for name, field in cls.model_fields.items():
            if field.annotation in (int, float) and isinstance(values, dict) and isinstance(values.get(name), bool):
                raise ValueError(f"{name}: should be a number, got {str(values[name]).lower()}")
        return values


SectionT = TypeVar("SectionT", bound=Section)


def read_sections(path: Path | str = "params.yaml") -> dict[str, Any]:
    """All of params.yaml as plain values. Raises UserError if it is missing, no YAML, or has an unknown section."""
    try:
        sections = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run from the folder that holds it") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(sections, dict):
        raise UserError(f"{path}: must hold the sections {', '.join(SECTIONS)}")
    for name in sections:
        if name not in SECTIONS:
            raise UserError(f"{path}: {name}: unknown section{_suggestion(str(name), SECTIONS)}")
    return sections


def load(name: str, schema: type[SectionT], path: Path | str = "params.yaml") -> SectionT:
    """Section `name` of params.yaml. All sections are checked, so that the last stage's mistake shows at the first.

    Raises UserError with one line naming every wrong key.
    """
    from fovea.params.every import SCHEMAS  # they import this module

    sections = read_sections(path)
    if name not in sections:
        raise UserError(f"{path}: {name}: section is missing")
    if problems := [line for key, values in sections.items() for line in _problems(key, SCHEMAS[key], values)]:
        raise UserError(f"{path}: {'; '.join(problems)}")
    return schema.model_validate(sections[name])


def _problems(name: str, schema: type[Section], values: Any) -> list[str]:
    try:
        schema.model_validate(values)
    except ValidationError as error:
        keys = key_names(schema.model_json_schema())
        return [_problem(name, item, values, keys) for item in error.errors(include_url=False)]
    return []


def key_names(node: Any) -> set[str]:
    """Every key that a JSON schema knows, at any depth."""
    if isinstance(node, list):
        return set().union(*map(key_names, node))
    if not isinstance(node, dict):
        return set()
    return set(node.get("properties", {})).union(*map(key_names, node.values()))


def _problem(section: str, item: ErrorDetails, values: Any, keys: set[str]) -> str:
    location, found = _yaml_location(item["loc"], values)
    key = ".".join([section, *location])
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key{_suggestion(location[-1], keys)}; remove it or correct its name"
    if item["type"] == "missing":
        return f"{key}: is missing"
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    message = message if item["type"] == "value_error" else f"should be {message}"
    return f"{key}: {message}" + (f", got {item['input']!r}" if found else "")


def _yaml_location(loc: tuple[int | str, ...], values: Any) -> tuple[list[str], bool]:
    """Keys of `loc` that stand in the file: pydantic adds the tag of a union, which the file does not have."""
    keys: list[str] = []
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if (isinstance(values, dict) and part in values) or isinstance(values, list):
            values = values[part]  # type: ignore[index]  # of a list pydantic gives the position
        elif not last:
            continue
        else:
            return [*keys, str(part)], False
        keys.append(str(part))
    return keys, not isinstance(values, dict | list)


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
