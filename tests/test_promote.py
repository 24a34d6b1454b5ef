"""What `fovea promote` registers, and when it moves the champion: as a function of two tables, and in a real store."""

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fovea.classifier.classifier import load_classifier
from fovea.classifier.command import find_classifier
from fovea.cli import app
from fovea.compare.side import read_workspace
from fovea.errors import UserError
from fovea.evaluation.paired import COMPARED
from fovea.promote.candidate import read_candidate
from fovea.promote.command import _register, _require_still
from fovea.promote.decision import decide, test_rows
from fovea.tracking import runs
from fovea.tracking.client import connect
from fovea.tracking.registry import CHAMPION, KEY, PREVIOUS, Registry
from tests.project import Project
from tests.registered import CLASSES, COMMANDS, held_images, predicted, write_result

test_rows.__test__ = False  # type: ignore[attr-defined]
IMAGES = held_images()
CPU = torch.device("cpu")


def rows_of(right: float, seed: int = 0, images: pd.DataFrame = IMAGES) -> pd.DataFrame:
    table = predicted(images, right, seed)
    return test_rows(table[table["split"] == "test"], images)


# The decision


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 1), st.integers(0, 100), st.sampled_from(COMPARED))
def test_a_copy_of_the_champion_does_no_harm(right: float, seed: int, by: str) -> None:
    rows = rows_of(right, seed)
    assert decide(rows.sample(frac=1, random_state=seed), rows, by, 0).harmless


@settings(max_examples=20, deadline=None)
@given(st.floats(0.5, 1), st.integers(0, 100), st.integers(1, 30), st.sampled_from(["accuracy", "balanced_accuracy"]))
def test_one_that_is_only_worse_is_never_promoted(right: float, seed: int, spoiled: int, by: str) -> None:
    champion = rows_of(right, seed)
    worse = champion.copy()
    chosen = worse.index[worse["label"] == worse["prediction"]][:spoiled]
    others = {name: CLASSES[(number + 1) % 3] for number, name in enumerate(CLASSES)}
    worse.loc[chosen, "prediction"] = worse.loc[chosen, "label"].map(others)
    verdict = decide(worse, champion, by, 0)
    assert not verdict.harmless and "may be worse" in verdict.why
    assert decide(champion, worse, by, 0).harmless


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100), st.integers(0, 80), st.integers(0, 80), st.sampled_from(COMPARED))
def test_rows_that_one_alone_has_never_count(seed: int, missing: int, own: int, by: str) -> None:
    """However well the challenger does on images of its own, and the champion on those that the challenger lacks."""
    champion, challenger = rows_of(0.7, 1), rows_of(0.72, seed)
    both = challenger.iloc[missing:]
    more = challenger.iloc[:own].assign(image=lambda rows: "own " + rows["image"])
    more["prediction"] = more["label"]
    found = decide(pd.concat([both, more], ignore_index=True), champion, by, 0)
    expected = decide(both, champion.iloc[missing:], by, 0)
    assert found.figure == expected.figure and found.harmless == expected.harmless
    assert found.rows == {"compared": len(both), "only_one": own, "only_other": missing, "other_label": 0}


def test_images_with_another_label_are_left_out() -> None:
    champion = rows_of(0.7)
    relabelled = champion.copy()
    relabelled.loc[:9, ["label", "prediction"]] = "a"
    was = champion["label"][:10] != "a"
    verdict = decide(relabelled, champion, "accuracy", 0)
    assert verdict.rows["other_label"] == was.sum() > 0 and verdict.figure and verdict.figure["difference"] == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows.assign(image="new " + rows["image"]), "no test image with the same label"),
        (lambda rows: rows.assign(label="a"), "60 of the champion's 180 test images, less than half"),
        (lambda rows: rows.iloc[:89], "89 of the champion's 180 test images, less than half"),
        (lambda rows: rows[rows["label"] != "b"], "no test image of b"),
        (lambda rows: rows.rename(columns={"p_c": "p_d"}), "the classes are a, b, d and not a, b, c"),
    ],
)
def test_what_is_not_the_same_test_is_refused(change: Callable[[pd.DataFrame], pd.DataFrame], why: str) -> None:
    champion = rows_of(0.3)
    verdict = decide(change(champion.assign(prediction=champion["label"])), champion, "accuracy", 1)
    assert not verdict.harmless and why in verdict.why


