"""What a training begins with: rows, loss and model, made from the cache as `params.yaml` says."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from fovea.errors import UserError
from fovea.training.data import Rows, make_rows
from fovea.training.loss import Loss, make_loss
from fovea.training.model import build_model
from fovea.training.weights import Taken, load_pretrained

if TYPE_CHECKING:
    from fovea.cache.read import Cache
    from fovea.params.train import TrainParams


class Prepared(NamedTuple):
    """`val` is None without validation rows; `shape` are the arguments of `build_model` beside the name; `taken` says
    what the model got from `train.weights`, None if those are `none`."""

    model: nn.Module
    head: nn.Module
    train: Rows
    val: Rows | None
    loss: Loss
    shape: dict[str, Any]
    taken: Taken | None


def prepare(params: "TrainParams", cache: "Cache", device: torch.device) -> Prepared:
    """Seeds torch, so that the initial weights are those of `train.seed`.

    Raises UserError where the rows of the cache do not allow what `params` asks for, or weights do not fit.
    """
    has_val = bool((cache.index["split"] == "val").any())
    _check(params, cache.attrs["size"], has_val)
    train, val = (
        make_rows(cache, (cache.index["split"] == part).to_numpy(), params.crop, params.scaling, device)
        if part == "train" or has_val else None
        for part in ("train", "val")
    )  # fmt: skip
    assert train is not None
    loss = make_loss(params.loss, train.targets, len(cache.attrs["classes"]))
    shape = {"outputs": loss.outputs, **vars(params.head), "size": train.crop, "stem": params.stem}
    torch.manual_seed(params.seed)
    model, head = build_model(params.model, **shape)
    taken = None
    if params.weights != "none":
        taken = load_pretrained(model, head, params.model, train.crop, params.weights, params.strict)
    model.to(device).to(memory_format=torch.channels_last)
    return Prepared(model, head, train, val, loss, shape, taken)


def _check(params: "TrainParams", side: int, has_val: bool) -> None:
    if params.crop and params.crop > side:
        raise UserError(f"train.crop: {params.crop} px is larger than augment.image_size, {side} px")
    other = "another schedule than plateau"
    for key, needs_val, instead in (
        ("early_stopping", params.early_stopping > 0, "early_stopping 0"),
        ("frozen.schedule", params.frozen.epochs > 0 and params.frozen.schedule.name == "plateau", other),
        ("full.schedule", params.full.epochs > 0 and params.full.schedule.name == "plateau", other),
    ):
        if needs_val and not has_val:
            raise UserError(f"train.{key}: needs validation images; set split.val above 0, or {instead}")
