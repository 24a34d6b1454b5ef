"""Whatever a user gets wrong: one line with the key or file and the remedy, exit code 1, nothing half-written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fovea.tables import read_table
from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, Project

FOLDERS = SMALL["dataset.sources"][0]
TABLE = {
    "layout": "table", "file": "labels.csv", "images": "", "header": True, "name_column": "image",
    "label_column": "level", "group_column": None, "split_column": None, "extension": "", "split": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small set, taken through ingest, split and augment."""
    project = Project.create(tmp_path_factory.mktemp("bad"))
    write_fundus_lesions(project.folder / "data/raw/small", per_class=6)
    project.set_params(SMALL)
    for stage in ("ingest", "split", "augment"):
        project.run(f"python stages/{stage}.py")
    return project


def files(folder: Path) -> dict[str, tuple[int, int]]:
    found = [path for name in ("data", "models", "reports") for path in (folder / name).rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def refused(project: Project, stage: str, changes: dict[str, Any]) -> str:
    """The one line with which `stage` refuses params.yaml after `changes`, which are undone."""
    before, there = project.text("params.yaml"), files(project.folder)
    project.set_params(changes)
    try:
        done = project.run(f"python stages/{stage}.py", check=False)
    finally:
        (project.folder / "params.yaml").write_text(before)
    assert done.returncode == 1
    now = files(project.folder)
    for files_of in (there, now):
        files_of.pop(str(project.folder / "reports/rejected.csv"), None)  # written first: it helps to correct the set
    assert now == there
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


WRONG: list[tuple[str, str, dict[str, Any], tuple[str, ...]]] = [
    ("unknown key", "split", {"split.tset": 0.2}, ("params.yaml: split.tset: unknown key", "did you mean test?")),
    ("unknown section", "split", {"spilt": {}}, ("params.yaml: spilt: unknown section", "did you mean split?")),
    ("text for a number", "split", {"split.val": "some"}, ("params.yaml: split.val", "valid number", "'some'")),
    ("out of range", "split", {"split.test": 1.5}, ("params.yaml: split.test", "less than 1", "1.5")),
    ("true for a number", "split", {"train.early_stopping": True}, ("train: early_stopping: should be a number",)),
    ("a later stage's key", "ingest", {"report.worts": 1}, ("report.worts: unknown key", "did you mean worst?")),
    ("unknown choice", "augment", {"augment.crop": "circle"}, ("augment.crop", "'fundus', 'centre' or 'none'")),
    ("unknown layout", "ingest", {"dataset.sources": [{"layout": "folder"}]}, ("dataset.sources.0", "'folders'")),
    ("no regular expression", "ingest", {"dataset.group": "("}, ("dataset.group", "no regular expression")),
    ("missing folder", "ingest", {"dataset.name": "nowhere"}, ("data/raw/nowhere", "dataset.name")),
    ("missing label file", "ingest", {"dataset.sources": [TABLE]}, ("labels.csv", "dataset.sources.0.file")),
    ("unknown positive class", "ingest", {"dataset.positive": "sick"}, ("dataset.positive", "sick")),
    ("too large a crop", "train", {"train.crop": 64}, ("train.crop", "augment.image_size")),
    ("option of another loss", "train", {"train.loss.gamma": 2.0}, ("train.loss", "gamma", "cross_entropy")),
    ("nothing to train", "train", {"train.full.epochs": 0}, ("train", "frozen.epochs and full.epochs are both 0")),
    ("ignored option", "train", {"train.head.dropout": 0.5}, ("head.dropout", "head.hidden")),
    ("sensitivity in percent", "ingest", {"evaluate.operating_points.sensitivity": [90]},
     ("evaluate.operating_points.sensitivity.0", "less than 1", "90")),
    ("unknown network", "train", {"train.model": "resnet19"}, ("train.model", "resnet19")),
    ("wrong key of a schedule", "train", {"train.full.schedule": {"name": "constant", "rise": 1}},
     ("train.full.schedule.rise: unknown key",)),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "changes", "parts"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_parameter_is_named(
    ready: Project, stage: str, changes: dict[str, Any], parts: tuple[str, ...]
) -> None:
    line = refused(ready, stage, changes)
    for part in parts:
        assert part in line


def test_dvc_repro_shows_the_line_and_no_traceback(ready: Project) -> None:
    before = ready.text("params.yaml")
    ready.set_params({"split.vall": 0.1})
    done = ready.run("dvc repro", check=False)
    (ready.folder / "params.yaml").write_text(before)
    assert done.returncode != 0
    assert "error: params.yaml: split.vall: unknown key (did you mean val?)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_no_yaml_is_named_with_its_line(ready: Project) -> None:
    before = ready.text("params.yaml")
    (ready.folder / "params.yaml").write_text("split:\n  seed: [0\n")
    done = ready.run("python stages/split.py", check=False)
    (ready.folder / "params.yaml").write_text(before)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: params.yaml, line 3: not valid YAML")


def empty(folder: Path) -> None:
    folder.mkdir(parents=True)


def one_class(folder: Path) -> None:
    write_fundus_lesions(folder, per_class=4)
    for name in ("exudates", "haemorrhages"):
        for path in (folder / name).iterdir():
            path.unlink()


def labels_for_other_files(folder: Path) -> None:
    write_fundus_lesions(folder, per_class=4)
    (folder / "labels.csv").write_text("image,level\nother_1.jpg,0\nother_2.jpg,1\n")


def rows_without_a_file(folder: Path) -> None:
    write_fundus_lesions(folder, per_class=4)
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")]
    rows = [f"{name},{i % 2}" for i, name in enumerate(names)] + [f"missing_{i}.jpg,0" for i in range(5)]
    (folder / "labels.csv").write_text("\n".join(["image,level", *rows]) + "\n")


SETS: list[tuple[Callable[[Path], None], dict[str, Any], tuple[str, ...]]] = [
    (empty, FOLDERS, ("data/raw/other", "no images")),
    (one_class, FOLDERS, ("normal", "two classes")),
    (labels_for_other_files, TABLE, ("labels.csv",)),
    (rows_without_a_file, TABLE, ("5 of 17", "ingest.max_rejected", "missing_0.jpg")),
]


@pytest.mark.parametrize(("write", "source", "parts"), SETS, ids=[write.__name__ for write, _, _ in SETS])
def test_a_set_that_cannot_be_used_is_explained(
    ready: Project, tmp_path: Path, write: Callable[[Path], None], source: dict[str, Any], parts: tuple[str, ...]
) -> None:
    write(tmp_path / "set")
    link = ready.folder / "data/raw/other"
    link.symlink_to(tmp_path / "set")
    try:
        line = refused(ready, "ingest", {"dataset.name": "other", "dataset.sources": [source]})
    finally:
        link.unlink()
    for part in parts:
        assert part in line


def test_odd_names_stand_in_the_table_of_rejected_files_as_the_report_reads_it(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    write_fundus_lesions(project.folder / "data/raw/small", per_class=6)
    names = ["=1.jpg", "a\rb.jpg", 'a\n"b".jpg']
    for name in names:
        (project.folder / "data/raw/small" / name).write_bytes(b"x")
    project.set_params({**SMALL, "ingest.max_rejected": 0.0})
    assert project.run("python stages/ingest.py", check=False).returncode == 1
    rejected = read_table(project.folder / "reports/rejected.csv")  # written before the stage gives up
    assert rejected["image"].tolist() == sorted(names)
    assert set(rejected["reason"]) == {"no label: lies in no class folder"} and set(rejected["label"]) == {""}


def test_a_class_with_fewer_images_than_parts_is_named(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    write_fundus_lesions(project.folder / "data/raw/small", per_class=6)
    for path in sorted((project.folder / "data/raw/small/normal").iterdir())[2:]:
        path.unlink()
    project.set_params(SMALL)
    project.run("python stages/ingest.py")
    line = refused(project, "split", {})
    assert "normal" in line and "split.val" in line


def test_a_stage_without_its_input_says_which_command_makes_it(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    for stage in ("split", "augment", "train", "evaluate", "report"):
        line = refused(project, stage, {})
        assert "dvc repro" in line
