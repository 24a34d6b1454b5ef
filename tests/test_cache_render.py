"""A rendered variant is a function of the square, the seed, the digest, its number and the strengths."""

from typing import Any

import numpy as np
import pytest

from fovea.cache.picture import make_square
from fovea.cache.render import render
from fovea.params.augment import VariantParams
from tests.cache_sets import augment_params, draw_eye

NOTHING = {
    "hflip": 0.0, "vflip": 0.0, "rotation": 0.0, "scale": (1.0, 1.0),
    "brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "blur": 0.0,
}
EYE = make_square(draw_eye(0), augment_params(image_size=64))[0]


def strengths(**changes: Any) -> VariantParams:
    return augment_params(render={**NOTHING, **changes}).render


def rendered(seed: int = 0, digest: str = "ab", variant: int = 1, **changes: Any) -> np.ndarray:
    return render(EYE, seed, digest, variant, strengths(**changes))


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert np.array_equal(rendered(rotation=90), rendered(rotation=90))


@pytest.mark.parametrize("other", [{"seed": 1}, {"digest": "cd"}, {"variant": 2}])
def test_another_seed_image_or_number_gives_another_variant(other: dict[str, Any]) -> None:
    assert not np.array_equal(rendered(rotation=90), rendered(rotation=90, **other))


@pytest.mark.parametrize("change", [
    {"hflip": 1.0}, {"vflip": 1.0}, {"rotation": 40.0}, {"scale": (0.5, 0.6)}, {"brightness": 0.5},
    {"contrast": 0.5}, {"saturation": 0.5}, {"blur": 3.0},
])
def test_every_strength_has_an_effect(change: dict[str, Any]) -> None:
    assert not np.array_equal(rendered(**change), EYE)


def test_without_strengths_the_image_stays_as_it_is() -> None:
    assert np.array_equal(rendered(), EYE)


def test_a_certain_horizontal_flip_mirrors_exactly() -> None:
    assert np.array_equal(rendered(hflip=1.0), EYE[:, ::-1])


def test_a_certain_vertical_flip_mirrors_exactly() -> None:
    assert np.array_equal(rendered(vflip=1.0), EYE[::-1])


def test_a_scale_below_one_shrinks_about_the_centre() -> None:
    lit = rendered(scale=(0.5, 0.5)).max(axis=2) > 20
    assert lit[32].sum() == pytest.approx(32, abs=3)
    assert lit[:, 32].sum() == pytest.approx(32, abs=3)


def test_what_comes_from_outside_is_black() -> None:
    image = np.full((32, 32, 3), 200, np.uint8)
    shrunk = render(image, 0, "ab", 1, strengths(scale=(0.5, 0.5)))
    assert shrunk[:6].max() == 0


def test_brightness_multiplies_all_channels_alike() -> None:
    image = np.full((8, 8, 3), (100, 60, 20), np.uint8)
    brighter = render(image, 0, "ab", 1, strengths(brightness=0.5))[0, 0]
    assert brighter / image[0, 0] == pytest.approx([brighter[0] / 100] * 3, abs=0.04)


def test_saturation_leaves_grey_alone() -> None:
    image = np.full((8, 8, 3), 90, np.uint8)
    assert np.array_equal(render(image, 0, "ab", 1, strengths(saturation=0.9)), image)


def test_contrast_keeps_the_mean_grey() -> None:
    image = np.random.default_rng(0).integers(80, 170, (64, 64, 1)).repeat(3, axis=2).astype(np.uint8)
    assert render(image, 0, "ab", 1, strengths(contrast=0.9)).mean() == pytest.approx(image.mean(), abs=1)


def test_a_changed_strength_leaves_the_other_draws_as_they_were() -> None:
    flipped = [np.array_equal(rendered(variant=n, hflip=0.5), EYE[:, ::-1]) for n in range(1, 9)]
    blurred = [np.array_equal(rendered(variant=n, hflip=0.5, blur=0.01), EYE[:, ::-1]) for n in range(1, 9)]
    assert flipped == blurred
    assert any(flipped)
    assert not all(flipped)
