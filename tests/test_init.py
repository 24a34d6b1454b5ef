"""The wheel, which works without the repository, and the projects that `fovea init` makes from it or from here."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from fovea.cli import app
from fovea.init import CHANGES
from fovea.params.section import read_sections
from tests.import_closure import ROOT
from tests.inspect_sets import AMBIGUOUS, write
from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, STAGES, Project

UV = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")  # `uv run` sets UV
NOBODY = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.useConfigOnly", "GIT_CONFIG_VALUE_0": "true",
          "GIT_CONFIG_GLOBAL": os.devnull, "HOME": os.devnull}  # fmt: skip
SOMEBODY = {"GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "Test", "GIT_COMMITTER_EMAIL": "test@example.org"}  # fmt: skip


LEFT = ("data/raw/mine/a.jpg", "data/raw/mine.dvc", "data/raw/.gitignore", "data/manifest.parquet", "data/cache/0.npy",
        "models/model.pt", "reports/report.html", "dvc.lock", "demo/dvc.lock", "mlflow.db", ".cache/fovea/a",
        ".dvc/cache/a", ".dvc/tmp/a", ".dvc/config.local", "deploy/.env", "stages/__pycache__/a.pyc")  # fmt: skip


def run(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, words)), cwd=cwd, env=os.environ | environment, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL)  # fmt: skip


class Installed(NamedTuple):
    """The wheel in a folder of its own, and an empty folder to work in. The packages that it needs are the tests'."""

    site: Path
    home: Path

    def fovea(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return run(self.site / "bin/fovea", *words, cwd=self.home, PYTHONPATH=str(self.site), **SOMEBODY)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `uv build` makes of a repository that `dvc repro` has run in: a source distribution, and a wheel of it."""
    used, folder = (tmp_path_factory.mktemp(name) for name in ("used", "dist"))
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name in settings["tool"]["hatch"]["build"]["only-include"]:
        (used / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, used / name)
    for name in LEFT:
        (used / name).parent.mkdir(parents=True, exist_ok=True)
        (used / name).touch()
    done = run(UV, "build", "--python", sys.executable, "--out-dir", folder, cwd=used)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    site, home = (tmp_path_factory.mktemp(name) for name in ("site", "home"))
    done = run(UV, "pip", "install", "--no-deps", "--python", sys.executable, "--target", site, *dist.glob("*.whl"),
               cwd=home)  # fmt: skip
    assert done.returncode == 0, done.stderr
    write_fundus_lesions(home / "lesions", per_class=8)
    return Installed(site, home)


@pytest.fixture(scope="module")
def project(installed: Installed) -> Project:
    """Made by the installed wheel, on images that are named by a relative path."""
    done = installed.fovea("init", "mine", "lesions")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("mine: made, committed on main\nNext: cd mine && uv run dvc repro\n")
    project = Project(installed.home / "mine")
    project.environment["PYTHONPATH"] = str(project.folder / "src")  # what `uv sync` does there
    assert project.run("git status --porcelain").stdout == ""
    return project


@pytest.fixture(scope="module")
def ran(project: Project) -> list[str]:
    """Stages that the first `dvc repro` ran, with the images that `fovea init` was given."""
    project.set_params({key: value for key, value in SMALL.items() if key.startswith(("augment.", "train.", "eval"))})
    return project.repro()


def files_below(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if not {"__pycache__", ".git"} & {*path.parts}}


def test_the_wheel_has_the_whole_package_and_the_licence_and_runs_from_there(installed: Installed) -> None:
    package = installed.site / "fovea"
    assert {name for name in files_below(package) if not name.startswith("project/")} == files_below(ROOT / "src/fovea")
    licence = next(installed.site.glob("fovea-*.dist-info")) / "licenses/LICENSE"
    assert licence.read_bytes() == (ROOT / "LICENSE").read_bytes()
    where = run(sys.executable, "-c", "import fovea; print(fovea.__file__)", cwd=installed.home,
                PYTHONPATH=str(installed.site))  # fmt: skip
    assert where.stdout.strip() == str(package / "__init__.py")


def test_nothing_that_a_run_leaves_is_in_a_distribution(dist: Path, installed: Installed) -> None:
    """Photographs of patients above all."""
    with tarfile.open(next(dist.glob("*.tar.gz"))) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert "dvc.yaml" in names
    assert not names & {*LEFT}
    assert not files_below(installed.site / "fovea/project") & {*LEFT}


def test_images_are_inspected_outside_a_project(installed: Installed) -> None:
    done = installed.fovea("inspect", "lesions")
    assert done.returncode == 0 and "classes  3: exudates 8, haemorrhages 8, normal 8" in done.stdout
    assert done.stdout.endswith("Next: fovea init NAME lesions\n")


def test_a_project_is_on_the_given_images(project: Project, installed: Installed) -> None:
    dataset = project.params()["dataset"]
    assert dataset["name"] == "lesions" and dataset["classes"] == ["exudates", "haemorrhages", "normal"]
    assert (project.folder / "data/raw/lesions").readlink() == installed.home / "lesions"
    assert project.text("README.md").startswith("# mine\n")
    assert project.text("FOVEA.md") == (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_project_has_every_file_of_code_that_its_stages_depend_on(project: Project) -> None:
    for pipeline in (project.folder / "dvc.yaml", project.folder / "demo/dvc.yaml"):
        stages = yaml.safe_load(pipeline.read_text(encoding="utf-8"))["stages"].values()
        code = [name for stage in stages for name in stage["deps"] if "src/" in name or name.endswith(".py")]
        assert code and [name for name in code if not (pipeline.parent / name).exists()] == []


def test_the_locked_versions_hold_and_nothing_is_installed_that_only_development_needs(project: Project) -> None:
    """Offline: uv resolves nothing where pyproject.toml and uv.lock agree."""
    settings = tomllib.loads(project.text("pyproject.toml"))
    assert settings["tool"]["uv"]["default-groups"] == [] and set(settings["tool"]) == {"hatch", "uv"}
    done = run(UV, "lock", "--check", "--offline", "--python", sys.executable, cwd=project.folder)
    assert done.returncode == 0, done.stderr


def test_the_pipeline_of_a_project_runs_and_then_has_nothing_to_do(project: Project, ran: list[str]) -> None:
    assert ran == list(STAGES)
    assert project.repro() == []
    assert "Fovea" in project.text("reports/report.html")


def test_its_model_predicts_outside_a_project(project: Project, ran: list[str], installed: Installed) -> None:
    done = installed.fovea("predict", "lesions/normal", "--model", "mine/models/model.pt")
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(installed.home / "predicted.csv")) == 8


def test_a_project_made_from_one_in_use_is_a_fresh_one(project: Project, ran: list[str], installed: Installed) -> None:
    """With neither results nor settings of the other, and with its code."""
    done = run(sys.executable, "-m", "fovea.cli", "init", "../second", cwd=project.folder, **SOMEBODY,
               PYTHONPATH=str(project.folder / "src"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert installed.fovea("init", "third").returncode == 0
    second, third = (installed.home / name for name in ("second", "third"))
    assert files_below(second) == files_below(third)
    differ = [name for name in files_below(third) if (second / name).read_bytes() != (third / name).read_bytes()]
    assert differ == ["README.md"]
    assert (third / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, the process in it, and git that knows who commits."""
    for name, value in SOMEBODY.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "place").mkdir()
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


