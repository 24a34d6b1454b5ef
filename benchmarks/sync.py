"""What `fovea sync` costs with 100 results whose runs are known, against the same project with one.

    python -m benchmarks.sync

The results are one training of a small image set, told apart by their tokens, as experiments of DVC; their files are
real ones of 1 to 30 kB. Wanted: less than 1 s more for 100 results. Printed on a virtual machine with 2 cores, beside
other work:

    first call, 69.6 s: 101 results, 101 with a run in MLflow: 100 made, 0 completed
    further calls: 101 results, 101 with a run in MLflow: nothing changed
    n = 5 calls, 2 cores; median (range)
    101 results, s   5.63 (5.32 to 5.85)
    one result, s    4.91 (4.50 to 5.66)
    more, s          0.71
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from hashlib import md5
from pathlib import Path
from uuid import uuid4

from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, Project

RESULTS, ROUNDS = 100, 5
RUN = "mlflow_run.json"


def prepare(folder: Path) -> Project:
    """A project with one result, which is committed."""
    project = Project.create(folder)
    write_fundus_lesions(folder / "data/raw/small")
    project.set_params(SMALL)
    project.run("dvc repro")
    project.commit("One result")
    return project


def add_experiments(project: Project, count: int) -> None:
    """Experiments that hold copies of the project's result, each a training of its own."""
    start = project.run("git rev-parse HEAD").stdout.strip()
    before, lock = project.text(RUN), project.text("dvc.lock")
    commands = []
    for number in range(count):
        record = json.dumps({"run_id": None, "training": uuid4().hex}, indent=2) + "\n"
        old, new = (md5(text.encode(), usedforsecurity=False).hexdigest() for text in (before, record))
        ref = f"refs/exps/{start[:2]}/{start[2:]}/copy-{number}"
        commands += [f"commit {ref}", f"committer Test <test@example.org> {int(time.time())} +0000", "data 4", "copy",
                     f"from {start}", *_inline(RUN, record), *_inline("dvc.lock", lock.replace(old, new))]
    subprocess.run(["git", "fast-import", "--quiet"], cwd=project.folder, input="\n".join([*commands, ""]).encode(),
                   check=True)


def _inline(path: str, text: str) -> list[str]:
    return [f"M 644 inline {path}", f"data {len(text.encode())}", text]


def sync(project: Project) -> tuple[float, str]:
    """Seconds of one call, and its last line."""
    start = time.monotonic()
    out = project.run("fovea sync").stdout
    return time.monotonic() - start, out.splitlines()[-1]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = prepare(Path(folder) / "project")
        sync(project)
        one = [sync(project)[0] for _ in range(ROUNDS)]
        add_experiments(project, RESULTS)
        first, said = sync(project)
        print(f"first call, {first:.1f} s: {said}")
        many = [sync(project) for _ in range(ROUNDS)]
    print(f"further calls: {many[-1][1]}")
    print(f"n = {ROUNDS} calls, {os.cpu_count()} cores; median (range)")
    for name, values in ((f"{RESULTS + 1} results, s", [seconds for seconds, _ in many]), ("one result, s", one)):
        print(f"{name:<16} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    print(f"{'more, s':<16} {statistics.median(seconds for seconds, _ in many) - statistics.median(one):.2f}")


if __name__ == "__main__":
    main()
