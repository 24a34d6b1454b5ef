"""Which device trains, and how it is set up."""

import os

import torch

from fovea.errors import UserError


def choose_device(name: str) -> torch.device:
    """The device that `machine.device` names; `auto` takes CUDA, then MPS, then the CPU.

    Of several GPUs it is the one of this process's local rank, which torchrun sets.

    Raises UserError if the named one is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        raise UserError(f"machine.device: {name} is not available on this machine; use auto or cpu")
    if name == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        torch.cuda.set_device(gpu := int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device(name, gpu)
    return torch.device(name)


def seed(device: torch.device, number: int) -> None:
    """Seed what draws on this device, such as dropout, and no other, as `torch.manual_seed` would."""
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)


def describe(device: torch.device) -> str:
    """Such as "cpu (2 threads)" or "cuda (NVIDIA H200)"."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type
