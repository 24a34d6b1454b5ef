"""`fovea init`: a new project, with the code and files of this one, in a git repository of its own.

DVC runs a stage again when a module changes that the stage imports, so each project has the code in it. The package is
copied from where it runs; everything else from the repository around it or, in an installed wheel, from the folder
`project` beside this module. pyproject.toml lists what: tool.hatch.build puts the same files into the wheel.
"""

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from contextlib import chdir
from pathlib import Path

from fovea import recipes
from fovea.errors import UserError
from fovea.files import replacing, writable
from fovea.inspect.command import Wish, inspect
from fovea.inspect.place import NAME, is_whole_set

PACKAGE = Path(__file__).parent
CARRIED = PACKAGE / "project"  # in a wheel only
GUIDE = "FOVEA.md"  # README.md of this repository, whose place the project's own takes
CHANGES = {  # patterns; a project has nothing that only working on Fovea takes, and all else as uv.lock has it
    "pyproject.toml": {
        r'default-groups = \["dev"\]': "default-groups = []",
        r"(?s)\n\[tool\.ruff\].*": "",
        '"README.md",': f'"{GUIDE}",',
    },
    ".dvc/config": {r"(?m)^[ \t]*remote[ \t]*=.*\n": "", r"(?ms)^\['remote .*?(?=^\[|\Z)": ""},  # somebody else's
    "uv.lock": {r'(source = \{ editable = "\." \}\n)(?=dependencies)': r"\1default-groups = []\n"},
}


def init(folder: Path, images: Path | None) -> int:
    """Make the project `folder`, whole or not at all, on the image set at `images` or on the demo.

    Returns the exit code: 0, or that of `fovea inspect` where the images need a decision first. Raises UserError if
    `folder` is there already or cannot be made, if there is nothing at `images`, and if git is missing or fails.
    """
    target = Path(os.path.abspath(folder))  # without "..", but links stay as they are
    with writable(target):
        _check(folder, target, images)
    with replacing(target) as project:
        _copy(project, target.name)
        _settle(project)
        code = _begin(project, images.absolute() if images else None)
        committed = _commit(project)
    there = f"cd {shlex.quote(str(folder))}"
    then = ", and there what is said above" if code else " && uv run dvc repro"
    print(f"{folder}: made, {committed}\nNext: {there}{then}")
    return code


def _check(folder: Path, target: Path, images: Path | None) -> None:
    if not NAME.fullmatch(target.name):
        raise UserError(f"{folder}: use letters, digits, dots, hyphens and underscores, a letter or digit first")
    if target == Path.cwd():
        raise UserError(f"{folder}: is the folder that you are in; name one to be made")
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"{folder}: is there already; choose another name")
    above = next(parent for parent in target.parents if parent.exists())
    if not above.is_dir():
        raise UserError(f"{folder}: {above} is a file; choose another place")
    if images and _lies_in(target, images):
        raise UserError(f"{images}: the project would lie in it; put the images into a folder of their own")
    if shutil.which("git") is None:
        raise UserError("git: not found; install it, each project is a git repository")


def _lies_in(target: Path, images: Path) -> bool:
    """Whether the project would be part of its own image set, which is the folder around a table."""
    if is_whole_set(images) or not images.exists():
        return False
    return target.resolve().is_relative_to((images if images.is_dir() else images.parent).resolve())


def _copy(project: Path, title: str) -> None:
    """All that pyproject.toml lists, and a README of the project's own."""
    source = CARRIED if CARRIED.is_dir() else PACKAGE.parents[1]
    settings = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    for name in settings["tool"]["hatch"]["build"]["only-include"]:
        origin = PACKAGE if name == "src/fovea" else source / name
        place = project / (GUIDE if name == "README.md" else name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, place, ignore=shutil.ignore_patterns("__pycache__", CARRIED.name))
        else:
            shutil.copyfile(origin, place)
    readme = (PACKAGE / "project_readme.md").read_text(encoding="utf-8")
    readme = readme.format(title=title, version=settings["project"]["version"])
    (project / "README.md").write_text(readme, encoding="utf-8")


def _settle(project: Path) -> None:
    """Make pyproject.toml and uv.lock those of a project that uses Fovea."""
    for name, changes in CHANGES.items():
        text = (project / name).read_text(encoding="utf-8")
        for ours, theirs in changes.items():
            text = re.sub(ours, theirs, text)
        (project / name).write_text(text, encoding="utf-8")


def _begin(project: Path, images: Path | None) -> int:
    """Write the demo's settings, whatever those of this repository are, then those of `images`."""
    with chdir(project):
        demo = recipes.read_recipe("demo", Path("recipes"))
        recipes.write_recipe(Path("params.yaml"), recipes.resolve(demo, recipes.choose(demo, "demo", None, False)))
        return inspect(images, Wish(how="link")) if images else 0


def _commit(project: Path) -> str:
    """Make the folder a git repository with one commit, or with none yet where git does not know who commits."""
    for command in ("init -q -b main", "add -A"):
        if problem := _git(project, command):
            raise UserError(f"git {command}: {problem}")
    problem = _git(project, "commit -q -m Project")
    return f"not committed yet ({problem})" if problem else "committed on main"


def _git(folder: Path, command: str) -> str | None:
    """Run git in `folder`; the last line of what it says if it fails."""
    done = subprocess.run(["git", *command.split()], cwd=folder, capture_output=True, text=True, errors="replace")
    return (done.stderr.strip() or "failed").splitlines()[-1] if done.returncode else None
