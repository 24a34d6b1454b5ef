"""What `dvc repro` costs when nothing changed, against the same of an empty pipeline of six stages, in turns.

    python -m benchmarks.noop

Printed on a virtual machine with 2 cores of an AMD EPYC, otherwise idle, dvc 3.67.1:

    n = 7 pairs, demo image set, 2 cores; median (range)
    fovea, s  1.32 (1.21 to 1.48)
    empty, s  0.94 (0.89 to 1.01)
    ratio     1.41 (1.20 to 1.60)
"""

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from tests.project import SMALL, STAGES, Project

ROUNDS = 7


def empty_pipeline(folder: Path) -> Project:
    """Six stages in a row, each copying one small file."""
    folder.mkdir()
    (folder / "0.txt").write_text("0")
    pairs = [(f"{i}.txt", f"{i + 1}.txt") for i in range(len(STAGES))]
    stages = {f"s{i}": {"cmd": f"cp {a} {b}", "deps": [a], "outs": [b]} for i, (a, b) in enumerate(pairs)}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))  # JSON is YAML
    project = Project(folder)
    project.run("git init -q")
    project.run("dvc init -q")
    project.run("dvc config core.analytics false")
    return project


def seconds(project: Project) -> float:
    start = time.monotonic()
    assert "up to date" in project.run("dvc repro").stdout
    return time.monotonic() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours = Project.create(Path(folder) / "ours")
        ours.set_params({key: value for key, value in SMALL.items() if not key.startswith(("dataset", "augment.crop"))})
        empty = empty_pipeline(Path(folder) / "empty")
        for project in (ours, empty):
            project.run("dvc repro")
        pairs = [(seconds(ours), seconds(empty)) for _ in range(ROUNDS)]
    ratios = [a / b for a, b in pairs]
    print(f"n = {ROUNDS} pairs, demo image set, {os.cpu_count()} cores; median (range)")
    for name, values in (("fovea, s", [a for a, _ in pairs]), ("empty, s", [b for _, b in pairs]), ("ratio", ratios)):
        print(f"{name:<9} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
