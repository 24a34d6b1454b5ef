"""Builds of the cache in processes of their own, to which something happens at a fixed point."""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pandas as pd

from fovea.cache import plan
from fovea.cache.build import build_cache
from fovea.errors import report_user_errors
from fovea.files import replacing
from tests.cache_sets import ROW, Place, augment_params

PROCESSES = get_context("forkserver")  # imports once, and has no threads when it forks
PROCESSES.set_forkserver_preload(["torch", "fovea.cache.resize", "tests.faults"])


class Point(NamedTuple):
    """The event `number` of `sys.setprofile` with these names; from 1."""

    event: str     # "call" of a function in Python, or "c_call" of one in C: before it does anything
    function: str
    number: int


def start(
    place: Place, manifest: pd.DataFrame, split: pd.DataFrame, name: str = "cache", *,
    point: Point | None = None, action: Callable[[], None] = lambda: None, largest_file: int | None = None,
    shard: int = 4 * ROW,
) -> BaseProcess:
    """Begin to build `<name>` in the folder of `place`, as the stage does; what is printed goes to `<name>.log`.

    At `point` the process does `action`. It may write files of up to `largest_file` bytes, and fills shards of up to
    `shard` bytes.
    """
    happens = (point, action) if point else None
    process = PROCESSES.Process(target=_stage, args=(place, manifest, split, name, happens, largest_file, shard))
    process.start()
    return process


def run(place: Place, manifest: pd.DataFrame, split: pd.DataFrame, **options: Any) -> tuple[int | None, str]:
    """Exit code (minus the signal that killed it) and output of such a build."""
    process = start(place, manifest, split, **options)
    process.join()
    return process.exitcode, log(place)


def log(place: Place, name: str = "cache") -> str:
    return (place.folder / f"{name}.log").read_text()


def kill() -> None:
    """SIGKILL, which no process can catch."""
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    """SIGTERM from a worker thread, which goes on when the main thread has been told."""
    os.kill(os.getpid(), signal.SIGTERM)
    wait_for(lambda: signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def wait_for_text(text: str, file: Path) -> None:
    wait_for(lambda: file.exists() and text in file.read_text())


def _stage(
    place: Place, manifest: pd.DataFrame, split: pd.DataFrame, name: str,
    happens: tuple[Point, Callable[[], None]] | None, largest_file: int | None, shard: int,
) -> None:
    output = os.open(place.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    plan.SMALLEST = shard
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    report_user_errors()
    if happens:
        watch = partial(_watch, happens=happens, seen=[])
        threading.setprofile(watch)
        sys.setprofile(watch)
    try:
        with replacing(place.folder / name) as folder:
            built = build_cache(folder, place.raw, manifest, split, augment_params(), 1, place.store)
    except Exception as error:  # multiprocessing would print a traceback of its own
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)
    print(f"{built.rendered} rendered", flush=True)


def _watch(
    frame: FrameType, event: str, argument: Any, happens: tuple[Point, Callable[[], None]], seen: list[None]
) -> None:
    point, action = happens
    function = f"{argument.__module__}.{argument.__name__}" if event.startswith("c_") else frame.f_code.co_qualname
    if (event, function) == point[:2]:
        seen.append(None)
        if len(seen) == point.number:
            action()