def test_a_better_one_is_promoted_and_a_margin_lets_a_little_worse_one_pass() -> None:
    champion, better = rows_of(0.7), rows_of(0.9)
    assert decide(better, champion, "balanced_accuracy", 0).harmless
    worse = decide(champion, better, "balanced_accuracy", 0)
    assert worse.figure is not None and not worse.harmless
    harm = -worse.figure["interval"][0]
    assert decide(champion, better, "balanced_accuracy", harm + 1e-6).harmless
    assert not decide(champion, better, "balanced_accuracy", harm - 1e-6).harmless


def test_without_an_interval_it_must_be_right_wherever_the_champion_is() -> None:
    """As where both say the same of each image of a class, so that no resample differs from another."""
    perfect = rows_of(1.0)
    constant = perfect.assign(prediction="a")
    better, worse = (decide(*pair, "balanced_accuracy", 0) for pair in ((perfect, constant), (constant, perfect)))
    assert better.figure and better.figure["interval"] is None and better.harmless
    assert not worse.harmless and "too few for an interval" in worse.why
    other = perfect.assign(prediction="b")
    assert not decide(other, constant, "balanced_accuracy", 0).harmless


def test_of_log_loss_the_lower_is_better() -> None:
    champion, better = rows_of(0.7), rows_of(0.9)
    assert decide(better, champion, "log_loss", 0).harmless and not decide(champion, better, "log_loss", 0).harmless


def test_patients_are_drawn_whole_whichever_version_knows_them() -> None:
    champion, challenger = rows_of(0.7), rows_of(0.8, 1)
    whole = decide(challenger, champion, "accuracy", 0).figure
    assert decide(challenger, champion.assign(group=""), "accuracy", 0).figure == whole
    alone = decide(challenger.assign(group=""), champion.assign(group=""), "accuracy", 0).figure
    assert whole and alone and whole["interval"] != alone["interval"] and whole["difference"] == alone["difference"]


def test_test_rows_go_by_content_and_keep_images_that_are_alike_apart() -> None:
    images = IMAGES.assign(digest=IMAGES["digest"].where(IMAGES.index > 3, "same"))
    rows = rows_of(0.7, 0, images)
    assert rows["image"].is_unique and {"same", "same 1", "same 2", "same 3"} < {*rows["image"]}
    renamed = images.assign(image=[f"new/{name}" for name in images["image"]])
    pd.testing.assert_frame_equal(rows_of(0.7, 0, renamed), rows)
    table = predicted(IMAGES, 0.7)
    with pytest.raises(UserError, match=r"lacks the test image 000\.png"):
        test_rows(table[table["split"] == "test"], IMAGES.iloc[1:])


# The registry


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """A project with two trainings in its store, which all tests share: creating its tables takes seconds."""
    folder = tmp_path_factory.mktemp("project")
    (folder / ".dvc").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DVC_ROOT", str(folder))
        patch.chdir(folder)
        trainings = [_train(f"token {number}") for number in range(2)]
    return folder, trainings


def _train(token: str) -> dict[str, Any]:
    sections = {"dataset": {"name": "small"}, "train": {"model": "squeezenet1_1"}}
    with runs.start_training(sections, data="data/raw/small", digest="ab" * 20, device="cpu", token=token) as run:
        assert run.id is not None
    return {"run_id": run.id, "training": token}


class Registering:
    """A project, and a registered model for each test."""

    def __init__(self, folder: Path, trainings: list[dict[str, Any]], name: str) -> None:
        self.folder, self.trainings, self.name, self.client = folder, trainings, name, connect()

    def write(self, right: float, training: int = 0, images: pd.DataFrame = IMAGES) -> None:
        write_result(self.folder, images, predicted(images, right), self.trainings[training], training)

    def promote(self, *arguments: str) -> tuple[int, str]:
        """Of the workspace, if the first of `arguments` is an option."""
        run = [] if arguments and not arguments[0].startswith("-") else ["workspace"]
        result = CliRunner().invoke(app, ["promote", *run, *arguments, "--name", self.name])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, " ".join(result.output.split())

    def aliases(self) -> dict[str, str]:
        """The version of each; SQLite gives a number, a server text."""
        return {name: str(number) for name, number in self.client.get_registered_model(self.name).aliases.items()}

    def versions(self) -> dict[str, Any]:
        return {str(each.version): each for each in self.client.search_model_versions(f"name = '{self.name}'")}

    def tags(self, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(self.name, version).tags)

    def files(self, version: str) -> Path:
        return Path(self.client.get_model_version(self.name, version).source.removeprefix("file://"))


