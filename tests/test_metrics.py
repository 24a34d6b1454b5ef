"""The figures of an evaluation, from the table of predictions alone."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from fovea.errors import UserError
from fovea.evaluation import curves, metrics
from fovea.evaluation.table import read_predictions

TOLERANCE = 1e-9
Part = tuple[np.ndarray, np.ndarray, list[str]]  # labels (n,), probabilities (n, classes), classes


def predictions_of(labels: Any, chances: Any, classes: list[str], split: str = "test",
                   predicted: Any = None) -> pd.DataFrame:
    """A table as `evaluate` writes it; the prediction is the likeliest class."""
    chances = np.asarray(chances, float)
    predicted = chances.argmax(axis=1) if predicted is None else predicted
    names = np.array(classes, dtype=object)
    table = pd.DataFrame({"image": [f"{number}.png" for number in range(len(labels))], "split": split,
                          "label": names[labels], "prediction": names[predicted]})
    return table.assign(**{f"p_{name}": chances[:, number] for number, name in enumerate(classes)})


@st.composite
def random_parts(draw: st.DrawFn) -> Part:
    """Labels (with classes absent, or one class alone), probabilities with ties, and class names in no order."""
    count = draw(st.integers(2, 5))
    n = draw(st.integers(1, 40))
    labels = np.array(draw(st.lists(st.integers(0, count - 1), min_size=n, max_size=n)))
    raw = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, 6, (n, count)) + 0.01
    classes = draw(st.permutations(["b", "a", "10", "9", "NA"][:count]))
    return labels, raw / raw.sum(axis=1, keepdims=True), classes


def scored(part: Part) -> dict[str, Any]:
    labels, chances, classes = part
    return metrics.score(predictions_of(labels, chances, classes), classes, None)


@settings(max_examples=30, deadline=None)
@given(random_parts())
def test_averages_agree_with_scikit_learn(part: Part) -> None:
    labels, chances, _ = part
    found, present = scored(part), np.unique(labels)
    for average in ("macro", "weighted"):
        expected = sk.precision_recall_fscore_support(labels, chances.argmax(1), labels=present, average=average,
                                                      zero_division=0)[:3]
        names = [f"{average}_{key}" for key in ("precision", "sensitivity", "f1")]
        assert [found[name] for name in names] == pytest.approx(expected, abs=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(random_parts())
def test_accuracies_agree_with_scikit_learn(part: Part) -> None:
    labels, chances, _ = part
    found = scored(part)
    with warnings.catch_warnings():  # of classes that are predicted and absent
        warnings.simplefilter("ignore")
        expected = sk.balanced_accuracy_score(labels, chances.argmax(1))
    assert found["balanced_accuracy"] == pytest.approx(expected, abs=TOLERANCE)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(labels, chances.argmax(1)), abs=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(random_parts())
def test_kappa_and_log_loss_agree_with_scikit_learn(part: Part) -> None:
    labels, chances, classes = part
    found, numbers = scored(part), range(len(classes))
    with warnings.catch_warnings():  # kappa is undefined if labels and predictions are all one class
        warnings.simplefilter("ignore")
        kappa = sk.cohen_kappa_score(labels, chances.argmax(1), labels=list(numbers), weights="quadratic")
    assert found["quadratic_weighted_kappa"] == (None if np.isnan(kappa) else pytest.approx(kappa, abs=TOLERANCE))
    assert found["log_loss"] == pytest.approx(sk.log_loss(labels, chances, labels=list(numbers)), abs=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(random_parts())
def test_ranking_agrees_with_scikit_learn_where_defined_and_is_none_elsewhere(part: Part) -> None:
    labels, chances, classes = part
    found, areas = scored(part), []
    for number, name in enumerate(classes):
        mine = labels == number
        area = sk.roc_auc_score(mine, chances[:, number]) if 0 < mine.sum() < len(mine) else None
        assert found["classes"][name]["auroc"] == area
        areas += [area] if area is not None else []
    assert found["auroc_macro"] == (pytest.approx(np.mean(areas)) if areas else None)


@settings(max_examples=30, deadline=None)
@given(random_parts())
def test_whatever_the_part_holds_the_figures_are_json_without_nan(part: Part) -> None:
    assert json.loads(json.dumps(scored(part), allow_nan=False))["n"] == len(part[0])


@settings(max_examples=30, deadline=None)
@given(random_parts())
def test_thresholds_of_curves_are_finite_or_empty(part: Part) -> None:
    labels, chances, classes = part
    table = predictions_of(labels, chances, classes)
    for points in (curves.roc_points(table, classes, 500), curves.precision_recall_points(table, classes, 500)):
        assert not np.isinf(points.select_dtypes(float).to_numpy()).any()
        assert points.columns[0] == "class"


def test_specificity_agrees_with_a_count_by_hand() -> None:
    # of the 6 that are not a: 4 are not called a; of the 6 not b: 5 not called b; of the 8 not c: 7 not called c
    labels, predicted = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2], [0, 0, 1, 2, 1, 1, 0, 0, 2, 2]
    table = predictions_of(labels, np.eye(3)[predicted], ["a", "b", "c"])
    found = metrics.score(table, ["a", "b", "c"], None)
    assert [found["classes"][name]["specificity"] for name in "abc"] == [4 / 6, 5 / 6, 7 / 8]
    assert found["macro_specificity"] == pytest.approx((4 / 6 + 5 / 6 + 7 / 8) / 3)
    assert found["weighted_specificity"] == pytest.approx(0.4 * 4 / 6 + 0.4 * 5 / 6 + 0.2 * 7 / 8)


def test_macro_and_weighted_averages_differ_on_unequal_classes() -> None:
    table = predictions_of([0] * 8 + [1] * 2, np.eye(2)[[0] * 10], ["a", "b"])
    found = metrics.score(table, ["a", "b"], None)
    assert found["macro_sensitivity"] == 0.5
    assert found["weighted_sensitivity"] == 0.8
    assert found["macro_f1"] == pytest.approx((16 / 18) / 2)
    assert found["weighted_f1"] == pytest.approx(0.8 * 16 / 18)


def test_every_average_says_which_kind_it_is_and_none_is_micro() -> None:
    found = metrics.score(predictions_of([0, 1], np.eye(2), ["a", "b"]), ["a", "b"], None)
    assert not {"f1", "precision", "sensitivity", "recall", "auroc", "average_precision"} & set(found)
    assert not [key for key in found if "micro" in key]


def test_figures_of_the_positive_class_come_first() -> None:
    table = predictions_of([0, 0, 0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.7, 0.3]], ["ok", "ill"])
    found = metrics.score(table, ["ok", "ill"], "ill")
    assert list(found)[1] == "positive"
    assert found["positive"]["sensitivity"] == 0.5
    assert found["positive"]["specificity"] == pytest.approx(2 / 3)
    assert found["positive"]["support"] == 2


def test_an_absent_class_is_named_and_counts_in_no_average() -> None:
    table = predictions_of([0, 1], np.eye(3)[[0, 1]], ["a", "b", "c"])
    found = metrics.score(table, ["a", "b", "c"], None)
    assert found["absent"] == ["c"]
    assert found["classes"]["c"]["auroc"] is None
    assert found["classes"]["c"]["sensitivity"] is None
    assert found["auroc_macro"] == found["balanced_accuracy"] == 1.0


def test_a_prediction_that_is_not_the_likeliest_class_is_taken_as_written() -> None:
    table = predictions_of([0, 1], [[0.6, 0.4], [0.6, 0.4]], ["a", "b"], predicted=[0, 1])
    assert metrics.score(table, ["a", "b"], None)["accuracy"] == 1.0


def test_parts_are_scored_apart_and_an_empty_one_has_no_entry() -> None:
    test = predictions_of([0, 1], np.eye(2), ["a", "b"])
    val = predictions_of([0, 1, 1], np.eye(2)[[1, 0, 0]], ["a", "b"], split="val")
    found = metrics.score_parts(pd.concat([val, test]), ["a", "b"], None)
    assert {part: (figures["n"], figures["accuracy"]) for part, figures in found.items()} == {
        "test": (2, 1.0), "val": (3, 0.0)}
    assert list(metrics.score_parts(test, ["a", "b"], None)) == ["test"]


def test_a_label_that_is_no_class_is_named() -> None:
    table = predictions_of([0, 1], np.eye(2), ["a", "b"])
    with pytest.raises(UserError, match="label 'b' is none of the classes a"):
        metrics.score(table, ["a"], None)


@pytest.mark.parametrize("classes", [["0", "1"], ["01", "1"], ["NA", "null"], ['a"b', "c,\nd"]])
def test_class_names_survive_the_file(tmp_path: Path, classes: list[str]) -> None:
    table = predictions_of([0, 1], np.eye(2), classes)
    table.to_csv(tmp_path / "predictions.csv", index=False)
    assert metrics.score(read_predictions(tmp_path / "predictions.csv"), classes, None)["accuracy"] == 1.0


def test_plots_hold_the_test_rows_alone(tmp_path: Path) -> None:
    test = predictions_of([0, 1], np.eye(2), ["a", "b"])
    val = predictions_of([0, 0, 0], np.eye(2)[[1, 1, 1]], ["a", "b"], split="val")
    curves.write_plots(tmp_path / "plots", pd.concat([val, test]), ["a", "b"], 500)
    written = pd.read_csv(tmp_path / "plots" / "confusion.csv")
    assert written.to_dict("list") == {"actual": ["a", "b"], "predicted": ["a", "b"]}


def test_curves_of_a_large_part_stay_small_and_keep_their_ends() -> None:
    rng = np.random.default_rng(0)
    chances = rng.random(20000)
    table = predictions_of(rng.integers(0, 2, 20000), np.stack([chances, 1 - chances], axis=1), ["a", "b"])
    points = curves.roc_points(table, ["a", "b"], 50)
    mine = points[points["class"] == "a"]
    assert len(mine) <= 50
    assert mine[["fpr", "tpr"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]


def test_the_area_under_the_written_roc_is_the_auroc() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 200)
    raw = rng.random((200, 3)) + np.eye(3)[labels]
    table = predictions_of(labels, raw / raw.sum(axis=1, keepdims=True), ["a", "b", "c"])
    points = curves.roc_points(table, ["a", "b", "c"], 500)
    for name, figures in metrics.score(table, ["a", "b", "c"], None)["classes"].items():
        mine = points[points["class"] == name]
        assert np.trapezoid(mine["tpr"], mine["fpr"]) == pytest.approx(figures["auroc"])
