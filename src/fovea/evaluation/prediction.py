"""What predicting new images takes beside the model: views, temperature, operating points, and the reference."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from fovea.cache.read import Cache
from fovea.errors import UserError
from fovea.evaluation.unlike import Reference
from fovea.training.model import save_values


class Point(NamedTuple):
    """An operating point, as `operating_points` finds it."""

    name: str         # of the class that is looked for
    wanted: str       # sensitivity | specificity
    value: float      # of that on validation, at least
    threshold: float  # an image counts to the class from this probability on, before any temperature

    def __str__(self) -> str:
        return f"{self.name}:{self.wanted}={self.value:g}"


@dataclass(frozen=True)
class Prediction:
    """Found on validation images. `model` is the md5 of the model's file, to which all this belongs."""

    model: str
    data: dict[str, str]  # `data_of` the cache whose images these were
    views: int
    temperature: float | None
    points: list[Point]
    reference: Reference


def data_of(cache: Cache, folder: Path | str) -> dict[str, str]:
    """The image set of `cache` in `folder`: its `name` and `digest`, and the md5 of the `index`, which stands for parts
    and pixels too."""
    return {"name": cache.attrs["name"], "digest": cache.attrs["digest"],
            "index": digest_of(Path(folder) / "index.parquet")}


def points_of(table: pd.DataFrame) -> list[Point]:
    """The rows of `operating_points` that have a threshold."""
    found = table.dropna(subset="threshold")
    return [Point(*row) for row in found[["class", "wanted", "value", "threshold"]].itertuples(index=False, name=None)]


def save_prediction(path: Path | str, prediction: Prediction) -> None:
    """Write it whole or not at all; the same one gives the same bytes."""
    save_values(path, as_plain(prediction))


def as_plain(prediction: Prediction) -> dict[str, Any]:
    """Plain values and tensors."""
    reference = prediction.reference
    points = [point._asdict() for point in prediction.points]
    return {**vars(prediction), "points": points,
            "reference": {"features": torch.from_numpy(reference.features),
                          "pixels": torch.from_numpy(reference.pixels), "limits": reference.limits}}


def from_plain(values: dict[str, Any]) -> Prediction:
    """What `as_plain` made plain."""
    plain = values["reference"]
    reference = Reference(plain["features"].numpy(), plain["pixels"].numpy(), plain["limits"])
    points = [Point(**point) for point in values["points"]]
    return Prediction(**{**values, "points": points, "reference": reference})


def digest_of(model: Path | str) -> str:
    """md5 of the file of a model, as dvc.lock has it. Raises UserError if it is not there."""
    try:
        with Path(model).open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except FileNotFoundError:
        raise UserError(f"{model}: not found; run dvc repro, or dvc pull") from None
