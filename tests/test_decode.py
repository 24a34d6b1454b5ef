"""Every kind of pixel becomes upright RGB uint8 in the documented way."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from fovea.decode import decode, read_header, upright
from fovea.errors import UserError

GREYS = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10


def decoded(data: bytes, factor: int = 1) -> np.ndarray:
    header = read_header(data)
    return upright(decode(data, header, factor), header.orientation)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def smooth_colours(height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(3).integers(30, 220, (5, 7, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone_once(format: str, orientation: int) -> None:
    shown = smooth_colours(40, 64)
    as_stored = {
        1: shown, 2: shown[:, ::-1], 3: shown[::-1, ::-1], 4: shown[::-1],
        5: shown.transpose(1, 0, 2), 6: np.rot90(shown), 7: np.rot90(shown.transpose(1, 0, 2), 2),
        8: np.rot90(shown, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    found = decoded(encoded(Image.fromarray(np.ascontiguousarray(as_stored)), format, exif=exif, **options))
    assert found.shape == shown.shape
    assert np.abs(found.astype(int) - shown).max() <= 12


def test_grey_is_repeated() -> None:
    assert np.array_equal(decoded(encoded(Image.fromarray(GREYS))), np.repeat(GREYS[..., None], 3, axis=2))


def test_grey_jpeg_is_repeated() -> None:
    found = decoded(encoded(Image.fromarray(np.full((16, 16), 90, np.uint8)), "JPEG"))
    assert found.shape == (16, 16, 3)
    assert np.all(np.abs(found.astype(int) - 90) <= 1)


def test_one_bit_is_black_and_white() -> None:
    found = decoded(encoded(Image.fromarray(GREYS > 100)))
    assert np.array_equal(found[..., 1], np.where(GREYS > 100, 255, 0))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_divided_by_257_and_rounded(format: str) -> None:
    values = np.array([[0, 128, 129, 257, 386], [30000, 40000, 65406, 65407, 65535]], np.uint16)
    found = decoded(encoded(Image.fromarray(values), format))
    assert np.array_equal(found[..., 0], np.rint(values / 257).astype(np.uint8))


def test_sixteen_bit_colour_is_divided_by_257_and_rounded() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    data = cv2.imencode(".png", values[..., ::-1])[1].tobytes()
    assert np.array_equal(decoded(data), np.rint(values / 257).astype(np.uint8))


def test_sixteen_bit_alpha_lies_over_black() -> None:
    values = np.full((2, 2, 4), 40000, np.uint16)
    values[..., 3] = [[0, 65535], [32768, 65535]]
    data = cv2.imencode(".png", values)[1].tobytes()
    assert decoded(data)[..., 0].tolist() == [[0, 156], [78, 156]]


def test_cmyk_jpeg_is_converted_to_rgb() -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0] = 255
    found = decoded(encoded(Image.fromarray(ink, "CMYK"), "JPEG", quality=95))
    assert np.all(np.abs(found.astype(int) - [0, 255, 255]) <= 4)


def test_palette_is_looked_up() -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert decoded(encoded(image)).tolist() == [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [10, 20, 30]]]


def test_transparent_palette_entry_is_black() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert decoded(encoded(image, transparency=1)).tolist() == [[[10, 20, 30], [0, 0, 0]]]


def test_alpha_lies_over_black() -> None:
    pixels = np.array([[[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0]]], np.uint8)
    assert decoded(encoded(Image.fromarray(pixels))).tolist() == [[[200, 100, 50], [100, 50, 25], [0, 0, 0]]]


def test_grey_with_alpha_lies_over_black() -> None:
    pixels = np.array([[[200, 255], [200, 0]]], np.uint8)
    assert decoded(encoded(Image.fromarray(pixels, "LA"))).tolist() == [[[200] * 3, [0] * 3]]


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_a_jpeg_is_shrunk_by_the_factor(factor: int) -> None:
    data = encoded(Image.fromarray(smooth_colours(203, 301)), "JPEG")
    assert decoded(data, factor).shape == (-(-203 // factor), -(-301 // factor), 3)


def test_bytes_after_the_end_of_a_jpeg_do_no_harm() -> None:
    data = encoded(Image.fromarray(smooth_colours(40, 40)), "JPEG")
    assert np.abs(decoded(data + b"tail" * 50).astype(int) - decoded(data)).max() <= 3


def test_stray_bytes_between_the_segments_of_a_jpeg_do_no_harm() -> None:
    data = encoded(Image.fromarray(smooth_colours(40, 40)), "JPEG")
    table = data.index(b"\xff\xdb")
    assert np.abs(decoded(data[:table] + bytes(4) + data[table:]).astype(int) - decoded(data)).max() <= 3


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(UserError, match="32-bit floating point"):
        decoded(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(UserError, match="not an image"):
        decoded(b"no image at all")
