"""Python and the packages of Fovea: one set of them, whole, and the same for the stages as for this command."""

import importlib
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fovea
from fovea.doctor.finding import SECONDS, Finding, Place
from fovea.errors import one_line
from fovea.params.train import TrainParams
from fovea.store import library_version

IMPORTED = {  # what touches a pixel or a number, by the package that brings it; torch has a check of its own
    "numpy": "numpy", "cv2": "opencv-python-headless", "PIL": "pillow", "simplejpeg": "simplejpeg",
    "pandas": "pandas", "pyarrow": "pyarrow", "scipy": "scipy", "sklearn": "scikit-learn", "matplotlib": "matplotlib",
}  # fmt: skip
SHARED = ("cv2", "PIL", "pynvml", "torch")  # modules that several packages bring, of which the last one installed wins
NAMED = 3  # of what is missing
ASKED = "import sys, fovea; print(sys.prefix); print(fovea.__path__[0])"
AGAIN = "uv sync in the project; elsewhere install fovea again, in a new environment"


def check_python(place: Place) -> Iterator[Finding]:
    """This Python and this Fovea, and those that `python stages/train.py` gets, as dvc.yaml writes it."""
    own = Path(fovea.__path__[0])
    yield Finding("ok", f"{platform.python_version()} in {sys.prefix}, fovea {library_version('fovea')} in {own}")
    if place.root is None:
        return
    used, problem = _of_stages(place.root)
    if problem:
        yield Finding("warning", problem, "begin each command with `uv run`, or activate the environment")
        return
    source = place.root / "src/fovea"
    if source.is_dir() and used.resolve() != source.resolve():
        yield Finding("warning", f"stages import fovea from {used}, so changes in {source} do nothing",
                      "uv sync in this folder, and unset PYTHONPATH")


def _of_stages(root: Path) -> tuple[Path, str]:
    """The folder of the fovea that stages import, and what is wrong with their Python, "" if nothing is."""
    try:
        done = subprocess.run(["python", "-c", ASKED], cwd=root, capture_output=True, text=True, timeout=SECONDS,
                              stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        return root, "there is no `python` on the PATH, with which dvc repro runs the stages"
    if done.returncode:
        return root, f"`python` on the PATH, with which dvc repro runs the stages, has no fovea: {_last(done.stderr)}"
    prefix, folder = done.stdout.splitlines()[-2:]
    if prefix != sys.prefix:
        return root, f"dvc repro would run the stages with the `python` on the PATH, of {prefix}, not with this one"
    return Path(folder), ""


def _last(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no reason given"


def check_libraries(place: Place) -> Iterator[Finding]:
    """Installed in the versions that are asked for, none twice, and importable."""
    if lacking := sorted(set(unmet("fovea"))):
        more = f"; and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
        yield Finding("error", "; ".join(lacking[:NAMED]) + more, AGAIN)
    for module, packages in doubled().items():
        yield Finding("warning", f"{' and '.join(packages)} bring the same module {module}, and overwrite each other",
                      "uv sync in the project; elsewhere uninstall them all, then install fovea again")
    sound = []
    for module, package in IMPORTED.items():
        if (version := library_version(package)) == "none":
            continue  # named above
        try:
            importlib.import_module(module)
            sound.append(f"{package} {version}")
        except Exception as error:  # OSError of a library of the system, whatever a broken one raises
            yield Finding("error", f"{package} cannot be imported: {one_line(error)}",
                          f"uv sync --reinstall-package {package}; elsewhere install it again")
    if sound:
        yield Finding("ok", ", ".join(sound))
    train = place.read("train", TrainParams)
    if train and train.model.startswith("timm/") and library_version("timm") == "none":
        yield Finding("error", f"train.model: {train.model} needs timm, which is not installed", "uv sync --extra timm")


def unmet(package: str) -> Iterator[str]:
    """What `package`, and what it asks for, ask for and don't get, without extras. A line for each."""
    from packaging.requirements import Requirement  # comes with MLflow
    from packaging.utils import canonicalize_name

    todo, seen = [package], {package}
    while todo:
        asking = todo.pop()
        for line in _requires(asking):
            wanted = Requirement(line)
            if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
                continue
            version = library_version(wanted.name)
            if version == "none":
                yield f"{wanted.name} is not installed, which {asking} needs"
            elif not wanted.specifier.contains(version, prereleases=True):
                yield f"{asking} {library_version(asking)} needs {wanted.name}{wanted.specifier}, but has {version}"
            if (name := canonicalize_name(wanted.name)) not in seen:
                seen.add(name)
                todo.append(name)


def _requires(package: str) -> list[str]:
    try:
        return importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def doubled() -> dict[str, list[str]]:
    """Modules that more than one installed package brings, with the names of these."""
    brought = importlib.metadata.packages_distributions()
    packages = {module: sorted(set(brought.get(module, []))) for module in SHARED}
    return {module: names for module, names in packages.items() if len(names) > 1}
