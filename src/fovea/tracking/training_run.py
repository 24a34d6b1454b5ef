"""One training being recorded: its points in batches, its files, its end. Without MLflow, whose client is passed in."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fovea.errors import Terminated
from fovea.tracking import store
from fovea.tracking.provenance import scrub
from fovea.tracking.system import Sampler
from fovea.tracking.trouble import trouble

Artifacts = Mapping[str, Sequence[Path | str]]  # folder within the run, "" for its root: files, or folders
Point = tuple[str, float, int, int]             # curve, value, Unix time in ms, step

SECONDS_BETWEEN_WRITES = 10.0
POINTS_IN_A_WRITE = 1000  # MLflow takes 70 to 100 ms for as many, and no more at once


class TrainingRun:
    """One training in MLflow. `with start_training(...) as run:` ends it FINISHED, KILLED after Ctrl-C or SIGTERM, or
    FAILED after another exception.

    `id` is None where the store can't be used; every method then does nothing.
    """

    def __init__(
        self,
        client: Any = None,
        run_id: str | None = None,
        write: Callable[[Any, str, Sequence[Point]], None] | None = None,
        written: Mapping[str, int] | None = None,
        began: int = 0,
    ) -> None:
        """`began` is when the run was created, Unix time in ms."""
        self.id = run_id
        self._client = client
        self._write = write
        self._written = written or {}  # last step of each curve, in a run that is resumed
        self._points: list[Point] = []
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow")
        self._writing: Future[None] | None = None
        self._next_write = time.monotonic() + SECONDS_BETWEEN_WRITES
        self._sampler: Sampler | None = None
        self._began = began

    def log(self, values: Mapping[str, float | None], step: int) -> None:
        """Add a point to each curve named in `values`, None excepted. Costs microseconds: a thread writes batches.

        The name says what `step` is, since the UI makes a section of what stands before the slash: the epoch for
        `epoch/*`, images seen in training so far for `samples/*`, seconds since the run was created for `system/*`.
        Any thread may call this.
        """
        if self.id is None:
            return
        now = int(time.time() * 1000)
        for name, value in values.items():
            if value is not None and step > self._written.get(name, -1):
                self._points.append((name, float(value), now, step))
        due = len(self._points) >= POINTS_IN_A_WRITE or time.monotonic() > self._next_write
        if due and (self._writing is None or self._writing.done()):
            self._next_write = time.monotonic() + SECONDS_BETWEEN_WRITES
            self._writing = self._writer.submit(self._write_points)

    def _write_points(self) -> None:
        """Points that fail stay for the next attempt; MLflow keeps a point that comes twice, at the same time, once."""
        while batch := self._points[:POINTS_IN_A_WRITE]:
            with going_on("the curves"):
                self._write(self._client, self.id, batch)  # type: ignore[misc, arg-type]
                del self._points[: len(batch)]  # only this thread takes away, others append
                continue
            return
        recorded_after_all("the curves")

    def log_artifacts(self, artifacts: Artifacts) -> None:
        """Store files with the run, such as {"model": ["models/model.pt"]}. Returns when they are there."""
        if self.id is not None:
            with going_on("the files of the run"):
                store_files(self._client, self.id, artifacts)

    def finish(self) -> None:
        """Write the points that are left and mark the run FINISHED."""
        self._end("FINISHED")

    def fail(self, reason: str) -> None:
        """Mark the run FAILED. `reason` is an exception's type, not its message, which may hold what is private."""
        self._end("FAILED", reason)

    def stop(self) -> None:
        """Mark the run KILLED: its training was stopped and can go on."""
        self._end("KILLED")

    def _end(self, status: str, reason: str | None = None) -> None:
        if self.id is None:
            return
        if self._sampler:
            self._sampler.stop()
        self._writer.submit(self._write_points)
        self._writer.shutdown()
        with going_on("the end of the run"):
            if reason:
                self._client.set_tag(self.id, "fovea.error", reason)
            self._client.set_terminated(self.id, status)

    def __enter__(self) -> Self:
        if self.id is not None:
            self._sampler = Sampler(self._log_sample).start()
        return self

    def _log_sample(self, values: Mapping[str, float]) -> None:
        """After a kill the clock has gone on, so no point comes twice."""
        self.log(values, int(time.time() - self._began / 1000))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        elif issubclass(kind, Terminated | KeyboardInterrupt):
            self.stop()
        else:
            self.fail(kind.__name__)


def store_files(client: Any, run_id: str, artifacts: Artifacts) -> None:
    for folder, paths in artifacts.items():
        for path in paths:
            client.log_artifact(run_id, str(path), folder or None)


_warned: set[str] = set()


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Turn any failure inside into one line on stderr, once in a process for each `what`."""
    try:
        yield
    except Exception as error:  # whatever MLflow, SQLAlchemy, requests or the disk raise
        if what not in _warned:
            _warned.add(what)
            uri = store.store_uri()
            print(
                f"warning: MLflow: {what} could not be recorded in {scrub(uri)}: {trouble(error, uri)}. "
                "The results are complete without it; `uv run fovea sync` delivers it later",
                file=sys.stderr,
            )


def recorded_after_all(what: str) -> None:
    """Take back the warning about `what`, if there was one; another failure is said again."""
    if what in _warned:
        _warned.remove(what)
        print(f"MLflow: {what} could be recorded after all", file=sys.stderr)
