"""What survives between runs, outside DVC's outputs: safe to delete at any time, at the cost of making it again."""

import fcntl
import json
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b, md5
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from fovea.errors import UserError
from fovea.files import is_running, write_json

LOCK = "lock"  # file in each folder of the store


def store_root() -> Path:
    """`.cache/fovea` of the main checkout, even in a temporary workspace of `dvc exp run --temp`.

    DVC sets DVC_ROOT for its stages; without it the current folder is the project.
    """
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / ".cache" / "fovea"


def store_folder(name: str) -> Path:
    """The folder `name` of the store, which may not exist yet. Who reads or writes there calls `share` first."""
    return store_root() / name


def code_of(*modules: ModuleType) -> dict[str, str]:
    """md5 of each module by its path in the project, as dvc.lock has it."""
    return {
        f"src/{module.__name__.replace('.', '/')}.py":
            md5(Path(str(module.__file__)).read_bytes(), usedforsecurity=False).hexdigest()
        for module in modules
    }  # fmt: skip


def library_version(name: str) -> str:
    """Version of an installed library, or "none"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def origin_key(origin: Mapping[str, Any]) -> str:
    """16 hex digits that name what has this origin: any of `params`, `code` and `libraries`, as JSON.

    What was made is used again under the same key alone. The origin is kept beside it, for `fovea prune`.
    """
    return blake2b(json.dumps(origin, sort_keys=True).encode(), digest_size=8).hexdigest()


def open_database(folder: Path, name: str, code: Mapping[str, str], *tables: str) -> sqlite3.Connection:
    """The SQLite database `name` in `folder` with `tables` (SQL) of what `code` found: other code has another one.

    Several threads and processes may use it. A damaged one is deleted and begun anew: whatever lies in the store can
    be made again.
    """
    share(folder)
    origin = {"code": code}
    path = folder / f"{name}-{origin_key(origin)}.db"
    write_json(path.with_suffix(".json"), origin)
    try:
        return _open(path, tables)
    except sqlite3.OperationalError:  # locked, or a disk that is full: nothing is wrong with the file
        raise
    except sqlite3.DatabaseError:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _open(path, tables)


def _open(path: Path, tables: tuple[str, ...]) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60, check_same_thread=False)
    try:
        with database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            for table in tables:
                database.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged")
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


@contextmanager
def locked(folder: Path) -> Iterator[IO[str]]:
    """Have `folder`, made if it is not there, to oneself; says so if it waits for another process.

    The lock ends with the process, however that ends, and with those to which it handed the file that is yielded.
    """
    with _open_lock(folder) as file:
        yield file


def _open_lock(folder: Path) -> IO[str]:
    """The file of the lock, which this process has: opened again where it was deleted while another had it."""
    while True:
        with suppress(FileNotFoundError):  # the folder was deleted just now
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / LOCK).open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another process that uses {folder}", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            if is_at(file, folder / LOCK):
                return file
            file.close()


def is_at(file: IO[str], path: Path) -> bool:
    """Whether the open `file` is still the one at `path`: not if it was deleted meanwhile."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@cache
def share(folder: Path) -> IO[str]:
    """Make `folder` of the store if it is not there, and see to it that nothing is freed there until this process ends.

    Waits while something is. Returns the file that holds the lock, with a line for each process that shares it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / LOCK).open("a")
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)  # nobody else is here: its lines are of the past
    fcntl.flock(file, fcntl.LOCK_SH)
    file.write(f"{os.getpid()} {Path(sys.argv[0]).stem}\n")
    file.flush()
    return file


@contextmanager
def unshared(folder: Path) -> Iterator[None]:
    """Keep everybody out of `folder` of the store. Raises UserError with the names of those who share it."""
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            lines = [line.partition(" ") for line in file.read().splitlines()]  # a full disk may have cut one off
            running = [f"{name} (process {pid})" for pid, _, name in lines if pid.isdecimal() and is_running(int(pid))]
            raise UserError(f"{', '.join(running) or 'a stage'} is running; wait until it ends") from None
        yield
