"""The walk-through of the README and of docs/versions.md: their lines, run as they stand there, and what they promise.

All lines run once, one after the other, with two trainings; the tests look at what each left.
"""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fovea.revisions import find_commit, read_file
from fovea.versions import Version, version_of
from tests.miniatures import write_eyes
from tests.project import SMALL, STAGES, Project
from tests.walkthrough import RESULTS, Line, blocks_of, person, run

README = ("README.md", "## Versions of an image set", ("first", "second", "compared", "back", "shared", "colleague"))
REGISTRY = ("docs/versions.md", "## One set for several projects", ("registry", "new", "imported", "updated"))


class Walk(NamedTuple):
    project: Project
    colleague: Project
    other: Project
    blocks: dict[str, list[Line]]

    def after(self, block: str, beginning: str) -> Line:
        """The last line of `block` that begins so."""
        return [line for line in self.blocks[block] if line.text.startswith(beginning)][-1]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("walk")
    settings = {key: value for key, value in SMALL.items() if key.startswith(("augment.", "train.", "evaluate."))}
    for name in ("fovea", "other"):
        clone = Project.create(folder / name)
        clone.set_params(settings)
        clone.commit("Settings that take seconds")
    project, other, colleague = (person(folder / path, folder / f"home of {path}") for path in ("fovea", "other", "."))
    home = Path(project.environment["HOME"])
    write_eyes(home / "photos", range(12))
    write_eyes(home / "more", range(12, 14))
    (home / "photos/normal/306_right.jpg").rename(home / "more/normal/306_right.jpg")  # a patient whose images grow
    (folder / "team").mkdir()
    blocks: dict[str, list[Line]] = {}
    for path, heading, names in (README, REGISTRY):
        found = blocks_of(path, heading)
        assert len(found) == len(names), f"{path}, {heading}: {len(found)} blocks"
        for name, lines in zip(names, found, strict=True):
            who = {"colleague": colleague, "new": other}.get(name, project)
            blocks[name] = [run(line, who, folder / "team") for line in lines]
    return Walk(project, colleague, other, blocks)


def stages(line: Line) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", line.said)


def version(walk: Walk, name: str) -> Version:
    commit = find_commit(walk.project.folder, name)
    return version_of(name, lambda path: read_file(walk.project.folder, commit, path))


def metrics(walk: Walk, name: str) -> Any:
    return json.loads(walk.project.run(f"git show {name}:reports/metrics.json").stdout)["test"]


def test_the_first_version_runs_every_stage_and_git_gets_what_the_readme_lists(walk: Walk) -> None:
    assert stages(walk.after("first", "uv run dvc repro")) == list(STAGES)
    tracked = set(walk.project.run("git diff --name-only v1~1 v1").stdout.split())
    reports = {name for name in tracked if re.fullmatch(r"reports/\w+\.json", name)}
    assert reports >= {"reports/metrics.json", "reports/audit.json"}
    assert tracked - reports == {".dvc/config", "data/raw/.gitignore", "params.yaml", "data/raw/photos.dvc", "dvc.lock",
                                 "mlflow_run.json"}


def rows_of(found: Version) -> set[tuple[str, int]]:
    """Digest and variant of what is rendered: each image, and one variant of those of the training part."""
    images = found.images
    return {(digest, 0) for digest in images["digest"]} | {
        (digest, 1) for digest in images["digest"][images["split"] == "train"]}


def test_of_the_second_version_only_what_is_new_is_rendered(walk: Walk) -> None:
    line = walk.after("second", "uv run dvc repro")
    assert stages(line) == list(STAGES)
    old, new = (rows_of(version(walk, name)) for name in ("v1", "v2"))
    assert f"{len(new)} rows of 32 px from 83 images, {len(new - old)} rendered" in line.said
    assert 0 < len(new - old) < len(new) / 3


def test_images_that_stay_keep_their_part_but_for_a_few(walk: Walk) -> None:
    old, new = (version(walk, name).images.set_index("digest")["split"] for name in ("v1", "v2"))
    both = old.index.intersection(new.index)
    assert len(both) == 70 and (old[both] == new[both]).mean() > 0.9


def test_the_difference_of_the_images_is_told_by_class(walk: Walk) -> None:
    said = walk.after("compared", "uv run fovea diff").said
    assert said.startswith("v1: 71 images; v2: 83 images\n")
    for change in (r"added +13 +exudates: 4, haemorrhages: 4, normal: 5", r"removed +1 +normal: 1",
                   r"relabelled +2 +normal -> exudates: 2", r"same name, other content +0"):
        assert re.search(rf"^{change}$", said, re.MULTILINE), change


