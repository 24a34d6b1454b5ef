"""`fovea doctor`: a healthy project, and each fault made for real, found by the one check that is to find it."""

import http.server
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from fovea.cli import app
from fovea.doctor import remote, runs
from fovea.doctor.command import CHECKS, Check, describe, find_place, look
from fovea.doctor.disk import bytes_to_come, judge
from fovea.doctor.finding import GB, Finding, Place, within
from fovea.doctor.installed import doubled, unmet
from fovea.doctor.machine import cgroup_limits, why_unseen
from tests.import_closure import ROOT
from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, Project
from tests.servers import free_port

SECRET = "hunter2-9f3c"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with images that DVC tracks and a remote, small since each test copies it."""
    folder = tmp_path_factory.mktemp("doctor")
    project = Project(folder / "project")
    for name in ("dvc.yaml", "params.yaml", ".gitignore", "data/.gitignore", "stages/ingest.py",
                 ".dvc/.gitignore", ".dvc/config"):
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project.folder / name)
    project.run("git init -q -b main")
    write_fundus_lesions(project.folder / "data/raw/small", per_class=2)
    project.set_params(SMALL)
    project.run("dvc add -q data/raw/small")
    (folder / "remote").mkdir()
    project.run(f"dvc remote add -q -d shared {folder / 'remote'}")
    project.commit("Images and settings")
    return project


@pytest.fixture
def project(healthy: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it, which is the current folder."""
    shutil.copytree(healthy.folder, tmp_path / "project", symlinks=True)
    project = Project(tmp_path / "project")
    monkeypatch.chdir(project.folder)
    for name, value in project.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT", "OMP_NUM_THREADS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return project


def found_by(name: str) -> list[Finding]:
    """What a check finds in the current folder."""
    (check,) = (each for each in CHECKS if each.name == name)
    return look(check, find_place())


def only(name: str) -> Finding:
    (finding,) = found_by(name)
    return finding


def test_a_healthy_project_has_no_error(project: Project) -> None:
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0 and not re.search("(?m)^error", done.stdout), done.stdout
    told = {line[9:20].strip() for line in done.stdout.splitlines()}
    assert told >= {check.name for check in CHECKS} - {"launcher", "ray", "shards"}  # of which nothing is set
    assert not Path("mlflow.db").exists() and project.run("git status --short").stdout == ""


def test_a_fault_is_an_error_with_what_to_do_and_status_1(project: Project) -> None:
    shutil.rmtree("data/raw/small")
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1 and re.search(r"\n1 error(, \d warnings?)?\n$", done.stdout)
    assert re.search(r"\nerror +images +data/raw/small is not there; .*\n +-> uv run dvc pull data/raw/small\n",
                     done.stdout)


def test_a_folder_below_the_project_is_of_the_project(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("stages")
    assert find_place().root == project.folder


def test_outside_of_a_project_the_machine_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 0 and not list(tmp_path.iterdir())
    assert re.search(r"\nok +torch +torch \d", "\n" + done.stdout)
    assert re.search(r"\nskipped +project +none in this folder .*, so not looked at: git, params", done.stdout)


def test_a_check_that_fails_is_a_finding() -> None:
    def broken(place: Place) -> Iterator[Finding]:
        yield Finding("ok", "so far")
        raise ZeroDivisionError("by nothing")

    (finding,) = look(Check("x", broken, False), Place(None, {}))
    assert finding == Finding("error", "could not be looked at: ZeroDivisionError: by nothing")


def test_who_does_not_answer_is_left() -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer within 0 s"):
        within(0.05, lambda: time.sleep(5))
    assert time.monotonic() - begun < 4
    with pytest.raises(TimeoutError, match="its own"):
        within(5, lambda: (_ for _ in ()).throw(TimeoutError("its own")))


def test_a_line_holds_no_password_and_nothing_that_a_terminal_obeys() -> None:
    finding = Finding("error", f"http://ada:{SECRET}@host/ \x1b[2J", f"s3://b?token={SECRET}")
    assert describe("x", finding) == [f"{'error':<9}{'x':<11}http://***@host/ ?[2J", f"{'':<20}-> s3://b?token=***"]


# Python and its packages


def test_what_may_be_broken_is_imported_by_checks_alone() -> None:
    heavy = {"cv2", "dvc", "mlflow", "numpy", "pandas", "packaging", "psutil", "pynvml", "torch"}
    code = f"import sys, fovea.doctor.command; print(*({heavy} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_a_library_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "simplejpeg.py").write_text("raise OSError('libturbojpeg.so.0: cannot open shared object file')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "simplejpeg", raising=False)
    broken, sound = found_by("libraries")
    assert broken.verdict == "error" and "simplejpeg cannot be imported: libturbojpeg.so.0: cannot" in broken.found
    assert "uv sync --reinstall-package simplejpeg" in broken.remedy and "simplejpeg" not in sound.found