@pytest.fixture
def project(
    trained: tuple[Path, list[dict[str, Any]]], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Registering:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(trained[0]))
    monkeypatch.chdir(trained[0])
    return Registering(*trained, re.sub(r"\W", "-", request.node.name))


def test_the_first_version_becomes_the_champion_and_says_what_it_is(project: Registering) -> None:
    project.write(0.8)
    code, told = project.promote()
    assert code == 0 and "version 1" in told and project.aliases() == {CHAMPION: "1"}
    run = project.client.get_run(project.trainings[0]["run_id"])
    assert project.versions()["1"].run_id == run.info.run_id
    tags = project.tags("1")
    assert tags["classes"] == '["a", "b", "c"]' and '"crop": "none"' in tags["preprocessing"]
    assert tags["dataset.digest"] == "ab" * 20 and float(tags["test/balanced_accuracy"]) == pytest.approx(0.8, abs=0.05)
    assert tags["fovea.result"] == f"run {run.info.run_name}"
    described = yaml.safe_load((project.files("1") / "MLmodel").read_text())
    assert '"name": "image"' in described["signature"]["inputs"] and described["saved_input_example_info"]
    assert '"name": "calibrated_c"' in described["signature"]["outputs"]
    assert project.promote() == (0, f"champion {project.name} version 1: run {run.info.run_name}")
    assert [*project.versions()] == ["1"]


def test_one_that_does_no_harm_takes_its_place_and_the_old_one_stays_previous(project: Registering) -> None:
    project.write(0.6)
    project.promote()
    project.write(0.8, 1)
    code, told = project.promote()
    assert code == 0 and "decision promoted: the interval excludes harm" in told
    assert "test images 180 that both have with the same label difference balanced_accuracy 0." in told
    assert project.aliases() == {CHAMPION: "2", PREVIOUS: "1"}
    assert project.tags("2")["fovea.against"] == "version 1" and "promoted" in project.tags("2")["fovea.decision"]


def test_a_worse_one_is_registered_and_refused_unless_somebody_says_why(project: Registering) -> None:
    project.write(0.8)
    project.promote()
    project.write(0.6, 1)
    code, told = project.promote()
    assert code == 1 and "refused: by the interval it may be worse by 0." in told and "--force" in told
    assert project.aliases() == {CHAMPION: "1"} and [*project.versions()] == ["2", "1"]
    code, told = project.promote("--force", "the camera of 1 is gone")
    assert code == 0 and "forced: by the interval" in told and [*project.versions()] == ["2", "1"]
    assert project.tags("2")["fovea.forced"] == "the camera of 1 is gone"
    assert project.aliases() == {CHAMPION: "2", PREVIOUS: "1"}


def test_figures_of_other_images_promote_nothing(project: Registering) -> None:
    project.write(0.6)
    project.promote()
    project.write(1.0, 1, IMAGES.assign(digest=[f"{number:040x}" for number in range(1000, 1000 + len(IMAGES))]))
    code, told = project.promote("--margin", "1")
    assert code == 1 and "refused: they share no test image" in told and project.aliases() == {CHAMPION: "1"}


def test_what_a_kill_left_is_completed(project: Registering, tmp_path: Path) -> None:
    """First between the version and its alias, then between the two aliases."""
    for number, right in enumerate((0.6, 0.8)):
        project.write(right, number)
        registry = Registry(project.name)
        _register(registry, read_candidate(read_workspace(project.folder), tmp_path), tmp_path)
        if number:
            project.client.set_registered_model_alias(project.name, PREVIOUS, "1")
        code, _ = project.promote()
        assert code == 0 and len(project.versions()) == number + 1
    assert project.aliases() == {CHAMPION: "2", PREVIOUS: "1"}


def test_a_champion_that_another_promotion_made_meanwhile_is_not_replaced(project: Registering) -> None:
    for number, right in enumerate((0.6, 0.8)):
        project.write(right, number)
        project.promote()
    registry = Registry(project.name)
    first = registry.version("1")
    assert first is not None
    with pytest.raises(UserError, match="version 2 has become the champion; promote again"):
        _require_still(registry, first)


