"""Mixup, CutMix and random erasing, each against its law."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from fovea.cache.read import Cache
from fovea.training.data import make_rows
from fovea.training.mix import Mix, draw_mix, mix_batched, mix_cpu
from fovea.training.scaling import mean_pixel
from fovea.training.seen import inputs_of
from fovea.training.transforms import ASPECT, ERASED, draw, draw_keys
from tests.small import train_params

CROP = 32
TRANSFORMS = train_params().transforms
CPU = torch.device("cpu")


def drawn(mixup: float, cutmix: float, count: int, epoch: int = 1) -> Mix:
    params: Any = SimpleNamespace(mixup=mixup, cutmix=cutmix)
    mix = draw_mix(params, CROP, 0, epoch, [str(i) for i in range(count)])
    assert mix is not None
    return mix


@given(
    mixup=st.floats(0.05, 4), cutmix=st.sampled_from([0.0, 0.2, 1.0]), count=st.integers(1, 40), epoch=st.integers(0, 9)
)
def test_partners_are_mutual_and_an_image_keeps_the_larger_share(
    mixup: float, cutmix: float, count: int, epoch: int
) -> None:
    mix = drawn(mixup, cutmix, count, epoch)
    np.testing.assert_array_equal(mix.partner[mix.partner], np.arange(count))
    assert ((mix.share >= 0.5) & (mix.share <= 1)).all()
    assert (mix.partner != np.arange(count)).sum() == count // 2 * 2
    if count % 2:
        assert mix.partner[-1] == count - 1 and mix.share[-1] == 1 and not mix.box[-1].any()


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 3.0])
def test_shares_of_mixup_are_the_larger_part_of_a_beta_distribution(alpha: float) -> None:
    smaller = 1 - drawn(alpha, 0, 10_000).share
    for limit in (0.001, 0.01, 0.1, 0.2, 0.4, 0.5):
        assert (smaller <= limit).mean() == pytest.approx(2 * beta.cdf(limit, alpha, alpha), abs=0.02)


def test_the_share_of_cutmix_is_that_of_the_pixels_that_stay() -> None:
    mix = drawn(0, 1.0, 200)
    images = np.zeros((200, CROP, CROP, 3), np.float32)
    images[1::2] = 1
    mix_cpu(images, mix)
    own = images.mean((1, 2, 3))
    np.testing.assert_allclose(np.where(np.arange(200) % 2, own, 1 - own), mix.share, atol=1e-6)
    assert set(np.unique(images)) == {0, 1}
    assert mix.share.std() > 0.1


def test_of_both_an_image_gets_one_as_often_as_the_other() -> None:
    mix = drawn(1.0, 1.0, 4000)
    cut = mix.box.any(axis=1)
    assert not (cut & (mix.blend < 1)).any()
    assert abs((mix.blend < 1).mean() - 0.5) < 0.04


def test_mixup_is_the_weighted_mean_of_a_pair() -> None:
    images = np.random.default_rng(0).normal(size=(5, CROP, CROP, 3)).astype(np.float32)
    mix, mixed = drawn(1.0, 0, 5), images.copy()
    mix_cpu(mixed, mix)
    share = mix.share[:, None, None, None]
    np.testing.assert_allclose(mixed, share * images + (1 - share) * images[[1, 0, 3, 2, 4]], atol=1e-5)


@given(st.sampled_from([(0.0, 1.0), (0.3, 0.0), (0.5, 0.5)]), st.integers(1, 9))
def test_on_a_device_the_same_images_come_out(strengths: tuple[float, float], count: int) -> None:
    images = np.random.default_rng(count).normal(size=(count, CROP, CROP, 3)).astype(np.float32)
    mix = drawn(*strengths, count)
    there = torch.from_numpy(images).permute(0, 3, 1, 2)
    batched = mix_batched(there, *(torch.from_numpy(column) for column in (mix.partner, mix.blend, mix.box)))
    mix_cpu(images, mix)
    np.testing.assert_allclose(batched.permute(0, 2, 3, 1), images, atol=1e-5)


def test_neither_mixes_nothing() -> None:
    params: Any = SimpleNamespace(mixup=0, cutmix=0)
    assert draw_mix(params, CROP, 0, 1, ["a", "b"]) is None


@given(crop=st.integers(8, 256), probability=st.sampled_from([0.0, 0.3, 1.0]))
def test_erased_boxes_lie_inside_and_have_their_area_and_aspect(crop: int, probability: float) -> None:
    transforms = TRANSFORMS.model_copy(update={"erasing": probability})
    boxes = draw(transforms, crop, crop, 0, 1, [str(i) for i in range(300)]).erased
    erased = boxes[boxes.any(axis=1)]
    assert abs(len(erased) / 300 - probability) < 0.1
    assert ((erased >= 0) & (erased <= crop)).all()
    width, height = erased[:, 2] - erased[:, 0], erased[:, 3] - erased[:, 1]
    for limit, sign in ((0, 1), (1, -1)):  # as far as rounding to pixels allows
        area, aspect = ERASED[limit] * crop**2, ASPECT[limit]
        assert (sign * (width + 0.51 * sign) * (height + 0.51 * sign) >= sign * area).all()
        assert (sign * (height + 0.51 * sign) >= sign * aspect * (width - 0.51 * sign)).all()


@pytest.mark.parametrize("scaling", ["imagenet", "caffe"])
def test_what_is_erased_is_zero_for_the_model_and_the_mean_in_the_picture(cache: Cache, scaling: str) -> None:
    params = train_params(transforms__erasing=1.0, scaling=scaling)
    rows = make_rows(cache, (cache.index["split"] == "train").to_numpy(), None, scaling, CPU)
    (batch,) = rows.batches([np.arange(6)], params, 1)
    keys = draw_keys(cache.index.iloc[rows.rows[:6]])
    picture = inputs_of(cache.take(rows.rows[:6]), keys, "train", params, [1])[0].pixels
    boxes = draw(params.transforms, 32, 32, 0, 1, keys).erased
    for image, shown, box in zip(batch.inputs, picture, boxes, strict=True):
        left, top, right, bottom = box.tolist()
        assert (image[:, top:bottom, left:right] == 0).all() and image.count_nonzero() > 0
        assert (shown[top:bottom, left:right] == mean_pixel(scaling)).all()
