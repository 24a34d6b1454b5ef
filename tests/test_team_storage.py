"""Results and images of a team in one place: DVC's remote on S3 and in a shared folder, by real clones.

One pipeline runs once, half a minute of CPU; colleagues only fetch.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fovea.doctor.command import find_place
from fovea.doctor.remote import check_remote
from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, STAGES, Project
from tests.servers import Storage, folder_for_anyone

UNREACHABLE = "http://nowhere.invalid:5000"  # the MLflow server of all: each line of work goes on without it


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    with folder_for_anyone() as folder, Storage(folder) as server:
        yield server


class Author(NamedTuple):
    """Who trained: a commit with the images and settings, and one with the results; all is pushed to both remotes."""

    project: Project
    said: str  # by the run that trained


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory, storage: Storage) -> Author:
    folder = tmp_path_factory.mktemp("team")
    project = Project.create(folder / "author")
    project.environment["MLFLOW_TRACKING_URI"] = UNREACHABLE
    write_fundus_lesions(project.folder / "data/raw/small")
    project.set_params(SMALL)
    project.run("dvc add -q data/raw/small")
    project.run("dvc remote add -q -d storage s3://dvc-storage/fovea")
    project.run(f"dvc remote modify -q storage endpointurl {storage.address}")
    for name, value in storage.credentials.items():
        project.run(f"dvc remote modify -q --local storage {name.lower().removeprefix('aws_')} {value}")
    project.run(f"dvc remote add -q folder {folder / 'shared'}")
    project.commit("Images and settings")
    done = project.run("dvc repro")
    project.commit("Results")
    for remote in ("storage", "folder"):
        project.run(f"fovea push --remote {remote}")
    return Author(project, done.stdout + done.stderr)


def clone(author: Author, folder: Path, storage: Storage) -> Project:
    """The project as a colleague has it, with the key to the storage in the environment."""
    author.project.run(f"git clone -q . {folder}")
    project = Project(folder)
    project.environment |= {"MLFLOW_TRACKING_URI": UNREACHABLE, **storage.credentials}
    return project


def test_the_whole_pipeline_runs_without_the_mlflow_server(author: Author) -> None:
    assert all(f"Running stage '{stage}'" in author.said for stage in STAGES)
    warnings = [line for line in author.said.splitlines() if line.startswith("warning: MLflow: ")]
    assert len(warnings) == 3 and UNREACHABLE in warnings[0]  # of train, evaluate and report


@pytest.mark.parametrize("remote", ["storage", "folder"])
def test_a_colleague_pulls_the_results_and_nothing_runs(
    author: Author, storage: Storage, tmp_path: Path, remote: str
) -> None:
    colleague = clone(author, tmp_path / "colleague", storage)
    colleague.run(f"dvc pull -q -r {remote}")
    done = colleague.run("dvc repro")
    assert "Data and pipelines are up to date." in done.stdout
    for path in ("models/model.pt", "reports/predictions.csv", "data/raw/small/normal/normal_000.jpg"):
        assert (colleague.folder / path).read_bytes() == (author.project.folder / path).read_bytes()


@pytest.mark.parametrize("remote", ["storage", "folder"])
def test_a_machine_that_has_the_settings_alone_takes_the_training_of_another(
    author: Author, storage: Storage, tmp_path: Path, remote: str
) -> None:
    other = clone(author, tmp_path / "other", storage)
    other.run("git checkout -q HEAD~1")
    assert not (other.folder / "dvc.lock").exists()
    other.run(f"dvc remote default -q --local {remote}")
    assert "Running stage" not in other.run("dvc repro --pull").stdout
    assert (other.folder / "models/model.pt").read_bytes() == (author.project.folder / "models/model.pt").read_bytes()
    assert other.text("mlflow_run.json") == author.project.text("mlflow_run.json")


def test_what_the_remote_has_is_not_sent_again(author: Author) -> None:
    assert author.project.run("fovea push --remote folder").stdout == "push: nothing new\n"


def test_a_remote_that_dvc_does_not_know_is_one_line(author: Author) -> None:
    done = author.project.run("fovea push --remote elsewhere", check=False)
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("error: DVC: ")
    assert "elsewhere" in done.stderr and "Traceback" not in done.stderr


def test_without_the_key_the_storage_gives_nothing(author: Author, storage: Storage, tmp_path: Path) -> None:
    stranger = clone(author, tmp_path / "stranger", storage)
    stranger.environment["AWS_SECRET_ACCESS_KEY"] = "x" * 40
    assert stranger.run("dvc pull -q", check=False).returncode != 0
    assert not (stranger.folder / "models/model.pt").exists()


def test_git_sees_where_the_storage_is_but_no_key_to_it(author: Author, storage: Storage) -> None:
    listed = author.project.run("git ls-files --cached --others --exclude-standard").stdout.splitlines()
    texts = {name: (author.project.folder / name).read_bytes() for name in listed}
    assert storage.address.encode() in texts[".dvc/config"]
    for secret in storage.credentials.values():
        assert not [name for name, text in texts.items() if secret.encode() in text]


@pytest.mark.parametrize(
    ("place", "key", "verdict", "words"),
    [
        ("dvc-storage/fovea", None, "ok", "storage, s3://dvc-storage/fovea"),
        ("dvc-storage/other", None, "warning", "nothing is there yet"),
        ("no-such-bucket/fovea", None, "error", "there is no bucket no-such-bucket"),
        ("dvc-storage/fovea", "x" * 40, "error", "PermissionError"),
    ],
    ids=["right", "empty", "no bucket", "wrong key"],
)
def test_doctor_says_what_is_wrong_with_the_storage(
    author: Author, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    place: str, key: str | None, verdict: str, words: str,
) -> None:
    other = clone(author, tmp_path / "other", storage)
    monkeypatch.chdir(other.folder)
    for name, value in (storage.credentials | ({"AWS_SECRET_ACCESS_KEY": key} if key else {})).items():
        monkeypatch.setenv(name, value)
    config = other.folder / ".dvc/config"
    config.write_text(config.read_text().replace("dvc-storage/fovea", place))
    (finding,) = check_remote(find_place())
    assert finding.verdict == verdict and words in finding.found
