"""What a reader must know before believing the figures, and what the figures must be held against."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from fovea.evaluation.subgroups import worst_of
from fovea.evaluation.table import confidences
from fovea.report.content import Figure, figure
from fovea.report.results import Results

FEW_IMAGES = 20   # of a class in the test part: below, its sensitivity is known to a third at best
FEW_GROUPS = 20   # in the test part: below, intervals are too narrow
MISCALIBRATED = 0.05  # between the mean probability of the predicted class and the share that is right
MOST = 6  # shown on the first screen; the model card has all
SUSPICIOUS = 0.05  # of the labels of validation and test


@dataclass(frozen=True)
class Caution:
    sentence: str
    section: str  # of the page, that says more


@dataclass(frozen=True)
class Rival:
    """A line of the table of what the model is held against."""

    name: str
    balanced_accuracy: Figure
    auroc: Figure


def cautions(results: Results) -> list[Caution]:
    """Why these figures may mislead, what is about the images first."""
    found = [Caution(sentence, "data") for sentence in results.audit["warnings"]]
    for section, sentences in (
        ("results", _of_size(results)), ("results", _of_rivals(results)), ("calibration", _of_calibration(results)),
        ("subgroups", _of_subgroups(results)), ("labels", _of_labels(results)), ("evidence", _of_evidence(results)),
        ("training", _of_training(results)),
    ):
        found += [Caution(sentence, section) for sentence in sentences]
    return found


def _of_size(results: Results) -> Iterator[str]:
    test = results.metrics["test"]
    if test["absent"]:
        yield f"no test image of {', '.join(test['absent'])}: nothing is known of what the model does with one"
    missed = [name for name, row in test["classes"].items() if row["support"] and not row["sensitivity"]]
    if missed:
        yield f"it finds no test image of {', '.join(missed)}"
    small = [(row["support"], name) for name, row in test["classes"].items() if 0 < row["support"] < FEW_IMAGES]
    if small:
        count, name = min(small)
        limits = figure(results, "test", "classes", name, "sensitivity").interval
        shown = f", whose sensitivity may be anywhere from {limits[0]:.2f} to {limits[1]:.2f}" if limits else ""
        more = len(small) - 1
        others = f", and {more} more {'classes have' if more > 1 else 'class has'} fewer than {FEW_IMAGES}" * (more > 0)
        yield f"only {count} test image{'s' * (count > 1)} of {name}{shown}{others}"
    groups = results.intervals["test"]["groups"]
    if groups < FEW_GROUPS and groups < test["n"]:
        yield f"the test images are of only {groups} group{'s' * (groups > 1)} (patients): the intervals are too narrow"


def _of_rivals(results: Results) -> Iterator[str]:
    chance, (low, high) = _guess(results), _limits(figure(results, "test", "balanced_accuracy"))
    if chance >= low:
        yield f"a guess would do: its balanced accuracy is {chance:.2f}, {_place(chance, low, high)}"
    colours = max(results.audit["trivial_baseline"], key=lambda one: one["auroc"], default=None)
    low, high = _limits(figure(results, "test", "auroc_macro"))
    if colours and colours["auroc"] >= low:
        how = "better than the model" if colours["auroc"] > high else "nearly as well"
        yield (f"{colours['feature']} alone tells the classes {how}: AUROC {colours['auroc']:.2f}, "
               f"{_place(colours['auroc'], low, high)}")


def _limits(mine: Figure) -> tuple[float, float]:
    """What a rival must be below: a figure without an interval is its own, and no rival reaches an undefined one."""
    if mine.value is None:
        return inf, inf
    low, high = mine.interval or (mine.value, mine.value)
    return min(low, mine.value), high


def _place(rival: float, low: float, high: float) -> str:
    if low == high:
        return f"against the model's {low:.2f}"
    return f"{'above' if rival > high else 'within'} the model's interval of {low:.2f} to {high:.2f}"


def _of_calibration(results: Results) -> Iterator[str]:
    """The calibration error itself is above 0 by chance alone, so it warns of every small test part."""
    confidence, right = confidences(results.test, results.classes).mean(), figure(results, "test", "accuracy")
    if right.value is None or right.interval is None or abs(confidence - right.value) <= MISCALIBRATED:
        return
    if not right.interval[0] <= confidence <= right.interval[1]:
        yield (f"its probabilities don't mean what they say: {confidence:.2f} on average where {right.value:.2f} of "
               "the predictions are right")


def _of_subgroups(results: Results) -> Iterator[str]:
    for column in dict.fromkeys(results.subgroups["column"]):
        if worst := worst_of(results.subgroups, column):
            rows = results.subgroups
            row = rows[(rows["column"] == column) & (rows["value"] == worst)].iloc[0]
            yield (f"test images with {column} {worst} are told worse than the others: balanced accuracy "
                   f"{row['compared']:.2f} against {row['rest']:.2f}")


def _of_labels(results: Results) -> Iterator[str]:
    wrong, n = len(results.suspicious), len(results.predictions)
    if wrong > SUSPICIOUS * n:
        yield f"{wrong} of {n} validation and test labels look wrong, or the model is: somebody has to look"


def _of_evidence(results: Results) -> Iterator[str]:
    right = (results.explanations["pointing"] or {}).get("right", {})
    if right.get("elsewhere") is not None and right["low"] <= right["elsewhere"]:
        yield (f"its evidence lies on a known lesion in {right['share']:.0%} of the images that it gets right, and by "
               f"chance it would in {right['elsewhere']:.0%}")


def _of_training(results: Results) -> Iterator[str]:
    if results.train.quick:
        yield "shortened training: a trial, not the result of the recipe"
    if "val" not in results.metrics:
        yield "no validation part: no epoch, temperature or threshold could be chosen"


def rivals(results: Results) -> list[Rival]:
    """The model, the run of the commit, colours alone, and always the commonest class."""
    none = Figure(None, None)
    table = [Rival("this model", figure(results, "test", "balanced_accuracy"), figure(results, "test", "auroc_macro"))]
    if results.changes and (before := results.changes.metrics.get("test")):
        table.append(Rival(f"the run of commit {results.changes.commit}", Figure(before["balanced_accuracy"], None),
                           Figure(before["auroc_macro"], None)))
    if baseline := results.audit["trivial_baseline"]:
        best = max(baseline, key=lambda one: one["auroc"])
        table.append(Rival(f"{best['feature']} alone, in training", none,
                           Figure(best["auroc"], [best["low"], best["high"]])))
    table.append(Rival("always the same class", Figure(_guess(results), None), Figure(0.5, None)))
    return table


def _guess(results: Results) -> float:
    """Balanced accuracy of a model that says the same of every image."""
    return 1 / sum(row["support"] > 0 for row in results.metrics["test"]["classes"].values())
