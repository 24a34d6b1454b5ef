"""Peak memory of the stages before training, and their time, on 100,000 images of 64 px.

    python -m benchmarks.many

Printed on a machine so crowded that the times say nothing, and before the search for copies of `split` held one
magnification at a time instead of three; to be run again:

    100000 JPEGs of 64 px to 64 px, 1 variant, 2 cores, n = 1
    ingest     129.7 s   0.65 GiB   ingest: 100000 images of 5 classes, 0 rejected
    split      198.4 s   1.65 GiB   split: 68000 train, 20000 test, 12000 val
    augment    757.7 s   0.95 GiB   augment: 168000 rows of 64 px from 100000 images, 168000 rendered
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.ingest import photographs
from benchmarks.versions import write_images
from tests.project import SMALL, Project

IMAGES, SIDE, DRAWN, VARIANTS = 100_000, 64, 500, 1


def run(project: Project, stage: str) -> None:
    """Print seconds and the peak resident memory of one stage, in a process of its own."""
    start = time.monotonic()
    command = [sys.executable, f"stages/{stage}.py"]
    with subprocess.Popen(command, cwd=project.folder, env=project.environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        said = process.stdout.read().decode().splitlines()[0]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    print(f"{stage:<8} {time.monotonic() - start:7.1f} s {usage.ru_maxrss / 2**20:6.2f} GiB   {said}", flush=True)


def main() -> None:
    print(f"{IMAGES} JPEGs of {SIDE} px to {SIDE} px, {VARIANTS} variant, {os.cpu_count()} cores, n = 1")
    with tempfile.TemporaryDirectory() as folder:
        project = Project.create(Path(folder) / "project")
        write_images(project.folder / "data/raw/small", photographs(SIDE * 5 // 4, DRAWN), range(IMAGES), SIDE)
        project.set_params({**SMALL, "augment.image_size": SIDE, "augment.variants": VARIANTS,
                            "augment.crop": "fundus"})
        for stage in ("ingest", "split", "augment"):
            run(project, stage)


if __name__ == "__main__":
    main()
