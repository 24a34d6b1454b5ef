"""Kills `python stages/augment.py` at random moments, stops it, fills its disk: what does the next run make of it?

    python -m benchmarks.faults [number of kills, 50]

After each fault the stage is run again on a copy of the store that was left. A trial passes if that run succeeds, its
`data/cache` and `reports/augment.json` are byte for byte those of a cold run, it renders exactly the rows that had not
been kept, and nothing else lies in `data/`. "Kept" are rows in the store whose pixels are what their record says. With
equal chance the next fault meets an empty store, or the one that the last fault left. As root on Linux the full disk is
a tmpfs, under the store and under `data/` in turns; else it is the limit RLIMIT_FSIZE. Ends with exit code 1 if a trial
fails.

Printed last, on a crowded machine (load about 5 on 2 cores):

    n = 150 JPEGs of 1500 px to 128 px, 354 rows, 9 shards, 2 cores; a cold run 8.2 s, one that renders nothing 1.6 s
    SIGKILL: 50 of 50
      17 before the first row, 22 while rendering, 8 between the last row and the cache, 3 after the cache
      share of rows kept 0.53 (0.00 to 1.00)
      share of rows kept, while rendering 0.47 (0.03 to 0.99)
      seconds from the signal to the end 0.09 (0.00 to 0.25)
    SIGTERM: 10 of 10
      3 before the first row, 3 while rendering, 1 between the last row and the cache, 3 after the cache
      share of rows kept 0.91 (0.08 to 1.00)
      share of rows kept, while rendering 0.90 (0.08 to 0.92)
      seconds from the signal to the end 0.23 (0.04 to 1.00)
    full disk (tmpfs, under the store and under data/ in turns): 10 of 10
      share of rows kept 0.91 (0.52 to 1.00)
    686 s in all
"""

import os
import random
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fovea.cache.known import KnownRows
from fovea.cache.shards import RECORD, read_records
from fovea.errors import report_user_errors
from tests.cache_sets import draw_eye
from tests.project import SMALL, Project

SEED = 0
IMAGES, PIXELS, SIZE = 150, 1500, 128
PARAMS = {"augment.image_size": SIZE, "augment.crop": "fundus", "augment.exact": True, "augment.variants": 2}
KILLS, STOPS, DISKS = 50, 10, 10
MOMENTS = ("before the first row", "while rendering", "between the last row and the cache", "after the cache")


class Left(NamedTuple):
    """What a fault left behind."""

    moment: str
    rows: int       # with pixels as recorded
    seconds: float  # from the signal to the end


class Bench:
    """A project with its images, what a cold run makes of them, and how long that takes."""

    def __init__(self, folder: Path) -> None:
        self.project, self.root = Project.create(folder / "project"), folder / "root"
        self.data, self.random = folder / "project/data", random.Random(SEED)
        draw_set(folder / "images")
        (self.data / "raw/small").symlink_to(folder / "images")
        self.project.set_params({**SMALL, **PARAMS})
        for stage in ("ingest", "split"):
            self.project.run(f"python stages/{stage}.py")
        self.project.run("python stages/augment.py")  # compiles the modules
        self.seconds = []
        for _ in range(2):  # of a cold run, and of one that renders nothing
            start = time.monotonic()
            code, output, errors = self.finish(self.root)
            assert code == 0, errors
            self.seconds.append(time.monotonic() - start)
        self.total = int(output.split()[1])
        self.cold = self.contents()
        self.bytes = sum(map(len, self.cold.values()))

    def start(self, root: Path) -> subprocess.Popen[str]:
        """The stage with its store below `root`, after DVC has deleted its output."""
        shutil.rmtree(self.data / "cache", ignore_errors=True)
        environment = {**self.project.environment, "DVC_ROOT": str(root)}
        return subprocess.Popen([sys.executable, "stages/augment.py"], cwd=self.project.folder, env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, root: Path) -> tuple[int, str, str]:
        """Exit code, standard output and error of a whole run."""
        process = self.start(root)
        output, errors = process.communicate()
        return process.returncode, output, errors

    def contents(self) -> dict[str, bytes]:
        files = [*(self.data / "cache").iterdir(), self.project.folder / "reports/augment.json"]
        return {path.name: path.read_bytes() for path in files}

    def kept(self, root: Path) -> int:
        """Rows in the store whose pixels are what their records say."""
        folders = [path for path in (root / ".cache/fovea/rows").glob("*") if path.is_dir()]
        if not folders:
            return 0
        known = KnownRows(folders[0], SIZE, set())
        records = [read_records(folders[0], path.stem)["key"] for path in folders[0].glob("*.rows")]
        keys = np.unique(np.concatenate([np.empty(0, "S16"), *records]))
        return sum(known.read(key) is not None for key in keys)

    def passes(self, root: Path) -> bool:
        """Whether a run with a copy of this store ends as it should."""
        kept = self.kept(root)
        with tempfile.TemporaryDirectory(dir=root.parent) as copy:
            if (root / ".cache").exists():
                shutil.copytree(root / ".cache", Path(copy) / ".cache")
            code, output, errors = self.finish(Path(copy))
        rendered = re.search(r"(\d+) rendered", output)
        left = {path.name for path in self.data.iterdir()} - {".gitignore", "raw", "manifest.parquet", "split.parquet"}
        good = (code == 0 and rendered is not None and int(rendered[1]) + kept == self.total
                and left == {"cache"} and self.contents() == self.cold)
        if not good:
            print(f"FAILED: {kept} of {self.total} rows kept, exit code {code}, {output}{errors}, in data: {left}")
        return good

    def interrupt(self, number: signal.Signals) -> Left:
        """Send a signal at a random moment of a run, or, because imports take most of it, half of the times when a
        random number of its rows is written; one that comes after the end does not count."""
        cold, warm = self.seconds
        while True:
            before = self.kept(self.root)
            left = self.total - before
            process = self.start(self.root)
            if left and self.random.random() < 0.5:
                self.wait(process, self.random.randrange(left))
            else:
                time.sleep(self.random.uniform(0, warm + (cold - warm) * left / self.total))
            process.send_signal(number)
            sent = time.monotonic()
            process.communicate()
            if process.returncode in (-number, 128 + number):
                return Left(self.moment(before), self.kept(self.root), time.monotonic() - sent)
            assert process.returncode == 0

    def wait(self, process: subprocess.Popen[str], rows: int) -> None:
        """Until more than `rows` rows are written, or the process has ended."""
        until = self.written() + rows
        while self.written() <= until and process.poll() is None:
            time.sleep(0.002)

    def written(self) -> int:
        """Records in the store."""
        return sum(path.stat().st_size for path in self.root.rglob("*.rows")) // RECORD.itemsize

    def moment(self, before: int) -> str:
        now = self.kept(self.root)
        if (self.data / "cache").exists():
            return MOMENTS[3]
        if now == self.total:
            return MOMENTS[2]
        return MOMENTS[1] if now > before else MOMENTS[0]


