"""Damaged files for every reader of foreign bytes: no crash, no hang, nothing written outside the target folder.

    python -m benchmarks.fuzz [number of inputs, 100000] [index of the first, 0]

Input number i is made from i alone, so `python -m benchmarks.fuzz 1 <i>` repeats a finding. Each one must end with
facts, rows, members, a reason, or a UserError of one line. Anything else is a failure, printed with its number: another
exception, a process that died, more than 5 s, memory beyond 1 GiB, a file opened for writing or a folder made outside
the store of archives. Ends with exit code 1 if there is any. Needs Linux.

Printed last:

    n = 100000 inputs from 0, seed 0, 253 s, 2 cores
    image     50137  slowest   319 ms  10779 accepted, 39358 rejected
    archive   19776  slowest    64 ms  13017 UserError, 6759 unpacked
    table     25173  slowest   154 ms  17187 UserError, 7986 read
    array      4914  slowest    23 ms  4497 UserError, 417 read
    0 failures
"""

import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz_seeds import Seed, archive_seeds, array_seeds, image_seeds, mutated, table_seeds
from fovea.decode import decode, read_header
from fovea.errors import UserError
from fovea.ingest.archives import unpack
from fovea.ingest.arrays import read_arrays
from fovea.ingest.check import check_file
from fovea.ingest.tables import read_rows

SEED = 0
SECONDS = 5.0         # after which an input hangs
MEMORY = 1 << 30      # bytes that a worker may have beyond what it has at its start
MAX_PIXELS = 4 * 10**6
SHARES = {"image": 0.5, "archive": 0.2, "table": 0.25, "array": 0.05}  # of the inputs
SHOWN = 20            # failures that are printed
FINE = ("accepted", "rejected", "accepted, then not decoded", "read", "unpacked", "UserError")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MAKING = ("os.mkdir", "os.rename", "os.link", "os.symlink", "shutil.move")  # audit events with a path

outside: list[str] = []  # paths of this process that were written to and should not have been


@dataclass
class Worker:
    process: Any
    pipe: Connection
    index: int = -1
    started: float = 0.0


def kind_of(index: int) -> str:
    return str(np.random.default_rng([SEED, index, 0]).choice(list(SHARES), p=list(SHARES.values())))


def make_input(index: int, seeds: dict[str, list[Seed]]) -> tuple[str, str, bytes]:
    """Kind, suffix and bytes of input `index`."""
    rng, kind = np.random.default_rng([SEED, index, 1]), kind_of(index)
    mine, every = seeds[kind], [seed for several in seeds.values() for seed in several]
    seed = mine[int(rng.integers(len(mine)))]
    among = mine if rng.random() < 0.7 else every
    return kind, seed[0], mutated(seed, among[int(rng.integers(len(among)))], rng)


def read(kind: str, path: Path) -> str:
    """What the reader of `kind` says of a file, in a word. Whatever it raises but UserError passes."""
    try:
        if kind == "image":
            return _read_image(path)
        if kind == "archive":
            unpack(path)
            return "unpacked"
        _ = read_rows(path, "key") if kind == "table" else read_arrays(path.parent, path.name, "key")
        return "read"
    except UserError as error:
        return "UserError" if "\n" not in str(error) else f"UserError of several lines: {error}"


def _read_image(path: Path) -> str:
    found = check_file(path, MAX_PIXELS)
    if isinstance(found, str):
        return "rejected" if found and "\n" not in found else f"reason of several lines or none: {found!r}"
    data = path.read_bytes()
    try:
        decode(data, read_header(data))
    except UserError:
        return "accepted, then not decoded"
    return "accepted"


def work(pipe: Connection, folder: Path) -> None:
    """Answer each index with kind, outcome and seconds, until the pipe closes. Says first that it is there."""
    _prepare(folder)
    seeds = {"image": image_seeds(), "archive": archive_seeds(), "table": table_seeds(), "array": array_seeds()}
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + MEMORY,) * 2)
    sys.addaudithook(lambda event, values: _note_writing(event, values, os.fspath(folder / ".cache")))
    pipe.send("ready")
    while True:
        try:
            index = pipe.recv()
        except EOFError:
            return
        pipe.send(_one(index, seeds, folder))


