"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): two images of a batch become one, label and all.

Positions 2j and 2j + 1 of a batch are mixed with each other; the last one of an odd number stays as it is.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fovea.seeds import uniforms_of
from fovea.training.transforms import inside

if TYPE_CHECKING:
    from torch import Tensor

    from fovea.params.train import MixParams


class Mix(NamedTuple):
    """What is mixed into each of n images: an image is itself times `blend` plus its partner times the rest, and its
    partner inside `box`. An image that stays is its own partner."""

    partner: np.ndarray  # (n,) int64, position in the batch
    blend: np.ndarray    # (n,) float32, 1 for CutMix
    box: np.ndarray      # (n, 4) int64: left, top, right, bottom, as of `Draws.erased`; all 0 for mixup
    share: np.ndarray    # (n,) float32 in [0.5, 1]: of its own label in the loss


def draw_mix(params: "MixParams", crop: int, seed: int, epoch: int, keys: list[str]) -> Mix | None:
    """Draws for the images of a batch, each from its own key; None if both are off."""
    if not (params.mixup or params.cutmix):
        return None
    u = uniforms_of(keys, seed, "mix", epoch)
    partner = np.arange(len(keys)) ^ 1
    alone = partner == len(keys)
    partner[alone] -= 1
    often = 0.5 if params.mixup and params.cutmix else params.cutmix > 0
    cut = u[:, 0] < often
    share = np.where(cut, _share(params.cutmix, u[:, 1]), _share(params.mixup, u[:, 1]))
    box = np.where((cut & ~alone)[:, None], _boxes(1 - share, u[:, 2:4], crop), 0)
    blend = np.where(cut | alone, 1, share)
    left, top, right, bottom = box.T
    kept = blend - (right - left) * (bottom - top) / crop**2
    return Mix(partner, blend.astype(np.float32), box, kept.astype(np.float32))


def _share(alpha: float, u: np.ndarray) -> np.ndarray:
    """The larger of b and 1 - b, b of the Beta distribution (alpha, alpha), for draws u (n,) from [0, 1)."""
    return 1 - np.interp(u, *_smaller(alpha)) ** (1 / alpha) if alpha else np.ones(len(u))


@lru_cache
def _smaller(alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Cumulative distribution of the smaller of b and 1 - b, and its values to the power of alpha, each (n,).

    In t = x ** alpha the density x ** (alpha - 1) * (1 - x) ** (alpha - 1) has no pole, because x ** (alpha - 1) d(x)
    is d(t) / alpha.
    """
    t = np.linspace(0, 0.5**alpha, 4097)
    density = (1 - t ** (1 / alpha)) ** (alpha - 1)
    total = np.cumsum(np.append(0, density[1:] + density[:-1]))
    return total / total[-1], t


def _boxes(area: np.ndarray, u: np.ndarray, crop: int) -> np.ndarray:
    """Squares (n, 4) of a share of the area (n,) about centres u (n, 2) in [0, 1), cut off at the image's border."""
    half = np.floor(crop * np.sqrt(area) / 2)[:, None]
    centre = np.floor(crop * u)
    return np.concatenate([centre - half, centre + half], axis=1).clip(0, crop).astype(np.int64)


def mix_cpu(images: np.ndarray, mix: Mix) -> None:
    """Mix images (n, crop, crop, 3) float32 in place."""
    first = np.empty(images.shape[1:], images.dtype)
    for i in range(0, len(images) - 1, 2):
        np.copyto(first, images[i])
        _mix_in(images[i], images[i + 1], mix, i)
        _mix_in(images[i + 1], first, mix, i + 1)


def _mix_in(image: np.ndarray, other: np.ndarray, mix: Mix, i: int) -> None:
    import cv2

    left, top, right, bottom = mix.box[i].tolist()
    image[top:bottom, left:right] = other[top:bottom, left:right]
    blend = float(mix.blend[i])
    if blend < 1:
        cv2.addWeighted(image, blend, other, 1 - blend, 0, image)


def mix_batched(images: "Tensor", partner: "Tensor", blend: "Tensor", box: "Tensor") -> "Tensor":
    """The same of images (n, 3, crop, crop) on any device, with the columns of a `Mix` there."""
    import torch

    others = images.index_select(0, partner)
    blended = torch.lerp(others, images, blend.view(-1, 1, 1, 1))
    return torch.where(inside(box, images.shape[-1]), others, blended)
