"""Recipes and the command that writes them."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml.comments import CommentedMap
from typer.testing import CliRunner

from fovea.cli import app
from fovea.errors import UserError
from fovea.ingest.manifest import build_manifest
from fovea.params.dataset import DatasetParams
from fovea.params.every import SCHEMAS
from fovea.params.section import load, read_sections
from fovea.recipes import choose, dump, leaves, read_document, read_recipe, recipe_names, resolve, write_recipe
from tests.miniatures import write_fundus_lesions, write_myopia, write_retinopathy, write_skin

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "recipes"
NAMES = recipe_names(RECIPES)


@functools.cache
def recipe_named(name: str) -> CommentedMap:
    return read_recipe(name, RECIPES)


WAYS = [
    (name, variant, quick)
    for name in NAMES
    for variant in [None, *recipe_named(name).get("variants", {})]
    for quick in [False, True]
    if not quick or "quick" in recipe_named(name)
]
runner = CliRunner()


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """A copy of params.yaml as it ships."""
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


@pytest.fixture
def project(params: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and the recipes, and the process in it."""
    shutil.copytree(RECIPES, params.parent / "recipes")
    monkeypatch.chdir(params.parent)
    return params.parent


def write(path: Path, name: str, variant: str | None = None, quick: bool = False) -> list[str]:
    recipe = recipe_named(name)
    return write_recipe(path, resolve(recipe, choose(recipe, name, variant, quick)))


def test_writing_params_unchanged_gives_identical_bytes() -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert dump(read_document(ROOT / "params.yaml")) == text


@pytest.mark.parametrize(("name", "variant", "quick"), WAYS)
def test_every_recipe_fits_the_schema(params: Path, name: str, variant: str | None, quick: bool) -> None:
    write(params, name, variant, quick)
    sections = read_sections(params)
    for section, schema in SCHEMAS.items():
        schema.model_validate(sections[section])


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_gives_the_same_after_all_others(params: Path, tmp_path: Path, name: str) -> None:
    fresh = Path(shutil.copy(params, tmp_path / "fresh.yaml"))
    write(fresh, name)
    for other in NAMES:
        write(params, other, quick="quick" in recipe_named(other))
    write(params, name)
    assert read_sections(params) == read_sections(fresh)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_states_every_setting_but_those_of_the_machine(name: str) -> None:
    recipe = recipe_named(name)
    stated = {key for key, _ in leaves(resolve(recipe, choose(recipe, name, None, False)))}
    shipped = {key for key, _ in leaves(read_document(ROOT / "params.yaml"))}
    own = {key for key in shipped if not key.startswith(("machine.", "dataset.sources."))}
    assert own <= stated


def test_the_demo_recipe_is_params_as_shipped(params: Path) -> None:
    assert write(params, "demo") == []


@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo"])
def test_going_back_to_the_demo_restores_every_byte(params: Path, name: str) -> None:
    shipped = params.read_bytes()
    write(params, name)
    write(params, "demo")
    assert params.read_bytes() == shipped


def comments_after_sources(params: Path) -> list[str]:
    """A recipe brings its own comments for its sources, whose keys depend on the layout."""
    lines = params.read_text(encoding="utf-8").partition("\n  labels:")[2].splitlines()
    return [line.partition(" # ")[2] for line in lines if " # " in line]


@pytest.mark.parametrize("name", NAMES)
def test_comments_survive(params: Path, name: str) -> None:
    before = comments_after_sources(params)
    assert len(before) > 50
    write(params, name)
    assert comments_after_sources(params) == before


def test_a_recipe_fits_into_what_dvc_has_rewritten(params: Path, tmp_path: Path) -> None:
    """`dvc exp run -S` writes lists over several lines, and null as nothing."""
    for name in [*NAMES, "demo"]:
        fresh = Path(shutil.copy(ROOT / "params.yaml", tmp_path / "fresh.yaml"))
        write(fresh, name)
        apply_overrides(str(params), ["augment.image_size=192"])
        assert "\n    - 1." in params.read_text(encoding="utf-8")
        write(params, name)
        assert read_sections(params) == read_sections(fresh)


def test_settings_of_the_machine_stay(params: Path) -> None:
    params.write_text(params.read_text(encoding="utf-8").replace("device: auto", "device: cpu"), encoding="utf-8")
    write(params, "skin")
    assert read_sections(params)["machine"]["device"] == "cpu"


def test_quick_is_marked_in_title_and_train(params: Path) -> None:
    write(params, "retinopathy", "resnet50", quick=True)
    sections = read_sections(params)
    assert sections["report"]["title"] == "Diabetic retinopathy grades (resnet50, quick)"
    assert (sections["train"]["recipe"], sections["train"]["quick"]) == ("retinopathy/resnet50", True)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo"])