def test_the_files_of_a_version_predict_and_name_no_patient(project: Registering, tmp_path: Path) -> None:
    project.write(0.8)
    project.promote()
    own = load_classifier(project.folder / "models/model.pt", CPU)
    found = find_classifier(f"models:/{project.name}@{CHAMPION}", "cpu")
    squares = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(found.see(squares).chances, own.see(squares).chances)
    assert found.prediction.points == own.prediction.points
    written = [path for path in project.files("1").rglob("*") if path.is_file() and "code" not in path.parts]
    for name in ("patient", ".png"):
        assert not any(name.encode() in path.read_bytes() for path in written)
    rows = Registry(project.name).rows(Registry(project.name).holder(CHAMPION))  # type: ignore[arg-type]
    assert rows["group"].nunique() == 90 and (project.files("1") / "code/fovea/tracking/serving.py").is_file()


@pytest.mark.parametrize(
    ("uri", "said"),
    [("models:/fovea", "write models:/NAME@ALIAS"), ("models:/none@champion", "has no such version"),
     ("models:/none/7", "has no such version"), ("models:/a b@champion", "--name a b: letters")],
)  # fmt: skip
def test_a_model_that_is_not_there_is_said_in_one_line(project: Registering, uri: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        find_classifier(uri, "cpu")


def test_a_champion_from_elsewhere_is_not_replaced(project: Registering) -> None:
    project.write(0.8)
    project.promote()
    project.client.delete_model_version_tag(project.name, "1", KEY)
    code, told = project.promote()
    assert code == 1 and "version 1 was not registered by fovea promote" in told


def spoil_manifest(folder: Path) -> None:
    IMAGES.assign(digest="0" * 40).drop(columns="split").to_parquet(folder / "data/manifest.parquet")


def spoil_predictions(folder: Path) -> None:
    (folder / "reports/predictions.csv").write_text("image,split,label,prediction,p_a,p_b,p_c\n")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_manifest, "data/manifest.parquet is not of the run that its dvc.lock speaks of; dvc repro"),
        (spoil_predictions, "reports/predictions.csv is not what dvc.lock speaks of"),
        (lambda folder: (folder / "models/prediction.pt").unlink(), "models/prediction.pt"),
        (lambda folder: (folder / "dvc.lock").unlink(), "no finished run"),
        (lambda folder: (folder / "mlflow_run.json").write_text('{"run_id": null}'), "`uv run fovea sync` makes one"),
    ],
)
def test_a_result_that_is_not_whole_is_not_registered(
    project: Registering, spoil: Callable[[Path], object], said: str
) -> None:
    project.write(0.8)
    spoil(project.folder)
    code, told = project.promote()
    assert code == 1 and told.startswith("error: ") and said in told
    assert not project.client.search_registered_models(f"name = '{project.name}'")


def test_wrong_options_are_said_before_anything_is_registered(project: Registering) -> None:
    project.write(0.8)
    code, told = project.promote("--by", "f2")
    assert code == 1 and "no such figure; there are balanced_accuracy, accuracy" in told
    assert not project.client.search_registered_models(f"name = '{project.name}'")


def test_the_lines_of_the_documentation_promote_revisions_whatever_lies_in_the_workspace(
    project: Registering, tmp_path: Path
) -> None:
    """Of two branches, first one, then the other."""
    copy = Project(tmp_path / "copy")
    project.write(0.8)
    shutil.copytree(project.folder, copy.folder, ignore=shutil.ignore_patterns("mlflow.db*", "mlartifacts", "cache"))
    copy.run("git init -q -b main")
    copy.commit("Narrow")
    copy.run("git checkout -q -b wider")
    write_result(copy.folder, IMAGES, predicted(IMAGES, 0.9), project.trainings[1], 1)
    copy.commit("Wider")
    (copy.folder / "models/model.pt").write_bytes(b"another")
    project.name = "fovea"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy.folder)
        for line in COMMANDS:
            if line.startswith("uv run fovea promote"):
                code, told = project.promote(*shlex.split(line)[4:])
                assert code == 0, told
    assert project.tags("1")["fovea.result"].endswith("Wider") and project.tags("2")["fovea.result"].endswith("Narrow")
    assert project.tags("2")["fovea.forced"] == "wider misses the new camera"
    assert project.aliases() == {CHAMPION: "2", PREVIOUS: "1"}
