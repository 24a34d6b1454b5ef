"""DICOM photographs are taken like any other image."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from fovea.decode import decode_small
from fovea.ingest.check import check_bytes
from fovea.ingest.entry import Facts
from fovea.ingest.look import look
from tests.ingest_sets import FOLDERS, ingest, write_images

RAMP = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60)


def dicom(pixels: np.ndarray, kind: str = "MONOCHROME2", **tags: Any) -> bytes:
    """A file of `pixels`: (h, w), (h, w, 3), or (frames, h, w) with NumberOfFrames among `tags`."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.77.1.5.1")
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    shape = pixels.shape[1:] if "NumberOfFrames" in tags else pixels.shape
    dataset.Rows, dataset.Columns = shape[:2]
    dataset.SamplesPerPixel = shape[2] if len(shape) == 3 else 1
    dataset.PhotometricInterpretation = kind
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def test_colour_is_taken_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    data = dicom(pixels, "RGB", Manufacturer="Maker", ManufacturerModelName="Model 7")
    facts = check_bytes(data, 10**6)
    assert isinstance(facts, Facts)
    assert (facts.format, facts.width, facts.height, facts.frames) == ("dicom", 60, 40, 1)
    assert facts.camera == "Maker Model 7" and facts.compression == "Explicit VR Little Endian"
    assert np.array_equal(decode_small(data, 1), pixels)
    assert facts.thumbnail == look(pixels).thumbnail


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deep_colour_spans_black_to_white(bits: int) -> None:
    pixels = np.zeros((8, 8, 3), np.uint16)
    pixels[:4] = 2**bits - 1
    seen = decode_small(dicom(pixels, "RGB", BitsStored=bits, HighBit=bits - 1), 1)
    assert (seen[:4] == 255).all() and (seen[4:] == 0).all()


def test_grey_spans_its_own_range() -> None:
    seen = decode_small(dicom(RAMP), 1)
    assert seen.shape == (40, 60, 3) and (seen[0, 0] == 0).all() and (seen[-1, -1] == 255).all()
    assert np.array_equal(seen[..., 0], np.rint(RAMP / RAMP.max() * 255).astype(np.uint8))


def test_a_window_is_applied() -> None:
    seen = decode_small(dicom(RAMP, WindowCenter=1200, WindowWidth=400), 1)[..., 0]
    assert (seen[RAMP < 1000] == 0).all() and (seen[RAMP > 1400] == 255).all()
    assert 100 < seen[20, 0] < 155


def test_monochrome1_is_turned_round() -> None:
    assert np.array_equal(decode_small(dicom(RAMP, "MONOCHROME1"), 1), 255 - decode_small(dicom(RAMP), 1))


def test_the_first_of_several_frames_counts() -> None:
    data = dicom(np.stack([RAMP, RAMP[::-1]]), NumberOfFrames=2)
    facts = check_bytes(data, 10**6)
    assert isinstance(facts, Facts) and facts.frames == 2
    assert np.array_equal(decode_small(data, 1), decode_small(dicom(RAMP), 1))


def test_too_large_ones_are_rejected_by_their_header() -> None:
    assert check_bytes(dicom(RAMP), 100) == "larger than ingest.max_pixels: 60 x 40 px"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_cut_ones_are_rejected_with_a_reason(share: float) -> None:
    data = dicom(RAMP)
    reason = check_bytes(data[: int(len(data) * share)], 10**6)
    assert isinstance(reason, str) and "\n" not in reason


def test_without_pydicom_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert check_bytes(dicom(RAMP), 10**6) == "DICOM needs pydicom; install it with: uv sync --extra dicom"


def test_they_are_found_in_folders(tmp_path: Path) -> None:
    write_images(tmp_path, "x/a.jpg", "y/b.jpg")
    (tmp_path / "x" / "c.dcm").write_bytes(dicom(RAMP))
    manifest, rejected = ingest(tmp_path, FOLDERS)
    assert rejected.empty and list(manifest["format"]) == ["jpeg", "dicom", "jpeg"]
