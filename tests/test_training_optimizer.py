"""Which weights move how fast."""

from typing import Any

import pytest
import torch
from torch import nn

from fovea.training.model import build_model
from fovea.training.optimizer import blocks, make_optimizer
from tests.small import train_params
from tests.test_training_model import FAMILIES


def factors_of(model: nn.Module, head: nn.Module, **changes: Any) -> dict[str, float]:
    phase = train_params(**{f"full__{key}": value for key, value in changes.items()}).full
    names = {id(weight): name for name, weight in model.named_parameters()}
    groups = make_optimizer(phase, model, head).param_groups
    assert all(group["lr"] == phase.lr * group["factor"] for group in groups)
    return {names[id(weight)]: group["factor"] for group in groups for weight in group["params"]}


def test_factors_of_one_are_one_group_with_every_weight_in_its_order() -> None:
    model, head = build_model("resnet18", 3, 0, 0.0, 32, "standard")
    (group,) = make_optimizer(train_params().full, model, head).param_groups
    assert group["factor"] == 1.0
    assert [id(weight) for weight in group["params"]] == [id(weight) for weight in model.parameters()]


def test_the_backbone_has_its_factor_and_the_head_has_none() -> None:
    model, head = build_model("resnet18", 3, 4, 0.0, 32, "standard")
    factors = factors_of(model, head, backbone=0.1)
    assert {name for name, factor in factors.items() if factor == 1.0} == {
        "fc.0.weight", "fc.0.bias", "fc.3.weight", "fc.3.bias"}  # fmt: skip
    assert {factor for name, factor in factors.items() if not name.startswith("fc")} == {0.1}


def test_a_weight_that_has_a_small_factor_moves_less() -> None:
    model, head = build_model("resnet18", 3, 0, 0.0, 32, "standard")
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    sgd = {"name": "sgd", "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    optimizer = make_optimizer(train_params(full__backbone=0.01, full__lr=0.5, full__optimizer=sgd).full, model, head)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    moved = {name: (before[name] - weight).mean().item() for name, weight in model.named_parameters()}
    assert moved["fc.weight"] == pytest.approx(0.5, rel=1e-4)
    assert moved["conv1.weight"] == pytest.approx(0.005, rel=1e-3)


def test_layers_decay_from_the_head_down_to_the_first_block() -> None:
    model, head = build_model("resnet18", 3, 0, 0.0, 32, "standard")
    factors = factors_of(model, head, layer_decay=0.5, backbone=0.8)
    assert factors["fc.bias"] == 1.0
    assert factors["layer4.1.conv2.weight"] == 0.8 * 0.5
    assert factors["layer4.0.conv1.weight"] == factors["layer4.0.downsample.0.weight"] == 0.8 * 0.5**2
    assert factors["layer1.0.conv1.weight"] == 0.8 * 0.5**8
    assert factors["conv1.weight"] == factors["bn1.weight"] == 0.8 * 0.5**9


def test_a_vision_transformer_has_its_transformer_blocks() -> None:
    model, head = build_model("vit_b_32", 3, 0, 0.0, 32, "standard")
    factors = factors_of(model, head, layer_decay=0.5)
    assert factors["encoder.ln.weight"] == factors["encoder.layers.encoder_layer_11.mlp.0.weight"] == 0.5
    assert factors["encoder.layers.encoder_layer_0.mlp.0.weight"] == 0.5**12
    assert factors["conv_proj.weight"] == factors["class_token"] == factors["encoder.pos_embedding"] == 0.5**13


@pytest.mark.parametrize("name", FAMILIES)
def test_every_weight_but_the_head_s_is_in_one_of_several_blocks(name: str) -> None:
    model, head = build_model(name, 3, 0, 0.0, 224, "standard")
    parts = blocks(model, head)
    found = [id(weight) for part in parts for weight in part]
    mine = {id(weight) for weight in head.parameters()}
    assert sorted(found) == sorted(id(weight) for weight in model.parameters() if id(weight) not in mine)
    assert len(parts) > 6
    assert all(parts)


def test_the_frozen_phase_has_one_group_for_the_head() -> None:
    _, head = build_model("resnet18", 3, 0, 0.0, 32, "standard")
    params = train_params(full__backbone=0.1, full__layer_decay=0.5)
    (group,) = make_optimizer(params.frozen, head, head).param_groups
    assert group["factor"] == 1.0 and len(group["params"]) == 2
