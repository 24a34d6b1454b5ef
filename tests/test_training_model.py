"""Networks by name, their heads, their stems, their file."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from fovea.errors import UserError
from fovea.training.forward import backbone_features, logits
from fovea.training.model import build_model, load_model, save_model
from fovea.training.optimizer import blocks

FAMILIES = [  # one small member of each
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "resnet18", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_32", "wide_resnet50_2",
]  # fmt: skip


def test_every_family_of_torchvision_is_tried() -> None:
    def family(name: str) -> str:
        return name.split("_")[0].rstrip("0123456789")

    assert {family(name) for name in models.list_models(module=models)} == {family(name) for name in FAMILIES}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_new_head_gives_as_many_logits_as_asked(name: str) -> None:
    torch.manual_seed(0)
    model, head = build_model(name, 3, 7, 0.1, 224, "standard")
    with torch.no_grad():
        assert model.eval()(torch.randn(2, 3, 224, 224)).shape == (2, 3)
    assert any(module is head for module in model.modules())


def test_squeezenet_can_give_negative_logits() -> None:
    """The ReLU behind its own last convolution would cut them off."""
    torch.manual_seed(0)
    model, _ = build_model("squeezenet1_1", 10, 0, 0.0, 64, "standard")
    assert (model.eval()(torch.randn(4, 3, 64, 64)) < 0).any()


def test_a_head_without_hidden_units_is_linear() -> None:
    assert isinstance(build_model("resnet18", 3, 0, 0.0, 64, "standard")[1], nn.Linear)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match=r"train.model: torchvision has no classifier 'resnet19'"):
        build_model("resnet19", 3, 0, 0.0, 64, "standard")


def test_a_size_that_the_network_cannot_take_is_refused() -> None:
    with pytest.raises(UserError, match=r"train.model: inception_v3 cannot take images of 64 px"):
        build_model("inception_v3", 3, 0, 0.0, 64, "standard")


def test_a_saved_model_gives_the_same_logits(tmp_path: Path) -> None:
    model, _ = build_model("resnet18", 2, 5, 0.2, 32, "standard")
    record = {"model": "resnet18", "outputs": 2, "hidden": 5, "dropout": 0.2, "size": 32, "stem": "standard",
              "classes": ["a", "b"]}
    save_model(tmp_path / "model.pt", model, record)
    loaded, read = load_model(tmp_path / "model.pt")
    inputs = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded(inputs), model.eval()(inputs))
    assert read == record


def test_the_bytes_of_a_model_do_not_depend_on_its_path(tmp_path: Path) -> None:
    model, _ = build_model("squeezenet1_1", 2, 0, 0.0, 64, "standard")
    record = {"model": "squeezenet1_1", "outputs": 2, "hidden": 0, "dropout": 0.0, "size": 64, "stem": "standard"}
    for name in ("one", "two"):
        save_model(tmp_path / name, model, record)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_small_stem_keeps_the_resolution_of_the_images() -> None:
    sides = {}
    for stem in ("standard", "small"):
        model, _ = build_model("resnet18", 3, 0, 0.0, 32, stem)
        inputs: list[torch.Tensor] = []
        model.get_submodule("layer1").register_forward_pre_hook(lambda _, given, found=inputs: found.append(given[0]))
        model(torch.zeros(2, 3, 32, 32))
        sides[stem] = inputs[0].shape[-1]
    assert sides == {"standard": 8, "small": 32}


@pytest.mark.parametrize("name", ["resnext50_32x4d", "wide_resnet50_2"])
def test_the_other_resnets_have_the_small_stem(name: str) -> None:
    assert build_model(name, 3, 0, 0.0, 32, "small")[0].get_parameter("conv1.weight").shape == (64, 3, 3, 3)


def test_a_small_stem_of_another_network_is_refused() -> None:
    with pytest.raises(UserError, match=r"train.stem: small is for torchvision's ResNets, not for vgg11"):
        build_model("vgg11", 3, 0, 0.0, 32, "small")


def test_a_saved_model_with_the_small_stem_is_that_model(tmp_path: Path) -> None:
    model, _ = build_model("resnet18", 2, 0, 0.0, 32, "small")
    record = {"model": "resnet18", "outputs": 2, "hidden": 0, "dropout": 0.0, "size": 32, "stem": "small"}
    save_model(tmp_path / "model.pt", model, record)
    inputs = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_model(tmp_path / "model.pt")[0](inputs), model.eval()(inputs))


def test_without_timm_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"train.model: timm/resnet10t needs timm, .*: uv sync --extra timm$"):
        build_model("timm/resnet10t", 3, 0, 0.0, 64, "standard")


TIMM_MODELS = ["resnet10t", "vit_tiny_patch16_224", "mobilenetv3_small_050", "convnext_atto", "efficientnet_b0.ra_in1k"]


@pytest.mark.parametrize("name", TIMM_MODELS)
def test_a_model_of_timm_has_our_head_behind_its_features(name: str) -> None:
    pytest.importorskip("timm")
    model, head = build_model(f"timm/{name}", 3, 7, 0.1, 96, "standard")
    inputs = [torch.randn(2, 3, 96, 96)]
    assert logits(model, inputs).shape == (2, 3)
    torch.testing.assert_close(head(torch.cat(list(backbone_features(model, head, inputs)))), logits(model, inputs))


@pytest.mark.parametrize("name", TIMM_MODELS)
def test_every_weight_of_a_model_of_timm_but_the_head_s_is_in_one_of_several_blocks(name: str) -> None:
    pytest.importorskip("timm")
    model, head = build_model(f"timm/{name}", 3, 0, 0.0, 96, "standard")
    parts = blocks(model, head)
    found = sorted(id(weight) for weight in [*head.parameters(), *(weight for part in parts for weight in part)])
    assert found == sorted(map(id, model.parameters()))
    assert len(parts) > 4


def test_a_saved_model_of_timm_gives_the_same_logits(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    model, _ = build_model("timm/resnet10t", 2, 5, 0.2, 32, "standard")
    record = {"model": "timm/resnet10t", "outputs": 2, "hidden": 5, "dropout": 0.2, "size": 32, "stem": "standard"}
    save_model(tmp_path / "model.pt", model, record)
    inputs = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_model(tmp_path / "model.pt")[0](inputs), model.eval()(inputs))


@pytest.mark.parametrize("name", ["no_such_net", "resnet18.no_such_tag"])
def test_an_unknown_name_of_timm_is_refused(name: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(UserError, match=rf"train.model: timm has no model '{name}'"):
        build_model(f"timm/{name}", 3, 0, 0.0, 64, "standard")


def test_a_small_stem_of_a_model_of_timm_is_refused() -> None:
    pytest.importorskip("timm")
    with pytest.raises(UserError, match=r"train.stem: small is for torchvision's ResNets, not for timm/resnet10t"):
        build_model("timm/resnet10t", 3, 0, 0.0, 64, "small")