def call(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(map(str, words)))
    return done.exit_code, done.stdout + done.stderr


def test_the_repository_makes_the_same_project_as_the_wheel(place: Path, installed: Installed) -> None:
    assert call("init", "here") == (0, "here: made, committed on main\nNext: cd here && uv run dvc repro\n")
    assert installed.fovea("init", "there").returncode == 0
    there = installed.home / "there"
    assert files_below(place / "here") == files_below(there)


def test_where_images_need_a_decision_the_project_is_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place / "eyes", next(iter(AMBIGUOUS.values()))[0])
    code, output = call("init", "mine", "eyes")
    assert code == 2 and output.endswith("Next: cd mine, and there what is said above\n")
    monkeypatch.chdir(place / "mine")
    said = re.findall(r"^Say which one: uv run fovea (.*)$", output, re.MULTILINE)
    assert call(*said[0].split())[0] == 0
    assert read_sections("params.yaml")["dataset"]["name"] == "eyes"


def test_without_a_name_for_git_the_project_is_there_and_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)
    for name in SOMEBODY:
        monkeypatch.delenv(name)
    code, output = call("init", "mine")
    assert code == 0 and output.startswith("mine: made, not committed yet (fatal: ")
    staged = run("git", "diff", "--cached", "--name-only", cwd=place / "mine").stdout.split()
    assert "dvc.yaml" in staged


WRONG: dict[str, tuple[list[str], str]] = {
    "a folder with something in it": (["full"], "full: is there already; choose another name"),
    "a file": (["full/a"], "full/a: is there already; choose another name"),
    "below a file": (["full/a/mine"], "full/a/mine: .*full/a is a file; choose another place"),
    "the current folder": (["."], r"\.: is the folder that you are in; name one to be made"),
    "a name with blanks": (["my eyes"], "my eyes: use letters, digits, dots"),
    "no images": (["mine", "nowhere"], "nowhere: not found"),
    "a table around the project": (["full/mine", "full/labels.csv"], "full/labels.csv: the project would lie in it"),
    "images around the project": (["mine", "."], r"\.: the project would lie in it"),
}


@pytest.mark.parametrize(("words", "says"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_wish_is_one_line_and_leaves_nothing(place: Path, words: list[str], says: str) -> None:
    write(place / "full", {"a": "mine", "labels.csv": "image,label"})
    before = files_below(place)
    code, output = call("init", *words)
    assert code == 1
    assert output.splitlines()[-1].startswith("error: ") and re.search(says, output.splitlines()[-1])
    assert files_below(place) == before and [path.name for path in place.iterdir()] == ["full"]


def test_an_empty_folder_is_taken(place: Path) -> None:
    (place / "mine").mkdir()
    assert call("init", "mine")[0] == 0
    assert (place / "mine/dvc.yaml").exists()


def test_a_remote_of_the_repository_is_not_the_new_projects() -> None:
    """Its images would go to somebody else's storage."""
    own = (ROOT / ".dvc/config").read_text(encoding="utf-8")
    used = own.replace("[plots]", "    remote = team\n['remote \"team\"']\n    url = s3://eyes\n[plots]")
    for config in (used, f"{own}['remote \"team\"']\n    url = s3://eyes\n    password = secret\n"):
        for ours, theirs in CHANGES[".dvc/config"].items():
            config = re.sub(ours, theirs, config)
        assert config == own
