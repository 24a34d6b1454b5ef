"""Whether one model may take the place of another: a function of what both say of the same test images."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fovea.errors import UserError
from fovea.evaluation.paired import compare_paired

LOWER_IS_BETTER = ("log_loss",)
LEAST_SHARED = 0.5  # of the champion's test images: fewer are another test than the one that it stands for
ROWS = ["image", "group", "label", "prediction"]  # columns of a table of test rows, beside p_<class>


class Verdict(NamedTuple):
    """What becomes of a challenger."""

    harmless: bool
    why: str
    rows: dict[str, int]           # of `compare_paired`; {} where it could not compare
    figure: dict[str, Any] | None  # likewise: `one` is the challenger, `other` the champion


def test_rows(predictions: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The predictions of a test part by what the images are, and not by what they are called: `ROWS` and p_<class>.

    `images` is a manifest, whose digests take the place of names. Of images that are alike, even with several labels,
    each is one of its own, counted in the order of labels and names. `group` is "" where there is none. Raises
    UserError if the manifest lacks one of the images.
    """
    table = predictions.merge(images[["image", "digest", "group"]], on="image", how="left", validate="one_to_one")
    if table["digest"].isna().any():
        missing = table.loc[table["digest"].isna(), "image"].iloc[0]
        raise UserError(f"data/manifest.parquet lacks the test image {missing}; dvc repro evaluates the images anew")
    table = table.sort_values(["digest", "label", "image"], ignore_index=True)
    number = table.groupby("digest").cumcount().astype(str)
    table["image"] = table["digest"] + np.where(number == "0", "", " " + number)
    table["group"] = table["group"].fillna("").astype(str)
    return table[ROWS + [name for name in table if str(name).startswith("p_")]]


def decide(challenger: pd.DataFrame, champion: pd.DataFrame, by: str, margin: float) -> Verdict:
    """Hold two tables of `test_rows` against each other by the figure `by` of `COMPARED`.

    A challenger is harmless if the 95 % interval of the difference, paired and over whole groups, excludes that it is
    worse by more than `margin`. Only images that both have with the same label count: half of the champion's at least,
    of each of its classes one.
    """
    classes = [str(name).removeprefix("p_") for name in champion if str(name).startswith("p_")]
    known = champion if (champion["group"] != "").any() else challenger  # numbers of patients are a table's own
    groups = known[known["group"] != ""].set_index("image")["group"]
    try:
        found = compare_paired(challenger, champion, classes, groups)
    except UserError as error:
        return Verdict(False, str(error), {}, None)
    rows = found["rows"]
    if why := _too_few(challenger, champion, rows["compared"]):
        return Verdict(False, why, rows, None)
    figure = found["figures"][by]
    return Verdict(*_judge(figure, by, margin, found["mcnemar"]["only_other_right"]), rows, figure)


def _too_few(challenger: pd.DataFrame, champion: pd.DataFrame, compared: int) -> str:
    """Why the images that both have are too few to compare on; "" if they are not."""
    if not compared:
        return "they share no test image with the same label"
    if compared < LEAST_SHARED * len(champion):
        return (f"they share {compared} of the champion's {len(champion)} test images, less than half: evaluate one of "
                "them on the other's images")
    both = champion.merge(challenger, on=["image", "label"])
    if absent := sorted({*champion["label"]} - {*both["label"]}):
        return f"they share no test image of {', '.join(absent)}"
    return ""


def _judge(figure: dict[str, Any], by: str, margin: float, lost: int) -> tuple[bool, str]:
    """`lost` are the images on which the champion alone is right."""
    if figure["difference"] is None:
        return False, f"{by} is not defined on these images"
    worse = figure["difference"] if by in LOWER_IS_BETTER else -figure["difference"]
    if figure["interval"] is None:  # it does not vary over resamples, or is mostly undefined in them
        if worse > 0 or lost:
            return False, f"these images are too few for an interval of {by}"
        return True, "it is right wherever the champion is"
    low, high = figure["interval"]
    harm = high if by in LOWER_IS_BETTER else -low
    if harm <= margin:
        return True, f"the interval excludes harm{f' of more than {margin:g}' if margin else ''}"
    return False, f"by the interval it may be worse by {harm:.3f}, more than --margin {margin:g}"
