"""The four real image sets through the whole DAG: what each reached, how long each stage took, and its peak memory.

    FOVEA_REAL_DATA=<folder of the sets> python -m benchmarks.real_sets

Printed on a virtual machine with 2 cores of an AMD EPYC, tests running beside it at the lowest priority. On skin200 the
size of the file gives the class away.

  ResNet-18 from scratch, n = 1 (seed 0), 2 cores, torch 2.15.0+cu132
  set          px epochs  balanced  AUROC  kappa     n |   ingest    split  augment    train evaluate   report s | MiB
  palm         96     20     0.976  0.992  0.950   400 |      1.8      1.5      5.3    191.1     17.0      7.9   | 1452
  skin200      96     20     1.000  1.000  1.000    40 |      2.1      1.3      5.3     79.6     10.8      6.4   | 1437
  aptos2019    64      8     0.512  0.862  0.649   733 |      2.9      1.3     17.5    309.4     16.9      9.2   | 1479
  retinamnist  28     20     0.350  0.723  0.518   400 |      1.1      1.6      4.2    190.6     13.1      9.1   | 1344
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from tests.project import STAGES, Project
from tests.real_sets import FOLDER, REAL_SETS, link

SETTINGS = {  # px, epochs, batch: minutes on two cores; ResNet-18 from scratch, one-cycle AdamW, flips and rotation
    "palm": (96, 20, 16),
    "skin200": (96, 20, 16),
    "aptos2019": (64, 8, 32),
    "retinamnist": (28, 20, 32),
}


def measured(project: Project, stage: str) -> tuple[float, float]:
    """Wall seconds and peak memory in MiB of one stage."""
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, f"stages/{stage}.py"], cwd=project.folder, env=project.environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{stage} failed")
    return time.monotonic() - start, usage.ru_maxrss / 1024  # KiB on Linux


def main() -> None:
    if FOLDER is None:
        sys.exit("set FOVEA_REAL_DATA to the folder of the real image sets")
    print(f"ResNet-18 from scratch, n = 1 (seed 0), {os.cpu_count()} cores, torch {torch.__version__}")
    columns = "".join(f"{stage:>9}" for stage in STAGES)
    print(f"set          px epochs  balanced  AUROC  kappa     n |{columns} s | MiB")
    for name, (size, epochs, batch) in SETTINGS.items():
        with tempfile.TemporaryDirectory() as folder:
            project = Project.create(Path(folder) / "project")
            link(name, project.folder)
            changes = {"augment.image_size": size, "train.full.epochs": epochs, "train.batch_size": batch}
            project.set_params({**REAL_SETS[name], **changes})
            stages = [measured(project, stage) for stage in STAGES]
            test = json.loads(project.text("reports/metrics.json"))["test"]
        figures = [test[key] for key in ("balanced_accuracy", "auroc_macro", "quadratic_weighted_kappa")]
        seconds = "".join(f"{wall:9.1f}" for wall, _ in stages)
        reached = f"{figures[0]:8.3f} {figures[1]:6.3f} {figures[2]:6.3f} {test['n']:5}"
        peak = max(memory for _, memory in stages)
        print(f"{name:<12}{size:3}{epochs:7}  {reached} |{seconds}   | {peak:.0f}", flush=True)


if __name__ == "__main__":
    main()
