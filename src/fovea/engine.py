"""Work for a Ray cluster (`machine.engine: ray`): a map with results in order, a bounded number of batches at a time.

Ray does what is hard: where a worker or a node is lost, it runs the batch again on another, and makes a result again
that was lost with its node. What it runs are pure functions of their batch, the same as in threads here, so that the
bytes do not depend on who computed them.
"""

import logging
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from fovea.errors import UserError, one_line
from fovea.raw import RawFiles
from fovea.store import store_root
from fovea.urls import is_url

AHEAD = 2     # batches per core of the cluster that are sent and not yet taken: memory is bounded
RETRIES = 10  # times that a batch is run again if its worker or node is lost; one that kills each worker must end
STORE = 512 << 20  # bytes of results that a Ray of our own keeps in memory; many times what it has under way
# Ray would report to its makers, and warns that it leaves GPUs alone, for which it was not asked. Below `uv run` it
# would pack the project and start each worker by a uv of its own: with other packages, or never, for want of `.uv/`
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
         "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
ALONE = QUIET | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # by which Ray listens on loopback, elsewhere too
Kept = TypeVar("Kept")
Sent = TypeVar("Sent")
Setting = TypeVar("Setting")
Result = TypeVar("Result")


class Cluster:
    """A Ray that this process is connected to. Several threads may use it."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._free = threading.Semaphore(AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1))))

    def map(
        self, function: Callable[[Setting, Sent], Result], setting: Setting, batches: Iterable[tuple[Kept, Sent]],
        stop: threading.Event,
    ) -> Iterator[tuple[Kept, Result]]:
        """`function(setting, batch)` on the workers for the second of each pair, with the first, in order.

        Ends early when `stop` is set. Raises the UserError of a batch, and one if a batch loses every worker it gets.
        """
        task = self._ray.remote(num_cpus=1, max_retries=RETRIES)(function)
        shared = self._ray.put(setting)
        waiting: deque[tuple[Kept, Any]] = deque()
        try:
            for kept, sent in batches:
                while not self._free.acquire(blocking=not waiting):  # who has none under way waits for the others'
                    if not self._ready(waiting[0][1], stop):
                        return
                    yield self._take(waiting)
                waiting.append((kept, task.remote(shared, sent)))
            while waiting and self._ready(waiting[0][1], stop):
                yield self._take(waiting)
        finally:
            for _, answer in waiting:
                self._ray.cancel(answer)
                self._free.release()

    def _ready(self, answer: Any, stop: threading.Event) -> bool:
        """Wait for an answer, which may never come on a cluster without a free node; False once `stop` is set."""
        while not self._ray.wait([answer], timeout=0.5, fetch_local=False)[0]:
            if stop.is_set():
                return False
        return not stop.is_set()

    def _take(self, waiting: deque[tuple[Kept, Any]]) -> tuple[Kept, Any]:
        kept, answer = waiting.popleft()
        try:
            return kept, self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise
        except self._ray.exceptions.RayError as error:
            raise UserError(f"machine.engine: a batch was lost with its worker {RETRIES + 1} times "
                            f"({one_line(error)}); see the logs of Ray, or set machine.engine: local") from None
        finally:
            self._free.release()


@contextmanager
def cluster(workers: int) -> Iterator[Cluster]:
    """The cluster that RAY_ADDRESS names, else a Ray of our own on this machine alone, with `workers` processes (0: one
    per core), which ends with the block. A process that is connected already stays so, and its workers stay warm.

    Raises UserError if Ray is not installed or the cluster is not there.
    """
    address = os.environ.get("RAY_ADDRESS")
    os.environ.update({name: os.environ.get(name, value) for name, value in (QUIET if address else ALONE).items()})
    try:
        import ray
    except ImportError:
        raise UserError("machine.engine: ray needs Ray, which is not installed: uv sync --extra ray") from None
    if ray.is_initialized():
        yield Cluster(ray)
        return
    own: dict[str, Any] = {"num_cpus": workers or os.cpu_count(), "include_dashboard": False,
                           "object_store_memory": STORE}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        require_answer(address)
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR,
                 runtime_env={"env_vars": {"DVC_ROOT": str(store_root().parent.parent)}}, **({} if address else own))
    except Exception as error:  # of many kinds
        ray.shutdown()
        if address:
            raise UserError(f"RAY_ADDRESS: no Ray at {address} ({one_line(error)}); start it, or unset RAY_ADDRESS for "
                            "one on this machine") from None
        raise UserError(f"machine.engine: Ray does not start here ({one_line(error)}); run again when the machine is "
                        "less busy, or set machine.engine: local") from None
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own in the place of `report_user_errors`
        yield Cluster(ray)
    finally:
        ray.shutdown()


def require_answer(address: str | None) -> None:
    """Raise OSError if nothing listens at `address`, HOST:PORT: Ray itself would try for four minutes."""
    host, _, port = (address or "").rpartition(":")
    if port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


def require_same(theirs: Mapping[str, Mapping[str, Any]], ours: Mapping[str, Mapping[str, Any]]) -> None:
    """On a worker: raise UserError unless code, libraries and parameters are those of the process that asks: other ones
    could make other bytes."""
    for part, values in theirs.items():
        for name, value in values.items():
            if ours[part].get(name) != value:
                raise UserError(f"machine.engine: {name} is not the same on the node {socket.gethostname()} "
                                f"({ours[part].get(name)}, here {value}); install the same version of Fovea there")


def files_here(folder: Path, addresses: Iterable[str]) -> RawFiles:
    """On a worker: the raw images. Raises UserError if `folder` is needed and not there."""
    if not folder.is_dir() and not all(map(is_url, addresses)):
        raise UserError(f"machine.engine: the node {socket.gethostname()} has no folder {folder}; mount it there under "
                        "that path, or name the images by URL (`images: s3://...` in dataset.sources)")
    return _opened(folder)


@cache
def _opened(folder: Path) -> RawFiles:
    """Until the worker ends: what it has unpacked of an array file serves its next batches too."""
    return RawFiles(folder)