def shared(walk: Walk) -> tuple[int, int]:
    """Test images that both versions have with the same label, by content; and all others of the two test parts."""
    parts = []
    for name in ("v1", "v2"):
        images = version(walk, name).images
        parts.append(set(images[images["split"] == "test"][["digest", "label"]].itertuples(index=False, name=None)))
    digests_of = [{digest for digest, _ in part} for part in parts]
    relabelled = (digests_of[0] & digests_of[1]) - {digest for digest, _ in parts[0] & parts[1]}
    assert len(relabelled) == 2  # both eyes of the patient whom the README relabels
    both = len(parts[0] & parts[1])
    return both, len(digests_of[0] | digests_of[1]) - both


def test_figures_are_of_the_shared_test_images_and_every_report_says_how_many(walk: Walk) -> None:
    both, others = shared(walk)
    of_first = metrics(walk, "v1")["n"]
    assert both + 2 == of_first  # all but the relabelled ones
    told = f"on the {both} test images that both have ({others} others are left out)"
    assert told in " ".join(walk.after("compared", "uv run fovea compare").said.split())
    assert told in walk.project.text("reports/summary.md").replace("\\", "")
    page = " ".join(walk.project.text("reports/report.html").split())
    assert told in page and f"{both} images are in both test parts with the same label." in page


def test_a_version_comes_back_byte_for_byte_and_nothing_runs(walk: Walk) -> None:
    for done, back in ((walk.blocks["first"][-1], walk.after("back", "git checkout v1")),
                       (walk.blocks["second"][-1], walk.after("back", "git checkout main"))):
        assert back.images == done.images and back.results == done.results and len(done.results) == len(RESULTS)
    line = walk.after("back", "uv run dvc repro")
    assert stages(line) == [] and "Data and pipelines are up to date." in line.said


def runs(project: Project) -> dict[str, dict[str, float]]:
    """Test metrics of each training by the git commit of its run."""
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        ids = dict(store.execute("select run_uuid, value from tags where key = 'git.commit' and run_uuid not in "
                                 "(select run_uuid from tags where key = 'mlflow.parentRunId')"))
        return {commit: dict(store.execute("select key, value from latest_metrics where run_uuid = ?", (one,)))
                for one, commit in ids.items()}


def test_a_colleague_reproduces_nothing_and_sees_both_runs(walk: Walk) -> None:
    line = walk.after("colleague", "uv run dvc repro")
    assert stages(line) == [] and "Data and pipelines are up to date." in line.said
    assert (line.images, line.results) == (walk.blocks["second"][-1].images, walk.blocks["second"][-1].results)
    synced = walk.after("colleague", "uv run fovea sync").said
    assert "2 results, 2 with a run in MLflow: 2 made, 0 completed" in synced and "warning" not in synced
    found = runs(walk.colleague)
    for name in ("v1", "v2"):
        logged = found[find_commit(walk.project.folder, name)]
        assert logged["test/balanced_accuracy"] == metrics(walk, name)["balanced_accuracy"]
        assert "epoch/val_loss" in logged


def test_a_new_project_takes_a_version_from_the_registry(walk: Walk) -> None:
    line = walk.after("new", "uv run fovea inspect")
    assert line.images == walk.blocks["first"][-1].images and "data/raw/photos is the set already" in line.said
    assert walk.other.params()["dataset"]["classes"] == ["exudates", "haemorrhages", "normal"]


def test_an_import_of_the_same_images_runs_nothing(walk: Walk) -> None:
    line = walk.after("imported", "uv run dvc repro")
    assert stages(line) == [] and "Data and pipelines are up to date." in line.said
    assert (line.images, line.results) == (walk.blocks["first"][-1].images, walk.blocks["first"][-1].results)


def test_an_update_brings_the_other_version_and_what_it_gave_before_is_restored(walk: Walk) -> None:
    updated, done = walk.after("updated", "uv run dvc update"), walk.after("updated", "uv run dvc repro")
    second = walk.blocks["second"][-1]
    status = walk.after("updated", "uv run dvc status").said
    assert re.findall(r"^\S.*", status, re.MULTILINE) == ["ingest:"] and "modified: " in status
    assert updated.images == second.images and updated.results == walk.blocks["first"][-1].results
    assert stages(done) == [] and "Stage 'ingest' is cached" in done.said
    assert done.results == second.results
