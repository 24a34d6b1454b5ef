"""The optimizer of a phase, and which weights it moves more slowly than the head."""

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from fovea.params.train import FullParams, PhaseParams

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
WRAPPER = 0.75  # share of all weights above which a module is taken apart: torchvision's ViT has all in an `encoder`


def make_optimizer(phase: "PhaseParams", module: nn.Module, head: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of the weights of `module`: the head alone, or the model that holds it.

    Weights of one learning rate are one group: its key `factor` times the learning rate of the schedule is its own.
    Fused: one kernel for all weights instead of several for each.
    """
    options = {**vars(phase.optimizer), "lr": phase.lr, "fused": True}
    kinds: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[options.pop("name")](_groups(phase, module, head), **options)


def _groups(phase: "PhaseParams", module: nn.Module, head: nn.Module) -> list[dict[str, Any]]:
    factors: dict[int, float] = {}
    if module is not head:
        full = cast("FullParams", phase)
        factors = _factors(blocks(module, head), full.backbone, full.layer_decay)
    groups: dict[float, list[Tensor]] = {}
    for weight in module.parameters():
        groups.setdefault(factors.get(id(weight), 1.0), []).append(weight)
    return [{"params": weights, "factor": factor, "lr": phase.lr * factor} for factor, weights in groups.items()]


def _factors(parts: list[list[Tensor]], backbone: float, layer_decay: float) -> dict[int, float]:
    """Factor of each weight by its id: the last block is one block away from the head."""
    return {
        id(weight): backbone * layer_decay ** (len(parts) - number)
        for number, part in enumerate(parts)
        for weight in part
    }


def blocks(model: nn.Module, head: nn.Module) -> list[list[Tensor]]:
    """The weights of `model` without its `head`, block by block in the order in which they were registered.

    In torchvision's and timm's models that is the order of the forward pass. A block is an outermost module that is
    neither a container (Sequential, ModuleList, ModuleDict), nor holds the head or nearly all weights: a residual
    block, a transformer block, a convolution of VGG. A module with vectors alone, such as a norm, belongs to the block
    before it. What containers hold themselves, such as a ViT's class token, belongs to the first block.
    """
    own: list[Tensor] = []
    found: list[list[Tensor]] = []
    total = sum(weight.numel() for weight in model.parameters())

    def is_wrapper(part: nn.Module) -> bool:
        most = sum(weight.numel() for weight in part.parameters()) > WRAPPER * total and any(part.children())
        return isinstance(part, CONTAINERS) or most or any(inner is head for inner in part.modules())

    def walk(part: nn.Module) -> None:
        if part is head:
            return
        if is_wrapper(part):
            own.extend(part.parameters(recurse=False))
            for child in part.children():
                walk(child)
        elif weights := list(part.parameters()):
            if not found or any(weight.dim() > 1 for weight in weights):
                found.append([])
            found[-1] += weights

    walk(model)
    found[0] += own
    return found
