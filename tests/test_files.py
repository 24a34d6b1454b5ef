"""Files that appear whole or not at all, and what is left of those that did not."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fovea.files import replacing


@pytest.fixture(scope="module")
def ended() -> int:
    """Number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def write_folder(path: Path, text: str) -> None:
    path.mkdir()
    (path / "file").write_text(text)


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with replacing(tmp_path / "cache") as folder:
            write_folder(folder, text)
    assert (tmp_path / "cache/file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_after_an_error_the_old_folder_is_there_and_nothing_of_the_new_one(tmp_path: Path) -> None:
    write_folder(tmp_path / "cache", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "cache") as folder:
        write_folder(folder, "new")
        raise ZeroDivisionError
    assert (tmp_path / "cache/file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_a_link_to_a_folder_is_replaced_and_the_folder_stays(tmp_path: Path) -> None:
    write_folder(tmp_path / "elsewhere", "old")
    (tmp_path / "cache").symlink_to(tmp_path / "elsewhere")
    with replacing(tmp_path / "cache") as folder:
        write_folder(folder, "new")
    assert (tmp_path / "cache/file").read_text() == "new"
    assert (tmp_path / "elsewhere/file").read_text() == "old"
    assert not (tmp_path / "cache").is_symlink()


@pytest.mark.parametrize("of", ["ended", "too large", "own"])
@pytest.mark.parametrize("end", ["", ".old"])
def test_what_a_killed_process_left_is_deleted(tmp_path: Path, ended: int, of: str, end: str) -> None:
    process = {"ended": ended, "too large": 10**20, "own": os.getpid()}[of]
    write_folder(tmp_path / f".cache.{process}.1{end}", "left")
    (tmp_path / f".table.{process}.1.csv{end}").write_text("left")
    with replacing(tmp_path / "cache") as folder, replacing(tmp_path / "table.csv") as file:
        assert list(tmp_path.iterdir()) == []
        write_folder(folder, "new")
        file.write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "table.csv"]


def test_what_a_running_process_writes_and_what_others_named_stays(tmp_path: Path, ended: int) -> None:
    running = [f".cache.{os.getppid()}.1", ".cache.1.1"]
    names = [*running, ".cache.part", f".cache.{ended}.1.csv", f".caches.{ended}.1", f"cache.{ended}.1"]
    for name in names:
        write_folder(tmp_path / name, "theirs")
    with replacing(tmp_path / "cache") as folder:
        write_folder(folder, "new")
    assert {path.name for path in tmp_path.iterdir()} == {"cache", *names}


def test_threads_that_write_one_path_leave_each_other_alone(tmp_path: Path) -> None:
    both, failed = threading.Barrier(2, timeout=60), list[Exception]()

    def write(text: str) -> None:
        try:
            with replacing(tmp_path / "table.csv") as file:
                file.write_text(text)
                both.wait()  # both temporaries are there
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(text,)) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [] and (tmp_path / "table.csv").read_text() in ("one", "two")
