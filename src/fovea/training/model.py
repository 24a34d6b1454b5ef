"""Torchvision classifiers with a new head: built by name, initialised, saved and loaded."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from fovea.errors import UserError
from fovea.files import replacing


def build_model(name: str, outputs: int, hidden: int, dropout: float, size: int) -> tuple[nn.Module, nn.Module]:
    """Torchvision's classifier `name` for (n, 3, size, size) images with random weights, and its new head.

    The head is linear, or `hidden` units, ReLU, dropout and linear; it gives (n, outputs) logits.
    Raises UserError if torchvision has no such classifier or it cannot take images of `size` px.
    """
    if name not in models.list_models(module=models):
        raise UserError(f"train.model: torchvision has no classifier {name!r}; see torchvision.models.list_models()")
    try:
        model = models.get_model(name, weights=None, **_arguments(name, size))
        head = _replace_head(model, outputs, hidden, dropout)
        _try_size(model, size)
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = _first_line(error)
        raise UserError(f"train.model: {name} cannot take images of {size} px ({reason}); use another size") from None
    return model, head


def _arguments(name: str, size: int) -> dict[str, Any]:
    if name.startswith("vit_"):
        return {"image_size": size}
    if name.startswith("maxvit_"):
        return {"input_size": (size, size)}
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "init_weights": True}  # one loss for all models
    return {}


def _replace_head(model: nn.Module, outputs: int, hidden: int, dropout: float) -> nn.Module:
    path = _head_path(model)
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


def _head_path(model: nn.Module) -> str:
    """Name of the last linear layer of a torchvision classifier, or of the last convolution if it has none."""
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


def load_pretrained(model: nn.Module, head: nn.Module, name: str, weights: str) -> None:
    """Fill all of `model` but its `head` from ImageNet weights (`imagenet`) or from a file that holds a state dict.

    ImageNet weights are torchvision's IMAGENET1K_V1 (its default set where a model has no such), downloaded once into
    torch's own cache. Raises UserError if they cannot be had or do not fit.
    """
    state = _imagenet_state(name) if weights == "imagenet" else _file_state(Path(weights))
    new = {id(tensor) for tensor in head.parameters()}
    backbone = {key: value for key, value in model.state_dict(keep_vars=True).items() if id(value) not in new}
    taken = {key: state[key] for key, value in backbone.items() if key in state and state[key].shape == value.shape}
    left = [key for key in backbone if key not in taken and not key.endswith("num_batches_tracked")]
    if left:  # num_batches_tracked is missing in old files, and without effect
        raise UserError(
            f"train.weights: {weights} does not fit {name}: {len(left)} of {len(backbone)} tensors are missing or have "
            f"another shape, the first is {left[0]}; use weights made for {name}"
        )
    model.load_state_dict(taken, strict=False)


def _imagenet_state(name: str) -> dict[str, Tensor]:
    choices = models.get_model_weights(name)
    weights = choices["IMAGENET1K_V1"] if "IMAGENET1K_V1" in choices.__members__ else choices["DEFAULT"]
    try:
        return weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network; a damaged download
        raise UserError(
            f"train.weights: imagenet: {weights.url} could not be downloaded ({error}); fetch it on another machine "
            "and set train.weights to the path of the file"
        ) from None


def _file_state(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"train.weights: {path} does not exist; use none, imagenet or a file's path") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(f"train.weights: {path} is no state dict that torch can read ({_first_line(error)})") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"train.weights: {path} holds no state dict; save it with torch.save(model.state_dict(), path)")
    return state


def save_model(path: Path | str, model: nn.Module, record: dict[str, Any]) -> None:
    """Write weights on the CPU and `record` (plain values; `load_model` says which) as one file.

    The same model gives the same bytes: `torch.save` to a path would write the file's name into the archive.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({**record, "state_dict": state}, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load_model(path: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """The model in eval mode and its record: `model`, `outputs`, `hidden`, `dropout`, `size` (px of the input),
    `scaling`, `loss` and whatever else `save_model` was given."""
    record = torch.load(path, map_location="cpu", weights_only=True)
    state = record.pop("state_dict")
    model, _ = build_model(*(record[key] for key in ("model", "outputs", "hidden", "dropout", "size")))
    model.load_state_dict(state)
    return model.eval(), record


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
