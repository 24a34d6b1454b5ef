"""Test images with what the model says of them, and what that rests on."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from fovea.evaluation.table import class_numbers, probabilities
from fovea.report.pictures import data_uri, originals_pixels
from fovea.report.results import Results

MOST = 1000    # images
SIDES = (160, 112, 80, 56)  # px, of a small copy: the largest at which all fit
ROOM = 11e6    # characters of all small copies: with the rest of the page it stays below 15 MB
QUALITY = 75   # of their JPEGs; photographs have 3 to 6 kB at 160 px
MOST_CLASSES = 8  # whose evidence is shown
STRENGTH = 0.65   # of the colour at the strongest evidence


@dataclass(frozen=True)
class Shot:
    """One test image. `number` is its place in the gallery, from 0."""

    number: int
    image: str
    uri: str
    actual: int          # number of the class
    predicted: int
    chances: list[float]
    evidence: str | None  # the image under its explanation, as a URI

    @property
    def right(self) -> bool:
        return self.actual == self.predicted


def gallery(results: Results, folder: Path) -> list[Shot]:
    """At most `MOST` test images, the wrong ones first, the most confident first; `folder` holds the heat maps.

    Of more, each cell of the confusion matrix has its most confident ones.
    """
    table = results.test.reset_index(drop=True)
    actual, predicted = (class_numbers(table[column], results.classes) for column in ("label", "prediction"))
    chances = probabilities(table, results.classes)
    rows = table[["image"]].assign(actual=actual, predicted=predicted, right=actual == predicted,
                                   p=chances[np.arange(len(table)), predicted], row=np.arange(len(table)))
    rows = rows.sort_values(["p", "image"], ascending=[False, True])
    place = rows.groupby(["actual", "predicted"]).cumcount()
    rows = rows.iloc[np.argsort(place.to_numpy(), kind="stable")[:MOST]]
    rows = rows.sort_values(["right", "p", "image"], ascending=[True, False, True], ignore_index=True)
    copies = small_copies(results, rows["image"])
    files = results.explained.set_index("image")["file"]
    shots = []
    for number, (row, uri) in enumerate(zip(rows.to_dict("records"), copies, strict=True)):
        file = files.get(row["image"], "")
        shots.append(Shot(
            number, row["image"], uri, row["actual"], row["predicted"],
            [round(float(chance), 3) for chance in chances[row["row"]]],
            explained_copy(results, row["image"], folder / file) if file else None,
        ))
    return shots


def small_copies(results: Results, images: pd.Series) -> list[str]:
    """Data URIs of these images, as large as `ROOM` lets them be."""
    for side in SIDES:
        copies = [data_uri(pixels, side, QUALITY) for pixels in originals_pixels(results.cache, images)]
        if sum(map(len, copies)) < ROOM:
            break
    return copies


def explained_copy(results: Results, image: str, heat: Path) -> str:
    """Data URI of one image under its heat map."""
    pixels, = originals_pixels(results.cache, [image])
    return data_uri(overlaid(pixels, heat), SIDES[0], QUALITY)


def evidence(results: Results, shots: list[Shot]) -> list[tuple[str, list[Shot]]]:
    """Class and its explained images, right ones first, for the first classes that have any."""
    explained = [shot for shot in shots if shot.evidence]
    rows = [(name, sorted((shot for shot in explained if shot.actual == number),
                          key=lambda shot: (not shot.right, shot.number)))
            for number, name in enumerate(results.classes)]
    return [(name, mine) for name, mine in rows if mine][:MOST_CLASSES]


def overlaid(pixels: np.ndarray, path: Path) -> np.ndarray:
    """uint8 (size, size, 3): the image, coloured where the heat map at `path` says that the evidence lies."""
    heat = simplejpeg.decode_jpeg(path.read_bytes(), colorspace="GRAY")
    heat = cv2.resize(heat, pixels.shape[:2], interpolation=cv2.INTER_LINEAR)
    colours = cv2.cvtColor(cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    share = STRENGTH * heat[..., None].astype(np.float32) / 255
    blended: np.ndarray = np.rint(pixels * (1 - share) + colours * share).astype(np.uint8)
    return blended
