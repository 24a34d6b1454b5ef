"""`fovea push` where the remote does not take all: no result is given out for sent that is not there."""

import subprocess
from hashlib import md5
from pathlib import Path

import pytest

from tests.project import Project

PIPELINE = """
stages:
  copy:
    cmd: cp params.yaml copied.yaml && mkdir folder && sha1sum params.yaml > folder/a
    params: [x]
    outs: [copied.yaml, folder]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with an empty remote, whose stage has run twice: the first result is in DVC's run-cache alone."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dvc.yaml").write_text(PIPELINE)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    project = Project(folder)
    project.run("dvc init -q")
    project.run(f"dvc remote add -q -d shared {tmp_path / 'remote'}")
    for x in (1, 2):
        (folder / "params.yaml").write_text(f"x: {x}\n")
        project.run("dvc repro -q")
    return project


def push(project: Project) -> tuple[int, str]:
    done = project.run("fovea push", check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, (done.stdout + done.stderr).splitlines()[-1]


def test_a_remote_where_nothing_can_be_written_is_one_line(project: Project, tmp_path: Path) -> None:
    digest = md5(b"x: 1\n").hexdigest()
    place = tmp_path / "remote/files/md5" / digest[:2]
    place.parent.mkdir(parents=True)
    place.touch()  # no folder can be made there
    status, line = push(project)
    assert status == 1 and line.startswith("error: DVC: ") and line.endswith("says how a remote is set up")


def test_a_result_of_which_a_folder_is_gone_keeps_no_other_from_being_sent(project: Project, tmp_path: Path) -> None:
    """As `dvc gc` leaves it: DVC's note of the run stays."""
    (lost,) = (path for path in (project.folder / ".dvc/cache/files/md5").rglob("*.dir")
               if f"{path.parent.name}{path.name}" not in project.text("dvc.lock"))
    lost.unlink()
    assert push(project)[0] == 0
    digest = md5(b"x: 1\n").hexdigest()
    assert (tmp_path / "remote/files/md5" / digest[:2] / digest[2:]).is_file()


def test_notes_of_runs_that_the_remote_does_not_take_are_an_error(project: Project, tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    (tmp_path / "remote/runs").touch()
    status, line = push(project)
    assert status == 1 and line.startswith("error: DVC: ") and line.endswith("says how a remote is set up")
