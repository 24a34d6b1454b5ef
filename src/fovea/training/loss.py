"""Losses over logits, the probabilities and the class that logits of each loss mean."""

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fovea.errors import UserError

if TYPE_CHECKING:
    from fovea.params.train import LossParams

LEAST = 1e-7  # of 1 - p in the focal loss: below it the power has no finite derivative


@dataclass(frozen=True)
class Loss:
    """`train.loss` for classes with `weights` (classes,) float32; the model gives `outputs` logits per image.

    The mean loss of images is `each(..).sum() / weight(..).sum()`, as `torch.nn.CrossEntropyLoss` does it: sums over
    parts of a batch add up to those of the whole.
    """

    params: "LossParams"
    weights: Tensor
    outputs: int

    def each(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(n,) float32: the loss of each image times the weight of its class.

        `logits` (n, outputs) float32, `targets` (n,) int64. With label smoothing cross-entropy weighs each class's
        part by that class's own weight, as torch does.
        """
        if self.params.name == "cross_entropy":
            smoothing = self.params.label_smoothing
            return F.cross_entropy(logits, targets, self.weights, reduction="none", label_smoothing=smoothing)
        return self._unweighted(logits, targets) * self.weight(targets)

    def weight(self, targets: Tensor) -> Tensor:
        """(n,) float32: the weight of each image's class."""
        return self.weights[targets]

    def mean(self, logits: Tensor, targets: Tensor) -> Tensor:
        """() float32: the mean loss of images, their classes' weights counted."""
        return self.each(logits, targets).sum() / self.weight(targets).sum()

    def _unweighted(self, logits: Tensor, targets: Tensor) -> Tensor:
        match self.params.name:
            case "focal":
                return _focal(logits, targets, self.params.gamma)
            case "ordinal":
                thresholds = torch.arange(self.outputs, device=logits.device)
                return _binary(logits, targets[:, None] > thresholds).sum(1)
            case _ if self.outputs == 1:
                return _binary(logits, targets[:, None] == 1).mean(1)
            case _:
                classes = torch.arange(self.outputs, device=logits.device)
                return _binary(logits, targets[:, None] == classes).mean(1)


def make_loss(params: "LossParams", targets: Tensor, classes: int) -> Loss:
    """The loss for training images with `targets` (n,) int64, on their device.

    cross_entropy and focal take a logit for each class. binary_cross_entropy takes one, of class 1, or of more than two
    classes one each against the rest, and is the mean over them. ordinal takes classes - 1: number k says that the
    grade is above k (Frank & Hall 2001; Niu et al. 2016), and is the sum over them. focal is (1 - p)^gamma times
    cross-entropy (Lin et al. 2017), in its softmax form. Raises UserError if the classes are too few for the loss.
    """
    if params.name == "ordinal" and classes < 3:
        raise UserError(f"train.loss.name: ordinal needs at least 3 classes in order, the data have {classes}; "
                        "use cross_entropy")
    balanced = params.class_weights == "balanced"
    weights = balanced_weights(targets, classes) if balanced else torch.ones(classes, device=targets.device)
    outputs = {"ordinal": classes - 1, "binary_cross_entropy": 1 if classes == 2 else classes}
    return Loss(params, weights, outputs.get(params.name, classes))


def _binary(logits: Tensor, yes: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, yes.to(logits.dtype), reduction="none")


def _focal(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    surprise = F.cross_entropy(logits, targets, reduction="none")
    wrong = -torch.expm1(-surprise)  # 1 - p without the rounding of 1 - p
    return wrong.clamp(min=LEAST) ** gamma * surprise


def balanced_weights(targets: Tensor, classes: int) -> Tensor:
    """Weight of each class (classes,) float32, n / (classes * n_class), as scikit-learn's `balanced`."""
    counts = torch.bincount(targets, minlength=classes)
    return (len(targets) / (classes * counts.clamp(min=1))).float()


def probabilities(name: str, logits: Tensor) -> Tensor:
    """Class probabilities (n, classes) float64 of logits (n, outputs) of the loss `name`; each row adds up to 1.

    The sigmoids of several classes, each against the rest, are divided by their sum. The ordinal ones, of being above
    each grade, are first made to fall: none may be more likely than the one before it.
    """
    logits = logits.double()
    if name == "ordinal":
        falling = accumulate(torch.exp(_log_sigmoid(logits)).unbind(1), torch.minimum)  # ONNX has no cummin
        above = torch.stack(list(falling), dim=1)
        ones, zeros = torch.ones_like(above[:, :1]), torch.zeros_like(above[:, :1])
        return torch.cat([ones, above], dim=1) - torch.cat([above, zeros], dim=1)
    if name == "binary_cross_entropy" and logits.shape[1] == 1:
        return torch.softmax(torch.cat([torch.zeros_like(logits), logits], dim=1), dim=1)
    return torch.softmax(_log_sigmoid(logits) if name == "binary_cross_entropy" else logits, dim=1)


def _log_sigmoid(logits: Tensor) -> Tensor:
    """As `F.logsigmoid`, in steps that are exact in ONNX Runtime too: its sigmoid is 0 below -37, even in float64."""
    return logits.clamp(max=0) - torch.log1p(torch.exp(-logits.abs()))


def predicted(name: str, logits: Tensor) -> Tensor:
    """Class (n,) int64 of logits (n, outputs) of the loss `name`, on their device: `decided` of their probabilities."""
    if name == "ordinal":
        return (logits.cummin(1).values > 0).sum(1)
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def decided(name: str, chances: np.ndarray) -> np.ndarray:
    """Class (n,) int64 of probabilities (n, classes) of the loss `name`: the likeliest one; of grades the median.

    The median is the number of grades that the image is more likely above than not. It has the smallest expected
    distance in grades, and so serves the quadratic kappa better than the likeliest grade, which may lie at an end.
    """
    if name == "ordinal":
        above = chances[:, ::-1].cumsum(axis=1)[:, -2::-1]
        return np.asarray((above > 0.5).sum(axis=1), np.int64)
    return chances.argmax(axis=1)