def test_quick_downloads_nothing_and_shortens(params: Path, name: str) -> None:
    write(params, name)
    full = read_sections(params)
    write(params, name, quick=True)
    quick = read_sections(params)
    assert quick["train"]["weights"] == "none"
    assert quick["augment"]["image_size"] < full["augment"]["image_size"]
    assert quick["train"]["full"]["epochs"] < full["train"]["full"]["epochs"]
    assert quick["train"]["model"] == full["train"]["model"]


def test_a_source_given_as_a_block_is_replaced_as_a_whole(params: Path) -> None:
    write(params, "fundus-lesions")
    assert list(read_sections(params)["dataset"]["sources"][0]) == ["layout", "images", "split_folders", "split"]


def test_a_recipe_without_a_section_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("summary: x\nlayout: x\nparams:\n  dataset: {name: mine}\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"mine\.yaml: params: ingest, split, augment, train, evaluate, report: missing"
    ):
        read_recipe("mine", tmp_path)


def test_the_command_lists_recipes_and_variants(project: Path) -> None:
    result = runner.invoke(app, ["recipe", "--list"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == [
        "demo", "fundus-lesions", "myopia", "variants:", "retinopathy", "variants:", "skin",
    ]  # fmt: skip


def test_the_command_shows_what_changed_and_where_the_images_belong(project: Path) -> None:
    lines = runner.invoke(app, ["recipe", "skin"]).output.splitlines()
    assert "train.model: resnet18 -> resnet50" in lines
    assert "train.crop: null -> 288" in lines
    assert "Image set: data/raw/skin (is not there yet)" in lines
    assert lines[-1] == "Next: dvc repro"
    assert read_sections()["dataset"]["name"] == "skin"


def test_the_command_says_so_when_nothing_changes(project: Path) -> None:
    runner.invoke(app, ["recipe", "skin"])
    before = Path("params.yaml").stat().st_mtime_ns
    result = runner.invoke(app, ["recipe", "skin"])
    assert result.output.startswith("params.yaml holds these settings already\n")
    assert Path("params.yaml").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "error: recipe nope: unknown; known are demo, fundus-lesions, myopia, retinopathy, skin"),
        (["skin", "--variant", "x"], "error: recipe skin: variant x: unknown; it has none"),
        (
            ["myopia", "--variant", "x"],
            "error: recipe myopia: variant x: unknown; known are resnet50, resnet101, resnet152",
        ),
        (["demo", "--quick"], "error: recipe demo: has no quick form; leave --quick out"),
        (["skin", "--params", "no.yaml"], "error: no.yaml: not found; run from the folder that holds it"),
    ],
)
def test_a_wrong_choice_is_one_line_and_changes_nothing(project: Path, arguments: list[str], message: str) -> None:
    before = Path("params.yaml").read_bytes()
    result = runner.invoke(app, ["recipe", *arguments])
    assert (result.exit_code, result.stderr) == (1, message + "\n")
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "write_images", "given", "classes"),
    [
        ("fundus-lesions", write_fundus_lesions, {}, {"exudates": 12, "haemorrhages": 12, "normal": 12}),
        ("retinopathy", write_retinopathy, {"test": 20}, dict.fromkeys("01234", 16)),
        ("skin", write_skin, {"train": 24, "val": 8, "test": 8}, {"benign": 20, "malignant": 20}),
        ("myopia", write_myopia, {"test": 12}, {"normal": 18, "pathologic": 18}),
    ],
)
def test_each_layout_is_taken_in_whole(
    params: Path,
    tmp_path: Path,
    name: str,
    write_images: Callable[[Path], None],
    given: dict[str, int],
    classes: dict[str, int],
) -> None:
    write_images(tmp_path / "set")
    write(params, name)
    dataset = load("dataset", DatasetParams, params)
    manifest, rejected = build_manifest(tmp_path / "set", dataset, 10**8, 1, tmp_path / "store")
    assert rejected.empty
    assert manifest["given_split"].value_counts().to_dict() == given
    assert manifest["label"].value_counts().to_dict() == classes


def test_retinopathy_keeps_both_eyes_of_a_patient_in_one_group(params: Path, tmp_path: Path) -> None:
    write_retinopathy(tmp_path / "set")
    write(params, "retinopathy")
    manifest, _ = build_manifest(tmp_path / "set", load("dataset", DatasetParams, params), 10**8, 1, tmp_path / "store")
    assert set(manifest.groupby("group").size()) == {2}


def test_retinopathy_takes_names_without_an_eye(params: Path, tmp_path: Path) -> None:
    write_retinopathy(tmp_path / "set")
    folder = tmp_path / "set"
    for image in (folder / "images").iterdir():
        image.rename(image.with_name(image.name.replace("_left", "a").replace("_right", "b")))
    for names in folder.glob("*_img.csv"):
        names.write_text(names.read_text().replace("_left", "a").replace("_right", "b"))
    write(params, "retinopathy")
    manifest, _ = build_manifest(folder, load("dataset", DatasetParams, params), 10**8, 1, tmp_path / "store")
    assert manifest["group"].nunique() == len(manifest) == 80
