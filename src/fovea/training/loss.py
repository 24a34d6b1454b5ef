"""Losses over logits, probabilities from logits."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def make_loss(name: str, label_smoothing: float, weights: Tensor | None) -> Loss:
    """A function of logits (n, outputs) float and targets (n,) int64 giving their mean loss, a scalar.

    `binary_cross_entropy` takes one output, the logit of class 1. `weights` (classes,) weighs each image by its class,
    and the mean is over the weights, as `torch.nn.CrossEntropyLoss` does it.
    """
    if name == "cross_entropy":
        return lambda logits, targets: F.cross_entropy(logits, targets, weights, label_smoothing=label_smoothing)

    def binary(logits: Tensor, targets: Tensor) -> Tensor:
        each = F.binary_cross_entropy_with_logits(logits[:, 0], targets.to(logits.dtype), reduction="none")
        if weights is None:
            return each.mean()
        weight = weights[targets]
        return (each * weight).sum() / weight.sum()

    return binary


def outputs_of(loss: str, classes: int) -> int:
    """Number of logits: one for binary cross-entropy, else one for each class."""
    return 1 if loss == "binary_cross_entropy" else classes


def probabilities(logits: Tensor) -> Tensor:
    """Class probabilities (n, classes) float64 of logits (n, classes), or of (n, 1) for two classes by the sigmoid."""
    logits = logits.double()
    if logits.shape[1] == 1:
        positive = torch.sigmoid(logits)
        return torch.cat([1 - positive, positive], dim=1)
    return torch.softmax(logits, dim=1)


def balanced_weights(targets: Tensor, classes: int) -> Tensor:
    """Weight of each class (classes,) float32, n / (classes * n_class), as scikit-learn's `balanced`."""
    counts = torch.bincount(targets, minlength=classes)
    return (len(targets) / (classes * counts.clamp(min=1))).float()
