"""Reasons for caution, each with what sets it off and what does not; and what the model is held against."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fovea.evaluation.bootstrap import intervals
from fovea.evaluation.metrics import score
from fovea.report import trust
from fovea.report.content import Figure
from fovea.training.loss import decided
from tests.test_bootstrap import NO_GROUPS
from tests.test_metrics import predictions_of

CLASSES = ["a", "b"]
LABELS = np.arange(200) % 2
GOOD = np.where(np.arange(200) % 10 < 2, 1 - LABELS, LABELS) * 0.6 + 0.2  # 80 % right, as sure as it ought to be


def results_of(labels: Any, chance: Any, classes: list[str] = CLASSES, groups: pd.Series = NO_GROUPS,
               **more: Any) -> Any:
    """Of a test part with the probability `chance` (n,) of class b; nothing else was found."""
    p = np.asarray(chance, float)
    table = predictions_of(labels, np.stack([1 - p, p, *[0 * p] * (len(classes) - 2)], axis=1), classes)
    return results_of_table(table, classes, groups, **more)


def results_of_table(table: pd.DataFrame, classes: list[str], groups: pd.Series = NO_GROUPS, **more: Any) -> Any:
    figures, limits = score(table, classes, None), intervals(table, classes, None, groups)
    return SimpleNamespace(**{
        "metrics": {"test": figures, "val": figures}, "intervals": {"test": limits}, "test": table,
        "predictions": table, "classes": classes, "positive": None, "suspicious": table.iloc[:0], "changes": None,
        "audit": {"warnings": [], "trivial_baseline": []}, "explanations": {"pointing": None},
        "subgroups": pd.DataFrame(columns=["column", "value", "compared", "rest", "worst"]),
        "train": SimpleNamespace(quick=False), **more})


def border(auroc: float) -> dict[str, Any]:
    return {"warnings": [], "trivial_baseline": [
        {"feature": "mean colour", "auroc": 0.1, "low": 0.0, "high": 0.2},
        {"feature": "border", "auroc": auroc, "low": auroc - 0.1, "high": auroc + 0.1}]}


def said(results: Any) -> list[str]:
    return [one.sentence for one in trust.cautions(results)]


def test_a_model_without_a_fault_gives_no_reason() -> None:
    assert said(results_of(LABELS, GOOD)) == []


def test_a_model_that_is_right_as_often_as_a_guess_is_told_so() -> None:
    wrong = np.where(np.arange(200) % 20 < 9, 1 - LABELS, LABELS) * 0.1 + 0.45
    found = results_of(LABELS, wrong)
    low, high = found.intervals["test"]["balanced_accuracy"]
    assert said(found) == ["a guess would do: its balanced accuracy is 0.50, within the model's interval of "
                           f"{low:.2f} to {high:.2f}"]


@pytest.mark.parametrize("ill", [2, 20, 50])
def test_a_model_that_always_says_the_same_is_told_that_a_guess_would_do(ill: int) -> None:
    found = results_of([0] * (100 - ill) + [1] * ill, [1e-3 * ill] * 100)
    assert any(one.startswith("a guess would do: its balanced accuracy is 0.50") for one in said(found))


def test_a_figure_without_an_interval_is_held_against_a_guess_by_itself() -> None:
    one = results_of([0, 1], [0.2, 0.2], groups=pd.Series("one", ["0.png", "1.png"]))
    assert one.intervals["test"]["balanced_accuracy"] is None
    assert "a guess would do: its balanced accuracy is 0.50, against the model's 0.50" in said(one)


def test_a_model_that_is_worse_than_a_guess_is_told_so() -> None:
    found = said(results_of(LABELS, 1 - GOOD))
    assert any(one.startswith("a guess would do: its balanced accuracy is 0.50, above the model's interval")
               for one in found)


def test_a_class_without_a_test_image_does_not_count_to_what_a_guess_reaches() -> None:
    assert trust.rivals(results_of(LABELS, GOOD, ["a", "b", "c"]))[-1].balanced_accuracy == Figure(0.5, None)


def test_colours_are_a_reason_from_the_lower_end_of_the_models_interval_on() -> None:
    found = results_of(LABELS, GOOD)
    low, high = found.intervals["test"]["auroc_macro"]
    for auroc, expected in (
        (low - 0.01, []),
        (low + 0.01, [f"border alone tells the classes nearly as well: AUROC {low + 0.01:.2f}, within"]),
        (high + 0.01, [f"border alone tells the classes better than the model: AUROC {high + 0.01:.2f}, above"]),
    ):
        found.audit = border(auroc)
        assert [one[: one.index(" the model's interval")] for one in said(found)] == expected


def test_colours_are_a_reason_too_where_the_models_area_has_no_interval() -> None:
    constant = said(results_of(LABELS, [0.5] * 200, audit=border(0.7)))
    assert "border alone tells the classes better than the model: AUROC 0.70, against the model's 0.50" in constant
    perfect = results_of(LABELS, LABELS, audit=border(0.99))
    assert not any("border" in one for one in said(perfect))


def test_the_smallest_class_of_few_images_is_named_and_the_others_are_counted() -> None:
    def of(*counts: int) -> list[str]:
        labels = np.repeat(np.arange(len(counts)), counts)
        found = said(results_of(labels, np.where(labels == 1, 0.9, 0.1), list("abcd")[:len(counts)]))
        return [one for one in found if one.startswith("only")]

    sensitivity = 1 - 0.025 ** (1 / 12)  # none of twelve, as every c is called a
    shown = f"only 12 test images of c, whose sensitivity may be anywhere from 0.00 to {sensitivity:.2f}"
    assert of(150, 20, 12) == [shown]
    assert of(150, 19, 12) == [f"{shown}, and 1 more class has fewer than 20"]
    assert of(150, 19, 12, 18) == [f"{shown}, and 2 more classes have fewer than 20"]


def test_classes_of_which_nothing_is_found_are_named() -> None:
    table = predictions_of([0] * 40 + [1] * 40 + [2] * 40, np.eye(3)[[0] * 40 + [0] * 40 + [1] * 40], list("abc"))
    assert "it finds no test image of b, c" in said(results_of_table(table, list("abc")))
    assert not [sentence for sentence in said(results_of(LABELS, GOOD)) if "finds no" in sentence]


def test_a_class_without_a_test_image_is_named() -> None:
    found = said(results_of(LABELS, GOOD, ["a", "b", "c"]))
    assert found == ["no test image of c: nothing is known of what the model does with one"]


@pytest.mark.parametrize(("groups", "shown"), [(1, "1 group "), (10, "10 groups ")])
def test_few_groups_of_several_images_are_a_reason(groups: int, shown: str) -> None:
    of = pd.Series([f"patient {number % groups}" for number in range(200)], [f"{n}.png" for n in range(200)])
    assert any(f"are of only {shown}(patients)" in one for one in said(results_of(LABELS, GOOD, groups=of)))


def test_few_images_of_as_many_patients_are_not_said_to_be_few_groups() -> None:
    assert not any("patients" in one for one in said(results_of(LABELS[:15], GOOD[:15])))


def test_a_model_that_is_far_too_sure_is_a_reason() -> None:
    sure = results_of(LABELS, (GOOD > 0.5) * 0.98 + 0.01)
    assert said(sure) == ["its probabilities don't mean what they say: 0.99 on average where 0.80 of the predictions "
                          "are right"]


def test_certainty_within_what_ten_images_tell_is_no_reason() -> None:
    few = results_of(LABELS[:10], (GOOD[:10] > 0.5) * 0.8 + 0.1)  # 0.90 and 0.80
    assert not any("don't mean" in one for one in said(few))


def test_of_grades_the_probability_of_the_median_is_judged() -> None:
    chances = np.array([[0.49, 0.26, 0.25]] * 200)  # the likeliest grade is a, the median b
    labels = np.repeat([1, 0, 2], [52, 98, 50])
    table = predictions_of(labels, chances, list("abc"), predicted=decided("ordinal", chances))
    assert (table["prediction"] == "b").all()
    assert not any("don't mean" in one for one in said(results_of_table(table, list("abc"))))


def test_the_subgroup_that_stands_out_is_named() -> None:
    rows = pd.DataFrame({"column": "camera", "value": ["x", "y"], "compared": [0.6, 0.9], "rest": [0.9, 0.6],
                         "worst": [1.0, 0.0]})
    assert said(results_of(LABELS, GOOD, subgroups=rows)) == [
        "test images with camera x are told worse than the others: balanced accuracy 0.60 against 0.90"]
    assert said(results_of(LABELS, GOOD, subgroups=rows.assign(worst=0.0))) == []


def test_more_than_one_label_in_twenty_that_looks_wrong_is_a_reason() -> None:
    table = results_of(LABELS, GOOD).test
    assert said(results_of(LABELS, GOOD, suspicious=table.iloc[:10])) == []
    assert said(results_of(LABELS, GOOD, suspicious=table.iloc[:11]))[0].startswith("11 of 200 validation and test")


def test_evidence_of_right_predictions_that_is_no_better_than_chance_is_a_reason() -> None:
    rate = {"n": 20, "share": 0.5, "low": 0.29, "elsewhere": 0.3}
    clear = rate | {"low": 0.31}
    for right, wrong, warned in ((rate, clear, 1), (clear, rate, 0)):
        found = said(results_of(LABELS, GOOD, explanations={"pointing": {"right": right, "wrong": wrong}}))
        assert found == ["its evidence lies on a known lesion in 50% of the images that it gets right, and by chance "
                         "it would in 30%"] * warned


def test_shortened_training_and_a_missing_validation_part_are_reasons() -> None:
    found = results_of(LABELS, GOOD, train=SimpleNamespace(quick=True))
    del found.metrics["val"]
    assert [one.split(":")[0] for one in said(found)] == ["shortened training", "no validation part"]


def test_each_reason_leads_to_the_section_that_says_more() -> None:
    found = results_of(LABELS, GOOD, audit=border(0.99) | {"warnings": ["copies"]}, train=SimpleNamespace(quick=True))
    assert [one.section for one in trust.cautions(found)] == ["data", "results", "training"]


def test_the_model_is_held_against_the_commit_colours_and_a_guess() -> None:
    before = {"test": {"n": 9, "balanced_accuracy": 0.75, "auroc_macro": 0.9}}
    changes = SimpleNamespace(commit="abc1234", metrics=before)
    found = trust.rivals(results_of(LABELS, GOOD, audit=border(0.7), changes=changes))
    assert [(one.name, one.balanced_accuracy.value, one.auroc.value) for one in found[1:]] == [
        ("the run of commit abc1234", 0.75, 0.9), ("border alone, in training", None, 0.7),
        ("always the same class", 0.5, 0.5)]
    assert found[0].balanced_accuracy.value == pytest.approx(0.8)
    none = SimpleNamespace(commit="abc1234", metrics={})
    assert len(trust.rivals(results_of(LABELS, GOOD, changes=none))) == 2
