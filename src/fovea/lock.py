"""What a dvc.lock says of the results beside it: what they were made from, and the md5 of each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fovea.tracking.provenance import flatten_params, read_stages

LOCK, PARAMS = "dvc.lock", "params.yaml"
SILENT = ("report",)  # a stage that changes no figure: what it prints and how is no difference between results


@dataclass(frozen=True)
class Lock:
    parameters: dict[str, str]   # dotted name: value as text
    data: dict[str, str]         # dependencies below data/raw: md5
    code: dict[str, str] | None  # files of stages: md5; None where it is not known
    outputs: dict[str, str]      # files that stages write: md5


def read_lock(text: str) -> Lock:
    """Raises yaml.YAMLError where it is none."""
    stages = read_stages(text)
    loud = [stage for name, stage in stages.items() if name not in SILENT]
    read = _digests(loud, "deps")
    return Lock(
        flatten_params({name: values for stage in loud
                        for name, values in stage.get("params", {}).get(PARAMS, {}).items()}),
        {path: digest for path, digest in read.items() if path.startswith("data/raw")},
        {path: digest for path, digest in read.items() if path.endswith(".py")},
        _digests(stages.values(), "outs"),
    )


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Keys that are in one alone or have another value there, in order."""
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def differing_values(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The same of parameters: 1e-3, which PyYAML takes for text, is the 0.001 that DVC makes of it."""
    return [key for key in differing(before, after) if not _same_number(before.get(key), after.get(key))]


def _same_number(one: str | None, other: str | None) -> bool:
    if one is None or other is None or "e" not in f"{one}{other}".lower():
        return False  # such as the names 007 and 7
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def _digests(stages: Iterable[Mapping[str, Any]], kind: str) -> dict[str, str]:
    return {item["path"]: item.get("md5", "") for stage in stages for item in stage.get(kind, [])}
