"""Resizing with antialiasing, on uint8.

The kernel that `torchvision.transforms.v2.functional.resize` calls, called directly: the same bytes (a test compares
them), without the 2.5 s that importing torchvision takes. Against Pillow: 0.5 ms instead of 3.7 ms from 560 to 224 px.
"""

import numpy as np
import torch


def resize(image: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """RGB uint8 (h, w, 3) to (height, width, 3). `interpolation`: bicubic or bilinear."""
    if image.shape[:2] == (height, width):
        return image
    image = np.require(image, requirements=["C", "W"])  # torch warns of read-only memory
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]  # a view: the kernel takes interleaved channels
    resized = torch.nn.functional.interpolate(
        planes, (height, width), mode=interpolation, align_corners=False, antialias=True
    )
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


def fit_square(image: np.ndarray, size: int, fit: str, interpolation: str) -> np.ndarray:
    """(h, w, 3) to (size, size, 3): `squash` ignores the aspect ratio, `pad` keeps it and adds black on two sides."""
    height, width = image.shape[:2]
    if fit == "squash" or height == width:
        return resize(image, size, size, interpolation)
    high, wide = (max(1, round(size * side / max(height, width))) for side in (height, width))
    square = np.zeros((size, size, 3), np.uint8)
    top, left = (size - high) // 2, (size - wide) // 2
    square[top : top + high, left : left + wide] = resize(image, high, wide, interpolation)
    return square
