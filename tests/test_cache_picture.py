"""From a raw image to the square: which decoder's size, which crop, which fit."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from fovea.cache.crop import Region, centre_square, cut
from fovea.cache.picture import SPARE, make_square, reduction
from fovea.cache.resize import resize
from tests.cache_sets import augment_params, draw_eye


def smooth_photograph(height: int, width: int) -> np.ndarray:
    coarse = np.random.default_rng(1).integers(20, 235, (height // 40, width // 40, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(np.mean((first.astype(float) - second) ** 2), 1e-9)))


@pytest.mark.parametrize("shape", [(900, 900), (1200, 800), (803, 1205)])
def test_scaled_decoding_agrees_with_pillow_in_full(shape: tuple[int, int]) -> None:
    data = jpeg(smooth_photograph(*shape))
    found, _ = make_square(data, augment_params(size=128, crop="none", fit="squash"))
    wanted = Image.open(io.BytesIO(data)).convert("RGB").resize((128, 128), Image.Resampling.BICUBIC)
    assert psnr(found, np.asarray(wanted)) > 45


def test_scaled_decoding_of_a_turned_photograph_agrees_with_pillow_in_full() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(smooth_photograph(803, 1207)).save(file, "JPEG", quality=95, exif=exif)
    found, _ = make_square(file.getvalue(), augment_params(size=128, crop="none", fit="squash"))
    upright = ImageOps.exif_transpose(Image.open(file))
    assert psnr(found, np.asarray(upright.resize((128, 128), Image.Resampling.BICUBIC))) > 45


def test_exact_decoding_agrees_with_pillow_to_one_level() -> None:
    data = jpeg(smooth_photograph(600, 600))
    found, _ = make_square(data, augment_params(size=96, crop="none", exact=True))
    wanted = Image.open(io.BytesIO(data)).convert("RGB").resize((96, 96), Image.Resampling.BICUBIC)
    assert np.abs(found.astype(int) - np.asarray(wanted)).max() <= 1


def test_exact_decoding_does_not_shrink() -> None:
    data = jpeg(np.random.default_rng(0).integers(0, 255, (640, 640, 3)).astype(np.uint8))
    scaled, exact = (make_square(data, augment_params(crop="none", exact=exact))[0] for exact in (False, True))
    assert not np.array_equal(scaled, exact)


@given(side=st.integers(1, 6000), size=st.integers(8, 1024))
def test_the_decoder_leaves_enough_for_the_target(side: int, size: int) -> None:
    factor = reduction(side, size)
    assert factor == 1 or side / factor >= SPARE * size


@given(side=st.integers(1, 6000), size=st.integers(8, 1024))
def test_the_decoder_shrinks_as_far_as_it_may(side: int, size: int) -> None:
    factor = reduction(side, size)
    assert factor == 8 or side / (2 * factor) < SPARE * size


def test_a_jpeg_that_only_pillow_decodes_gives_the_same_square() -> None:
    data = jpeg(smooth_photograph(803, 1205))
    table = data.index(b"\xff\xdb")
    squares = [make_square(item, augment_params(size=128, crop="none"))[0]
               for item in (data, data[:table] + bytes(4) + data[table:])]
    assert psnr(*squares) > 45


def test_a_small_field_in_a_large_frame_is_decoded_finer() -> None:
    frame = np.zeros((1600, 1600, 3), np.uint8)
    frame[600:1000, 600:1000] = draw_eye(0, 400, 400)
    frame[700:900:8, 700:900] //= 4  # lines that decoding at 1/8 would lose
    found, _ = make_square(jpeg(frame), augment_params(size=128))
    exact, _ = make_square(jpeg(frame), augment_params(size=128, exact=True))
    assert psnr(found, exact) > 25


def test_torchvision_resizes_to_the_same_bytes() -> None:
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    image = np.random.default_rng(0).integers(0, 256, (123, 77, 3)).astype(np.uint8)
    planes = torch.from_numpy(image).permute(2, 0, 1)
    wanted = functional.resize(planes, [50, 60], interpolation=InterpolationMode.BICUBIC, antialias=True)
    assert np.array_equal(resize(image, (123, 77), 50, 60, "bicubic"), wanted.permute(1, 2, 0).numpy())


def test_bilinear_is_another_filter() -> None:
    image = draw_eye(0)
    bilinear, bicubic = (resize(image, (60, 80), 20, 20, name) for name in ("bilinear", "bicubic"))
    assert not np.array_equal(bilinear, bicubic)


def test_pad_keeps_the_aspect_ratio_between_black_bars() -> None:
    found, _ = make_square(np.full((20, 40, 3), 200, np.uint8), augment_params(crop="none"))
    assert np.all(found[:4] == 0)
    assert np.all(found[4:12] == 200)
    assert np.all(found[12:] == 0)


def test_squash_fills_the_square() -> None:
    found, _ = make_square(np.full((20, 40, 3), 200, np.uint8), augment_params(crop="none", fit="squash"))
    assert np.all(found == 200)


def test_the_centre_is_the_largest_square_in_the_middle() -> None:
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 99
    assert np.all(make_square(image, augment_params(crop="centre"))[0] == 99)


def test_a_square_over_the_frame_is_black_outside() -> None:
    square = cut(np.full((4, 6, 3), 7, np.uint8), Region(-1, -2, 8, 8))
    assert square[2:6, 1:7].min() == 7
    assert square.sum() == 4 * 6 * 3 * 7


def test_the_fundus_fills_the_square() -> None:
    found, cropped = make_square(draw_eye(0, 300, 500), augment_params(size=64))
    lit = found.max(axis=2) > 20
    assert cropped
    assert lit[32].mean() > 0.95
    assert lit[:, 32].mean() > 0.95


def test_without_a_circle_the_whole_image_is_kept() -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    found, cropped = make_square(image, augment_params(crop="fundus"))
    assert not cropped
    assert np.array_equal(found, make_square(image, augment_params(crop="none"))[0])


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1)])
def test_a_grey_array_is_repeated(shape: tuple[int, ...]) -> None:
    found, _ = make_square(np.full(shape, 77, np.uint8), augment_params(crop="none"))
    assert found.shape == (16, 16, 3)
    assert np.all(found == 77)


@given(height=st.integers(1, 50), width=st.integers(1, 50))
def test_the_centre_square_lies_in_the_frame(height: int, width: int) -> None:
    left, top, wide, high = centre_square(height, width)
    assert wide == high == min(height, width)
    assert left >= 0 <= top
    assert left + wide <= width
    assert top + high <= height


@pytest.mark.parametrize("crop", ["fundus", "centre", "none"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (28, 28), (9, 3000)])
def test_any_size_becomes_the_square(shape: tuple[int, int], crop: str) -> None:
    found, _ = make_square(np.full((*shape, 3), 50, np.uint8), augment_params(crop=crop))
    assert found.shape == (16, 16, 3)


@pytest.mark.parametrize(("side", "target"), [(98, 64), (147, 96), (154, 80), (183, 120)])
def test_a_side_that_is_whole_beside_one_that_is_not_keeps_its_last_pixel(side: int, target: int) -> None:
    image = np.zeros((side, 2 * side, 3), np.uint8)
    assert resize(image, (side, 2 * side - 0.5), target, 2 * target, "bicubic").shape == (target, 2 * target, 3)
