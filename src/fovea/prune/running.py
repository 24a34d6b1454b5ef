"""Whether a stage is running: while one is, nothing is freed, and while something is freed, none gets at the store."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dvc.lock import LockError
from dvc.repo import Repo

from fovea.errors import UserError
from fovea.files import is_running
from fovea.store import unshared


@contextmanager
def nothing_running(repo: Repo, store: Path) -> Iterator[None]:
    """Keep stages out, whoever starts them. Raises UserError that names what runs already.

    DVC's own lock is held between commands of stages, and while DVC hashes what they wrote; while one runs, its rwlock
    says so. The locks of the store tell of stages that DVC did not start, or did not outlive.
    """
    with ExitStack() as locks:
        for folder in sorted(path for path in store.iterdir() if path.is_dir()):
            locks.enter_context(unshared(folder))
        try:
            locks.enter_context(repo.lock)
        except LockError:
            raise UserError("DVC is at work here; wait until it ends") from None
        for running in _run_by_dvc(Path(repo.tmp_dir)):
            raise UserError(f"{running} is running; wait until it ends")
        yield


def _run_by_dvc(folder: Path) -> Iterator[str]:
    """Commands of DVC that run a stage, in the workspace or a temporary one, by the rwlock that DVC keeps of them."""
    for place in (".", "exps/*/.dvc/tmp", "exps/*/*/.dvc/tmp"):
        for path in sorted(folder.glob(f"{place}/rwlock")):
            for info in read_lock_file(path).get("write", {}).values():
                if is_running(info["pid"]):
                    program, *arguments = info["cmd"].split(" ")
                    yield f"{' '.join([Path(program).name, *arguments])} (process {info['pid']})"


def read_lock_file(path: Path) -> dict[str, Any]:
    """What a rwlock of DVC holds. Raises UserError if it is damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise UserError(f"{path}: cannot be read: a command of DVC is just ending, try again; or it was killed then, "
                        "delete the file") from None