def draw_set(folder: Path) -> None:
    for number in range(IMAGES):
        path = folder / f"class {number % 2}" / f"{number:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), draw_eye(number, PIXELS, PIXELS))


def interrupted(bench: Bench, number: signal.Signals, trials: int) -> bool:
    passed, found = 0, []
    for _ in range(trials):
        if bench.random.random() < 0.5:
            shutil.rmtree(bench.root, ignore_errors=True)
        found.append(bench.interrupt(number))
        passed += bench.passes(bench.root)
    moments = Counter(left.moment for left in found)
    print(f"{number.name}: {passed} of {trials}\n  " + ", ".join(f"{moments[moment]} {moment}" for moment in MOMENTS))
    print("  share of rows kept", spread([left.rows / bench.total for left in found]))
    print(f"  share of rows kept, {MOMENTS[1]}", spread([left.rows / bench.total for left in found
                                                         if left.moment == MOMENTS[1]]))
    print("  seconds from the signal to the end", spread([left.seconds for left in found]), flush=True)
    return passed == trials


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "none"


def full_disks(bench: Bench, trials: int) -> bool:
    passed, shares = 0, []
    for trial in range(trials):
        place = (bench.root, bench.data)[trial % 2 if os.geteuid() == 0 else 0]
        shutil.rmtree(bench.root, ignore_errors=True)
        bench.root.mkdir()
        with small_disk(place, bench):
            code, _, errors = bench.finish(bench.root)
            lines = [line for line in errors.splitlines() if not line.startswith("augment: ")]  # progress
            one_line = re.fullmatch(r"error: .*: cannot be written \(.*", "\n".join(lines)) is not None
            left = [path.name for path in bench.data.iterdir() if "cache" in path.name]
            if code != 1 or not one_line or left:
                print(f"FAILED: exit code {code}, {errors}, in data: {left}")
            shares.append(bench.kept(bench.root) / bench.total)
            lift(place)
            passed += bench.passes(bench.root) and code == 1 and one_line and not left
    how = "tmpfs, under the store and under data/ in turns" if os.geteuid() == 0 else "RLIMIT_FSIZE"
    print(f"full disk ({how}): {passed} of {trials}\n  share of rows kept", spread(shares))
    return passed == trials


@contextmanager
def small_disk(place: Path, bench: Bench) -> Iterator[None]:
    """At `place` no more fits than a random share of the cache, until `lift`."""
    size = int(bench.random.uniform(0.02, 0.95) * bench.bytes)
    if os.geteuid() != 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size % (1 << 20), resource.RLIM_INFINITY))
        yield
        return
    shutil.rmtree(bench.data / "cache", ignore_errors=True)
    there = [path for path in place.iterdir() if path.name != "cache"]
    with tempfile.TemporaryDirectory() as kept:
        subprocess.run(["cp", "-a", *there, kept], check=True) if there else None
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
        subprocess.run(["cp", "-a", f"{kept}/.", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def lift(place: Path) -> None:
    if os.geteuid() != 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        subprocess.run(["mount", "-o", "remount,size=2g", place], check=True)


def main() -> None:
    report_user_errors()  # a benchmark that is stopped leaves no mounted disk
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        cold, warm = bench.seconds
        print(f"n = {IMAGES} JPEGs of {PIXELS} px to {SIZE} px, {bench.total} rows, {len(bench.cold) - 1} shards, "
              f"{os.cpu_count()} cores; a cold run {cold:.1f} s, one that renders nothing {warm:.1f} s", flush=True)
        good = interrupted(bench, signal.SIGKILL, kills)
        good &= interrupted(bench, signal.SIGTERM, STOPS)
        good &= full_disks(bench, DISKS)
    print(f"{time.monotonic() - start:.0f} s in all")
    sys.exit(not good)


if __name__ == "__main__":
    main()