def _prepare(folder: Path) -> None:
    """The store lies in `folder`, and decoders' words on stderr are not ours."""
    os.environ["DVC_ROOT"] = os.fspath(folder)
    os.chdir(folder)
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _one(index: int, seeds: dict[str, list[Seed]], folder: Path) -> tuple[str, str, float]:
    kind, suffix, data = make_input(index, seeds)
    path = folder / ".cache" / f"{index}{suffix}"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    outside.clear()
    start = time.perf_counter()
    try:
        outcome = read(kind, path)
    except BaseException as error:
        outcome = f"{type(error).__name__}: {str(error)[:150]!r}"
    seconds = time.perf_counter() - start
    if outside:
        outcome = f"written outside: {outside[0]}"
    shutil.rmtree(folder / ".cache")
    return kind, outcome, seconds


def _note_writing(event: str, values: tuple[Any, ...], target: str) -> None:
    if event == "open":
        path, mode, flags = values
        if not (flags & WRITING or (mode and set(mode) & set("wax+"))):
            return
    elif event in MAKING:
        path = values[1] if event in ("os.rename", "os.link", "os.symlink") else values[0]
    else:
        return
    if isinstance(path, int):  # opened before, under its name
        return
    real = os.path.realpath(os.fsdecode(path))
    if not real.startswith(os.path.realpath(target)) and real != os.devnull:
        outside.append(real)


def start_worker(folder: Path) -> Worker:
    """A process of its own, not a fork: a crash takes nothing else along."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    place = Path(tempfile.mkdtemp(dir=folder))
    process = context.Process(target=work, args=(theirs, place), daemon=True)
    process.start()
    theirs.close()
    ours.recv()
    return Worker(process, ours)


def fuzz(indices: Iterator[int], workers: int, folder: Path) -> Iterator[tuple[int, str, str, float]]:
    """Index, kind, outcome and seconds of each input, as they end; a worker that dies or hangs is replaced."""
    team = [start_worker(folder) for _ in range(workers)]
    for worker in team:
        _give(worker, indices)
    while busy := [worker for worker in team if worker.index >= 0]:
        ready = wait([worker.pipe for worker in busy], timeout=0.2)
        for worker in busy:
            if worker.pipe in ready:
                try:
                    answer = worker.pipe.recv()
                except (EOFError, ConnectionError):
                    worker.process.join()
                    answer = (kind_of(worker.index), f"process died: {worker.process.exitcode}", 0.0)
            elif time.monotonic() - worker.started > SECONDS:
                answer = (kind_of(worker.index), f"hung over {SECONDS:g} s", SECONDS)
                worker.process.kill()
                worker.process.join()
            else:
                continue
            yield worker.index, *answer
            if not worker.process.is_alive():
                team[team.index(worker)] = worker = start_worker(folder)
            _give(worker, indices)


def _give(worker: Worker, indices: Iterator[int]) -> None:
    worker.index, worker.started = next(indices, -1), time.monotonic()
    if worker.index >= 0:
        worker.pipe.send(worker.index)


def main() -> None:
    count, first = (int(value) for value in [*sys.argv[1:], *("100000", "0")[len(sys.argv) - 1 :]])
    outcomes: Counter[tuple[str, str]] = Counter()
    failures, slowest, start = 0, dict.fromkeys(SHARES, 0.0), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fovea-fuzz-") as folder:
        for index, kind, outcome, seconds in fuzz(iter(range(first, first + count)), os.cpu_count() or 1, Path(folder)):
            outcomes[kind, outcome.split(":")[0]] += 1
            slowest[kind] = max(slowest[kind], seconds)
            if outcome not in FINE:
                failures += 1
                if failures <= SHOWN:
                    print(f"{index} ({kind}): {outcome}", flush=True)
    print(f"n = {count} inputs from {first}, seed {SEED}, {time.monotonic() - start:.0f} s, {os.cpu_count()} cores")
    for kind in SHARES:
        mine = {outcome: number for (of, outcome), number in sorted(outcomes.items()) if of == kind}
        print(f"{kind:<8}{sum(mine.values()):>7}  slowest {1000 * slowest[kind]:5.0f} ms  "
              + ", ".join(f"{number} {outcome}" for outcome, number in mine.items()))
    print(f"{failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
