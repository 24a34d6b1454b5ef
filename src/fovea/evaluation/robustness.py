"""How the figures hold when the test images are changed a little: as little as a human reader would not mind.

After the corruptions of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, section 4.1, at a fraction of their strength. The cached pixels are changed, before they are
scaled for the model.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cv2
import numpy as np
import pandas as pd
import simplejpeg
import torch
from torch import nn

from fovea.cache.read import Cache
from fovea.evaluation.metrics import score
from fovea.evaluation.predict import predict
from fovea.seeds import generator, uniforms

Change = Callable[[np.ndarray, float, str], np.ndarray]  # (uint8 (size, size, 3), strength, digest) to the same shape
FIGURES = ("balanced_accuracy", "auroc_macro")


def blur(image: np.ndarray, strength: float, digest: str) -> np.ndarray:
    """By a Gaussian whose deviation is `strength` per cent of the image's side."""
    deviation = strength / 100 * len(image)
    return cv2.GaussianBlur(image, (0, 0), deviation, borderType=cv2.BORDER_REFLECT_101) if deviation else image


def noise(image: np.ndarray, strength: float, digest: str) -> np.ndarray:
    """Normal, of `strength` grey levels of 255, in each pixel and channel; the same draws at each strength."""
    draws = generator(0, "robustness", "noise", digest).standard_normal(image.shape, np.float32)
    return np.rint(image + strength * draws).clip(0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, strength: float, digest: str) -> np.ndarray:
    """Of quality `strength`, with half the resolution of colours."""
    content = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=round(strength), colorspace="RGB",
                                     colorsubsampling="420")
    return simplejpeg.decode_jpeg(content, colorspace="RGB")


def brightness(image: np.ndarray, strength: float, digest: str) -> np.ndarray:
    """By the factor 1 + `strength` or 1 - `strength`, drawn for each image."""
    return cv2.convertScaleAbs(image, alpha=1 + _side(digest, "brightness") * strength)


def rotation(image: np.ndarray, strength: float, digest: str) -> np.ndarray:
    """By `strength` degrees about the centre to the side drawn for each image. Black comes in, as in training."""
    middle = (len(image) - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), _side(digest, "rotation") * strength, 1)
    return cv2.warpAffine(image, matrix, image.shape[:2], flags=cv2.INTER_LINEAR)


def _side(digest: str, purpose: str) -> int:
    return 1 if uniforms(0, "robustness", purpose, digest)[0] < 0.5 else -1


CHANGES: dict[str, tuple[Change, tuple[float, ...]]] = {  # name: change, strengths from the weakest to the strongest
    "blur": (blur, (0.25, 0.5, 0.75, 1.0)),
    "noise": (noise, (2, 4, 8, 12)),
    "jpeg": (jpeg, (90, 70, 50, 30)),
    "brightness": (brightness, (0.05, 0.1, 0.15, 0.2)),
    "rotation": (rotation, (2, 5, 10, 15)),
}


class ChangedTest(Cache):
    """The test rows of a cache, their pixels changed as they are read."""

    def __init__(self, cache: Cache, change: Change, strength: float) -> None:
        self._rows = np.flatnonzero(cache.index["split"] == "test")
        self.index, self.attrs = cache.index.iloc[self._rows].reset_index(drop=True), cache.attrs
        self._cache, self._change, self._strength = cache, change, strength

    def take(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        pixels = self._cache.take(self._rows[rows], out)
        for image, digest in zip(pixels, self.index["digest"].iloc[rows], strict=True):
            image[:] = self._change(image, self._strength, digest)
        return pixels


def robustness(
    predictions: pd.DataFrame,
    model: nn.Module,
    record: dict[str, Any],
    cache: Cache,
    device: torch.device,
    views: int,
    track: Callable[[Iterable[Any], str, int], Iterator[Any]],
) -> pd.DataFrame:
    """Figures of the test part under each of `CHANGES`; the arguments behind `predictions` are those of `predict`.

    Columns change, level (0 to 4, 0 is the image as it is), strength (empty at level 0), balanced_accuracy,
    auroc_macro, and other: the share of the images that are predicted otherwise than in `predictions`, the table of
    `read_predictions`.
    """
    plain = predictions[predictions["split"] == "test"].sort_values("image", ignore_index=True)
    rows = []
    for name, (change, strengths) in CHANGES.items():
        rows.append({"change": name, "level": 0, "strength": np.nan, **_figures(plain, plain, record)})
        for level, strength in enumerate(strengths, 1):
            table = predict(model, record, ChangedTest(cache, change, strength), device, views, track)
            rows.append({"change": name, "level": level, "strength": strength, **_figures(table, plain, record)})
    return pd.DataFrame(rows)


def _figures(table: pd.DataFrame, plain: pd.DataFrame, record: dict[str, Any]) -> dict[str, Any]:
    figures = score(table, record["classes"], None)
    other = (table["prediction"] != plain["prediction"]).mean()
    return {**{name: figures[name] for name in FIGURES}, "other": float(other)}
