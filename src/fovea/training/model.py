"""Classifiers of torchvision and timm with a new head: built by name, saved and loaded."""

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models

from fovea.errors import UserError
from fovea.files import replacing

TIMM = "timm/"  # before the names of timm's models


def build_model(
    name: str, outputs: int, hidden: int, dropout: float, size: int, stem: str
) -> tuple[nn.Module, nn.Module]:
    """The classifier `name` for (n, 3, size, size) images with random weights, and its new head.

    The head is linear, or `hidden` units, ReLU, dropout and linear; it gives (n, outputs) logits. `stem` is `standard`,
    or `small`: the net sees the images at four times the resolution. Raises UserError if there is no such classifier,
    it cannot take images of `size` px or has no such stem.
    """
    if not name.startswith(TIMM) and name not in models.list_models(module=models):
        raise UserError(f"train.model: torchvision has no classifier {name!r}; see torchvision.models.list_models()")
    try:
        if name.startswith(TIMM):
            model = create_timm(name, outputs, size, pretrained=False)
        else:
            model = models.get_model(name, weights=None, **_arguments(name, size))
        head = _replace_head(model, _head_path(model, name), outputs, hidden, dropout)
        if stem == "small":
            _make_stem_small(model, name)
        _try_size(model, size)
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = first_line(error)
        raise UserError(f"train.model: {name} cannot take images of {size} px ({reason}); use another size") from None
    return model, head


def create_timm(name: str, outputs: int, size: int, pretrained: bool) -> Any:
    """timm's model `name` ("timm/..", with a tag or without) for images of `size` px, with its own head.

    Raises UserError if timm is not installed or has no such model; what timm raises if the weights cannot be had.
    """
    try:
        import timm
    except ModuleNotFoundError:
        raise UserError(f"train.model: {name} needs timm, which is not installed: uv sync --extra timm") from None
    known = name.removeprefix(TIMM)
    try:
        config = timm.get_pretrained_cfg(known, allow_unregistered=False) if timm.is_model(known) else None
    except RuntimeError:  # the tag
        config = None
    if config is None:
        raise UserError(f"train.model: timm has no model {known!r}; see timm.list_models()")
    side: dict[str, Any] = {"img_size": size} if config.fixed_input_size else {}  # such as a ViT; others take any size
    return timm.create_model(known, pretrained=pretrained, num_classes=outputs, **side)


def _make_stem_small(model: nn.Module, name: str) -> None:
    """A 3x3 convolution of stride 1 instead of 7x7 of stride 2, and no max-pool, as for CIFAR (He et al. 2016)."""
    if not isinstance(model, models.ResNet):
        raise UserError(f"train.stem: small is for torchvision's ResNets, not for {name}; use standard")
    model.conv1 = nn.Conv2d(3, model.conv1.out_channels, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's ResNet
    model.maxpool = nn.Identity()


def _arguments(name: str, size: int) -> dict[str, Any]:
    if name.startswith("vit_"):
        return {"image_size": size}
    if name.startswith("maxvit_"):
        return {"input_size": (size, size)}
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}  # one loss for all models
    return {}


def _replace_head(model: nn.Module, path: str, outputs: int, hidden: int, dropout: float) -> nn.Module:
    parent, _, attribute = path.rpartition(".")
    last = model.get_submodule(path)
    if isinstance(last, nn.Linear):
        head = _new_head(last.in_features, outputs, hidden, dropout)
        setattr(model.get_submodule(parent), attribute, head)
    else:  # SqueezeNet: the ReLU behind its last convolution would cut logits below 0
        assert isinstance(last, nn.Conv2d)
        head = _new_head(last.in_channels, outputs, hidden, dropout)
        model.classifier = nn.Sequential(nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    return head


def _head_path(model: Any, name: str) -> str:
    """Name of the last linear layer of a classifier, or of the last convolution if torchvision's has none.

    Raises UserError if timm's ends in anything else than one linear layer.
    """
    if name.startswith(TIMM):
        path = model.pretrained_cfg["classifier"]
        if not isinstance(path, str) or not isinstance(model.get_submodule(path), nn.Linear):
            raise UserError(f"train.model: {name} does not end in one linear layer, which Fovea replaces; use another")
        return path
    paths = {type(layer): path for path, layer in model.named_modules()}  # the last of each kind
    return paths.get(nn.Linear) or paths[nn.Conv2d]


def _new_head(inputs: int, outputs: int, hidden: int, dropout: float) -> nn.Module:
    if not hidden:
        return nn.Linear(inputs, outputs)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs))


@torch.no_grad()
def _try_size(model: nn.Module, size: int) -> None:
    """One forward pass of two images, because no model states its smallest input."""
    model.eval()(torch.zeros(2, 3, size, size))
    model.train()


def save_model(path: Path | str, model: nn.Module, record: dict[str, Any]) -> None:
    """Write weights on the CPU and `record` (plain values; `load_model` says which) as one file."""
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_values(path, {**record, "state_dict": state})


def save_values(path: Path | str, values: dict[str, Any]) -> None:
    """Write plain values and tensors as one file, whole or not at all, for `torch.load(weights_only=True)`.

    The same ones give the same bytes: `torch.save` to a path would write the file's name into the archive.
    """
    buffer = io.BytesIO()
    torch.save(values, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load_model(path: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """The model in eval mode and its record: `model`, `outputs`, `hidden`, `dropout`, `size` (px of the input),
    `stem`, `scaling`, `loss` and whatever else `save_model` was given."""
    record = torch.load(path, map_location="cpu", weights_only=True)
    state = record.pop("state_dict")
    model, _ = build_model(*(record[key] for key in ("model", "outputs", "hidden", "dropout", "size", "stem")))
    model.load_state_dict(state)
    return model.eval(), record


def first_line(error: Exception) -> str:
    """What an error says first, or its kind."""
    return (str(error).splitlines() or [type(error).__name__])[0]
