"""What survives between runs, outside DVC's outputs: safe to delete at any time, at the cost of making it again."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from types import ModuleType


def store_folder(name: str) -> Path:
    """The folder `.cache/fovea/<name>` of the main checkout, even in a temporary workspace of `dvc exp run --temp`.

    DVC sets DVC_ROOT for its stages; without it the current folder is the project. The folder may not exist yet.
    """
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()) / ".cache" / "fovea" / name


def code_version(*modules: ModuleType) -> str:
    """8 hex digits of the source of `modules`: what they made is not used again once one of them has changed."""
    sources = b"".join(Path(str(module.__file__)).read_bytes() for module in modules)
    return blake2b(sources, digest_size=4).hexdigest()


def open_database(path: Path, *tables: str) -> sqlite3.Connection:
    """The SQLite database at `path` with `tables` (SQL), which several threads and processes may use.

    A damaged one is deleted and begun anew: whatever lies in the store can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
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
def locked(folder: Path, wait: bool = True) -> Iterator[None]:
    """Have `folder`, made if it is not there, to oneself. The lock ends with the process, however that ends.

    With `wait`, says that it waits; without, raises BlockingIOError if somebody has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            print(f"waiting for another process that uses {folder}", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
