"""Places that machines share: DVC's remote, and the shards of `machine.shards`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fovea.doctor.disk import nearest, unwritable
from fovea.doctor.finding import SECONDS, Finding, Place, within
from fovea.errors import one_line
from fovea.params.machine import MachineParams
from fovea.urls import file_system, is_url

SET_UP = "docs/team.md says how a remote is set up"


def check_remote(place: Place) -> Iterator[Finding]:
    """The default remote of DVC: whether there is one, and whether it can be read; a folder also whether written."""
    from dvc.config import NoRemoteError
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    try:
        with Repo(str(place.root)) as repo:
            remote = repo.cloud.get_remote()
            found = f"{remote.name}, {repo.config['remote'][remote.name]['url']}"
            kind, files, path = remote.fs.protocol, remote.fs.fs, remote.path
    except NotDvcRepoError:
        yield Finding("skipped", "there is no .dvc")
    except NoRemoteError:
        yield _without(sorted(repo.config["remote"]))
    except DvcException as error:  # of its configuration
        yield Finding("error", one_line(error), SET_UP)
    except ImportError as error:  # "s3 is supported, but requires 'dvc-s3' to be installed"
        package = str(error).partition("requires '")[2].partition("'")[0]
        yield Finding("error", one_line(error), "uv sync --extra s3" if package == "dvc-s3" else f"uv add {package}")
    else:
        if kind in ("http", "https"):
            yield Finding("skipped", f"{found}: a web server lists nothing, so it is not asked")
        else:
            yield look(found, path, None if kind == "local" else files, f"uv run fovea push makes it; {SET_UP}")


def _without(others: list[str]) -> Finding:
    if others:
        return Finding("warning", f"{', '.join(others)}: none is the default", f"uv run dvc remote default {others[0]}")
    return Finding("skipped", f"none is set, so images and models are on this disk alone; {SET_UP}")


def check_shards(place: Place) -> Iterator[Finding]:
    """The place that `machine.shards` names, if it does."""
    machine = place.read("machine", MachineParams)
    if machine and machine.shards:
        files, path = file_system(machine.shards) if is_url(machine.shards) else (None, machine.shards)
        yield look(f"machine.shards: {machine.shards}", path, files, "augment makes it")


def look(found: str, path: str, files: Any, if_new: str) -> Finding:
    """Whether `path` can be used: of `files`, a file system of fsspec, or a folder of this machine if None.

    `if_new` says who makes what is not there yet.
    """
    return _folder(found, Path(path), if_new) if files is None else _storage(found, path, files, if_new)


def _folder(found: str, folder: Path, if_new: str) -> Finding:
    if refusal := unwritable(folder):
        return Finding("error", f"{found}: {refusal}", "make it yours to write, or correct the path")
    if folder.is_dir():
        return Finding("ok", found)
    if nearest(folder) == folder.parent:
        return Finding("warning", f"{found}: is not there", f"{if_new}; if it was there, mount its disk")
    return Finding("error", f"{found}: {folder.parent} is not there either", "mount its disk, or correct the path")


def _storage(found: str, path: str, files: Any, if_new: str) -> Finding:
    """Asks for one level of names: an object store has no empty folders, so its bucket tells whether it is there."""
    bucket = path.partition("/")[0]
    try:
        try:
            within(SECONDS, lambda: files.ls(path, detail=False))
        except FileNotFoundError:
            if bucket:  # a path such as that of ssh:// begins with a slash
                within(SECONDS, lambda: files.ls(bucket, detail=False))
            return Finding("warning", f"{found}: nothing is there yet", if_new)
    except FileNotFoundError:
        return Finding("error", f"{found}: there is no bucket {bucket}", "make it, or correct the address")
    except Exception as error:  # each store has errors of its own
        return Finding("error", f"{found}: {type(error).__name__}: {one_line(error)}",
                       f"check the address, the network and this machine's credentials; {SET_UP}")
    return Finding("ok", found)
