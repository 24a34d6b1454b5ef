"""`fovea inspect --write`: the set at data/raw/<name>, its section in params.yaml, and what ingest then does."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fovea.cli import app
from fovea.params.every import SCHEMAS
from fovea.params.section import read_sections
from tests.import_closure import ROOT
from tests.ingest_sets import encoded
from tests.inspect_sets import CASES, Files, arrays, images, numbered, per_class, table, write, zipped
from tests.miniatures import write_fundus_lesions, write_myopia, write_retinopathy, write_skin
from tests.project import Project

runner = CliRunner()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, and the process in it."""
    folder = tmp_path / "project"
    (folder / "data/raw").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def eyes(tmp_path: Path) -> Path:
    """A folder per class."""
    return write(tmp_path / "My eyes (2024)", per_class("", "normal", "amd"))


def call(*words: str | Path) -> tuple[int, str]:
    done = runner.invoke(app, ["inspect", *map(str, words)])
    return done.exit_code, done.stdout + done.stderr


def test_without_write_nothing_is_changed(project: Path, eyes: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    code, output = call(eyes)
    assert code == 0 and "Next: uv run fovea inspect" in output
    assert (project / "params.yaml").read_bytes() == before
    assert list((project / "data/raw").iterdir()) == []


def test_write_links_the_folder_and_keeps_what_is_not_of_the_set(project: Path, eyes: Path) -> None:
    before = read_sections("params.yaml")
    code, output = call(eyes, "--write")
    assert code == 0 and output.endswith("Next: uv run dvc repro\n")
    assert (project / "data/raw/My-eyes-2024").resolve() == eyes
    after = read_sections("params.yaml")
    assert after["dataset"]["name"] == "My-eyes-2024" and after["dataset"]["classes"] == ["amd", "normal"]
    for name, schema in SCHEMAS.items():
        schema.model_validate(after[name])
    assert {name: after[name] for name in ("ingest", "split", "augment", "evaluate", "machine")} == {
        name: before[name] for name in ("ingest", "split", "augment", "evaluate", "machine")
    }


def test_comments_stay_and_each_new_key_has_one(project: Path, eyes: Path) -> None:
    before = (project / "params.yaml").read_text(encoding="utf-8").splitlines()
    call(eyes, "--write")
    after = (project / "params.yaml").read_text(encoding="utf-8").splitlines()
    behind = [line for line in before if line not in after]
    assert all(line.lstrip(" -").split(":")[0] in {
        "name", "layout", "file", "images", "header", "name_column", "label_column", "group_column", "split_column",
        "extension", "split", "classes", "positive", "group", "splits", "recipe", "title",
    } for line in behind)  # fmt: skip
    section = after[after.index(next(line for line in after if line.startswith("dataset:"))) + 1 :]
    section = section[: section.index("")]
    assert all("# " in line for line in section)
    assert all(line.index("# ") == 38 or re.search(r"[^ ]  # ", line) for line in section), "comments stand in a column"


def test_the_demo_is_no_longer_claimed(project: Path, eyes: Path) -> None:
    assert read_sections("params.yaml")["train"]["recipe"] == "demo"
    call(eyes, "--write", "--name", "eyes")
    after = read_sections("params.yaml")
    assert after["train"]["recipe"] is None and after["report"]["title"] == "eyes"
    call(eyes, "--write", "--name", "others")
    assert read_sections("params.yaml")["report"]["title"] == "others"


def test_settings_of_another_recipe_and_a_title_of_the_user_stay(project: Path, eyes: Path) -> None:
    text = (project / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("recipe: demo", "recipe: skin").replace("(synthetic demo)", "of ours")
    (project / "params.yaml").write_text(text, encoding="utf-8")
    call(eyes, "--write")
    after = read_sections("params.yaml")
    assert after["train"]["recipe"] == "skin" and after["report"]["title"] == "Diabetic retinopathy grades of ours"


def test_writing_twice_changes_nothing_the_second_time(project: Path, eyes: Path) -> None:
    call(eyes, "--write")
    before = (project / "params.yaml").read_bytes()
    code, output = call(eyes, "--write")
    assert code == 0 and "is the set already" in output
    assert (project / "params.yaml").read_bytes() == before


def test_a_copy_is_a_copy(project: Path, eyes: Path) -> None:
    assert call(eyes, "--copy", "--name", "eyes")[0] == 0
    shutil.rmtree(eyes)
    assert len(list((project / "data/raw/eyes").rglob("*.jpg"))) == 8


def test_a_set_in_its_place_needs_no_link(project: Path) -> None:
    write(project / "data/raw/mine", per_class("", "a", "b"))
    assert call("data/raw/mine", "--write")[0] == 0
    assert not (project / "data/raw/mine").is_symlink()
    assert read_sections("params.yaml")["dataset"]["name"] == "mine"


def test_arrays_lie_in_a_folder_of_their_own(project: Path, tmp_path: Path) -> None:
    write(tmp_path / "downloads", {"retina.npz": arrays(train=9, test=3), "other.jpg": b"x"})
    assert call(tmp_path / "downloads/retina.npz", "--write")[0] == 0
    assert [path.name for path in (project / "data/raw/retina").iterdir()] == ["retina.npz"]
    assert call(tmp_path / "downloads/retina.npz", "--write")[0] == 0


def test_an_archive_is_linked_so_that_ingest_takes_it(
    clone: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: Files = {name: encoded(seed) for seed, name in enumerate(per_class("all/", "a", "b"))}
    path = write(tmp_path / "downloads", {"eyes.zip": zipped(files), "other.zip": b"x"}) / "eyes.zip"
    monkeypatch.chdir(clone.folder)
    assert call(path, "--write")[0] == 0
    assert (clone.folder / "data/raw/eyes/eyes.zip").samefile(path)
    clone.run("python stages/ingest.py")
    assert json.loads(clone.text("reports/ingest.json"))["images"] == 8


def test_dvc_add_tracks_a_copy(clone: Project, eyes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone.folder)
    code, output = call(eyes, "--dvc-add", "--name", "tracked")
    assert code == 0 and "tracked by data/raw/tracked.dvc" in output
    assert "nfiles: 8" in clone.text("data/raw/tracked.dvc")
    assert call(eyes, "--dvc-add", "--name", "tracked")[0] == 1


def test_a_link_is_not_seen_by_git_and_gives_way_to_a_tracked_copy(
    clone: Project, eyes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC refuses a link, and git would pass on a path of this machine."""
    monkeypatch.chdir(clone.folder)
    place = clone.folder / "data/raw/linked"
    assert call(eyes, "--write", "--name", "linked")[0] == 0 and place.is_symlink()
    assert "data/raw/linked" not in clone.run("git status --porcelain -uall").stdout
    code, output = call("data/raw/linked", "--dvc-add", "--name", "linked")
    assert code == 0 and "tracked by data/raw/linked.dvc" in output
    assert not place.is_symlink() and len(list(place.rglob("*.jpg"))) == 8 == len(list(eyes.rglob("*.jpg")))
    assert clone.text("data/raw/.gitignore").count("/linked\n") == 1


def test_a_table_makes_its_folder_the_set(project: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "study", CASES["a table as the path"].files) / "a.csv"
    assert call(path, "--write")[0] == 0
    assert (project / "data/raw/study").resolve() == path.parent


def test_something_else_at_the_same_name_is_never_replaced(project: Path, eyes: Path) -> None:
    write(project / "data/raw/eyes", {"a.txt": "mine"})
    before = (project / "params.yaml").read_bytes()
    code, output = call(eyes, "--write", "--name", "eyes")
    assert code == 1 and output.splitlines()[-1].startswith("error: data/raw/eyes: is there already")
    assert (project / "data/raw/eyes/a.txt").read_text() == "mine"
    assert (project / "params.yaml").read_bytes() == before


Prepare = Callable[[Path], None]
WRONG: dict[str, tuple[list[str], str]] = {
    "no such path": (["nowhere"], "nowhere: not found"),
    "a name with a slash": (["{eyes}", "--name", "a/b"], "--name a/b"),
    "the demo's name": (["{eyes}", "--name", "demo"], "--name demo"),
    "no such layout": (["{eyes}", "--layout", "3"], "--layout 3: there is 1"),
    "no such label": (["{eyes}", "--labels", "normal=0,sick=1"], "--labels: sick: no such label; found were amd,"),
    "labels without a class": (["{eyes}", "--labels", "normal"], "--labels: normal: write label=class"),
    "labels with a blank for a sign": (["{eyes}", "--labels", "0 normal"], "--labels: 0 normal: write label=class"),
    "the project's own folder": ([".", "--write"], "holds this project"),
    "no params.yaml": (["{eyes}", "--write", "--params", "other.yaml"], "other.yaml: not found"),
}


@pytest.mark.parametrize(("words", "says"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_wish_is_one_line(project: Path, eyes: Path, words: list[str], says: str) -> None:
    if words[0] == ".":
        write(project, per_class("", "a", "b"))
    code, output = call(*(word.format(eyes=eyes) for word in words))
    assert code == 1
    assert output.splitlines()[-1].startswith("error: ") and says in output.splitlines()[-1]
    assert not (project / "data/raw").is_dir() or not list((project / "data/raw").iterdir())


NAMES: dict[str, str] = {"眼底": "my-images", "demo": "my-demo", "..a b..": "a-b", "ISIC_2019 (1)": "ISIC_2019-1"}


@pytest.mark.parametrize(("folder", "name"), NAMES.items())
def test_a_name_is_derived_that_params_takes(project: Path, tmp_path: Path, folder: str, name: str) -> None:
    path = write(tmp_path / folder, per_class("", "a", "b"))
    assert call(path, "--write")[0] == 0
    assert read_sections("params.yaml")["dataset"]["name"] == name


def test_sources_with_other_names_for_the_classes_are_asked_about(project: Path, tmp_path: Path) -> None:
    write_myopia(tmp_path / "myopia", per_class=4)
    code, output = call(tmp_path / "myopia", "--write")
    assert code == 2 and "--labels 0=...,1=...,H=...,N=...,P=... --write" in output
    assert not list((project / "data/raw").iterdir())
    assert call(tmp_path / "myopia", "--write", "--labels", "H=0,N=0,P=1")[0] == 0
    section = read_sections("params.yaml")["dataset"]
    assert section["labels"] == {"H": "0", "N": "0", "P": "1"} and section["classes"] == ["0", "1"]
    assert section["splits"] == {"train": "train", "val": "test"} and section["positive"] == "1"


def test_labels_that_are_left_out_are_asked_for(project: Path, tmp_path: Path) -> None:
    write_myopia(tmp_path / "myopia", per_class=4)
    code, output = call(tmp_path / "myopia", "--write", "--labels", "H=0,N=0")
    assert code == 1
    assert output.splitlines()[-1].startswith("error: --labels: 1, P: say their classes too, with 1=...,P=...")
    assert not list((project / "data/raw").iterdir())
    assert call(tmp_path / "myopia", "--labels", "H=0,N=0,P=P,1=P")[0] == 0


def test_too_many_unusable_files_are_said_before_ingest_stops(project: Path, tmp_path: Path) -> None:
    names = numbered("{}.jpg", 10)
    write(tmp_path / "set", {**images(*names[:6]), "labels.csv": table(names, ["0", "1"])})
    code, output = call(tmp_path / "set", "--write")
    assert code == 0
    assert "4 not usable: no such file, such as 10.jpg" in output and "labels.csv: 6 of its 10 names" in output
    assert "40% of the files are not usable, and ingest stops at 5%" in output.replace("\n", " ")


def real_images(files: Files) -> Files:
    return {name: encoded(seed) if content == b"x" else content for seed, (name, content) in enumerate(files.items())}


def case(name: str) -> Callable[[Path], object]:
    return lambda folder: write(folder, real_images(CASES[name].files))


RUNS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "fundus lesions": (write_fundus_lesions, []),
    "retinopathy": (write_retinopathy, []),
    "skin": (write_skin, []),
    "myopia": (write_myopia, ["--labels", "H=0,N=0,P=1"]),
    **{name: (case(name), []) for name in (
        "folders in Chinese", "three parts by other names", "word in the middle", "both eyes",
        "patients below the classes", "spellings that differ in case", "patient and split columns", "arrays",
        "parts below the classes", "images of a table in two numbered folders",
        "lesions in two folders, which were unpacked twice",
        "lesions in three folders and an extension that differs", "two lists and images in two folders")},
}  # fmt: skip


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.create(tmp_path_factory.mktemp("clone"))


@pytest.mark.parametrize(("make", "words"), RUNS.values(), ids=list(RUNS))
def test_ingest_finds_what_inspect_said(
    clone: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], object], words: list[str]
) -> None:
    make(tmp_path / "set")
    monkeypatch.chdir(clone.folder)
    (clone.folder / "data/raw/set").unlink(missing_ok=True)
    code, output = call(tmp_path / "set", "--write", *words)
    assert code == 0, output
    clone.run("python stages/ingest.py")
    counted = json.loads(clone.text("reports/ingest.json"))
    said = dict(re.findall(r"^  (images|classes|groups|split) +(.*)$", output, re.MULTILINE))
    assert said["images"] == str(counted["images"]) and counted["rejected"] == 0
    listed = ", ".join(f"{name} {count}" for name, count in counted["classes"].items())
    assert said["classes"] == f"{len(counted['classes'])}: {listed}"
    assert said["groups"].startswith(str(counted["groups"] or "none"))
    assert said["split"].startswith(", ".join(f"{part} {counted['given'][part]}" for part in ("train", "val", "test")
                                              if part in counted["given"]))  # fmt: skip
