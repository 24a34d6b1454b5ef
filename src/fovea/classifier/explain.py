"""Heat maps over new images: what the label of each rests on."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from fovea.classifier.classifier import Classifier, Squares
from fovea.classifier.predict import Batch
from fovea.errors import UserError
from fovea.evaluation.explain import make_explainer
from fovea.tables import as_utf8

QUALITY = 90  # of the JPEGs
LONGEST = 80  # bytes of the name of an image that its picture's name has


def explain(classifier: Classifier, folder: Path, batch: Batch, table: pd.DataFrame) -> list[str]:
    """Write for each image of `batch` its square and, to the right, the same under its heat map into `folder`; returns
    the names of the files. What is explained is the class that the model predicts, whatever the operating point.

    Raises UserError if the model has no layer that keeps places.
    """
    cache: Any = Squares(batch.squares)
    explainer = make_explainer(classifier.model, classifier.record, cache, classifier.device)
    if explainer is None:
        raise UserError(f"--explain: {classifier.record['model']} has no layer that keeps places; leave it out")
    labels = classifier.labels(table[[f"p_{name}" for name in classifier.classes]].to_numpy())
    asked = pd.DataFrame({"image": cache.index["image"], "prediction": labels})
    stems = [Path(as_utf8(image)).stem.encode()[:LONGEST].decode(errors="ignore") for image in batch.names]
    names = [f"{batch.first + number:06}-{stem}.jpg" for number, stem in enumerate(stems)]
    for name, square, heat in zip(names, batch.squares, explainer.maps(asked), strict=True):
        (folder / name).write_bytes(picture(square, heat))
    return names


def picture(square: np.ndarray, heat: np.ndarray) -> bytes:
    """JPEG of uint8 (s, s, 3) and, to its right, the same under `heat` (s, s) in [0, 1]."""
    colours = cv2.applyColorMap(np.rint(255 * heat).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    share = 0.5 * heat[..., None]
    over = np.rint((1 - share) * square + share * colours).astype(np.uint8)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(np.hstack([square, over])), quality=QUALITY)
