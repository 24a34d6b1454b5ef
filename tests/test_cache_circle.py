"""The fundus circle is found wherever it lies, however dark it is, and cut off or not."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovea.cache.circle import find_circle


def draw_disc(height: int, width: int, x: float, y: float, radius: float, grey: float, noise: float = 0) -> np.ndarray:
    """A shaded reddish disc on black with an antialiased rim, and noise on all of it."""
    down, across = np.mgrid[0:height, 0:width] + 0.5
    distance = np.hypot(across - x, down - y)
    light = grey * (1 - 0.5 * (distance / radius) ** 2) * np.clip(radius - distance + 0.5, 0, 1)
    image = light[..., None] * [1, 0.6, 0.3]
    if noise:
        image += np.random.default_rng(0).normal(0, noise, (height, width, 1))
    return np.rint(image.clip(0, 255)).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(28, 500), aspect=st.floats(1, 1.6), share=st.floats(0.4, 1.25), grey=st.floats(25, 250),
    right=st.floats(-0.08, 0.08), down=st.floats(-0.08, 0.08),
)
def test_a_disc_is_found(height: int, aspect: float, share: float, grey: float, right: float, down: float) -> None:
    width = round(height * aspect)
    radius = min(share * height, 0.92 * width) / 2
    x, y = width / 2 + right * (width - 2 * radius), height / 2 + down * height
    circle = find_circle(draw_disc(height, width, x, y, radius, grey))
    assert circle is not None
    off = max(1.0, 0.02 * radius)
    assert abs(circle.radius - radius) <= off
    assert np.hypot(circle.x - x, circle.y - y) <= off


def test_a_disc_cut_off_at_the_bottom_keeps_its_own_centre() -> None:
    circle = find_circle(draw_disc(400, 600, 300, 240, 200, 120))
    assert circle is not None
    assert (circle.x, circle.y, circle.radius) == pytest.approx((300, 240, 200), abs=2)


def test_noise_and_a_bright_label_beside_the_disc_do_no_harm() -> None:
    image = draw_disc(600, 900, 450, 300, 270, 60, noise=4)
    cv2.putText(image, "OD 2019", (5, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2)
    circle = find_circle(image)
    assert circle is not None
    assert (circle.x, circle.y, circle.radius) == pytest.approx((450, 300, 270), abs=6)


def test_a_dark_quarter_of_the_disc_does_no_harm() -> None:
    image = draw_disc(400, 400, 200, 200, 180, 150)
    image[:200, :150] //= 40
    circle = find_circle(image)
    assert circle is not None
    assert (circle.x, circle.y, circle.radius) == pytest.approx((200, 200, 180), abs=5)


@pytest.mark.parametrize("side", [28, 224, 700])
def test_a_squashed_disc_gives_the_circle_around_it(side: int) -> None:
    image = draw_disc(800, 1200, 600, 400, 384, 120)
    squashed = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    circle = find_circle(squashed)
    assert circle is not None
    assert (circle.x, circle.y, circle.radius) == pytest.approx(np.array([0.5, 0.5, 0.48]) * side, abs=0.015 * side + 1)


@pytest.mark.parametrize("shape", [(28, 28, 3), (50, 300, 3), (400, 600, 3)])
def test_a_frame_without_dark_surroundings_has_no_circle(shape: tuple[int, int, int]) -> None:
    assert find_circle(np.random.default_rng(0).integers(90, 200, shape).astype(np.uint8)) is None


@pytest.mark.parametrize("grey", [0, 255])
def test_an_even_frame_has_no_circle(grey: int) -> None:
    assert find_circle(np.full((200, 300, 3), grey, np.uint8)) is None


def test_a_rectangle_between_black_bars_is_no_circle() -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    image[50:250, 60:340] = 120
    assert find_circle(image) is None


def test_one_pixel_has_no_circle() -> None:
    assert find_circle(np.full((1, 1, 3), 9, np.uint8)) is None
