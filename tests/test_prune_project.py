"""`fovea prune` in a git and DVC repository: what current revisions need, and which running stages it waits for."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, Project

SLEEP = "import time; time.sleep(300)  # "


def shards(project: Project) -> set[str]:
    return {path.name for path in (project.folder / ".cache/fovea/rows").glob("*/*.npy")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two branches with a version of a set each; `other` is in the workspace."""
    project = Project.create(tmp_path_factory.mktemp("prune"))
    write_fundus_lesions(project.folder / "data/raw/small")
    project.set_params(SMALL)
    project.run("dvc add -q data/raw/small")
    project.run("dvc repro augment")
    project.commit("First version")
    project.run("git checkout -q -b other")
    (project.folder / "data/raw/small/normal/normal_000.jpg").unlink()
    project.set_params({"augment.seed": 5})
    project.run("dvc add -q data/raw/small")
    project.run("dvc repro augment")
    project.commit("Second version")
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    shutil.copytree(built.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def go_to(project: Project, branch: str) -> None:
    project.run(f"git checkout -q -f {branch}")
    project.run("dvc checkout -q --allow-missing")


def rendered_anew(project: Project) -> int:
    """Rows that are rendered where neither the cache nor what DVC remembers of runs is there."""
    project.run("rm -rf data/cache .dvc/cache/runs")
    found = re.search(r"(\d+) rendered", project.run("dvc repro -f -s augment").stdout)
    assert found
    return int(found[1])


def test_both_branches_are_kept_and_render_nothing(project: Project) -> None:
    before = shards(project)
    out = project.run("fovea prune").stdout
    assert shards(project) == before and "kept for workspace, main, other\n" in out and "0 B freed" in out
    assert rendered_anew(project) == 0
    go_to(project, "main")
    assert rendered_anew(project) == 0


def test_a_deleted_branch_frees_what_it_alone_needed_as_printed(project: Project) -> None:
    before = shards(project)
    go_to(project, "main")
    project.run("git branch -q -D other")
    shown = project.run("fovea prune --dry-run").stdout
    assert shards(project) == before
    disk = int(project.run("du -s --block-size=1 .cache/fovea").stdout.split()[0])
    freed = project.run("fovea prune").stdout
    assert freed == shown and len(shards(project)) == 1
    left = int(project.run("du -s --block-size=1 .cache/fovea").stdout.split()[0])
    assert f"{(disk - left) / 1000:.0f} kB freed" in freed
    assert rendered_anew(project) == 0


def test_an_experiment_keeps_what_it_needs_until_it_is_removed(project: Project) -> None:
    project.run("dvc exp run -q -n tried -s augment -S augment.seed=7")
    go_to(project, "main")
    project.run("git branch -q -D other")
    assert "kept for workspace, main, tried\n" in project.run("fovea prune").stdout and len(shards(project)) == 2
    project.run("dvc exp remove -q tried")
    project.run("fovea prune")
    assert len(shards(project)) == 1


def test_what_is_not_in_the_local_cache_of_dvc_is_not_fetched(project: Project, tmp_path: Path) -> None:
    project.run(f"dvc remote add -q -d storage {tmp_path / 'storage'}")
    project.run("dvc push -q")
    go_to(project, "main")
    project.run("dvc gc -w -f -q")
    assert "freed (other not in DVC's cache here)" in project.run("fovea prune").stdout
    assert len(shards(project)) == 1


def test_a_run_that_was_killed_before_dvc_knew_of_it_keeps_its_rows(project: Project) -> None:
    project.set_params({"augment.seed": 6})
    project.run("python stages/augment.py")
    project.run("rm -rf data/cache")
    project.run("fovea prune")
    assert rendered_anew(project) == 0


@contextmanager
def running(project: Project, command: str) -> Iterator[subprocess.Popen[bytes]]:
    """`command` in a session of its own, which ends with all that it has started."""
    process = subprocess.Popen(command.split(), cwd=project.folder, env=project.environment, start_new_session=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def refusal(project: Project) -> str:
    """What prune says once it refuses; a stage takes a while to begin."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        done = project.run("fovea prune", check=False)
        if done.returncode:
            assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
            return done.stderr
    raise AssertionError("prune did not refuse")


def make_endless(project: Project, stage: str, before: str) -> None:
    path = project.folder / f"stages/{stage}.py"
    path.write_text(path.read_text().replace(before, SLEEP + before, 1))


def test_a_stage_that_was_started_by_hand_is_waited_for_but_not_once_it_is_dead(project: Project) -> None:
    make_endless(project, "augment", 'write_json("reports')
    with running(project, "python stages/augment.py") as process:
        assert refusal(project) == f"error: augment (process {process.pid}) is running; wait until it ends\n"
        assert "kept for" in project.run("fovea prune --dry-run").stdout
    assert "kept for" in project.run("fovea prune").stdout


def test_a_stage_that_outlives_its_dvc_is_waited_for(project: Project) -> None:
    make_endless(project, "augment", 'write_json("reports')
    with running(project, "dvc repro -s augment") as process:
        assert re.match(r"error: (augment|dvc repro -s augment) \(process \d+\) is running", wait_for_stage(project))
        process.kill()
        assert re.match(r"error: augment \(process \d+\) is running", refusal(project))
    assert "kept for" in project.run("fovea prune").stdout


def wait_for_stage(project: Project) -> str:
    """The refusal that names a process: before it, DVC is at work on what comes before the stage."""
    while "(process" not in (said := refusal(project)):
        pass
    return said


@pytest.mark.parametrize("command", ["dvc repro -s train", "dvc exp run --temp -s train"])
def test_a_stage_of_dvc_that_does_not_use_the_store_is_waited_for(project: Project, command: str) -> None:
    (project.folder / "stages/train.py").write_text(SLEEP)
    project.commit("Endless training")
    with running(project, command) as process:
        assert wait_for_stage(project) == f"error: {command} (process {process.pid}) is running; wait until it ends\n"
    assert "kept for" in project.run("fovea prune").stdout
