"""Several processes that train one model, on one machine or more, as torchrun starts them (`machine.launcher`).

Each takes its part of every batch. Batch norm, gradients and losses are those of the whole batch, so that the training
is the one of a single process.
"""

import os
import shlex
import shutil
import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from fovea.errors import UserError

# torchrun keeps one store for all its attempts, in which a process that is started again finds the addresses of the
# dead and waits for them, with torch 2.15 for half an hour. With this set to 1, each attempt has a store of its own.
OWN_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"


class World:
    """The processes of one training: this one is `rank` of `size`. A training alone is 0 of 1, and nothing is sent."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    def part(self, batch: np.ndarray) -> np.ndarray:
        """This process's positions of `batch` (n,), maybe none. 2j and 2j + 1, which may be mixed, stay together."""
        pairs = [batch[i : i + 2] for i in range(2 * self.rank, len(batch), 2 * self.size)]
        return np.concatenate([batch[:0], *pairs])

    def largest(self, count: int) -> int:
        """Images in the largest part of a batch of `count`, the same number in every process."""
        return count if self.size == 1 else 2 * -(-count // (2 * self.size))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes, in each of them."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, rows: Tensor, count: int) -> Tensor:
        """All `count` rows of which this process has those at rank, rank + size, ..: each once, in order."""
        if self.size == 1:
            return rows
        padded = rows.new_zeros(-(-count // self.size), *rows.shape[1:])
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(found, padded)
        return torch.stack(found, dim=1).flatten(0, 1)[:count]

    def broadcast(self, value: Any) -> Any:
        """`value` of the first process, in each of them."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model whose gradients and batch norms are those of the whole batch.

        Raises UserError if it has a batch norm that does more, such as timm's with an activation in it.
        """
        if self.size == 1:
            return model
        for name, layer in model.named_modules():
            if isinstance(layer, _BatchNorm) and not _is_plain(layer):
                raise UserError(f"machine.launcher: {name} of this model, a {type(layer).__name__}, cannot run in "
                                "several processes; set null, or take another train.model")
        device = next(model.parameters()).device
        if device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        else:  # torch's own takes no CPU
            for layer in model.modules():
                if isinstance(layer, _BatchNorm):
                    layer.forward = partial(_batch_norm, layer)  # type: ignore[method-assign]
        return DistributedDataParallel(model)

    def without_sync(self, module: nn.Module) -> AbstractContextManager[None]:
        """Inside, gradients are added up here alone."""
        return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


def join(device: torch.device) -> World:
    """Meet the other processes, if torchrun has started this one. Raises UserError if they would meet the dead."""
    if "RANK" not in os.environ:
        return World()
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        raise UserError(f"torchrun: processes that it starts again would not find each other; set {OWN_STORE}=1, or "
                        "run python stages/train.py, which starts machine.launcher so")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(dist.get_rank(), dist.get_world_size())


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def launch(launcher: str, script: Path | str) -> NoReturn:
    """Become `launcher script`, which starts the processes. Raises UserError if there is no such program."""
    program, *options = shlex.split(launcher)
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if not found:
        raise UserError(f"machine.launcher: {program}: no such program; install it, or set null for one process")
    sys.stdout.flush()
    os.execve(found, [found, *options, str(script)], os.environ | {OWN_STORE: "1"})


class _Sum(torch.autograd.Function):
    """Sum over the processes, whose gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _is_plain(layer: _BatchNorm) -> bool:
    return type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d) and layer.affine and layer.momentum is not None


def _batch_norm(layer: _BatchNorm, inputs: Tensor) -> Tensor:
    """`layer` in training with mean and variance of the images of all processes, inputs (n, c, ...)."""
    if not layer.training:
        return F.batch_norm(
            inputs, layer.running_mean, layer.running_var, layer.weight, layer.bias, False, 0.0, layer.eps
        )
    others = [0, *range(2, inputs.dim())]
    count = inputs.new_full((1,), inputs.numel() / inputs.shape[1])
    total = _Sum.apply(torch.cat([inputs.sum(others), count]))
    mean = total[:-1] / total[-1]
    shape = [1, -1, *[1] * (inputs.dim() - 2)]
    centred = inputs - mean.view(shape)
    variance = _Sum.apply(centred.square().sum(others)) / total[-1]
    with torch.no_grad():
        buffers: Any = layer
        buffers.num_batches_tracked += 1
        buffers.running_mean.lerp_(mean, layer.momentum)
        buffers.running_var.lerp_(variance * total[-1] / (total[-1] - 1), layer.momentum)
    scale = layer.weight * torch.rsqrt(variance + layer.eps)
    return torch.addcmul(layer.bias.view(shape), centred, scale.view(shape))
