"""What a user would train with instead, on folders of JPEGs: functions that give the seconds of an epoch.

Each has the same model (fastai's has its own head), batch size and optimizer, whole batches only, as many workers as
cores that live on between epochs, the augmentation that its own documentation starts with, and what of channels_last
and bfloat16 the bare step has.
"""

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision import datasets, models
from torchvision.transforms import v2

from benchmarks.training_images import CLASSES

WORKERS = os.cpu_count() or 1
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SGD: dict[str, Any] = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "fused": True}  # as benchmarks/training.py
Epoch = Callable[[], float]


def new_model(name: str, device: torch.device) -> nn.Module:
    return models.get_model(name, num_classes=CLASSES).to(device).to(memory_format=torch.channels_last).train()


def new_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), **SGD)


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def plain_loop(name: str, device: torch.device, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Epoch:
    """The loop that everybody writes."""
    model = new_model(name, device)
    optimizer = new_optimizer(model)

    def epoch() -> float:
        start = time.perf_counter()
        for images, labels in batches:
            images = images.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            labels = labels.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                outputs = model(images)
            loss = F.cross_entropy(outputs.float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        finish(device)
        return time.perf_counter() - start

    return epoch


def with_torchvision(name: str, folder: Path, size: int, batch: int, device: torch.device) -> Epoch:
    """ImageFolder and DataLoader, transforms of references/classification."""
    steps = [v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor(),
             v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)]  # fmt: skip
    loader: Any = torch.utils.data.DataLoader(
        datasets.ImageFolder(folder, v2.Compose(steps)), batch, shuffle=True, num_workers=WORKERS, drop_last=True,
        persistent_workers=True, pin_memory=device.type == "cuda",
    )  # fmt: skip
    return plain_loop(name, device, loader)


def with_timm(name: str, folder: Path, size: int, batch: int, device: torch.device) -> Epoch:
    """`create_dataset`, `create_loader` with its augmentation and, on a GPU, its prefetcher."""
    from timm.data import create_dataset, create_loader  # type: ignore[attr-defined]

    loader = create_loader(
        create_dataset("", str(folder)), (3, size, size), batch, is_training=True, num_workers=WORKERS,
        use_prefetcher=device.type == "cuda", device=device, pin_memory=device.type == "cuda",
    )  # fmt: skip
    return plain_loop(name, device, loader)


def with_fastai(name: str, folder: Path, size: int, batch: int, device: torch.device) -> Epoch:
    """`vision_learner` from scratch with `aug_transforms`; the seconds of the training part of `fit` alone."""
    from fastai.callback.core import Callback
    from fastai.vision import all as vision

    block = vision.DataBlock(
        (vision.ImageBlock, vision.CategoryBlock), get_items=vision.get_image_files, get_y=vision.parent_label,
        splitter=vision.IndexSplitter([0]), item_tfms=vision.Resize(size), batch_tfms=vision.aug_transforms(),
    )  # fmt: skip
    loaders = block.dataloaders(folder, bs=batch, num_workers=WORKERS, device=device, persistent_workers=True)
    learner = vision.vision_learner(
        loaders, getattr(models, name), pretrained=False, loss_func=vision.CrossEntropyLossFlat(), lr=SGD["lr"],
        opt_func=partial(vision.OptimWrapper, opt=torch.optim.SGD, **SGD),
    )  # fmt: skip
    learner.unfreeze()
    learner.model.to(memory_format=torch.channels_last)
    if device.type == "cuda":
        learner.to_bf16()
    clock = _clock(Callback, device)
    learner.add_cb(clock)

    def epoch() -> float:
        with contextlib.redirect_stdout(io.StringIO()), learner.no_bar(), learner.no_logging():
            learner.fit(1)
        return clock.seconds

    return epoch


def _clock(base: Any, device: torch.device) -> Any:
    class Clock(base):  # type: ignore[misc]
        """Seconds between the start and the end of the training part of an epoch."""

        def before_train(self) -> None:
            self.start = time.perf_counter()

        def after_train(self) -> None:
            finish(device)
            self.seconds = time.perf_counter() - self.start

    return Clock()
