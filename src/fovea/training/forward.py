"""Passes through a model that trains nothing: its logits, and what its head gets."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

INFERENCE_BATCH = 64  # fixed, because another size may change the last bit of a result


@torch.no_grad()
def logits(model: nn.Module, inputs: Iterable[Tensor]) -> Tensor:
    """Logits (n, outputs) float32 of batches of inputs, in eval mode."""
    model.eval()
    return torch.cat([model(batch) for batch in inputs])


@torch.no_grad()
def backbone_features(model: nn.Module, head: nn.Module, inputs: Iterable[Tensor]) -> Iterator[Tensor]:
    """What `head` gets for each batch of inputs, (b, f) float32, with `model` in eval mode."""
    found: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, arguments: found.append(arguments[0]))
    model.eval()
    try:
        for batch in inputs:
            with torch.autocast(batch.device.type, torch.bfloat16, enabled=batch.device.type == "cuda"):
                model(batch)
            yield found.pop().flatten(1).float()
    finally:
        hook.remove()
