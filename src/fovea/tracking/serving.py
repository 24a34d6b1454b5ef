"""The registered model behind `mlflow models serve`: images as base64 in, a row for each out.

MLflow imports this module and calls `_load_pyfunc`; nothing else of Fovea does. What comes in is foreign: nothing is
fetched, and texts, files and pixels are measured before any of them is decoded.
"""

import base64
import binascii
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from fovea.classifier.classifier import Classifier, load_classifier
from fovea.classifier.predict import table_of
from fovea.decode import read_header
from fovea.errors import UserError
from fovea.training.device import choose_device
from fovea.training.forward import INFERENCE_BATCH

IMAGE, AT = "image", "at"      # the column of a request, and its parameter
MOST_IMAGES = INFERENCE_BATCH  # of a request
MOST_BYTES = 64 << 20          # of all files of a request together, before base64
MOST_PIXELS = 50_000_000       # of one image, and of all that are decoded at once: at 14 bytes each, at most 48
LIARS = ("tiff", "dicom")      # may have tiles and frames that are larger than their header says


class Refused(MlflowException):
    """A request that is wrong, with its reason alone: MLflow's server would put all that was sent before it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, BAD_REQUEST)
        self.reason = reason

    def serialize_as_json(self) -> str:
        return json.dumps({"error_code": self.error_code, "message": self.reason})


class Room:
    """Lets threads in as long as what they take together stays within `most`; the others wait."""

    def __init__(self, most: int) -> None:
        self.most, self._taken, self._changed = most, 0, threading.Condition()

    @contextmanager
    def taking(self, amount: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._taken + amount <= self.most)
            self._taken += amount
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()


class Served:
    """A classifier that any number of threads may ask."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self._decoding, self._seeing = Room(MOST_PIXELS), threading.Lock()

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """The columns of `fovea predict` but for the name, a row for each image; those of no image raise `Refused`.

        `model_input` has them in the column `image`, each base64 of a file; a list in a cell is that many images.
        """
        texts = _texts(model_input)
        try:
            at = (params or {}).get(AT)
            point = self.classifier.point(at) if at else None
        except UserError as error:
            raise Refused(str(error).removeprefix("--")) from None
        files = _files(texts)
        squares = np.stack([self._square(number, file) for number, file in enumerate(files)])
        with self._seeing:  # the hooks on the model are one request's alone
            seen = self.classifier.see(squares)
        table = table_of(self.classifier, [""] * len(files), seen, point).drop(columns="image")
        table["distance"] = table["distance"].astype(object).where(table["distance"].notna(), None)  # JSON has no NaN
        return table

    def _square(self, number: int, file: bytes) -> np.ndarray:
        try:
            header = read_header(file)
            pixels = header.width * header.height
            if pixels > MOST_PIXELS:
                raise UserError(f"{header.width} x {header.height} px, more than {MOST_PIXELS:,}")
            with self._decoding.taking(MOST_PIXELS if header.format in LIARS else pixels):
                return self.classifier.square(file)
        except UserError as error:
            raise Refused(f"image {number}: {error}") from None
        except MemoryError:
            raise Refused(f"image {number}: takes more memory than there is") from None


def _texts(table: pd.DataFrame) -> list[str]:
    if IMAGE not in table:
        raise Refused(f"no column {IMAGE!r}; there are {', '.join(map(str, table.columns))[:200]}")
    texts = [each for cell in table[IMAGE] for each in (cell if isinstance(cell, list) else [cell])]
    if not 0 < len(texts) <= MOST_IMAGES:
        raise Refused(f"{len(texts)} images; a request has 1 to {MOST_IMAGES}")
    return texts


def _files(texts: list[str]) -> list[bytes]:
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise Refused(f"image {number}: not text, but it must be the base64 of a file")
    if sum(map(len, texts)) > MOST_BYTES * 4 // 3:
        raise Refused(f"{sum(map(len, texts)) * 3 // 4 >> 20} MiB of images; a request has {MOST_BYTES >> 20} at most")
    return [_file(number, text) for number, text in enumerate(texts)]


def _file(number: int, text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)  # programs break its lines
    except (binascii.Error, ValueError):
        raise Refused(f"image {number}: not base64; URLs are not fetched, send the file itself") from None


def _load_pyfunc(path: str) -> Served:
    """What MLflow calls with the path of the file of `save_classifier`."""
    cv2.setNumThreads(1)  # many requests at once already take every core
    return Served(load_classifier(path, choose_device("auto")))
