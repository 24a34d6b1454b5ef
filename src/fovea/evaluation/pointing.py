"""Whether explanations point at what is known to be there: the pointing game (Zhang et al., "Top-Down Neural Attention
by Excitation Backprop", International Journal of Computer Vision 126 (2018), section 4.1), against chance.
"""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fovea.cache.circle import Circle, fit_circle, rim_points
from fovea.cache.field import find_field
from fovea.cache.read import Cache

if TYPE_CHECKING:
    from fovea.evaluation.explain import Explainer

CONFIDENCE = 0.95
FLAT = 1e-6  # of a peak's height: where a map is cut off at the image's edge, a whole area is the highest


def read_marks(lesions: Path | str, fields: Path | str) -> pd.DataFrame | None:
    """Lesions as discs on a round field of view, in its radii: columns image (a name without folder and suffix), x and
    y from the field's centre, radius. None unless both files are there, as in the set demo."""
    if not (Path(lesions).is_file() and Path(fields).is_file()):
        return None
    marks, circles = (pd.read_csv(path, dtype={"image": str}) for path in (lesions, fields))
    circles = circles.set_index("image").loc[marks["image"]].reset_index(drop=True)
    marks[["x", "y"]] -= circles[["x", "y"]]
    marks[["x", "y", "radius"]] = marks[["x", "y", "radius"]].div(circles["radius"], axis=0)
    return marks[["image", "x", "y", "radius"]]


def mark_name(image: str) -> str:
    """`images/0001_left.jpeg` as `0001_left`."""
    return PurePosixPath(image).stem


class Scene(NamedTuple):
    """One image: where its explanation peaks, what its marks cover, and the share of the visible field that this is."""

    peak: tuple[int, int] | None  # row and column
    covered: np.ndarray           # bool (size, size)
    share: float


def pointing_game(
    predictions: pd.DataFrame, marks: pd.DataFrame, explainer: "Explainer", cache: Cache
) -> dict[str, Any]:
    """`hit_rates` of the `right` and of the `wrong` predictions of the test images with marks, and the `tolerance`.

    A peak hits a mark that it is at most `tolerance` px off: half a cell of the explainer's layer, because a lesion
    anywhere in a cell lights all of it. An image whose field is not round in the cache is left out: its marks have no
    place there.
    """
    discs = dict(list(marks.groupby("image")))
    marked = (predictions["split"] == "test") & predictions["image"].map(mark_name).isin(discs)
    table = predictions[marked]
    places = pd.Series(np.arange(len(cache)), index=cache.index["image"])[(cache.index["variant"] == 0).to_numpy()]
    seen, tolerance = explainer.record["size"], explainer.tolerance()
    scenes: dict[str, list[Scene]] = {"right": [], "wrong": []}
    for heat, image, right in zip(explainer.maps(table), table["image"], table["label"] == table["prediction"],
                                  strict=True):
        field = round_field(cache.take(places.loc[[image]].to_numpy())[0])
        if field is not None:
            scene = make_scene(heat, field, discs[mark_name(image)], seen, tolerance)
            scenes["right" if right else "wrong"].append(scene)
    return {"tolerance": tolerance, **{kind: hit_rates(found) for kind, found in scenes.items()}}


def round_field(pixels: np.ndarray) -> Circle | None:
    """The round field of cached pixels (size, size, 3), however they were cropped; None if there is none."""
    field = find_field(pixels, detail=len(pixels))
    return fit_circle(rim_points(field.mask)) if field else None


def make_scene(heat: np.ndarray, field: Circle, discs: pd.DataFrame, seen: int, tolerance: float) -> Scene:
    """`discs` are the marks of one image, columns x, y and radius in radii of the field."""
    size = len(heat)
    place = np.arange(size) + 0.5
    centre = np.abs(place - size / 2) < seen / 2
    visible = disc(size, field.x, field.y, field.radius) & centre & centre[:, None]
    covered = np.zeros_like(visible)
    for x, y, radius in field.radius * discs[["x", "y", "radius"]].to_numpy():
        covered |= disc(size, field.x + x, field.y + y, radius + tolerance)
    covered &= visible
    return Scene(peak(heat * visible), covered, covered.sum() / max(visible.sum(), 1))


def disc(size: int, x: float, y: float, radius: float) -> np.ndarray:
    """Which pixels have their centre in a disc: bool (size, size)."""
    place = np.arange(size) + 0.5
    inside: np.ndarray = (place - x) ** 2 + (place[:, None] - y) ** 2 <= radius**2
    return inside


def peak(heat: np.ndarray) -> tuple[int, int] | None:
    """Row and column of the highest place of a map, the middle of it if it is flat; None if all is 0."""
    if not heat.any():
        return None
    row, column = np.argwhere(heat >= (1 - FLAT) * heat.max()).mean(axis=0).round().astype(int).tolist()
    return row, column


def hit_rates(scenes: list[Scene]) -> dict[str, Any]:
    """`n` images, `hits` of them, their `share` with its exact interval (Clopper and Pearson 1934), and two rates of
    chance: `area`, of a random place of the field, and `elsewhere`, of the peaks of the other images. The latter knows
    where lesions and peaks usually are, so that a model that always looks at the middle does not seem to look at
    lesions. None where there is no image, or no other."""
    n = len(scenes)
    if not n:
        return {"n": 0, "hits": 0, **dict.fromkeys(("share", "low", "high", "area", "elsewhere"))}
    # hit[i, j]: the peak of image i on the marks of image j
    hit = np.array([[bool(one.peak and other.covered[one.peak]) for other in scenes] for one in scenes])
    hits = int(np.trace(hit))
    interval = binomtest(hits, n).proportion_ci(CONFIDENCE, method="exact")
    return {
        "n": n,
        "hits": hits,
        "share": hits / n,
        "low": float(interval.low),
        "high": float(interval.high),
        "area": float(np.mean([scene.share for scene in scenes])),
        "elsewhere": float((hit.sum() - hits) / (n * (n - 1))) if n > 1 else None,
    }
