"""The fundus circle is found wherever it lies, however dark it is, and cut off or not."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fovea.cache.circle import Circle, find_circle
from fovea.cache.field import find_field
from tests.real_sets import FOLDER, needs_real_sets


def draw_disc(height: int, width: int, x: float, y: float, radius: float, grey: float, noise: float = 0,
              surround: float = 0) -> np.ndarray:
    """A shaded reddish disc with an antialiased rim on an even surround, and noise on all of it."""
    down, across = np.arange(height, dtype=np.float32)[:, None] + 0.5, np.arange(width, dtype=np.float32) + 0.5
    distance = np.hypot(across - x, down - y)
    inside = np.clip(radius - distance + 0.5, 0, 1)
    light = grey * (1 - 0.5 * (distance / radius) ** 2) * inside
    image = light[..., None] * np.array([1, 0.6, 0.3], np.float32) + surround * (1 - inside[..., None])
    if noise:
        image += noise * np.resize(np.random.default_rng(0).standard_normal(500_009, dtype=np.float32), image.shape)
    return np.rint(image.clip(0, 255)).astype(np.uint8)


def circle_of(image: np.ndarray) -> Circle | None:
    field = find_field(image)
    return find_circle(field) if field else None


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(28, 500), aspect=st.floats(1, 1.6), share=st.floats(0.4, 1.25), grey=st.floats(25, 250),
    right=st.floats(-0.08, 0.08), down=st.floats(-0.08, 0.08),
)
def test_a_disc_is_found(height: int, aspect: float, share: float, grey: float, right: float, down: float) -> None:
    width = round(height * aspect)
    radius = min(share * height, 0.92 * width) / 2
    x, y = width / 2 + right * (width - 2 * radius), height / 2 + down * height
    circle = circle_of(draw_disc(height, width, x, y, radius, grey))
    assert circle is not None
    off = max(1.0, 0.02 * radius)
    assert abs(circle.radius - radius) <= off
    assert np.hypot(circle.x - x, circle.y - y) <= off


# Centre and radius as shares of the height: in the middle, off-centre, cut off at top and bottom.
PLACES = [(1.5, 0.75, 0.5, 0.45), (1.5, 0.62, 0.47, 0.42), (1.5, 0.7, 0.5, 0.6)]


@pytest.mark.parametrize(("height", "places"), [(300, PLACES), (1000, PLACES), (3000, PLACES[1:2]), (4000, PLACES[2:])])
@pytest.mark.parametrize(("grey", "noise", "surround"), [(180, 0, 0), (10, 4, 0), (30, 2, 245)])
def test_a_disc_is_found_on_photographs_of_every_size(
    height: int, places: list[tuple[float, ...]], grey: float, noise: float, surround: float
) -> None:
    for aspect, *place in places:
        x, y, radius = (height * share for share in place)
        circle = circle_of(draw_disc(height, round(aspect * height), x, y, radius, grey, noise, surround))
        assert circle is not None
        assert (circle.x, circle.y, circle.radius) == pytest.approx((x, y, radius), abs=0.02 * height)


def test_a_field_of_which_only_the_corners_are_cut_is_found() -> None:
    ellipse = cv2.resize(draw_disc(900, 1200, 600, 450, 690, 120), (224, 224), interpolation=cv2.INTER_AREA)
    circle = circle_of(ellipse)
    assert circle is not None
    assert (circle.x, circle.y, circle.radius) == pytest.approx((112, 112, 112), abs=2)


def test_pale_skin_is_no_white_surround() -> None:
    image = np.full((300, 400, 3), (240, 215, 205), np.uint8)
    cv2.circle(image, (200, 150), 80, (60, 40, 30), -1)
    assert circle_of(image) is None


def test_glare_in_a_corner_is_no_white_surround() -> None:
    image = np.full((300, 400, 3), (215, 180, 170), np.uint8)
    image[:50, :50] = 255
    assert circle_of(image) is None


def test_a_disc_cut_off_at_the_bottom_keeps_its_own_centre() -> None:
    circle = circle_of(draw_disc(400, 600, 300, 240, 200, 120))
    assert circle is not None
    assert (circle.x, circle.y, circle.radius) == pytest.approx((300, 240, 200), abs=2)


def test_noise_and_a_bright_label_beside_the_disc_do_no_harm() -> None:
    image = draw_disc(600, 900, 450, 300, 270, 60, noise=4)
    cv2.putText(image, "OD 2019", (5, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2)
    circle = circle_of(image)
    assert circle is not None
    assert (circle.x, circle.y, circle.radius) == pytest.approx((450, 300, 270), abs=6)


def test_a_dark_quarter_of_the_disc_does_no_harm() -> None:
    image = draw_disc(400, 400, 200, 200, 180, 150)
    image[:200, :150] //= 40
    circle = circle_of(image)
    assert circle is not None
    assert (circle.x, circle.y, circle.radius) == pytest.approx((200, 200, 180), abs=5)


@pytest.mark.parametrize("side", [28, 224, 700])
def test_a_squashed_disc_gives_the_circle_around_it(side: int) -> None:
    image = draw_disc(800, 1200, 600, 400, 384, 120)
    squashed = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    circle = circle_of(squashed)
    assert circle is not None
    assert (circle.x, circle.y, circle.radius) == pytest.approx(np.array([0.5, 0.5, 0.48]) * side, abs=0.015 * side + 1)


@pytest.mark.parametrize("shape", [(28, 28, 3), (50, 300, 3), (400, 600, 3)])
def test_a_frame_without_dark_surroundings_has_no_circle(shape: tuple[int, int, int]) -> None:
    assert circle_of(np.random.default_rng(0).integers(90, 200, shape).astype(np.uint8)) is None


@pytest.mark.parametrize("grey", [0, 255])
def test_an_even_frame_has_no_circle(grey: int) -> None:
    assert circle_of(np.full((200, 300, 3), grey, np.uint8)) is None


def test_a_rectangle_between_black_bars_is_no_circle() -> None:
    image = np.zeros((300, 400, 3), np.uint8)
    image[50:250, 60:340] = 120
    assert circle_of(image) is None


@needs_real_sets
@pytest.mark.parametrize("pattern", ["aptos2019/images/*.jpg", "palm/PALM-*/**/*.jpg"])
def test_real_photographs_have_circles(pattern: str) -> None:
    assert FOLDER is not None
    paths = sorted(Path(FOLDER).glob(pattern))[::20]
    assert len(paths) > 30
    assert all(circle_of(np.asarray(Image.open(path))) for path in paths)


@needs_real_sets
def test_real_photographs_of_28_px_on_black_or_white_have_circles() -> None:
    assert FOLDER is not None
    images = np.load(Path(FOLDER) / "retinamnist" / "retinamnist.npz")["train_images"]
    assert all(map(circle_of, images))


def test_one_pixel_has_no_circle() -> None:
    assert circle_of(np.full((1, 1, 3), 9, np.uint8)) is None
