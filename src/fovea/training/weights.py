"""Weights that a model starts from: of a file, or those trained on ImageNet; and the report of what was taken."""

import hashlib
import pickle
import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from fovea.errors import UserError
from fovea.training.model import TIMM, create_timm, first_line

State = dict[str, Tensor]
PREFIXES = ("module.", "model.", "backbone.")  # of models that were saved inside another module, such as DDP
COUNTER = "num_batches_tracked"  # of batch norms: missing in old files, and without effect


@dataclass(frozen=True)
class Taken:
    """What a model without its head got from weights, by the names of its tensors; counters of batch norms left out.

    `source` is the SHA-256 of the file, or where the ImageNet weights come from.
    """

    source: str
    taken: int
    missing: list[str]      # not in the weights
    other_shape: list[str]  # there, but of another shape
    unused: list[str]       # in the weights, not in the model: the old head, as a rule

    def __str__(self) -> str:
        """One line: counts, and the first name of each kind."""
        kinds = {"not in the file": self.missing, "of another shape": self.other_shape, "unused": self.unused}
        parts = [f"{len(names)} {kind}" + (f" ({names[0]}, ..)" if names else "") for kind, names in kinds.items()]
        return ", ".join([f"{self.taken} tensors taken", *parts])


def load_pretrained(model: nn.Module, head: nn.Module, name: str, size: int, weights: str, strict: bool) -> Taken:
    """Fill all of `model` but its `head` from ImageNet weights (`imagenet`) or from a file.

    `name` and `size` are those that it was built with.

    A tensor is taken if its name, less the usual prefixes, and its shape fit; with `strict` all of them must. The file
    holds a state dict, or a checkpoint with one as `state_dict` or `model`. ImageNet weights are torchvision's
    IMAGENET1K_V1 (its default set where a model has no such) or timm's own, downloaded once into the cache of torch or
    of the Hugging Face hub. Raises UserError if they cannot be had, do not fit with `strict`, or none of them fits.
    """
    state, source = _imagenet(name, size) if weights == "imagenet" else _of_file(Path(weights))
    new = {id(tensor) for tensor in head.parameters()}
    backbone = {key: value for key, value in model.state_dict(keep_vars=True).items() if id(value) not in new}
    state = {_bare(key, backbone): value for key, value in state.items()}
    fits = {key: state[key] for key, value in backbone.items() if key in state and state[key].shape == value.shape}
    counted = [key for key in backbone if not key.endswith(COUNTER)]
    report = Taken(
        source,
        taken=sum(key in fits for key in counted),
        missing=[key for key in counted if key not in state],
        other_shape=[key for key in counted if key in state and key not in fits],
        unused=[key for key in state if key not in backbone],
    )
    left = [key for key in counted if key not in fits]
    if left and (strict or not report.taken):
        raise UserError(
            f"train.weights: {weights} does not fit {name}: {len(left)} of {len(counted)} tensors are missing or have "
            f"another shape, the first is {left[0]}; use weights made for {name}"
            + (", or train.strict: false to take the others" if report.taken else "")
        )
    model.load_state_dict(fits, strict=False)
    return report


def _bare(key: str, names: Container[str]) -> str:
    """`key` without the prefixes that keep it from being one of `names`."""
    while key not in names and (prefix := next(filter(key.startswith, PREFIXES), None)):
        key = key.removeprefix(prefix)
    return key


def _imagenet(name: str, size: int) -> tuple[State, str]:
    if name.startswith(TIMM):
        return _imagenet_of_timm(name, size)
    choices = models.get_model_weights(name)
    weights = choices["IMAGENET1K_V1"] if "IMAGENET1K_V1" in choices.__members__ else choices["DEFAULT"]
    try:
        return weights.get_state_dict(progress=True, check_hash=True), weights.url
    except (OSError, RuntimeError) as error:  # no network; a damaged download
        raise UserError(
            f"train.weights: imagenet: {weights.url} could not be downloaded ({first_line(error)}); fetch it on "
            "another machine and set train.weights to the path of the file"
        ) from None


def _imagenet_of_timm(name: str, size: int) -> tuple[State, str]:
    """Those that timm fills a new model of the same input size with: it fits position embeddings to the size."""
    try:
        model = create_timm(name, 1, size, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"train.weights: imagenet: timm could not get the weights of {name} ({first_line(error)}); fetch them on "
            "another machine and set train.weights to the path of the file"
        ) from None
    return model.state_dict(), f"{TIMM}{model.pretrained_cfg['architecture']}.{model.pretrained_cfg['tag']}"


def _of_file(path: Path) -> tuple[State, str]:
    """Its state dict and SHA-256."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise UserError(f"train.weights: {path} does not exist; use none, imagenet or a file's path") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(f"train.weights: {path} {_reason(error)}") from None
    state = content
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            state = content[key]
            break
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"train.weights: {path} holds no state dict; save it with torch.save(model.state_dict(), path)")
    return state, digest


def _reason(error: Exception) -> str:
    if found := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
        return (f"holds a pickled {found[1]}, and reading such a thing can run any code; "
                "save the tensors alone with torch.save(model.state_dict(), path)")
    return f"is no state dict that torch can read ({first_line(error)})"
