"""Random transforms of each image: one affine map, one colour map, one erased rectangle, drawn from its content, on CPU
or another device.

torch and OpenCV are imported by what runs on them, so that the report can show CPU draws without waiting for torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fovea.seeds import uniforms_of

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from fovea.params.train import TransformParams

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as PIL and torchvision
ERASED = (0.02, 0.2)  # smallest and largest share of the area, with ASPECT what Zhong et al. 2020 call s and r
ASPECT = (0.3, 3.3)   # smallest and largest height over width


@dataclass(frozen=True)
class Draws:
    """What is done to n images. `affine` (n, 2, 3) maps output pixels (x, y, 1) to input pixels; `brightness`,
    `contrast` and `saturation` (n,) are factors, 1 for no change; `erased` (n, 4) int64 are boxes of output pixels:
    left, top, right, bottom, the last two outside; all 0 for none."""

    affine: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    saturation: np.ndarray
    erased: np.ndarray

    def changes_colour(self) -> bool:
        return any((factor != 1).any() for factor in (self.brightness, self.contrast, self.saturation))


def draw_keys(index: "pd.DataFrame") -> list[str]:
    """What the draws of each cached row depend on: its content and variant."""
    return [f"{digest}/{variant}" for digest, variant in zip(index["digest"], index["variant"], strict=True)]


def draw(params: "TransformParams", size: int, crop: int, seed: int, epoch: int, keys: list[str]) -> Draws:
    """Draws for images of `size` px that become `crop` px. `keys` are those of `draw_keys`."""
    u = uniforms_of(keys, seed, "transform", epoch)
    mirror_x = np.where(u[:, 0] < params.hflip, -1.0, 1.0)
    mirror_y = np.where(u[:, 1] < params.vflip, -1.0, 1.0)
    angle = np.deg2rad(params.rotation) * (2 * u[:, 2] - 1)
    zoom = params.scale[0] * (params.scale[1] / params.scale[0]) ** u[:, 3]  # as often smaller as larger
    free = size - crop
    offset_x, offset_y = np.floor(u[:, 4] * (free + 1)), np.floor(u[:, 5] * (free + 1))
    strengths = (params.brightness, params.contrast, params.saturation)
    brightness, contrast, saturation = (1 + strength * (2 * u[:, 6 + i] - 1) for i, strength in enumerate(strengths))
    erased = np.where(u[:, 9:10] < params.erasing, _rectangles(u[:, 10:14], crop), 0)
    affine = _affine(mirror_x, mirror_y, angle, zoom, offset_x, offset_y, size)
    return Draws(affine, brightness, contrast, saturation, erased)


def _rectangles(u: np.ndarray, crop: int) -> np.ndarray:
    """Boxes (n, 4) inside `crop` px of four draws (n, 4) each: area, logarithm of the aspect, place."""
    area = crop**2 * (ERASED[0] + (ERASED[1] - ERASED[0]) * u[:, 0])
    aspect = ASPECT[0] * (ASPECT[1] / ASPECT[0]) ** u[:, 1]
    width, height = np.rint(np.sqrt(area / aspect)), np.rint(np.sqrt(area * aspect))  # both below 0.82 of the side
    left, top = np.floor(u[:, 2] * (crop - width + 1)), np.floor(u[:, 3] * (crop - height + 1))
    return np.stack([left, top, left + width, top + height], axis=1).astype(np.int64)


def centred(size: int, crop: int, count: int) -> Draws:
    """The draws of validation and test: the centre square of `crop` px, nothing else."""
    offset = np.full(count, float((size - crop) // 2))
    ones = np.ones(count)
    affine = _affine(ones, ones, 0 * ones, ones, offset, offset, size)
    return Draws(affine, ones, ones, ones, np.zeros((count, 4), np.int64))


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


def apply_cpu(images: np.ndarray, draws: Draws, crop: int) -> Iterator[np.ndarray]:
    """Each of images (n, size, size, 3) uint8 as (crop, crop, 3) uint8, in a buffer that the next one overwrites.

    What lies outside the image is black. Nothing is erased: `erase` does that after the scaling.
    OpenCV on one image at a time takes a fifth of the time of torchvision's v2 for each sample.
    """
    import cv2

    cv2.setNumThreads(1)  # one image is too small to share, and the other cores are the model's
    out = np.empty((crop, crop, 3), np.uint8)
    recolour = draws.changes_colour()
    matrices, lifts = colour_maps(draws)
    for i, image in enumerate(images):
        cv2.warpAffine(image, draws.affine[i], (crop, crop), out, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        if recolour:
            lift = lifts[i] * (cv2.mean(out[::4, ::4])[:3] @ LUMA)
            cv2.transform(out, np.column_stack([matrices[i], [lift] * 3]), out)
        yield out


def erase(image: np.ndarray, box: np.ndarray, value: np.ndarray | float) -> None:
    """Fill the box (4,) of an image (h, w, 3) with `value`."""
    left, top, right, bottom = box.tolist()
    image[top:bottom, left:right] = value


def warp_batched(images: "Tensor", affine: "Tensor", crop: int) -> "Tensor":
    """Images (n, 3, size, size) in [0, 255] on any device to (n, 3, crop, crop), by affine (n, 2, 3), both float32.

    No matrix product: TF32 would move points by a tenth of a pixel.
    """
    import torch
    import torch.nn.functional as F

    place = torch.arange(crop, device=images.device, dtype=torch.float32)
    by_x, by_y, offset = (affine[:, None, None, :, i] for i in range(3))
    points = by_x * place.view(1, 1, -1, 1) + (by_y * place.view(1, -1, 1, 1) + offset)  # (n, y, x, 2)
    grid = (2 * points + 1) / images.shape[-1] - 1
    return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def recolour_batched(images: "Tensor", matrices: "Tensor", lifts: "Tensor") -> "Tensor":
    """Images (n, 3, h, w) in [0, 255] by the maps of `colour_maps`, (n, 3, 3) and (n,) float32."""
    import torch

    red, green, blue = images[:, :, ::4, ::4].mean((2, 3)).unbind(1)
    lift = lifts * (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)
    out = lift.view(-1, 1, 1, 1)
    for channel in range(3):  # no matrix product, see above
        out = torch.addcmul(out, matrices[:, :, channel, None, None], images[:, channel : channel + 1])
    return out.clamp_(0, 255)


def inside(boxes: "Tensor", crop: int) -> "Tensor":
    """Which pixels lie in the boxes (n, 4): bool (n, 1, crop, crop)."""
    import torch

    place = torch.arange(crop, device=boxes.device)
    left, top, right, bottom = (edge.view(-1, 1) for edge in boxes.unbind(1))
    columns, rows = (place >= left) & (place < right), (place >= top) & (place < bottom)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def colour_maps(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """RGB maps (n, 3, 3) and the share (n,) of an image's mean grey that is added to each channel.

    Brightness, then contrast about the image's mean grey, then saturation about each pixel's grey.
    """
    b, c, s = (factor[:, None, None] for factor in (draws.brightness, draws.contrast, draws.saturation))
    matrices = b * c * (s * np.eye(3) + (1 - s) * LUMA[None, None, :])
    return matrices, draws.brightness * (1 - draws.contrast)
