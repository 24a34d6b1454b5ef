"""The image set: whether it is there, and whether git and DVC see what they should of it."""

import difflib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fovea.doctor.finding import SECONDS, Finding, Place
from fovea.errors import one_line

DRAWN = "demo"  # the set that a pipeline of its own draws
RULE = "/raw/*/*"


def check_images(place: Place) -> Iterator[Finding]:
    """The folder data/raw/<dataset.name>."""
    folder = place.images
    if folder is None:
        yield Finding("skipped", "params.yaml does not say which set")
        return
    name = f"data/raw/{folder.name}"
    noted = folder.with_name(f"{folder.name}.dvc").is_file()
    if folder.is_symlink() and not folder.exists():
        yield Finding("error", f"{name} is a link to {folder.readlink()}, which is not there",
                      f"mount or put back what it leads to, or: rm {name} && uv run fovea inspect PATH --write")
    elif folder.is_dir():
        yield from _there(folder, name, noted)
    elif folder.exists():
        yield Finding("error", f"{name} is a file, not a folder", "put a folder with the images and labels there")
    elif noted:
        yield Finding("error", f"{name} is not there; {name}.dvc says which version", f"uv run dvc pull {name}")
    elif folder.name == DRAWN:
        yield Finding("ok", f"{name} is not there yet: dvc repro draws it")
    else:
        near = difflib.get_close_matches(folder.name, others(folder), n=1)
        hint = f", or set dataset.name: {near[0]}, which is there" if near else ""
        yield Finding("error", f"{name} is not there", f"uv run fovea inspect PATH --write links images there{hint}")


def others(folder: Path) -> list[str]:
    """Names of the other sets beside `folder`."""
    beside = folder.parent.iterdir() if folder.parent.is_dir() else iter(())
    return sorted(path.name.removesuffix(".dvc") for path in beside if path.is_dir() or path.suffix == ".dvc")


def _there(folder: Path, name: str, noted: bool) -> Iterator[Finding]:
    if not any(folder.iterdir()):
        yield Finding("error", f"{name} is empty", f"uv run dvc pull {name}" if noted else "put the images there")
        return
    how = f"a link to {folder.readlink()}" if folder.is_symlink() else "a folder"
    tracked = "DVC tracks it" if noted or folder.name == DRAWN else "DVC does not track it, so a queue does not see it"
    yield Finding("ok", f"{name} is {how}; {tracked}")


def tracked_size(folder: Path) -> tuple[int, int] | None:
    """Bytes and files of a set, by what `dvc add` wrote of it; None if there is no such note."""
    try:
        noted: Any = yaml.safe_load(folder.with_name(f"{folder.name}.dvc").read_text(encoding="utf-8"))
        return int(noted["outs"][0]["size"]), int(noted["outs"][0]["nfiles"])
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return None


def check_git_ignore(place: Place) -> Iterator[Finding]:
    """git must ignore the images, but not the note that DVC keeps of the set: `dvc add` refuses one that git ignores,
    and push, checkout and --temp leave it out without a word."""
    assert place.root
    try:
        note = _rule(place.root, f"data/raw/{place.images.name if place.images else 'any'}.dvc")
        image = _rule(place.root, "data/raw/any/image.jpg")
    except (OSError, ValueError) as error:
        yield Finding("skipped", f"git does not say what it ignores: {one_line(error)}")
        return
    if note:
        yield Finding("error", f"git ignores what DVC notes of the set, by {note}, so that DVC leaves the set out",
                      f"in place of that line write {RULE} into data/.gitignore")
    elif not image:
        yield Finding("error", "git does not ignore the images below data/raw, and would take all of them",
                      f"echo '{RULE}' >> data/.gitignore")
    else:
        yield Finding("ok", "images below data/raw are left to DVC")


def _rule(root: Path, path: str) -> str:
    """The rule by which git ignores `path`, as file:line:pattern, "" if it does not. Raises ValueError if git fails."""
    done = subprocess.run(["git", "check-ignore", "--verbose", "--no-index", path], cwd=root, capture_output=True,
                          text=True, timeout=SECONDS, stdin=subprocess.DEVNULL, check=False)
    if done.returncode > 1:
        raise ValueError(done.stderr.strip())
    rule = done.stdout.partition("\t")[0]
    return "" if rule.rpartition(":")[2].startswith("!") else rule
