"""Predictions of a classifier for images from outside the pipeline."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fovea.cache.threads import one_thread_each, ordered_map
from fovea.classifier.classifier import MAX_PIXELS, Classifier, Seen
from fovea.classifier.images import Image, read_image
from fovea.errors import UserError
from fovea.evaluation.prediction import Point
from fovea.training.ahead import ahead
from fovea.training.forward import INFERENCE_BATCH


class Batch(NamedTuple):
    """Some images in order, after `first` others: those that could be used, with their squares uint8 (n, size, size,
    3), and the reasons of the others."""

    first: int
    names: list[str]
    squares: np.ndarray
    rejected: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.names) + len(self.rejected)


def batches(classifier: Classifier, images: Sequence[Image], workers: int) -> Iterator[Batch]:
    """All of `images`, decoded in `workers` threads (0: one per core)."""

    def look(image: Image) -> np.ndarray | str:
        try:
            return classifier.square(read_image(image, MAX_PIXELS))
        except UserError as error:
            return str(error)

    for first in range(0, len(images), INFERENCE_BATCH):
        some = images[first : first + INFERENCE_BATCH]
        with one_thread_each():
            looked_at = list(ordered_map(look, some, workers or os.cpu_count() or 1))
        pairs = list(zip((image.shown for image in some), looked_at, strict=True))
        good = [(name, square) for name, square in pairs if not isinstance(square, str)]
        bad = [(name, reason) for name, reason in pairs if isinstance(reason, str)]
        side = classifier.record["square"]["image_size"]
        squares = np.stack([square for _, square in good]) if good else np.empty((0, side, side, 3), np.uint8)
        yield Batch(first, [name for name, _ in good], squares, bad)


def predict(
    classifier: Classifier, images: list[Image], workers: int, point: Point | None,
    track: Callable[[Iterable[Any], str, int], Iterator[Any]],
    explain: Callable[[Batch, pd.DataFrame], list[str]] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row for each image that could be used, and columns image and reason of the others.

    Columns image, label (at the operating point `point`, if there is one), unlike (the training images), distance (from
    them, see `Reference`), p_<class> (as in reports/predictions.csv) and calibrated_<class>. `track` shows the
    progress of batches; `explain` writes pictures for one, and gives the names that become the column explanation.
    """
    tables, rejected = [table_of(classifier, [], _nothing(classifier), point)], []
    each = batches(classifier, images, workers)
    if classifier.device.type != "cpu":
        each = ahead(each)  # on the CPU both would ask for the same cores
    for batch in track(each, "predict", len(images)):
        rejected += batch.rejected
        if batch.names:
            table = table_of(classifier, batch.names, classifier.see(batch.squares), point)
            tables.append(table.assign(explanation=explain(batch, table)) if explain else table)
    return pd.concat(tables, ignore_index=True), pd.DataFrame(rejected, columns=["image", "reason"])


def _nothing(classifier: Classifier) -> Seen:
    return Seen(np.empty((0, len(classifier.classes))), np.empty(0))


def table_of(classifier: Classifier, names: list[str], seen: Seen, point: Point | None) -> pd.DataFrame:
    """The rows of `predict` for images with these names."""
    table: dict[str, Any] = {"image": names, "label": classifier.labels(seen.chances, point)}
    table |= {"unlike": seen.distances > 1, "distance": seen.distances}
    calibrated = classifier.calibrated(seen.chances)
    for prefix, chances in (("p", seen.chances), ("calibrated", calibrated)):
        table |= {f"{prefix}_{name}": chances[:, number] for number, name in enumerate(classifier.classes)}
    return pd.DataFrame(table)
