"""Normalisations keep the field whole, leave what surrounds it black, and give the same bytes on any machine."""

import cv2
import numpy as np
import pytest

from fovea.cache.normalise import NORMALISATIONS, clahe_green, normalise
from fovea.cache.picture import make_square
from tests.cache_sets import augment_params

SIZES = [28, 96, 224]
every = pytest.mark.parametrize("how", sorted(NORMALISATIONS))


def draw_field(size: int, grey: float = 150, shade: float = 0.0) -> np.ndarray:
    """An even or shaded disc of 0.45 of `size` with an antialiased rim, on black."""
    down, across = np.ogrid[0.5:size, 0.5:size]
    distance = np.hypot(across - size / 2, down - size / 2)
    light = grey * (1 + shade * (across / size - 0.5)) * np.clip(0.45 * size - distance + 0.5, 0, 1)
    return np.rint(light[..., None] * [1, 0.7, 0.4]).astype(np.uint8)


def radii(size: int) -> np.ndarray:
    """Distance of each pixel from the middle, as a share of the field's radius."""
    down, across = np.ogrid[0.5:size, 0.5:size]
    radius: np.ndarray = np.hypot(across - size / 2, down - size / 2) / (0.45 * size)
    return radius


def with_vessels(size: int) -> np.ndarray:
    image = draw_field(size)
    for share in (0.3, 0.5, 0.7):
        cv2.line(image, (0, int(share * size)), (size, int(share * size)), (8, 4, 2), max(1, size // 60))
    return np.asarray(image * (radii(size) < 0.97)[..., None])


def test_none_leaves_every_pixel() -> None:
    assert np.array_equal(normalise(with_vessels(96), "none"), with_vessels(96))


@every
@pytest.mark.parametrize("size", SIZES)
def test_the_surround_is_exactly_black(how: str, size: int) -> None:
    noise = np.random.default_rng(0).integers(0, 6, (size, size, 3))
    found = normalise((draw_field(size) + noise).clip(0, 255).astype(np.uint8), how)
    assert found[radii(size) > 1 + 4 / size].max() == 0


@every
@pytest.mark.parametrize("size", SIZES)
def test_dark_lines_across_the_field_do_not_cut_it(how: str, size: int) -> None:
    image = with_vessels(size)
    bright = (radii(size) < 0.9) & (image[..., 0] > 100)
    assert normalise(image, how)[bright].any(axis=1).all()


@pytest.mark.parametrize("size", [96, 224, 512])
def test_the_rim_gets_no_halo_from_ben_graham(size: int) -> None:
    found = normalise(draw_field(size), "ben_graham").astype(int)
    assert np.abs(found[radii(size) < 0.96] - 128).max() <= 6


def test_ben_graham_evens_out_the_light() -> None:
    found = normalise(draw_field(224, shade=0.8), "ben_graham").astype(int)
    assert np.abs(found[radii(224) < 0.96] - 128).max() <= 12


def test_ben_graham_is_four_times_the_difference_from_the_local_mean() -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(60, 200, (240, 240, 3)).astype(np.uint8), (0, 0), 2)
    wanted = 4 * (image.astype(float) - cv2.GaussianBlur(image.astype(np.float32), (0, 0), 4)) + 128
    found = normalise(image, "ben_graham").astype(float)
    assert np.abs(found - wanted.clip(0, 255))[20:-20, 20:-20].mean() < 1.5


@every
def test_a_dark_lesion_on_skin_without_surround_is_not_cut_out(how: str) -> None:
    skin = np.full((128, 128, 3), (220, 180, 160), np.uint8)
    skin[40:, :50] = (35, 28, 26)  # it reaches the corner
    found = normalise(skin, how)
    assert found[45:, :45].any(axis=2).all()


@every
def test_bars_of_padding_stay_black(how: str) -> None:
    skin = np.random.default_rng(0).integers(90, 200, (60, 120, 3)).astype(np.uint8)
    found, _ = make_square(skin, augment_params(image_size=120, crop="none", normalise=how))
    assert found[:30].max() == 0
    assert found[90:].max() == 0
    assert found[32:88, 2:118].any(axis=2).mean() > 0.95


@pytest.mark.parametrize("how", ["none", *sorted(NORMALISATIONS)])
def test_a_white_surround_becomes_black_in_the_crop(how: str) -> None:
    image = np.where((radii(300) > 1)[..., None], 255, draw_field(300)).astype(np.uint8)
    found, cropped = make_square(image, augment_params(image_size=96, normalise=how))
    assert cropped
    assert found[:8, :8].max() == 0
    assert found[48, 48].max() > 60


@pytest.mark.parametrize("how", ["clahe_lightness", "clahe_green"])
def test_clahe_raises_weak_contrast(how: str) -> None:
    faint = cv2.resize(np.random.default_rng(0).integers(100, 121, (16, 16, 3)).astype(np.uint8), (224, 224))
    assert normalise(faint, how)[..., 1].std() > 1.5 * faint[..., 1].std()


def test_clahe_on_lightness_keeps_grey_grey() -> None:
    grey = np.random.default_rng(0).integers(60, 200, (96, 96, 1)).astype(np.uint8).repeat(3, axis=2)
    found = normalise(grey, "clahe_lightness").astype(int)
    assert np.abs(found[..., 0] - found[..., 2]).max() <= 3


def test_clahe_green_reads_the_green_channel_alone() -> None:
    image = with_vessels(96)
    other = image.copy()
    other[..., 0], other[..., 2] = other[..., 2], other[..., 0]
    inside = np.ones((96, 96), bool)
    found = clahe_green(image, inside)
    assert np.array_equal(found, clahe_green(other, inside))
    assert np.array_equal(found[..., 0], found[..., 2])


@every
def test_the_number_of_threads_does_not_change_a_byte(how: str) -> None:
    image = with_vessels(224)
    before = cv2.getNumThreads()
    found = []
    for threads in (1, 2, 8):
        cv2.setNumThreads(threads)
        found.append(normalise(image, how).tobytes())
    cv2.setNumThreads(before)
    assert found[0] == found[1] == found[2]


@every
@pytest.mark.parametrize("size", [8, 9, 33])
@pytest.mark.parametrize("grey", [0, 90, 255])
def test_an_even_square_of_any_size_is_normalised(how: str, size: int, grey: int) -> None:
    found = normalise(np.full((size, size, 3), grey, np.uint8), how)
    assert found.shape == (size, size, 3)
    assert np.ptp(found) <= 2
