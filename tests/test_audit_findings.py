"""What reports/audit.json says, from the planted faults of a small set to the stage that writes it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.ingest_sets import encoded
from tests.project import SMALL, Project

PARTS = {"train": 30, "val": 4, "test": 6}
IMAGES = 2 * sum(PARTS.values()) + 2


def write_set(root: Path) -> None:
    """Two classes, the images of `y` larger; one file in two parts, and one with two labels."""
    seed = 0
    for part, count in PARTS.items():
        for label, size in (("x", (80, 70)), ("y", (90, 70))):
            folder = root / part / label
            folder.mkdir(parents=True)
            for _ in range(count):
                seed += 1
                (folder / f"{part}-{seed:03}.jpg").write_bytes(encoded(seed, size))
    (root / "test" / "x" / "leak.jpg").write_bytes((root / "train" / "x" / "train-001.jpg").read_bytes())
    (root / "train" / "y" / "conflict.jpg").write_bytes((root / "train" / "x" / "train-002.jpg").read_bytes())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.create(tmp_path_factory.mktemp("audit") / "project")
    write_set(project.folder / "data/raw/small")
    source = {"layout": "folders", "images": "", "split_folders": True, "split": None}
    project.set_params({**SMALL, "dataset.sources": [source]})
    project.run("python stages/ingest.py")
    return project


def audit(project: Project, **settings: Any) -> dict[str, Any]:
    defaults = {"folds": 0, "fold": 0, "duplicates": "keep", "leaks": "drop", "shortcuts": "warn"} | settings
    project.set_params({f"split.{key}": value for key, value in defaults.items()})
    project.run("python stages/split.py")
    found: dict[str, Any] = json.loads(project.text("reports/audit.json"))
    return found


def test_leaks_and_conflicts_are_counted_named_and_dropped(project: Project) -> None:
    found = audit(project)
    duplicates = found["duplicates"]
    assert (duplicates["identical_files"], duplicates["conflicts"], duplicates["leaks"]) == (2, 1, 1)
    assert duplicates["dropped"] == {"duplicates": 0, "conflicts": 0, "leaks": 1}
    leak, conflict = duplicates["groups"]
    assert leak["images"] == ["test/x/leak.jpg", "train/x/train-001.jpg"] and leak["parts"] == ["test", None]
    assert conflict["labels"] == ["x", "y"] and conflict["conflict"] and not conflict["leak"]
    assert found["warnings"][0] == (
        "1 picture stands in several parts that the set gives; all copies but those in one part are dropped")
    assert any("with different labels" in sentence for sentence in found["warnings"])


def test_dropped_images_do_not_reach_the_cache(project: Project) -> None:
    audit(project, duplicates="drop-conflicts")
    images = json.loads(project.text("reports/split.json"))
    assert images["dropped"] == 3 and sum(images["images"].values()) == IMAGES - 3
    project.run("python stages/augment.py")
    assert json.loads(project.text("reports/augment.json"))["images"] == IMAGES - 3


def test_the_same_settings_give_the_same_bytes(project: Project) -> None:
    audit(project)
    files = [project.folder / name for name in ("reports/audit.json", "data/split.parquet")]
    first = [file.read_bytes() for file in files]
    audit(project)
    assert [file.read_bytes() for file in files] == first


def test_a_shortcut_is_a_sentence_and_fails_where_asked(project: Project) -> None:
    found = audit(project, shortcuts="warn")
    size = next(one for one in found["shortcuts"] if one["feature"] == "image size")
    assert size["flagged"] and size["auroc"] > 0.95
    assert "image size alone separates x from y: AUROC " in size["sentence"] and size["sentence"] in found["warnings"]
    project.set_params({"split.shortcuts": "fail"})
    done = project.run("python stages/split.py", check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "error: split.shortcuts: " in done.stderr
    assert "warning: image size alone" in done.stdout


@pytest.mark.parametrize("word", ["off", False])
def test_shortcuts_are_not_looked_for_when_off(project: Project, word: Any) -> None:
    found = audit(project, shortcuts=word)
    assert found["shortcuts"] == [] and not any("alone" in sentence for sentence in found["warnings"])


def test_leaks_fail_with_one_line_where_asked(project: Project) -> None:
    project.set_params({"split.leaks": "fail", "split.shortcuts": "warn"})
    done = project.run("python stages/split.py", check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "error: split.leaks: 1 picture stands in several parts that the set gives, such as test/x/" in done.stderr
    assert json.loads(project.text("reports/audit.json"))["duplicates"]["leaks"] == 1


def test_kept_leaks_are_said_to_spoil_the_score(project: Project) -> None:
    found = audit(project, leaks="keep")
    assert "1 still do, so the score may be too good" in found["warnings"][0]
