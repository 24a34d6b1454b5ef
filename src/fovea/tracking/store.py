"""Where runs are kept: the address of the MLflow store, and its SQLite file made ready. Without MLflow."""

import fcntl
import os
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fovea.tracking.provenance import project_root, scrub

NETWORK_DISKS = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "fuse.", "9p", "afs")
ENVIRONMENT = {  # the user's own values win
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",                # MLflow logs whole tracebacks; the one warning is ours
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # that address may hold a password
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",            # by default it tries for minutes
    # Files go through the server. By itself MLflow sends clients to its storage, which they may not even reach
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",               # seconds; the answer to a model's upload may take that long
}


def store_uri() -> str:
    """MLFLOW_TRACKING_URI, else `mlflow.db` of the project. The path of a SQLite file is made absolute.

    A relative one would lie in the temporary folder of `dvc exp run --temp`, and be lost with it.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    file = sqlite_file(uri)
    return f"sqlite:///{file}" if file else uri


def sqlite_file(uri: str) -> Path | None:
    """The file of a `sqlite:///` address, None for any other store."""
    path = uri.removeprefix("sqlite:///")
    return None if path == uri or not path else project_root().resolve() / path


def artifact_location(uri: str) -> str | None:
    """Folder beside the database; None for a server, which decides by itself."""
    if not uri.startswith("sqlite:"):
        return None if uri.startswith(("http:", "https:", "databricks")) else (project_root() / "mlartifacts").as_uri()
    file = sqlite_file(uri)
    return (file.parent if file else project_root()).joinpath("mlartifacts").resolve().as_uri()


def ui_command() -> str:
    """What shows the runs: a command, or the address of the server. Holds no password."""
    uri = store_uri()
    if uri.startswith(("http:", "https:")):
        return scrub(uri)
    if scrub(uri) != uri:
        return 'uv run mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'
    if sqlite_file(uri) == Path.cwd() / "mlflow.db":
        uri = "sqlite:///mlflow.db"
    return f"uv run mlflow ui --backend-store-uri {shlex.quote(uri)}"


@contextmanager
def exclusive(uri: str) -> Iterator[None]:
    """Hold a lock on the SQLite file of `uri` and switch it to WAL: two processes that create it together break it."""
    file = sqlite_file(uri)
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{file}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not on_network(file.parent):
            connection = sqlite3.connect(file, timeout=20)
            connection.execute("PRAGMA journal_mode=WAL")  # a write costs 4 ms instead of 24; breaks on network disks
            connection.close()
        yield


def on_network(folder: Path) -> bool:
    """Whether `folder` lies on a network disk, by Linux's table of mounts; elsewhere it is taken for a local one."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return False
    above = {str(folder), *map(str, folder.parents)}
    kinds = {point: kind for _, point, kind, *_ in mounts if point in above}
    return kinds[max(kinds, key=len)].startswith(NETWORK_DISKS) if kinds else False
