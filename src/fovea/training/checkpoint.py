"""Checkpoints: what a training that was killed goes on from, under a key of everything that it depends on.

They lie in the store, outside DVC's outputs, which DVC deletes before a stage runs.
"""

import fcntl
import io
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import md5
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from fovea.errors import UserError
from fovea.files import replacing, write_json
from fovea.store import LOCK, is_at, locked, origin_key, share, store_folder

STATE, RUN, ORIGIN = "checkpoint.pt", "run.json", "origin.json"
NO_TRAINING = ("lr_find.py", "seen.py")  # modules beside this one that no training imports


class Checkpoint:
    """The last state of one training in `folder`, written at most every `seconds`."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder, self.seconds = folder, seconds
        self._last = time.monotonic()

    def exists(self) -> bool:
        return (self.folder / STATE).is_file()

    def due(self) -> bool:
        return time.monotonic() - self._last >= self.seconds

    def write(self, state: Mapping[str, Any]) -> None:
        """Replace the last state, whole or not at all. A disk that is full costs the new one and a warning."""
        buffer = io.BytesIO()  # torch.save into a file ends the process when the disk is full
        torch.save(dict(state), buffer)
        try:
            with replacing(self.folder / STATE) as temporary, temporary.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except UserError as error:
            print(f"warning: no checkpoint was written, the last one is kept: {error}", file=sys.stderr)
        self._last = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """The last state, tensors on the CPU; None if there is none, or none that can be read."""
        path = self.folder / STATE
        if not path.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises nearly anything over a damaged file
            print(f"warning: {path} is damaged ({type(error).__name__}); training begins anew", file=sys.stderr)
            return None
        return state

    def token(self) -> str:
        """What names this training before MLflow has given its run an id; drawn once, not from the training's content:
        the same training elsewhere has a run of its own."""
        if "token" not in self._run():
            write_json(self.folder / RUN, {"token": uuid4().hex})
        return str(self._run()["token"])

    def run_id(self) -> str | None:
        """The MLflow run of this training, if it began before."""
        return self._run().get("run_id")

    def keep_run(self, run_id: str) -> None:
        write_json(self.folder / RUN, {"token": self.token(), "run_id": run_id})

    def _run(self) -> dict[str, str]:
        try:
            found: dict[str, str] = json.loads((self.folder / RUN).read_text())
        except (OSError, ValueError):
            return {}
        return found


@contextmanager
def open_checkpoint(origin: Mapping[str, Any], seconds: float) -> Iterator[Checkpoint]:
    """The checkpoint of the training that has this origin, to oneself: another process with the same one waits."""
    store = store_folder("checkpoints")
    share(store)
    folder = store / origin_key(origin)
    with locked(folder):
        write_json(folder / ORIGIN, origin)
        yield Checkpoint(folder, seconds)


def discard(key: str) -> None:
    """Delete the checkpoint of a training whose outputs DVC has, unless a process uses it: that may be another one."""
    folder = store_folder("checkpoints") / key
    if not (folder / LOCK).is_file():
        return
    with (folder / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if not is_at(file, folder / LOCK):  # another process has deleted all of it
            return
        for name in (STATE, RUN, ORIGIN, LOCK):
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # who waited for the lock has made another one by now
            folder.rmdir()


def code_of_training(stage: Path | str) -> dict[str, str]:
    """md5 of the stage script and of every module that it trains with, by its path, as dvc.lock has it."""
    package = Path(__file__).parents[1]
    modules = [path for path in (package / "training").glob("*.py") if path.name not in NO_TRAINING]
    modules += [package / "cache/read.py", package / "seeds.py"]
    code = {f"src/fovea/{path.relative_to(package).as_posix()}": path for path in sorted(modules)}
    code[f"stages/{Path(stage).name}"] = Path(stage)
    return {name: md5(path.read_bytes(), usedforsecurity=False).hexdigest() for name, path in code.items()}
