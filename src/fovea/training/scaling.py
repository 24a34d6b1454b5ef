"""What becomes of the levels 0 to 255 before the model gets them.

torch and OpenCV are imported by what runs on them, so that the report can show CPU draws without waiting for torch.
"""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCALINGS = {  # name: (mean, deviation) of red, green and blue, of pixels in [0, 1]
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # nearly all of torchvision's weights expect this
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "symmetric": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "caffe": ((123 / 255, 117 / 255, 104 / 255), (1 / 255, 1 / 255, 1 / 255)),  # levels less the mean, as BGR
}
REVERSED = ("caffe",)  # blue first


def mean_pixel(name: str) -> np.ndarray:
    """The RGB pixel (3,) uint8 that scaling `name` maps to 0, rounded."""
    return np.round(255 * np.array(SCALINGS[name][0])).astype(np.uint8)


class Scaling:
    """Pixels as `train.scaling` names it, on `device`."""

    def __init__(self, name: str, device: "torch.device") -> None:
        import torch

        self.name = name
        mean, deviation = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in SCALINGS[name])
        self.factor, self.shift = 1 / (255 * deviation), -mean / deviation

    def __call__(self, pixels: "Tensor") -> "Tensor":
        """RGB (n, 3, h, w) in [0, 255] to float32 of the same shape."""
        import torch

        scaled = torch.addcmul(self.shift, pixels.float(), self.factor)
        return scaled.flip(1) if self.name in REVERSED else scaled

    def looked_up(self, pixels: np.ndarray, out: np.ndarray) -> None:
        """The same values of one image, uint8 (h, w, 3), into `out`, float32 (h, w, 3), read from a table on the CPU.

        `out` must be C-contiguous.
        """
        import cv2

        cv2.LUT(pixels[:, :, ::-1] if self.name in REVERSED else pixels, self._table, out)

    @cached_property
    def _table(self) -> np.ndarray:
        """The value of each level in each channel of the result, float32 (256, 1, 3)."""
        import torch

        levels = torch.arange(256.0).view(1, 1, 256, 1).expand(1, 3, 256, 1)
        return np.ascontiguousarray(self(levels)[0].permute(1, 2, 0).numpy())