def test_stages_that_would_run_with_another_python_are_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no `python` on the PATH" in found_by("python")[1].found
    (tmp_path / "python").symlink_to(Path(sys.base_prefix) / "bin/python3")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    finding = found_by("python")[1]
    assert "has no fovea: ModuleNotFoundError" in finding.found and "`uv run`" in finding.remedy
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    assert f"with the `python` on the PATH, of {sys.base_prefix}, not with this one" in found_by("python")[1].found


def test_a_fovea_of_another_folder_is_named(project: Project) -> None:
    (project.folder / "src/fovea").mkdir(parents=True)
    assert f"changes in {project.folder / 'src/fovea'} do nothing" in found_by("python")[1].found


def write_package(folder: Path, name: str, version: str, *lines: str, module: str | None = None) -> None:
    """The record of an installed package, as installers write it."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]))
    if module:
        (info / "top_level.txt").write_text(module)


def test_a_package_that_lacks_another_one_or_has_the_wrong_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wants = ["lacking>=1", "old>=2", "new>=2", "elsewhere; python_version < '3'", "more; extra == 'all'"]
    write_package(tmp_path, "asking", "1.0", *(f"Requires-Dist: {line}" for line in wants))
    write_package(tmp_path, "old", "1.5")
    write_package(tmp_path, "new", "2.1+cu130", "Requires-Dist: below==3")
    monkeypatch.syspath_prepend(tmp_path)
    assert set(unmet("asking")) == {"lacking is not installed, which asking needs",
                                    "asking 1.0 needs old>=2, but has 1.5",
                                    "below is not installed, which new needs"}


def test_this_environment_is_whole() -> None:
    assert list(unmet("fovea")) == [] and doubled() == {}


def test_two_packages_with_one_module_are_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_package(tmp_path, "opencv_python", "4.10", module="cv2")
    monkeypatch.syspath_prepend(tmp_path)
    finding = found_by("libraries")[0]
    assert "opencv-python-headless and opencv_python bring the same module cv2" in finding.found


# The machine


@pytest.mark.parametrize(
    ("built", "driver", "hidden", "reason", "remedy"),
    [
        (None, 12040, None, "2.11 was built without CUDA", "pytorch.org"),
        ("13.0", 12040, None, "built for CUDA 13.0, the driver knows 12.4", "update NVIDIA's driver"),
        ("12.9", 12040, "", "CUDA_VISIBLE_DEVICES hides it", "unset CUDA_VISIBLE_DEVICES"),
        ("12.9", 12040, None, "CUDA unknown error", "nvidia-smi"),
    ],
)
def test_a_gpu_that_torch_does_not_see_has_a_reason(
    built: str | None, driver: int, hidden: str | None, reason: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    said = why_unseen("2.11", built, driver, ["CUDA unknown error"])
    assert reason in said[0] and remedy in said[1]


def test_a_device_that_is_not_there_is_an_error(project: Project) -> None:
    project.set_params({"machine.device": "mps"})
    assert only("torch").verdict == "error" and "mps is not available" in only("torch").found


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/a/b\n", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000", "a/memory.max": "3000000000",
                       "a/b/memory.max": "max"}),
        ("4:memory:/host/x\n1:cpu,cpuacct:/host/x\n0::/\n", {
            "cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000", "cpu/host/x/cpu.cfs_quota_us": "-1",
            "cpu/host/x/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": "3000000000"}),
    ],
    ids=["version 2", "version 1"],
)  # fmt: skip
def test_limits_of_a_container_are_read(tmp_path: Path, groups: str, files: dict[str, str]) -> None:
    own = tmp_path / "own"
    own.write_text(groups)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text + "\n")
    assert cgroup_limits(own, tmp_path / "groups") == (1.5, 3_000_000_000)
    assert cgroup_limits(tmp_path / "none", tmp_path) == (None, None)


def test_more_threads_than_cores_are_named(project: Project) -> None:
    project.set_params({"machine.workers": 999})
    finding = only("cpu")
    assert finding.verdict == "warning" and "999 threads to decode" in finding.found


def test_a_launcher_that_is_not_there_is_named(project: Project) -> None:
    assert found_by("launcher") == []
    project.set_params({"machine.launcher": "torchrunn --nproc-per-node 2"})
    assert only("launcher").found == "machine.launcher: torchrunn is not on the PATH"


def test_a_ray_cluster_that_does_not_answer_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found_by("ray") == []
    project.set_params({"machine.engine": "ray"})
    assert only("ray").verdict == "ok"
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    assert only("ray").verdict == "error" and "does not answer: [Errno" in only("ray").found


# git, params.yaml and DVC


def test_a_folder_without_git_is_an_error(project: Project) -> None:
    shutil.rmtree(".git")
    assert only("git").verdict == "error" and only("git").remedy.startswith("git init")


def test_a_repository_without_commit_and_name_is_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(".git")
    project.run("git init -q")
    for name in ("GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    project.run("git config user.useConfigOnly true")  # else git makes up a name on some machines
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    without_commit, without_name = found_by("git")
    assert "no commit" in without_commit.found and without_commit.remedy.endswith("git commit -m Start")
    assert "does not know your name" in without_name.found and "user.name" in without_name.remedy


def test_mistakes_in_params_are_all_named(project: Project) -> None:
    project.set_params({"train.modell": "resnet18", "split.val": -1})
    finding = only("params")
    assert finding.verdict == "error" and "did you mean model?" in finding.found and "split.val" in finding.found


def test_params_that_are_no_yaml_are_named_with_their_line_and_the_rest_still_answers(project: Project) -> None:
    with Path("params.yaml").open("a") as file:
        file.write("train: [\n")
    assert re.search(r"params.yaml, line \d+: not valid YAML", only("params").found)
    assert only("images").verdict == "skipped" and only("remote").verdict == "ok"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("dvc.yaml", "stages:\n  ingest: [\n", "line 3, column 1"),
        ("dvc.yaml", "stages:\n  ingest: {command: x}\n", "dvc.yaml"),
        ("dvc.lock", "<<<<<<< HEAD\nschema: '2.0'\n=======\n", "dvc.lock"),
        (".dvc/config", "[core\n", "config file error"),
    ],
    ids=["no YAML", "no pipeline", "a merge that failed", "configuration"],
)
def test_what_dvc_cannot_read_is_named(project: Project, name: str, text: str, words: str) -> None:
    Path(name).write_text(text)
    assert only("dvc").verdict == "error" and words in only("dvc").found


def test_a_project_without_dvc_is_an_error(project: Project) -> None:
    shutil.rmtree(".dvc")
    assert only("dvc").remedy == "uv run dvc init" and only("remote").verdict == "skipped"


def test_a_lock_whose_process_number_is_another_ones_now_is_named(project: Project) -> None:
    lock, written = Path(".dvc/tmp/rwlock").absolute(), str(Path("data/manifest.parquet").absolute())
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            holder = {"pid": process.pid, "cmd": f"{sys.prefix}/bin/dvc repro"}
            lock.write_text(json.dumps({"write": {written: holder}, "read": {}}))
            assert "is busy, it is being blocked" in project.run("dvc repro ingest", check=False).stderr
            finding = found_by("dvc")[0]
        finally:
            process.kill()
    assert finding.verdict == "error" and finding.remedy == f"rm {lock}"


def test_a_lock_of_a_command_of_dvc_that_runs_is_right(project: Project) -> None:
    script = project.folder / "dvc"
    script.write_text("import time; time.sleep(60)")
    with subprocess.Popen([sys.executable, script, "repro"]) as process:
        try:
            holder = {"pid": process.pid, "cmd": f"{script} repro"}
            Path(".dvc/tmp/rwlock").write_text(json.dumps({"write": {"x": holder}, "read": {"y": [holder]}}))
            assert only("dvc").verdict == "ok"
        finally:
            process.kill()


def test_a_lock_that_a_full_disk_has_emptied_is_named(project: Project) -> None:
    Path(".dvc/tmp/rwlock").write_text("")
    assert "rwlock: cannot be read" in found_by("dvc")[0].found


# Images


def test_a_set_that_is_nowhere_is_named_with_the_one_that_is_there(project: Project) -> None:
    project.set_params({"dataset.name": "smal"})
    finding = only("images")
    assert finding.verdict == "error" and finding.found == "data/raw/smal is not there"
    assert "fovea inspect" in finding.remedy and finding.remedy.endswith("set dataset.name: small, which is there")


def test_a_link_that_leads_nowhere_is_named(project: Project, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/image.jpg").touch()
    project.set_params({"dataset.name": "linked"})
    Path("data/raw/linked").symlink_to(tmp_path / "disk")
    assert only("images").verdict == "ok" and "does not track it" in only("images").found
    (tmp_path / "disk").rename(tmp_path / "gone")
    assert only("images").found == f"data/raw/linked is a link to {tmp_path / 'disk'}, which is not there"


def test_an_empty_folder_and_a_file_are_no_set(project: Project) -> None:
    shutil.rmtree("data/raw/small")
    Path("data/raw/small").mkdir()
    assert only("images") == Finding("error", "data/raw/small is empty", "uv run dvc pull data/raw/small")
    project.set_params({"dataset.name": "file"})
    Path("data/raw/file").touch()
    assert "is a file" in only("images").found


def test_the_demo_set_may_be_missing(project: Project) -> None:
    project.set_params({"dataset.name": "demo"})
    assert only("images").verdict == "ok"


@pytest.mark.parametrize("line", ["/raw/", "/raw/*", "raw/small*"])
def test_a_rule_by_which_git_ignores_the_set_is_named(project: Project, line: str) -> None:
    assert only("gitignore").verdict == "ok"
    with Path("data/.gitignore").open("a") as file:
        file.write(f"{line}\n")
    assert f", by data/.gitignore:5:{line}, so" in only("gitignore").found


def test_images_that_git_would_take_are_named(project: Project) -> None:
    Path("data/.gitignore").write_text("/cache\n")
    assert "would take all of them" in only("gitignore").found
    Path("data/.gitignore").write_text("/raw/*\n!/raw/*.dvc\n")
    assert only("gitignore").verdict == "ok"


# Disks


def test_a_cache_of_dvc_that_takes_no_files_is_an_error(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    configure("cache", f"dir = {tmp_path / 'file/cache'}")
    assert only("dvc cache").verdict == "error" and "cannot be written to (Not a directory)" in only("dvc cache").found
    assert {finding.verdict for finding in found_by("disk")} <= {"ok", "warning"}


def test_links_of_the_cache_that_do_not_work_are_an_error(project: Project) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == project.folder.stat().st_dev:
        pytest.skip("needs a second file system")
    configure("cache", "type = hardlink")
    assert "shared by hardlink" in only("dvc cache").found
    configure("cache", "type = hardlink", f"dir = {shared / 'fovea-none'}")
    assert only("dvc cache").verdict == "error" and "hardlink does not work" in only("dvc cache").found
    assert not (shared / "fovea-none").exists()


def test_what_a_run_may_still_take_is_counted(project: Project) -> None:
    images, rows = 6, 6 * (1 + project.params()["augment"]["variants"])
    assert bytes_to_come(find_place()) == rows * 32 * 32 * 3
    shutil.rmtree("data/raw/small")
    size = yaml.safe_load(Path("data/raw/small.dvc").read_text())["outs"][0]
    assert size["nfiles"] == images and bytes_to_come(find_place()) == rows * 32 * 32 * 3 + size["size"]


def test_rows_are_counted_by_the_manifest_and_those_that_are_there_are_not(project: Project) -> None:
    project.run("python stages/ingest.py")
    project.set_params({"augment.variants": 4, "augment.balance": True})
    assert bytes_to_come(find_place()) == 6 * 5 * 32 * 32 * 3
    Path("data/cache").mkdir()
    Path("data/cache/a.npy").write_bytes(bytes(32 * 32 * 3))
    assert bytes_to_come(find_place()) == (6 * 5 - 1) * 32 * 32 * 3


@pytest.mark.parametrize(
    ("free", "need", "verdict"),
    [(50, 40, "ok"), (50, 60, "warning"), (1, 0, "warning"), (0.01, 0, "error")],
)
def test_a_disk_is_judged_by_what_is_free_and_what_may_come(free: float, need: float, verdict: str) -> None:
    finding = judge(["project", "DVC's cache"], free * GB, 100 * GB, need * GB)
    assert finding.verdict == verdict and (verdict == "ok") == (finding.remedy == "")
    assert ("cache.type" in finding.remedy) == (need > free)


# Runs


def write_database(location: Path, version: str | None = None) -> None:
    """What doctor reads of mlflow.db: the version of the tables, None for that of MLflow here, and an experiment's
    folder. tests/test_tracking.py asks it of a whole one."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    with closing(sqlite3.connect("mlflow.db")) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("CREATE TABLE experiments (name TEXT, artifact_location TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", [version or _get_latest_schema_revision()])
        connection.execute("INSERT INTO experiments VALUES ('fovea', ?)", [location.as_uri()])


def test_tables_of_an_older_mlflow_are_named_and_left_alone(project: Project) -> None:
    write_database(project.folder / "mlartifacts", "451aebb31d03")  # the second of all versions
    before = Path("mlflow.db").read_bytes()
    finding = only("mlflow")
    assert finding.verdict == "error" and "older MLflow" in finding.found and Path("mlflow.db").read_bytes() == before
    assert finding.remedy == "copy the database aside, then: uv run mlflow db upgrade sqlite:///mlflow.db"


def test_tables_of_a_newer_mlflow_are_named(project: Project) -> None:
    write_database(project.folder / "mlartifacts", "ffffffffffff")
    assert only("mlflow").verdict == "error" and "newer MLflow" in only("mlflow").found


def test_files_of_runs_that_stayed_where_the_project_was_are_named(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "my project/mlartifacts"
    write_database(folder)
    assert only("mlflow").verdict == "warning" and f"in {folder}, which is not there" in only("mlflow").found


def test_files_of_runs_that_cannot_be_written_are_named(project: Project) -> None:
    write_database(project.folder / "mlartifacts")
    assert only("mlflow").verdict == "ok"
    Path("mlartifacts").touch()
    assert only("mlflow").verdict == "error" and "mlartifacts cannot be written to" in only("mlflow").found


def test_a_file_that_is_no_database_is_named(project: Project) -> None:
    Path("mlflow.db").write_text("no database " * 100)
    finding = only("mlflow")
    assert "file is not a database" in finding.found and "fovea sync" in finding.remedy


def test_a_server_that_is_down_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://bob:{SECRET}@127.0.0.1:{port}")
    lines = "\n".join(describe("mlflow", only("mlflow")))
    assert lines.startswith("error") and f"http://***@127.0.0.1:{port}: it does not answer" in lines
    assert "-> start that server or correct MLFLOW_TRACKING_URI" in lines and SECRET not in lines


def test_a_database_that_is_down_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql+psycopg2://bob:{SECRET}@127.0.0.1:{free_port()}/mlflow")
    lines = "\n".join(describe("mlflow", only("mlflow")))
    assert lines.startswith("error") and "Connection refused" in lines and SECRET not in lines


@contextmanager
def silent_server() -> Iterator[int]:
    """A port that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_server_that_takes_the_request_and_never_answers_is_left(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "SECONDS", 0.5)
    with silent_server() as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        assert "it does not answer" in only("mlflow").found


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(401)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_refuses_the_password_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_address[1]}")
        finding = only("mlflow")
        server.shutdown()
    assert "it refuses this user or password" in finding.found and "MLFLOW_TRACKING_PASSWORD" in finding.remedy


# Remotes


def configure(section: str, *lines: str) -> None:
    """Make this the configuration of DVC, quicker than its commands."""
    Path(".dvc/config").write_text("\n".join([f"[{section}]", *lines]))


def set_remote(url: str | Path, *lines: str, default: bool = True) -> None:
    configure("core", *(["remote = shared"] if default else []), "['remote \"shared\"']", f"url = {url}", *lines)


def test_a_remote_that_is_the_default_and_not_there_is_named(project: Project) -> None:
    configure("core", "remote = elsewhere")
    assert only("remote").verdict == "error" and "'elsewhere' doesn't exist" in only("remote").found


def test_a_folder_that_is_gone_is_told_from_one_that_is_new(project: Project, healthy: Project, tmp_path: Path) -> None:
    assert only("remote").verdict == "ok"
    set_remote(tmp_path / "new")
    assert only("remote").verdict == "warning" and "fovea push makes it" in only("remote").remedy
    set_remote(tmp_path / "mnt/team/new")
    assert only("remote").verdict == "error" and f"{tmp_path / 'mnt/team'} is not there either" in only("remote").found
    (tmp_path / "file").touch()
    set_remote(tmp_path / "file/dvc")
    assert only("remote").verdict == "error" and "cannot be written to" in only("remote").found


def test_no_remote_and_none_that_is_the_default(project: Project) -> None:
    set_remote("/mnt/team", default=False)
    assert only("remote") == Finding("warning", "shared: none is the default", "uv run dvc remote default shared")
    configure("core", "analytics = false")
    assert only("remote").verdict == "skipped" and "docs/team.md" in only("remote").found


def test_a_package_that_a_remote_lacks_is_named_without_its_password(project: Project) -> None:
    set_remote(f"gs://bob:{SECRET}@bucket/fovea")
    lines = "\n".join(describe("remote", only("remote")))
    assert "requires 'dvc-gs' to be installed" in lines and "-> uv add dvc-gs" in lines and SECRET not in lines


def test_storage_that_never_answers_is_left(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SECONDS", 0.5)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with silent_server() as port:
        set_remote("s3://bucket/fovea", f"endpointurl = http://127.0.0.1:{port}")
        finding = only("remote")
    assert finding.verdict == "error" and "no answer within" in finding.found and SECRET not in str(finding)


def test_shards_that_machines_share_are_looked_at_where_a_place_is_set(project: Project, tmp_path: Path) -> None:
    assert found_by("shards") == []
    project.set_params({"machine.shards": str(tmp_path)})
    assert only("shards").verdict == "ok"
    project.set_params({"machine.shards": str(tmp_path / "mnt/rows")})
    assert only("shards").verdict == "error"
