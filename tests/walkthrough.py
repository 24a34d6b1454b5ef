"""Lines of a page of the documentation, run as they stand there."""

import re
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from tests.import_closure import ROOT
from tests.project import Project

RESULTS = ("models/model.pt", "models/model.json", "mlflow_run.json", "reports/metrics.json", "reports/predictions.csv",
           "reports/report.html", "data/manifest.parquet", "data/cache/index.parquet")  # fmt: skip


class Line(NamedTuple):
    """A line that was run, what it printed, and the digests of the images and results that it left."""

    text: str
    said: str
    images: dict[str, str]
    results: dict[str, str]


def blocks_of(path: str, heading: str) -> list[list[str]]:
    """Lines of each indented block of a section of a Markdown file."""
    section = (ROOT / path).read_text(encoding="utf-8").partition(f"{heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .+\n)+", section, re.MULTILINE)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


def run(line: str, project: Project, team: Path) -> Line:
    """Run one line in bash; where it goes to another folder, so does the project. /mnt/team is a folder of the test."""
    place = team.with_name("place")
    script = f"{line.replace('/mnt/team', str(team))}\ndone=$?\npwd > {place}\nexit $done"
    done = subprocess.run(["bash", "-c", script], cwd=project.folder, env=project.environment, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout}"
    project.folder = Path(place.read_text().strip())
    images = {str(path.relative_to(project.folder)) for path in project.folder.glob("data/raw/photos/*/*")}
    results = [path for path in RESULTS if (project.folder / path).exists()]
    return Line(line, done.stdout, digests(project.folder, images), digests(project.folder, results))


def digests(folder: Path, paths: Any) -> dict[str, str]:
    return {path: sha256((folder / path).read_bytes()).hexdigest() for path in paths}


def person(folder: Path, home: Path) -> Project:
    """Somebody at work in `folder`, to whom `uv run X` is the X of the tests."""
    uv = home / "bin/uv"
    uv.parent.mkdir(parents=True)
    uv.write_text('#!/bin/sh\nshift\nexec "$@"\n')
    uv.chmod(0o755)
    project = Project(folder)
    project.environment |= {"HOME": str(home), "PATH": f"{uv.parent}:{project.environment['PATH']}"}
    return project
