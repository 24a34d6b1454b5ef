"""What a sweep makes of its experiments: their settings, the spread of each metric, predictions out of fold."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fovea.cli import app
from fovea.errors import UserError
from fovea.evaluation.table import read_predictions
from fovea.sweep.command import parent_values
from fovea.sweep.experiments import Experiment, plan
from fovea.sweep.gather import Run, held_out, out_of_fold, runs_table, summarise, write_results
from tests.import_closure import ROOT

PARAMS = {"dataset": {"positive": None}, "train": {"loss": {"name": "cross_entropy"}}}


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")


def run_of(seed: int, fold: int, rows: list[tuple[str, str, str, float]], **metrics: Any) -> Run:
    """`rows` are image, split, label ("a" or "b") and the probability of b."""
    table = pd.DataFrame(rows, columns=["image", "split", "label", "p_b"])
    table.insert(3, "prediction", np.where(table["p_b"] > 0.5, "b", "a"))
    table.insert(4, "p_a", 1 - table["p_b"])
    return Run(Experiment(f"x-s{seed}-f{fold}", seed, fold, [], PARAMS), "c" * 40, f"run-{seed}-{fold}", metrics, table)


def sweep_of(seeds: int, folds: int, chance: dict[tuple[int, str], float]) -> list[Run]:
    """Images i0, i1, ..: number n is tested in fold n % folds and validates the one before. `chance`: seed, image."""
    images = sorted({image for _, image in chance})
    label = {image: "ab"[number % 2] for number, image in enumerate(images)}

    def rows(seed: int, fold: int) -> list[tuple[str, str, str, float]]:
        parts = {image: ("test", "val")[(number - fold) % folds] for number, image in enumerate(images)
                 if (number - fold) % folds < 2}
        return [(image, part, label[image], chance[seed, image]) for image, part in parts.items()]

    return [run_of(seed, fold, rows(seed, fold)) for seed in range(seeds) for fold in range(folds)]


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(2, 4))
def test_every_image_is_predicted_once_by_the_mean_of_the_models_that_tested_it(
    data: st.DataObject, seeds: int, folds: int
) -> None:
    images = [f"i{number:02}" for number in range(8)]
    chance = {(seed, image): data.draw(st.floats(0, 1)) for seed in range(seeds) for image in images}
    table = out_of_fold(sweep_of(seeds, folds, chance))
    assert list(table["image"]) == images
    assert list(table["fold"]) == [number % folds for number in range(8)]
    means = np.array([np.mean([chance[seed, image] for seed in range(seeds)]) for image in images])
    assert np.allclose(table["p_b"], means) and np.allclose(table["p_a"] + table["p_b"], 1)
    assert list(table["prediction"]) == list(np.where(table["p_b"] > table["p_a"], "b", "a"))


def test_beside_a_given_test_part_the_validation_folds_are_out_of_fold() -> None:
    test = [("t0", "test", "a", 0.1), ("t1", "test", "b", 0.9)]
    runs = [run_of(0, fold, [*test, (f"v{fold}", "val", "a", 0.3)]) for fold in range(2)]
    assert held_out(runs) == "val"
    assert list(out_of_fold(runs)["image"]) == ["v0", "v1"]


def test_without_folds_the_test_part_is_averaged_over_seeds() -> None:
    runs = [run_of(seed, 0, [("t0", "test", "a", 0.2 * seed), ("v0", "val", "b", 0.5)]) for seed in range(3)]
    table = out_of_fold(runs)
    assert list(table["image"]) == ["t0"] and table["p_b"][0] == pytest.approx(0.2)


@pytest.mark.parametrize(("loss", "expected"), [("cross_entropy", "0"), ("ordinal", "1")])
def test_the_prediction_is_the_likeliest_class_and_of_grades_the_median(loss: str, expected: str) -> None:
    chances = {"p_0": [0.4, 0.4], "p_1": [0.3, 0.2], "p_2": [0.3, 0.4]}
    params = {"train": {"loss": {"name": loss}}}
    runs = [
        Run(Experiment(f"x-s{seed}-f0", seed, 0, [], params), "c" * 40, None, {}, pd.DataFrame(
            {"image": ["i"], "split": ["test"], "label": ["0"], "prediction": ["0"]}
            | {name: values[seed : seed + 1] for name, values in chances.items()}
        ))
        for seed in range(2)
    ]  # fmt: skip
    assert list(out_of_fold(runs)["prediction"]) == [expected]


@pytest.mark.parametrize("rows", [[("i0", "test", "a", 0.5)], [("new", "test", "a", 0.5), ("i1", "test", "a", 0.5)]])
def test_experiments_of_different_images_are_refused(rows: list[tuple[str, str, str, float]]) -> None:
    runs = [run_of(0, 0, [("i0", "test", "a", 0.5), ("i1", "test", "a", 0.5)]), run_of(1, 0, rows)]
    with pytest.raises(UserError, match="not of the same images"):
        out_of_fold(runs)


def test_the_spread_is_of_the_runs_in_which_a_metric_is_defined() -> None:
    rows: list[tuple[str, str, str, float]] = [("i", "test", "a", 0.1)]
    scores = [(0.5, None), (0.7, 0.2), (0.9, None)]
    runs = [run_of(seed, 0, rows, test={"accuracy": accuracy, "auroc_macro": auroc, "confusion_matrix": [[1]]})
            for seed, (accuracy, auroc) in enumerate(scores)]  # fmt: skip
    summary = summarise(runs_table(runs)).set_index("metric")
    assert list(summary.index) == ["test/accuracy", "test/auroc_macro"]
    assert list(summary.loc["test/accuracy"]) == pytest.approx([0.7, 0.2, 0.5, 0.9, 3])
    assert list(summary.loc["test/auroc_macro"]) == pytest.approx([0.2, np.nan, 0.2, 0.2, 1], nan_ok=True)
    values = parent_values(summary.reset_index(), {"accuracy": 0.75, "auroc_macro": None})
    assert values == pytest.approx({"test/accuracy/mean": 0.7, "test/accuracy/std": 0.2, "test/auroc_macro/mean": 0.2,
                                    "out_of_fold/accuracy": 0.75})  # fmt: skip


def test_the_files_of_a_sweep_are_the_same_bytes_again(tmp_path: Path) -> None:
    chance = {(seed, f"i{number}"): (3 * number + seed) % 10 / 10 for seed in range(2) for number in range(8)}
    for name in ("one", "two"):
        write_results(tmp_path / name, sweep_of(2, 2, chance))
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert set(files) == {"runs.csv", "summary.csv", "out_of_fold.csv", "out_of_fold.json", "out_of_fold-roc.png",
                          "out_of_fold-confusion.png"}  # fmt: skip
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    table = read_predictions(tmp_path / "one" / "out_of_fold.csv")
    assert list(table.columns) == ["image", "split", "fold", "label", "prediction", "p_a", "p_b"] and len(table) == 8


def test_each_experiment_has_its_seed_and_fold_and_the_settings_of_all(params: None) -> None:
    experiments = plan("try", 2, 3, ["train.full.lr=0.01", "train.transforms.scale=[0.8,1.2]"])
    assert [each.name for each in experiments] == [f"try-s{seed}-f{fold}" for seed in (0, 1) for fold in (0, 1, 2)]
    last = experiments[-1]
    assert last.settings == ["train.full.lr=0.01", "train.transforms.scale=[0.8,1.2]", "train.seed=1", "split.folds=3",
                             "split.fold=2"]  # fmt: skip
    assert last.params["train"]["seed"] == 1 and last.params["split"]["fold"] == 2
    assert last.params["train"]["full"]["lr"] == 0.01 and last.params["train"]["transforms"]["scale"] == [0.8, 1.2]


def test_without_folds_there_is_an_experiment_for_each_seed(params: None) -> None:
    assert [each.name for each in plan("try", 2, 0, [])] == ["try-s0-f0", "try-s1-f0"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["a/b"], "the name 'a/b' must be of letters, digits, - and _"),
    (["x", "--folds", "1"], "--folds: must be 0, for none, or at least 2"),
    (["x", "-S", "train.seed=3"], "-S train.seed: is set by the sweep itself; use --seeds and --folds"),
    (["x", "-S", "train.full.rate=3"], "-S: Could not override 'train.full.rate'"),
    (["x", "-S", "train.full.lr=-1"], "-S: train.full.lr: should be greater than 0, got -1"),
    (["x", "-S", "nonsense"], "-S: "),
    (["x", "-S", "train.full.lr=1,2"], "-S: "),
])  # fmt: skip
def test_what_cannot_be_swept_is_one_line(params: None, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        options = dict(zip(arguments[1::2], arguments[2::2], strict=True))
        plan(arguments[0], 2, int(options.get("--folds", 2)), [options["-S"]] if "-S" in options else [])
    assert str(error.value).startswith(message.removeprefix("the name")) or message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_sweep_needs_a_commit(params: None) -> None:
    result = CliRunner().invoke(app, ["sweep", "x"])
    assert result.exit_code == 1 and result.stderr.startswith("error: a sweep needs a commit")
