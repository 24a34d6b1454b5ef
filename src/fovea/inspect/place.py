"""Puts a set at data/raw/<name>, by a link, a copy, or a copy that DVC tracks, and its settings into params.yaml."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml.comments import CommentedMap

from fovea.errors import UserError
from fovea.files import replacing
from fovea.inspect.listing import ARCHIVES
from fovea.inspect.section import section
from fovea.params.section import read_sections
from fovea.recipes import write_recipe

RAW = Path("data/raw")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
How = Literal["link", "copy", "dvc-add"]


def set_name(path: Path, given: str | None) -> str:
    """`given`, or a name derived from that of `path`. Raises UserError if `given` is none that dataset.name takes."""
    if given is not None:
        if not NAME.fullmatch(given) or given == "demo":
            raise UserError(f"--name {given}: use letters, digits, dots, hyphens and underscores, a letter or digit "
                            "first, and not demo, which Fovea draws")
        return given
    path = path.resolve()
    stem = path.name if path.is_dir() else re.sub(r"(?i)(\.tar)?\.[^.]+$", "", path.name)
    if path.is_file() and not is_whole_set(path):
        stem = path.parent.name
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
    return name if name and name != "demo" else f"my-{name or 'images'}"


def is_whole_set(path: Path) -> bool:
    """Whether a file holds images and labels by itself; of a table, the folder is the set."""
    return path.name.lower().endswith((*ARCHIVES, ".npz"))


def place(path: Path, name: str, how: How, raw: Path = RAW) -> str:
    """Make data/raw/<name> the set at `path`; returns what was done. A copy takes the place of a link to the same set.

    Raises UserError if something else is there, or if the project lies inside `path`.
    """
    target = raw / name
    whole_file = path.is_file() and is_whole_set(path)
    origin = path if path.is_dir() or whole_file else path.parent
    target_of_origin = target / path.name if whole_file else target
    if not whole_file and Path.cwd().resolve().is_relative_to(origin.resolve()):
        raise UserError(f"{path}: holds this project; put the images into a folder of their own")
    there = target_of_origin.exists() and target_of_origin.samefile(origin)
    if there and (how == "link" or not target.is_symlink()):
        done = f"{target} is the set already"
    elif os.path.lexists(target) and not there:
        raise UserError(f"{target}: is there already and is something else; choose another --name, or remove it")
    else:
        target_of_origin.parent.mkdir(parents=True, exist_ok=True)
        linked = how == "link" and _link(origin.resolve(), target_of_origin)
        if not linked:
            _copy(origin, target_of_origin)
        done = f"{target_of_origin} is a {'link to' if linked else 'copy of'} {origin}"
    return done + _track(target) if how == "dvc-add" else done


def _link(origin: Path, target: Path) -> bool:
    """A symbolic link to a folder. To a file a hard one, or none across disks: ingest refuses links out of the set."""
    if origin.is_dir():
        target.symlink_to(origin, target_is_directory=True)
        _hide(target)
        return True
    try:
        target.hardlink_to(origin)
    except OSError:
        return False
    return True


def _hide(link: Path) -> None:
    """From git, which would pass on a path of this machine, by the line that `dvc add` writes too."""
    ignored, line = link.parent / ".gitignore", f"/{link.name}"
    lines = ignored.read_text(encoding="utf-8").splitlines() if ignored.exists() else []
    if line not in lines:
        ignored.write_text("\n".join([*lines, line, ""]), encoding="utf-8")


def _copy(origin: Path, target: Path) -> None:
    with replacing(target) as temporary:
        if origin.is_dir():
            shutil.copytree(origin, temporary)
        else:
            shutil.copy(origin, temporary)


def _track(target: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", "add", "-q", str(target)], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"dvc add {target} failed: {' '.join(done.stderr.split())}")
    return f", tracked by {target}.dvc"


def write_section(params: Path, dataset: dict[str, Any]) -> list[str]:
    """Merge the section into the file `params`; returns what changed, a line a key.

    Where the demo's recipe was the last one written, its name and title go: they would claim what no longer holds.
    """
    before = read_sections(params)
    wanted = CommentedMap({"dataset": section(dataset)["dataset"]})
    was_demo = before["train"]["recipe"] == "demo"
    if was_demo:
        wanted["train"] = CommentedMap({"recipe": None, "quick": False})
    if was_demo or before["report"]["title"] == before["dataset"]["name"]:
        wanted["report"] = CommentedMap({"title": dataset["name"]})
    return write_recipe(params, wanted)
