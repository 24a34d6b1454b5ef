"""DICOM files through pydicom, an optional extra.

How the pixels become RGB: of several frames the first one counts; colour is converted to RGB, its bits spanning black
to white, and a palette looked up; grey passes the file's modality and VOI tables (its window, if it has one), spans its
own range from black to white, and is turned round if the file says that its lowest value is white (MONOCHROME1).
"""

import importlib
import io
from typing import Any

import numpy as np

from fovea.errors import UserError

DEFLATED = b"1.2.840.10008.1.2.1.99"  # transfer syntax


def is_dicom(data: bytes) -> bool:
    return data[128:132] == b"DICM"


def sides(data: bytes) -> tuple[int, int]:
    """Height and width in px. Raises UserError without pydicom, and whatever pydicom raises for damaged bytes."""
    header = _read(data, stop_before_pixels=True)
    return int(header.Rows), int(header.Columns)


def made_by(data: bytes) -> tuple[int, str | None, str]:
    """Number of frames, manufacturer and model (None if they are not given), and the name of the transfer syntax."""
    header = _read(data, stop_before_pixels=True)
    parts = [str(header.get(name) or "").strip() for name in ("Manufacturer", "ManufacturerModelName")]
    return int(header.get("NumberOfFrames") or 1), " ".join(filter(None, parts)) or None, _syntax(header)


def decode(data: bytes) -> np.ndarray:
    """RGB uint8 (h, w, 3). Raises UserError without pydicom, and whatever pydicom raises for damaged bytes."""
    dataset = _read(data)
    tools: Any = importlib.import_module("pydicom.pixels")
    pixels: np.ndarray = tools.pixel_array(dataset, index=0)
    kind = str(dataset.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        pixels = tools.apply_color_lut(pixels, dataset)
    elif kind.startswith("MONOCHROME"):
        pixels = tools.apply_voi_lut(tools.apply_modality_lut(pixels, dataset), dataset, index=0)
        return np.repeat(_to_bytes(pixels, inverted=kind == "MONOCHROME1")[..., None], 3, axis=2)
    most = 65535 if kind == "PALETTE COLOR" else 2 ** int(dataset.BitsStored) - 1
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels * (255 / most)).astype(np.uint8)


def _to_bytes(values: np.ndarray, inverted: bool) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    shares = (values - low) / ((high - low) or 1.0)
    levels: np.ndarray = np.rint(255 * (1 - shares if inverted else shares)).astype(np.uint8)
    return levels


def _read(data: bytes, stop_before_pixels: bool = False) -> Any:
    try:
        import pydicom
    except ImportError:
        raise UserError("DICOM needs pydicom; install it with: uv sync --extra dicom") from None
    if DEFLATED in data:  # pydicom unpacks all of it even for the header: 3 MB may become 3 GB
        raise UserError("a deflated DICOM file, which may hold any number of bytes; dcmconv +te writes it plain")
    return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=stop_before_pixels)


def _syntax(header: Any) -> str:
    syntax = header.file_meta.get("TransferSyntaxUID")
    return str(getattr(syntax, "name", "unknown"))
