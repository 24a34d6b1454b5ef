"""Check of one image: digested, and decoded once at a small scale: a header does not show that the rest is missing."""

import os
import re
import stat
import zlib
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from fovea import dicom
from fovea.decode import (
    CUT_SHORT,
    Header,
    decode,
    ends_early,
    header_of,
    opened,
    read_exif,
    read_header,
    reduction,
    stored_as,
    upright,
)
from fovea.errors import UserError
from fovea.ingest.address import NO_FILE
from fovea.ingest.digest import array_digest, bytes_digest
from fovea.ingest.entry import Facts
from fovea.ingest.look import SIDE, look
from fovea.urls import read_url

MAKE, MODEL = 0x010F, 0x0110  # EXIF tags
MOST_BYTES_A_PIXEL = 8        # of pixels that are not compressed: four channels of 16 bits
SPARE_BYTES = 64 << 20        # beyond that: metadata, further pictures
HEADERS = 1 << 16             # bytes at the start of a JPEG in which its frame is looked for
DEEP_JPEG = re.compile(rb"^\xff\xd8.*?\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]..[\x09-\x10]", re.DOTALL)
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # of a JPEG, but for those within the data of a scan


Recall = Callable[[str], Facts | None]  # what is known of a content by its digest


def forget(digest: str) -> None:
    """The `Recall` that knows nothing."""


class Made(NamedTuple):
    """How an image was stored, see `Facts`."""

    frames: int
    camera: str | None
    compression: str


