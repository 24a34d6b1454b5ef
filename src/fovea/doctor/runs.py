"""The MLflow store: whether it answers, and whether its tables and its folder of files fit."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fovea.doctor.disk import unwritable
from fovea.doctor.finding import SECONDS, Finding, Place, within
from fovea.store import library_version
from fovea.tracking import store
from fovea.tracking.trouble import trouble

SERVER = "a server takes several machines: docs/team.md"
ANEW = "move it away; uv run fovea sync makes its runs again from the results"
MISFIT = {  # what tables of another age are, and what to do about them
    "older": ("an older MLflow", "copy the database aside, then: uv run mlflow db upgrade {uri}"),
    "newer": ("a newer MLflow", "install the MLflow that made them, such as by uv sync"),
}


def check_runs(place: Place) -> Iterator[Finding]:
    """The store that runs go to. It is neither made nor brought up to date here."""
    uri = store.store_uri()
    file = store.sqlite_file(uri)
    found = f"MLflow {library_version('mlflow')}, {uri}"
    if uri.startswith(("http:", "https:", "databricks")):
        yield _ask_server(found, uri)
    elif file is None or file.exists():
        yield _look_into(found, uri)
    elif place.root or "MLFLOW_TRACKING_URI" in os.environ:
        yield Finding("ok", f"{found}, which the first training makes")
    else:
        yield Finding("skipped", "there is no project here, and MLFLOW_TRACKING_URI is not set")
        return
    if file and (refusal := unwritable(file.parent)):
        yield Finding("error", f"{file.parent} {refusal}", "make it yours to write, or correct MLFLOW_TRACKING_URI")
    elif file and store.on_network(file.parent):
        yield Finding("warning", f"{file.parent} is a network disk, on which SQLite waits or breaks", SERVER)


def _ask_server(found: str, uri: str) -> Finding:
    from fovea.tracking.client import connect, import_client

    import_client()  # takes seconds, which are not the server's
    try:
        within(SECONDS, connect)
    except Exception as error:  # the client's own, those of requests, and TimeoutError
        reason, _, remedy = trouble(error, uri).partition("; ")
        return Finding("error", f"{found}: {reason}", remedy)
    return Finding("ok", f"{found}, which answers")


def _look_into(found: str, uri: str) -> Finding:
    """A database, without MLflow's client."""
    from fovea.tracking.schema import age, read_tables

    try:
        tables = within(SECONDS, lambda: read_tables(uri))
    except Exception as error:  # of SQLAlchemy, of the database's driver, and TimeoutError
        reason, _, remedy = trouble(error, uri).partition("; ")
        damaged = re.search("not a database|malformed", reason)
        return Finding("error", f"{found}: {reason}", ANEW if damaged else remedy)
    if (compared := age(tables.version)) != "right":
        made_by, remedy = MISFIT[compared]
        shown = '"$MLFLOW_TRACKING_URI"' if "MLFLOW_TRACKING_URI" in os.environ else "sqlite:///mlflow.db"
        return Finding("error", f"{found}: its tables are of {made_by}", remedy.format(uri=shown))
    return _files_of_runs(tables.files, uri) or Finding("ok", found)


def _files_of_runs(files: str | None, uri: str) -> Finding | None:
    """What is wrong with their folder: an experiment keeps that in which it was made, even if the project moves."""
    if not files or urlsplit(files).scheme not in ("", "file"):
        return None
    folder = Path(unquote(urlsplit(files).path))
    if files != store.artifact_location(uri) and not folder.exists():
        return Finding("warning", f"MLflow: files of runs are looked for in {folder}, which is not there",
                       f"move the project back; or, if you need no notes in mlflow.db, {ANEW}")
    if refusal := unwritable(folder):
        return Finding("error", f"MLflow: {folder} {refusal}", "make it yours to write")
    return None
