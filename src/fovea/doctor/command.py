"""`fovea doctor`: looks at everything that a run needs, and says what to do about what it finds.

It changes nothing, but for files that it makes to try something and deletes at once. What may be broken (torch, pandas,
DVC, ...) is imported by the checks alone: where it is, the other checks still answer.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from fovea.doctor.disk import check_disk, check_dvc_cache
from fovea.doctor.finding import Finding, Place, within
from fovea.doctor.images import check_git_ignore, check_images
from fovea.doctor.installed import check_libraries, check_python
from fovea.doctor.machine import check_cluster, check_cpu, check_launcher, check_memory, check_torch
from fovea.doctor.project import check_dvc, check_git, check_params
from fovea.doctor.remote import check_remote, check_shards
from fovea.doctor.runs import check_runs
from fovea.errors import UserError, one_line
from fovea.params.section import read_sections
from fovea.tracking.provenance import scrub, workspace_root

LONGEST = 120  # s of a whole check: the first import of torch from a slow disk takes its time


class Check(NamedTuple):
    name: str
    ask: Callable[[Place], Iterator[Finding]]
    in_project: bool  # whether it needs one


CHECKS = (
    Check("python", check_python, False),
    Check("libraries", check_libraries, False),
    Check("torch", check_torch, False),
    Check("cpu", check_cpu, False),
    Check("memory", check_memory, False),
    Check("git", check_git, True),
    Check("params", check_params, True),
    Check("launcher", check_launcher, True),
    Check("ray", check_cluster, True),
    Check("dvc", check_dvc, True),
    Check("images", check_images, True),
    Check("gitignore", check_git_ignore, True),
    Check("dvc cache", check_dvc_cache, True),
    Check("disk", check_disk, False),
    Check("mlflow", check_runs, False),
    Check("remote", check_remote, True),
    Check("shards", check_shards, True),
)
WIDTH = max(len(check.name) for check in CHECKS)


def doctor() -> int:
    """Print what each check finds as it is found; returns 1 if something is an error, else 0."""
    place = find_place()
    if place.root:
        os.chdir(place.root)  # the store and params.yaml are looked for from there
    counts = {"error": 0, "warning": 0}
    for name, finding in examine(place):
        print("\n".join(describe(name, finding)), flush=True)
        if finding.verdict in counts:
            counts[finding.verdict] += 1
    said = [f"{count} {verdict}{'s' * (count != 1)}" for verdict, count in counts.items() if count]
    print(f"\n{', '.join(said) or 'nothing to put right'}")
    return int(counts["error"] > 0)


def find_place() -> Place:
    """The project of the current folder, in a folder below it too."""
    root = workspace_root()
    if not any((root / name).exists() for name in ("dvc.yaml", "params.yaml")):
        return Place(None, {})
    with suppress(UserError, OSError, UnicodeDecodeError):
        return Place(root, read_sections(root / "params.yaml"))
    return Place(root, {})


def examine(place: Place) -> Iterator[tuple[str, Finding]]:
    """Findings with the names of their checks. Outside of a project, one line stands for what needs one."""
    for check in CHECKS:
        if place.root or not check.in_project:
            yield from ((check.name, finding) for finding in look(check, place))
    if place.root is None:
        names = ", ".join(check.name for check in CHECKS if check.in_project)
        yield "project", Finding("skipped", f"none in this folder (fovea init makes one), so not looked at: {names}")


def look(check: Check, place: Place) -> list[Finding]:
    """What the check finds. Its own failure is a finding too, so that it takes no other one down."""
    try:
        return within(LONGEST, lambda: list(check.ask(place)))
    except UserError as error:
        return [Finding("error", str(error))]
    except Exception as error:
        return [Finding("error", f"could not be looked at: {type(error).__name__}: {one_line(error)}")]


def describe(name: str, finding: Finding) -> list[str]:
    """One or two lines, without passwords, nor what a terminal obeys."""
    lines = [f"{finding.verdict:<9}{name:<{WIDTH + 2}}{finding.found}"]
    if finding.remedy:
        lines.append(f"{'':<{WIDTH + 11}}-> {finding.remedy}")
    return ["".join(mark if mark.isprintable() else "?" for mark in scrub(line)) for line in lines]