def check_file(path: Path, max_pixels: int, recall: Recall = forget) -> Facts | str:
    """Facts of the image in `path`, or the reason why it cannot be used.

    Reads no file that is larger than `max_pixels` could be, and decodes no content that `recall` knows.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            return "not a file"
        return too_heavy(found.st_size, max_pixels) or check_bytes(path.read_bytes(), max_pixels, recall)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def check_url(url: str, max_pixels: int, recall: Recall = forget) -> Facts | str:
    """The same of the image at a URL. Raises UserError if its store cannot be reached."""
    try:
        return check_bytes(read_url(url), max_pixels, recall)
    except FileNotFoundError:
        return NO_FILE


def too_heavy(size: int, max_pixels: int) -> str | None:
    """The reason for rejecting a file of more bytes than an image of `max_pixels` px could have."""
    heavy = size > MOST_BYTES_A_PIXEL * max_pixels + SPARE_BYTES
    return f"larger than ingest.max_pixels: a file of {size >> 20} MiB" if heavy else None


def check_bytes(data: bytes, max_pixels: int, recall: Recall = forget) -> Facts | str:
    """Facts of an encoded image, or the reason why it cannot be used. A too large one is not decoded."""
    if not data:
        return "empty file"
    digest = bytes_digest(data)
    if known := recall(digest):
        return too_large(known.width, known.height, max_pixels) or known
    try:
        header, made = _describe(data, max_pixels)
        pixels = upright(_decode_small(data, header), header.orientation)
        width, height = (header.width, header.height) if header.orientation < 5 else (header.height, header.width)
        shown = {**made._asdict(), **look(pixels)._asdict()}
        return Facts(digest, len(data), width, height, header.format, **shown)
    except UnidentifiedImageError:
        return "unsupported: a JPEG of more than 8 bits" if DEEP_JPEG.search(data[:HEADERS]) else "not an image"
    except MemoryError:
        raise
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        return _reason(error)


def check_array(pixels: np.ndarray, max_pixels: int, recall: Recall = forget) -> Facts | str:
    """The same for uint8 (h, w[, 1 or 3]), a member of an array file."""
    height, width = pixels.shape[:2]
    if reason := too_large(width, height, max_pixels):
        return reason
    digest = array_digest(pixels)
    if known := recall(digest):
        return known
    seen = np.broadcast_to(pixels.reshape(height, width, -1), (height, width, 3))
    made = Made(1, None, f"{pixels.dtype} {'grey' if pixels.size == height * width else 'RGB'}")
    return Facts(digest, pixels.nbytes, width, height, "array", **made._asdict(), **look(seen)._asdict())


def too_large(width: int, height: int, max_pixels: int) -> str | None:
    """The reason for rejecting an image of more than `max_pixels` px, None if it is not larger."""
    return f"larger than ingest.max_pixels: {width} x {height} px" if width * height > max_pixels else None


def _describe(data: bytes, max_pixels: int) -> tuple[Header, Made]:
    """Raises UserError for too large an image, before anything that could decode it."""
    if dicom.is_dicom(data):
        header = read_header(data)
        _require_size(header, max_pixels)
        return header, Made(*dicom.made_by(data))
    with opened(data) as image:
        header = header_of(image)
        _require_size(header, max_pixels)
        return header, Made(_frames(image), _camera(image), _compression(image))


def _require_size(header: Header, max_pixels: int) -> None:
    if reason := too_large(header.width, header.height, max_pixels):
        raise UserError(reason)


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a damaged second picture leaves a usable first one
        return 1


def _camera(image: Image.Image) -> str | None:
    exif = read_exif(image)
    parts = [str(exif.get(tag, "")).replace("\0", " ").split() for tag in (MAKE, MODEL)]
    return " ".join(parts[0] + [word for word in parts[1] if word not in parts[0]])[:80] or None


def _compression(image: Image.Image) -> str:
    tables = getattr(image, "quantization", None)
    if tables:
        named = repr((sorted(tables.items()), [part[1:3] for part in getattr(image, "layer", [])]))
        return blake2b(named.encode(), digest_size=4).hexdigest()
    return f"{stored_as(image) or image.mode} {image.info.get('compression', '')}".strip()


def _decode_small(data: bytes, header: Header) -> np.ndarray:
    """RGB uint8, not upright, the whole stream read; of a JPEG at the smallest scale that keeps `SIDE` px."""
    if header.format == "png":
        pixels = decode(data, header)
        if not pixels[-1].any():  # Pillow leaves black what the data do not reach, without a word
            require_whole(data, header)
        return pixels
    if not header.fast:
        return decode(data, header)
    require_whole(data, header)
    factor = reduction(header, SIDE)
    height, width = -(-header.height // factor), -(-header.width // factor)
    try:
        small: np.ndarray = simplejpeg.decode_jpeg(data, min_height=height, min_width=width, fastdct=True, strict=True)
        return small
    except ValueError as error:
        if ends_early(error):
            raise UserError(CUT_SHORT) from None  # Pillow would fill the missing rows with grey
    return decode(data, replace(header, fast=False))  # Pillow judges what libjpeg warns of


def require_whole(data: bytes, header: Header) -> None:
    """Raise UserError for a JPEG without an end, or a PNG without its last rows. Decodes nothing.

    libjpeg does not always tell, Pillow never does.
    """
    if header.fast and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda") and not _has_end(data):
        raise UserError(CUT_SHORT)
    if header.format == "png":
        try:
            lacking = _lacks_rows(data)
        except zlib.error:
            lacking = True
        if lacking:
            raise UserError("truncated or damaged PNG")


def _has_end(data: bytes) -> bool:
    """Whether the first picture in a JPEG is closed by its end marker, whatever else follows it in the file."""
    place = 0
    while found := MARKER.search(data, place):
        kind, place = data[found.end() - 1], found.end()
        if kind == 0xD9:
            return True
        if kind not in (0xD8, 0x01):  # all others have a length; after a scan's header its data are passed over
            place += max(2, int.from_bytes(data[place : place + 2]))
    return False


def _lacks_rows(data: bytes) -> bool:
    """Whether a PNG holds fewer bytes of pixels than its header says; an interlaced one is believed, and so is one that
    does not begin with its header. Raises zlib.error if they are damaged."""
    if data[12:16] != b"IHDR":
        return False
    width, height = (int.from_bytes(data[start : start + 4]) for start in (16, 20))
    depth, colour, interlaced = data[24], data[25], data[28]
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    missing = height * (1 + -(-width * depth * samples // 8))
    packed, place = zlib.decompressobj(), 8
    while not interlaced and missing > 0 and place + 8 < len(data):
        size, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        rest = data[place + 8 : place + 8 + size] if kind == b"IDAT" else b""
        while rest and missing > 0:
            missing -= len(packed.decompress(rest, 1 << 20))
            rest = packed.unconsumed_tail
        place += 12 + size
    return not interlaced and missing > 0


def _reason(error: Exception) -> str:
    text = str(error).removeprefix("cannot be decoded: ") or type(error).__name__
    if isinstance(error, UserError) and text == str(error):
        return text
    return "truncated" if "truncated" in text.lower() else f"cannot be decoded: {text}"
