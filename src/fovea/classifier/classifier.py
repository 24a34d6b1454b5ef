"""A trained model with all that turns photographs into probabilities: the preprocessing is that of training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from fovea.cache.picture import make_square
from fovea.decode import read_header
from fovea.errors import UserError, one_line
from fovea.evaluation.calibration import scaled
from fovea.evaluation.predict import chances
from fovea.evaluation.prediction import Point, Prediction, as_plain, digest_of, from_plain
from fovea.evaluation.unlike import kept_features, of_unit_length, shrunk
from fovea.ingest.check import require_whole
from fovea.params.augment import SquareParams
from fovea.training.data import make_rows
from fovea.training.loss import decided
from fovea.training.model import load_model, save_model

MAX_PIXELS = 100_000_000  # of one image: decoded it takes three bytes each
BESIDE = "prediction.pt"  # what `evaluate` writes beside a model.pt
JOINED = "prediction"     # its place in the file that has both


class Squares:
    """Squares in memory, read as a `Cache` is: `pixels` uint8 (n, size, size, 3)."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.attrs = pixels, {"size": pixels.shape[1]}
        names = [str(number) for number in range(len(pixels))]
        self.index = pd.DataFrame({"image": names, "digest": names, "target": 0, "variant": 0})

    def take(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Pixels of `rows` (n,), uint8 (n, size, size, 3), in `out` if it is given."""
        return np.take(self.pixels, rows, axis=0, out=out, mode="clip")


class Seen(NamedTuple):
    """What a classifier makes of n images."""

    chances: np.ndarray    # float64 (n, classes): the probabilities of reports/predictions.csv
    distances: np.ndarray  # float64 (n,): above 1 is unlike the training images, see `Reference`


@dataclass(frozen=True)
class Classifier:
    """The `model` and `record` of `load_model`, and what was found with them on validation images."""

    model: nn.Module
    record: dict[str, Any]
    prediction: Prediction
    device: torch.device

    @property
    def classes(self) -> list[str]:
        """Their names, in the order of the probabilities."""
        return list(self.record["classes"])

    def square(self, content: bytes) -> np.ndarray:
        """The square of an encoded image as training has it: RGB uint8 (size, size, 3).

        Raises UserError with the reason if it cannot be used; one of more than `MAX_PIXELS` is not decoded.
        """
        header = read_header(content)
        if header.width * header.height > MAX_PIXELS:
            raise UserError(f"{header.width} x {header.height} px, more than {MAX_PIXELS:,}")
        try:
            require_whole(content, header)
            return make_square(content, SquareParams(**self.record["square"]), strict=True)[0]
        except (UserError, MemoryError):
            raise
        except Exception as error:  # readers of foreign bytes raise whatever they like
            raise UserError(f"cannot be decoded: {one_line(error)}") from None

    def see(self, squares: np.ndarray) -> Seen:
        """Predict squares uint8 (n, size, size, 3), n above 0."""
        cache: Any = Squares(squares)
        every = np.ones(len(squares), bool)
        rows = make_rows(cache, every, self.record["crop"], self.record["scaling"], self.device)
        with kept_features(self.model) as kept:
            found = chances(self.model, self.record, rows, self.prediction.views)
        features = of_unit_length(kept)[: len(squares)]  # of the first view: the image as it is
        return Seen(found, self.prediction.reference.distances(features, shrunk(squares)))

    def labels(self, chances: np.ndarray, point: Point | None = None) -> np.ndarray:
        """str (n,) of probabilities (n, classes): the predicted class, or at an operating point its class or the other
        one, "not <class>" where there are several."""
        if point is None:
            return np.array(self.classes, object)[decided(self.record["loss"], chances)]
        others = [name for name in self.classes if name != point.name]
        other = others[0] if len(others) == 1 else f"not {point.name}"
        return np.where(chances[:, self.classes.index(point.name)] >= point.threshold, point.name, other).astype(object)

    def calibrated(self, chances: np.ndarray) -> np.ndarray:
        """float64 (n, classes): at the temperature that fits validation best; as they are where none was found."""
        return scaled(chances, self.prediction.temperature or 1)

    def point(self, text: str) -> Point:
        """The operating point `sensitivity=0.9`, or of several classes `severe:sensitivity=0.9`.

        Raises UserError with those that there are if there is none, or several.
        """
        points = self.prediction.points
        found = [point for point in points if text in (str(point), str(point).removeprefix(f"{point.name}:"))]
        if len(found) != 1:
            there = ", ".join(map(str, points)) or "none, as validation was too small"
            raise UserError(f"--at {text}: no such operating point, or of several classes; there are {there}. "
                            "evaluate.operating_points in params.yaml asks for others")
        return found[0]


def load_classifier(path: Path | str, device: torch.device) -> Classifier:
    """A file of `save_classifier`, or a `model.pt` with the `prediction.pt` of its evaluation beside it.

    Raises UserError if the file is missing or not one of these, or the two do not belong together.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: not found; train a model with dvc repro, or give a file or models:/NAME@ALIAS")
    try:
        model, record = load_model(path)
        found = record.pop(JOINED, None)
        if "square" not in record:
            raise KeyError("square")
        prediction = from_plain(found or _beside(path))
    except UserError:
        raise
    except Exception as error:  # whatever torch and zipfile raise of foreign bytes
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(f"{path}: is no classifier of this version of Fovea ({reason}); train it again with "
                        "dvc repro") from None
    return Classifier(model, record, prediction, device)


def _beside(path: Path) -> dict[str, Any]:
    beside = path.with_name(BESIDE)
    if not beside.is_file():
        raise UserError(f"{path}: was not evaluated: there is no {BESIDE} beside it; run dvc repro")
    values: dict[str, Any] = torch.load(beside, weights_only=True)
    if values["model"] != digest_of(path):
        raise UserError(f"{path}: {beside} is of another model; run dvc repro, which evaluates this one")
    return values


def save_classifier(path: Path | str, classifier: Classifier) -> None:
    """Write all of it as one file of plain values and tensors, for `torch.load(weights_only=True)`."""
    save_model(path, classifier.model, {**classifier.record, JOINED: as_plain(classifier.prediction)})
