"""Random transforms of each image: one affine map and one colour map, drawn from its content, on CPU or GPU.

torch and OpenCV are imported by what runs on them, so that the report can show CPU draws without waiting for torch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fovea.seeds import uniforms

if TYPE_CHECKING:
    from torch import Tensor

    from fovea.params.train import TransformParams

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as PIL and torchvision


@dataclass(frozen=True)
class Draws:
    """What is done to n images. `affine` (n, 2, 3) maps output pixels (x, y, 1) to input pixels; `brightness`,
    `contrast` and `saturation` (n,) are factors, 1 for no change."""

    affine: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    saturation: np.ndarray

    def changes_colour(self) -> bool:
        return any((factor != 1).any() for factor in (self.brightness, self.contrast, self.saturation))


def draw_keys(index: pd.DataFrame) -> list[str]:
    """What the draws of each cached row depend on: its content and variant."""
    return [f"{digest}/{variant}" for digest, variant in zip(index["digest"], index["variant"], strict=True)]


def draw(params: "TransformParams", size: int, crop: int, seed: int, epoch: int, keys: list[str]) -> Draws:
    """Draws for images of `size` px that become `crop` px. `keys` are those of `draw_keys`."""
    u = np.stack([uniforms(seed, "transform", epoch, key) for key in keys])
    mirror_x = np.where(u[:, 0] < params.hflip, -1.0, 1.0)
    mirror_y = np.where(u[:, 1] < params.vflip, -1.0, 1.0)
    angle = np.deg2rad(params.rotation) * (2 * u[:, 2] - 1)
    zoom = params.scale[0] * (params.scale[1] / params.scale[0]) ** u[:, 3]  # as often smaller as larger
    free = size - crop
    offset_x, offset_y = np.floor(u[:, 4] * (free + 1)), np.floor(u[:, 5] * (free + 1))
    colour = (1 + strength * (2 * u[:, 6 + i] - 1) for i, strength in enumerate(_colour_strengths(params)))
    return Draws(_affine(mirror_x, mirror_y, angle, zoom, offset_x, offset_y, size), *colour)


def _colour_strengths(params: "TransformParams") -> tuple[float, float, float]:
    return params.brightness, params.contrast, params.saturation


def centred(size: int, crop: int, count: int) -> Draws:
    """The draws of validation and test: the centre square of `crop` px, nothing else."""
    offset = np.full(count, float((size - crop) // 2))
    ones = np.ones(count)
    return Draws(_affine(ones, ones, 0 * ones, ones, offset, offset, size), ones, ones, ones)


def _affine(
    mirror_x: np.ndarray,
    mirror_y: np.ndarray,
    angle: np.ndarray,
    zoom: np.ndarray,
    offset_x: np.ndarray,
    offset_y: np.ndarray,
    size: int,
) -> np.ndarray:
    """Crop at the offset, then turn, zoom and mirror about the centre of the whole image: (n, 2, 3) float64."""
    centre = (size - 1) / 2
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x, y = offset_x - centre, offset_y - centre
    rows = [[mirror_x * cos, -mirror_x * sin], [mirror_y * sin, mirror_y * cos]]
    return np.stack([np.stack([a, b, a * x + b * y + centre], axis=-1) for a, b in rows], axis=1)


def apply_cpu(images: np.ndarray, draws: Draws, crop: int) -> np.ndarray:
    """Images (n, size, size, 3) uint8 to (n, crop, crop, 3) uint8. What lies outside the image is black.

    OpenCV on one image at a time takes a fifth of the time of torchvision's v2 for each sample.
    """
    import cv2

    cv2.setNumThreads(1)  # one image is too small to share, and the other cores are the model's
    out = np.empty((len(images), crop, crop, 3), np.uint8)
    recolour = draws.changes_colour()
    matrices, lifts = _colour_maps(draws)
    for i, image in enumerate(images):
        cv2.warpAffine(image, draws.affine[i], (crop, crop), out[i], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        if recolour:
            lift = lifts[i] * (out[i, ::4, ::4].mean((0, 1)) @ LUMA)
            cv2.transform(out[i], np.column_stack([matrices[i], [lift] * 3]), out[i])
    return out


def apply_batched(images: "Tensor", draws: Draws, crop: int) -> "Tensor":
    """Images (n, 3, size, size) in [0, 255] on any device to (n, 3, crop, crop) float32, each with its own draw."""
    import torch
    import torch.nn.functional as F

    n, size = len(images), images.shape[-1]
    affine = torch.as_tensor(draws.affine, dtype=torch.float32, device=images.device)
    x, y = torch.meshgrid(*(torch.arange(crop, device=images.device),) * 2, indexing="xy")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).float().view(1, -1, 3) @ affine.transpose(1, 2)
    grid = ((2 * points + 1) / size - 1).view(n, crop, crop, 2)
    out = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    if not draws.changes_colour():
        return out
    matrices, lifts = (torch.as_tensor(value, dtype=torch.float32, device=out.device) for value in _colour_maps(draws))
    luma = torch.as_tensor(LUMA, dtype=torch.float32, device=out.device)
    lift = lifts * (out[:, :, ::4, ::4].mean((2, 3)) @ luma)
    return (torch.einsum("nij,njhw->nihw", matrices, out) + lift.view(-1, 1, 1, 1)).clamp_(0, 255)


def _colour_maps(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """RGB maps (n, 3, 3) and the share (n,) of an image's mean grey that is added to each channel.

    Brightness, then contrast about the image's mean grey, then saturation about each pixel's grey.
    """
    b, c, s = (factor[:, None, None] for factor in (draws.brightness, draws.contrast, draws.saturation))
    matrices = b * c * (s * np.eye(3) + (1 - s) * LUMA[None, None, :])
    return matrices, draws.brightness * (1 - draws.contrast)
