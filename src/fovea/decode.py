"""Bytes of an image file to RGB, uint8: for the checks of ingest, the comparisons of the audit and the cache alike.

How other pixels become RGB: grey is repeated; alpha lies over black; a palette is looked up; 16 bits are divided by
257 and rounded, and so are 32-bit integers, which hold 16-bit values in practice; CMYK and other colour spaces are
converted by Pillow without a profile; of several pictures in a file the first one counts. EXIF orientation is applied,
embedded colour profiles are not. For DICOM see dicom.py.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from fovea import dicom
from fovea.errors import UserError

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF")  # that Pillow may try
ORIENTATION = 0x0112  # EXIF tag
FACTORS = (1, 2, 4, 8)  # by which libjpeg shrinks while it decodes
SURPLUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")  # what libjpeg says before the end of the image
MOST_SURPLUS = 64       # bytes; a few stray ones are common and harmless
CUT_SHORT = "truncated or damaged JPEG"
DEEP_COLOUR = ("RGB;16", "RGBA;16", "LA;16")  # raw modes of which Pillow would keep the upper byte only
Image.MAX_IMAGE_PIXELS = None  # Pillow's fixed limit: `ingest.max_pixels`, checked before decoding, takes its place


@dataclass(frozen=True)
class Header:
    """What has to be known before decoding; height and width in px as stored, before orientation."""

    format: str       # lower-case name
    height: int
    width: int
    orientation: int  # 1 to 8 as in EXIF
    fast: bool        # a JPEG that simplejpeg can decode to RGB
    deep: bool        # 16 bits a colour channel


def read_header(data: bytes) -> Header:
    """Header of an encoded image, about 0.2 ms. Raises UserError if `data` is no image."""
    try:
        if dicom.is_dicom(data):
            return Header("dicom", *dicom.sides(data), orientation=1, fast=False, deep=False)
        with opened(data) as image:
            return header_of(image)
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError("not an image") from None
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        raise UserError(f"cannot be decoded: {error}") from None


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """Pillow's view of `data`, nothing decoded yet. Raises what Pillow raises."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        yield image


def header_of(image: Image.Image) -> Header:
    """Header of an image that Pillow has opened."""
    assert image.format is not None
    raw_mode = stored_as(image)
    return Header(
        format="jpeg" if image.format == "MPO" else image.format.lower(),  # MPO: a JPEG followed by others
        height=image.height,
        width=image.width,
        orientation=1 if image.format == "TIFF" else _orientation(image),  # Pillow turns a TIFF by itself
        fast=image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"),
        deep=image.format == "PNG" and raw_mode.startswith(DEEP_COLOUR),
    )


def decode(data: bytes, header: Header, factor: int = 1, strict: bool = False) -> np.ndarray:
    """RGB uint8 (h, w, 3) as stored, not yet `upright`. `factor` (1, 2, 4, 8) shrinks a JPEG, rounding its sides up.

    Formats other than JPEG ignore `factor`, and so does a JPEG that only Pillow can decode. Raises UserError if the
    bytes are damaged; with `strict` also if those of a JPEG end early, which libjpeg replaces by grey.
    """
    try:
        return _decode_jpeg(data, header, factor, strict) if header.fast else _decode_other(data, header)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"cannot be decoded: {error}") from None


def reduction(header: Header, side: int) -> int:
    """The largest factor that `decode` may shrink by while the shorter side stays at least `side` px; 1 if none."""
    shorter = min(header.height, header.width)
    return max(factor for factor in FACTORS if factor == 1 or (header.fast and shorter >= factor * side))


def decode_small(content: "bytes | np.ndarray", side: int) -> np.ndarray:
    """RGB uint8, upright, of an encoded image or an array (h, w[, 1 or 3]), as small as it comes from `side` px on.

    Raises UserError if the bytes are damaged.
    """
    if isinstance(content, np.ndarray):
        return np.broadcast_to(content.reshape(*content.shape[:2], -1), (*content.shape[:2], 3))
    header = read_header(content)
    return upright(decode(content, header, reduction(header, side)), header.orientation)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo EXIF orientation 2 to 8: maybe mirrored, then turned by quarters. Costs nothing, it returns a view."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def stored_as(image: Image.Image) -> str:
    """Pillow's name of the pixels' layout in the file, such as "RGB;16"; "" if it has none."""
    tiles = getattr(image, "tile", None)
    return tiles[0][3] if tiles and isinstance(tiles[0][3], str) else ""


def read_exif(image: Image.Image) -> Image.Exif:
    """EXIF data of an image that Pillow has opened; empty if there are none, or damaged ones."""
    if image.format == "PNG" and "exif" not in image.info:
        return Image.Exif()  # Pillow would decode the whole image to look for them behind its pixels
    try:
        return image.getexif()
    except Exception:  # damaged EXIF data leave a usable image
        return Image.Exif()


def _orientation(image: Image.Image) -> int:
    value = read_exif(image).get(ORIENTATION)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _decode_jpeg(data: bytes, header: Header, factor: int, strict: bool) -> np.ndarray:
    try:
        # libjpeg-turbo takes the smallest scale that keeps these sides, which is 1/factor
        pixels: np.ndarray = simplejpeg.decode_jpeg(
            data, min_height=-(-header.height // factor), min_width=-(-header.width // factor), strict=strict
        )
        return pixels
    except ValueError as error:
        if strict and ends_early(error):
            raise UserError(CUT_SHORT) from None
        if strict:  # libjpeg merely warns; the pixels are those that it gives without a word
            return _decode_jpeg(data, header, factor, strict=False)
        return _decode_other(data, header)  # such as for stray bytes between segments, which Pillow passes over


def ends_early(error: ValueError) -> bool:
    """Whether simplejpeg's error means that the data of a JPEG end before its pixels do."""
    surplus = SURPLUS.search(str(error))  # a tail of zeros decodes to grey, and leaves most of itself over
    return "premature end" in str(error).lower() or bool(surplus and int(surplus[1]) > MOST_SURPLUS)


def _decode_other(data: bytes, header: Header) -> np.ndarray:
    if header.format == "dicom":
        return dicom.decode(data)
    if header.deep:
        return _decode_deep(data)
    with opened(data) as image:
        return to_rgb(image)


def _decode_deep(data: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("damaged 16-bit PNG")
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 65535
        return _to_bytes(pixels[..., 2::-1] * alpha)
    return _to_bytes(pixels[..., ::-1])


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values.clip(0, 65535) / np.float32(257)).astype(np.uint8)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Pillow image of any mode to RGB uint8 (h, w, 3), by the rules at the head of this file."""
    image.load()
    if image.mode.startswith("I"):
        return np.repeat(_to_bytes(np.asarray(image))[..., None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("32-bit floating point pixels have no agreed scale")
    if image.has_transparency_data:
        straight = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return np.asarray(Image.alpha_composite(black, straight))[..., :3]
    return np.asarray(image.convert("RGB"))
