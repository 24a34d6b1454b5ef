"""The experiments of a sweep: their names and settings, which of them are finished, and running the others."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides

from fovea.errors import UserError, one_line
from fovea.params.section import load, read_sections
from fovea.params.split import SplitParams
from fovea.recipes import Choice, choose, differences, read_recipe, resolve, write_recipe
from fovea.revisions import experiments as held
from fovea.revisions import read_tracked
from fovea.store import locked, store_folder
from fovea.sweep.settings import settings_between
from fovea.tracking.provenance import flatten_params, git, git_facts

OWN = ("train.seed", "split.folds", "split.fold")  # what a sweep sets itself


@dataclass(frozen=True)
class Experiment:
    """One training of a sweep. `settings` are key=value for `dvc exp run -S`, `params` all of params.yaml with them."""

    name: str
    seed: int
    fold: int
    settings: list[str]
    params: dict[str, Any]


def plan(name: str, seeds: int, folds: int, settings: list[str]) -> list[Experiment]:
    """An experiment for each seed and fold, seed by seed. Raises UserError for settings that are not possible."""
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII):
        raise UserError(f"sweep: the name {name!r} must be of letters, digits, - and _")
    if folds == 1:
        raise UserError("--folds: must be 0, for none, or at least 2")
    if taken := [key for key in OWN if any(setting.split("=")[0].lstrip("+~") == key for setting in settings)]:
        raise UserError(f"-S {taken[0]}: is set by the sweep itself; use --seeds and --folds")
    return [_experiment(name, seed, folds, fold, settings) for seed in range(seeds) for fold in range(max(folds, 1))]


def plan_recipe(path: Path, quick: bool, settings: list[str]) -> list[Experiment]:
    """An experiment <recipe>-<variant> for each variant of the recipe at `path`. Raises UserError if that cannot be."""
    name, found = path.stem, read_recipe(path.stem, path.parent)
    choices = [choose(found, name, variant, quick) for variant in found.get("variants", {None: {}})]
    return [_of_choice(found, choice, settings) for choice in choices]


def _of_choice(recipe: Any, choice: Choice, settings: list[str]) -> Experiment:
    name = "-".join(part for part in (choice.name, choice.variant, "quick" if choice.quick else None) if part)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy("params.yaml", folder))
        write_recipe(path, resolve(recipe, choice))
        wanted = yaml.safe_load(path.read_text(encoding="utf-8"))
    own = list(settings_between(read_sections(), wanted))
    params = _params_with(own)
    if wrong := differences(flatten_params(wanted), flatten_params(params)):  # DVC writes 1e-05 as text
        raise UserError(f"recipe {choice.name}: DVC cannot set {wrong[0]}; `fovea recipe {choice.name}`, git commit, "
                        "and run again")
    params = _params_with([*own, *settings]) if settings else params
    return Experiment(name, params["train"]["seed"], params["split"]["fold"], [*own, *settings], params)


def _experiment(name: str, seed: int, folds: int, fold: int, settings: list[str]) -> Experiment:
    own = [f"{key}={value}" for key, value in zip(OWN, (seed, folds, fold), strict=True)]
    return Experiment(f"{name}-s{seed}-f{fold}", seed, fold, [*settings, *own], _params_with([*settings, *own]))


def _params_with(settings: list[str]) -> dict[str, Any]:
    """All of params.yaml as DVC writes it for an experiment with these settings, checked."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy("params.yaml", folder))
        try:
            apply_overrides(path, settings)
            load("split", SplitParams, path)
        except DvcException as error:
            raise UserError(f"-S: {one_line(error.__cause__ or error)}; give key=value, the key as in params.yaml "
                            "with dots") from None
        except UserError as error:
            raise UserError(f"-S: {str(error).removeprefix(f'{path}: ')}") from None
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def baseline(root: Path) -> str:
    """The commit that the experiments start from. Raises UserError unless all that git tracks is as it is there."""
    facts = git_facts(root)
    if not facts:
        raise UserError("a sweep needs a commit that its experiments start from; git commit, and run again")
    if facts["git.dirty"] == "true":
        raise UserError("files that git tracks differ from the last commit, so that experiments of one sweep could "
                        "differ; git commit (or stash) them, and run again")
    return facts["git.commit"]


def finished(root: Path, start: str, experiments: list[Experiment]) -> dict[str, str]:
    """Commit of each experiment that DVC holds on the commit `start`, by name.

    Raises UserError where a name belongs to an experiment with other settings.
    """
    commits = {each.name: each.commit for each in held(root) if each.baseline == start}
    found = {each.name: commits[each.name] for each in experiments if each.name in commits}
    for each in experiments:
        if each.name in found:
            _require_same(each, read_tracked(root, found[each.name], "params.yaml") or "{}")
    return found


def _require_same(experiment: Experiment, text: str) -> None:
    if changes := differences(flatten_params(yaml.safe_load(text)), flatten_params(experiment.params)):
        shown = "; ".join(changes[:3])
        raise UserError(f"{experiment.name} is there with other settings ({shown}); choose another name for the sweep "
                        f"(for a recipe, that of a copy of its file), or `dvc exp remove {experiment.name}`")


def run_missing(root: Path, start: str, experiments: list[Experiment]) -> dict[str, str]:
    """Run what is not finished, one after the other, each in a temporary copy; returns the commit of each by name.

    The workspace stays as it is. A sweep that was killed may have left an experiment running: this one waits for it.
    Raises UserError if an experiment fails; those before it are kept.
    """
    with locked(store_folder("sweeps")) as lock:
        for number, each in enumerate(experiments, 1):
            if each.name in finished(root, start, [each]):
                continue
            print(f"sweep: {each.name}, {number} of {len(experiments)}", flush=True)
            subprocess.run(_command(root, each), cwd=root, pass_fds=[lock.fileno()], check=False)
            if each.name not in finished(root, start, [each]):
                raise UserError(f"{each.name} failed, see above; finished experiments are kept, the same command goes "
                                "on from there")
    return finished(root, start, experiments)


def _command(root: Path, experiment: Experiment) -> list[str]:
    command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", experiment.name]
    for setting in experiment.settings:
        command += ["--set-param", setting]
    images = Path("data/raw") / experiment.params["dataset"]["name"]
    if (root / images).exists() and not _tracked(root, images):
        command += ["--copy-paths", str(images)]  # costs a copy of all images for each experiment
    return command


def _tracked(root: Path, folder: Path) -> bool:
    """Whether git or DVC tracks `folder`, relative to `root`: only that is in a temporary copy by itself."""
    if git(root, "ls-files", "--", str(folder)):
        return True
    place = os.path.abspath(root / folder)
    with Repo(str(root)) as repo:
        return any(f"{place}/".startswith(f"{out.fs_path}/") for out in repo.index.outs)
