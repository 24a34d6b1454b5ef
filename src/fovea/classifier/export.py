"""`fovea export`: a classifier as one file for others, as PyTorch or ONNX."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from fovea.cache.read import Cache
from fovea.classifier import onnx as graphs
from fovea.classifier.classifier import Classifier, save_classifier
from fovea.classifier.command import find_classifier
from fovea.classifier.int8 import CALIBRATION, measured, speeds, to_int8
from fovea.errors import UserError
from fovea.evaluation.prediction import data_of
from fovea.files import replacing

FORMATS = (".pt", ".onnx")
LIMIT = 1e-4   # of the difference of a probability, calibrated or not, between the file and the model
AWAY = 1e-2    # of that of a distance, of which 1 is the limit: its 8 x 8 pixels may be rounded the other way
MOST = 1000    # validation images that are compared: the cache has them in an order as good as drawn
DRAWN = 64     # squares, where there are no images


class Images(NamedTuple):
    """Squares uint8 (n, size, size, 3) and classes int64 (n,) of some images."""

    squares: np.ndarray
    targets: np.ndarray


def export(out: Path, model: str, int8: bool, cache: Path) -> None:
    """Write the classifier `model` to `out`, and say how far it is from the original.

    Raises UserError if the file would give other probabilities, or as `find_classifier` and `to_onnx` do.
    """
    suffix = out.suffix.lower()
    if suffix not in FORMATS:
        raise UserError(f"{out}: must end with {' or '.join(FORMATS)}")
    if int8 and suffix != ".onnx":
        raise UserError(f"{out}: --int8 goes with .onnx")
    if suffix == ".onnx":
        graphs.require_onnx()
    classifier = find_classifier(model, "cpu")
    if suffix == ".onnx":
        _write_onnx(out, classifier, cache, int8)
        return
    save_classifier(out, classifier)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, the model and all that prediction takes")


def _write_onnx(out: Path, classifier: Classifier, folder: Path, int8: bool) -> None:
    cache = matching(folder, classifier)
    training, validation = (part(cache, *asked) if cache else None for asked in (("train", CALIBRATION), ("val", MOST)))
    if int8 and not (training and validation):
        raise UserError(f"--int8: needs the training and validation images of this very model, and {folder} has not "
                        "got them; export it where it was trained, after dvc repro or dvc checkout")
    proto = graphs.to_onnx(classifier)
    squares = validation.squares if validation else drawn(classifier.record["square"]["image_size"])
    chance, distance = checked(proto, classifier, squares)
    on = "validation images" if validation else f"drawn squares, as {folder} has not got the images of this model"
    said = [f"largest difference to the model on {len(squares)} {on}: {chance:.1e} of a probability, {distance:.1e} of "
            "a distance"]
    if int8 and training and validation:
        proto, more = _small(proto, classifier, training, validation)
        said += more
    with replacing(out) as temporary:
        temporary.write_bytes(proto.SerializeToString())
    print(f"{out}: {proto.ByteSize() / 1e6:.1f} MB", *said, sep="\n")


def matching(folder: Path, classifier: Classifier) -> Cache | None:
    """The cache in `folder` if it is the one that the classifier was evaluated on: its parts are those of training."""
    if not (folder / "index.parquet").is_file():
        return None
    cache = Cache(folder)
    return cache if data_of(cache, folder) == classifier.prediction.data else None


def part(cache: Cache, name: str, most: int) -> Images | None:
    """At most so many images of train or val, as they are stored; None if there are none."""
    index = cache.index
    rows = np.flatnonzero((index["split"] == name) & (index["variant"] == 0))[:most]
    return Images(cache.take(rows), index["target"].to_numpy(np.int64)[rows]) if len(rows) else None


def drawn(side: int) -> np.ndarray:
    """Squares uint8 (DRAWN, side, side, 3) of coloured clouds from coarse to fine, the same each time."""
    draws = np.random.default_rng(0)
    return np.stack([cv2.resize(draws.integers(0, 256, (2 + number, 2 + number, 3), np.uint8), (side, side),
                                interpolation=cv2.INTER_CUBIC) for number in range(DRAWN)])


def checked(proto: Any, classifier: Classifier, squares: np.ndarray) -> tuple[float, float]:
    """The largest difference of a probability, and of a distance, between a graph and its classifier on squares uint8
    (n, size, size, 3). Raises UserError if either is too large."""
    found = graphs.run(graphs.open_session(proto), squares)
    seen = classifier.see(squares)
    chance = max(float(np.abs(mine - its).max()) for mine, its in (
        (seen.chances, found.probabilities), (classifier.calibrated(seen.chances), found.calibrated)))
    known = classifier.prediction.reference.limits is not None
    distance = float(np.abs(seen.distances - found.distance).max()) if known else 0.0
    if not (chance <= LIMIT and distance <= AWAY):  # NaN is too large as well
        raise UserError(f"{classifier.record['model']}: as ONNX a probability is off by {chance:.1e}, a distance by "
                        f"{distance:.1e} (at most {LIMIT:.0e} and {AWAY:.0e}); nothing is written: export it as .pt")
    return chance, distance


def _small(whole: Any, classifier: Classifier, training: Images, validation: Images) -> tuple[Any, list[str]]:
    """The int8 graph, with its loss in its metadata, and lines that say it."""
    small = to_int8(whole, training.squares)
    found = measured(classifier.record["loss"], whole, small, *validation)
    graphs.write_metadata(small, {**graphs.metadata(classifier), "int8": found})
    before, after = speeds([partial(graphs.run, graphs.open_session(proto)) for proto in (whole, small)],
                           validation.squares)
    figures = ", ".join(f"{name.replace('_', ' ')} {found['before'][name]:.4f} -> {found['after'][name]:.4f}"
                        for name in found["before"])
    return small, [
        f"int8, ranges from {len(training.targets)} training images, on {found['n']} validation images: {figures}",
        f"int8 changes {found['labels_changed']} labels, and a probability by {found['largest_difference']:.4f} at "
        f"most, {found['mean_difference']:.4f} in the mean",
        f"int8: {whole.ByteSize() / 1e6:.1f} MB -> {small.ByteSize() / 1e6:.1f} MB, {before:.2f} ms -> {after:.2f} ms "
        f"an image ({before / after:.2f} times as fast; threads: {torch.get_num_threads()})",
    ]
