"""Grad-CAM: at which layer, where it points, and which images are shown."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import simplejpeg
import torch
import torch.nn.functional as F
from torch import nn

from fovea.cache.read import Cache
from fovea.evaluation.explain import (
    Explainer,
    Layer,
    as_jpeg,
    choose_images,
    class_scores,
    grad_cam,
    make_explainer,
    save_heat_maps,
    spatial_layer,
)
from fovea.tables import read_table
from fovea.training.loss import probabilities
from fovea.training.model import build_model
from tests.small import write_cache
from tests.test_training_model import FAMILIES

CPU = torch.device("cpu")
SMALLEST = {"maxvit_t": 224}  # px, where 96 are too few


class Squares(nn.Module):
    """Two logits: how much red there is, and how much green."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.AvgPool2d(4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.maps(inputs[:, :2] * torch.ones(1, requires_grad=True)).mean((2, 3))


def squares(folder: Path) -> Cache:
    """Dark images of 32 px with a red square about row 10, column 14 and a green one about row 22, column 18."""
    write_cache(folder, images=24, classes=("red", "green"))
    pixels = np.random.default_rng(0).integers(0, 30, (24, 32, 32, 3), dtype=np.uint8)
    pixels[:, 8:12, 12:16, 0] = pixels[:, 20:24, 16:20, 1] = 255
    np.save(folder / "0.npy", pixels)
    return Cache(folder)


def record(crop: int | None = None) -> dict[str, Any]:
    return {"crop": crop, "size": crop or 32, "scaling": "unit", "loss": "cross_entropy", "classes": ["red", "green"]}


def explained(cache: Cache, crop: int | None = None) -> tuple[pd.DataFrame, np.ndarray]:
    explainer = make_explainer(Squares(), record(crop), cache, CPU)
    assert explainer is not None
    table = cache.index[cache.index["split"] == "test"].assign(prediction=lambda rows: rows["label"])[::-1]
    return table, np.array(list(explainer.maps(table)))


@pytest.mark.parametrize("crop", [None, 26])
def test_the_heat_is_where_the_evidence_is_known_to_be(tmp_path: Path, crop: int | None) -> None:
    table, maps = explained(squares(tmp_path / "cache"), crop)
    for label, heat in zip(table["label"], maps, strict=True):
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        expected = (10, 14) if label == "red" else (22, 18)
        assert abs(row - expected[0]) <= 2 and abs(column - expected[1]) <= 2
        assert heat.max() == 1 and heat.dtype == np.float32


def test_the_heat_is_that_of_the_prediction_and_not_of_the_label(tmp_path: Path) -> None:
    cache = squares(tmp_path / "cache")
    explainer = make_explainer(Squares(), record(), cache, CPU)
    assert explainer is not None
    for heat in explainer.maps(cache.index[cache.index["split"] == "test"].assign(prediction="green")):
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        assert abs(row - 22) <= 2 and abs(column - 18) <= 2


def test_of_an_odd_margin_the_larger_half_lies_below_and_to_the_right(tmp_path: Path) -> None:
    cache = squares(tmp_path / "cache")
    maps = explained(cache, crop=25)[1]
    assert maps.shape[1:] == (32, 32)
    assert not maps[:, :3].any() and not maps[:, 28:].any() and not maps[:, :, :3].any() and not maps[:, :, 28:].any()
    assert maps[:, 3].any() or maps[:, 27].any()  # heat reaches a border: margins that change places would be seen


def test_a_model_in_training_mode_is_explained_as_it_predicts(tmp_path: Path) -> None:
    cache = squares(tmp_path / "cache")
    table = cache.index[cache.index["split"] == "test"].assign(prediction="red")
    noisy = nn.Sequential(nn.Dropout(0.5), Squares())
    explainer = make_explainer(noisy, record(), cache, CPU)
    assert explainer is not None
    expected = np.array(list(explainer.maps(table)))
    noisy.train()
    np.testing.assert_array_equal(np.array(list(explainer.maps(table))), expected)


def test_what_the_model_does_not_see_has_no_heat(tmp_path: Path) -> None:
    maps = explained(squares(tmp_path / "cache"), crop=26)[1]
    outside = np.ones((32, 32), bool)
    outside[3:29, 3:29] = False
    assert maps.shape[1:] == (32, 32)
    assert not maps[:, outside].any() and maps[:, ~outside].any()


def test_maps_are_those_of_the_formula() -> None:
    """Selvaraju et al. 2017, equations 1 and 2, by autograd."""
    torch.manual_seed(0)
    model = build_model("resnet18", 3, 0, 0.0, 64, "standard")[0].eval()
    inputs, targets = torch.randn(2, 3, 64, 64), torch.tensor([2, 0])
    layer = spatial_layer(model, inputs)
    assert layer is not None and (layer.name, layer.cells) == ("layer4", 2)
    kept: list[torch.Tensor] = []
    hook = layer.module.register_forward_hook(lambda _, given, output: kept.append(output))
    scores = model(inputs)
    hook.remove()
    gradients = torch.autograd.grad(scores[torch.arange(2), targets].sum(), kept[0])[0]
    coarse = F.relu((gradients.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True))
    expected = F.interpolate(coarse, (64, 64), mode="bilinear")[:, 0]
    expected = expected / expected.amax((1, 2), keepdim=True).clamp(min=1e-30)
    torch.testing.assert_close(grad_cam(model, layer.module, "cross_entropy", inputs, targets), expected.detach())


@pytest.mark.parametrize(("size", "stem", "name", "cells"), [
    (96, "standard", "layer4", 3), (32, "standard", "layer3", 2), (32, "small", "layer4", 4)])
def test_the_layer_is_the_last_one_with_several_cells(size: int, stem: str, name: str, cells: int) -> None:
    model = build_model("resnet18", 3, 0, 0.0, size, stem)[0]
    found = spatial_layer(model, torch.zeros(1, 3, size, size))
    assert found is not None and (found.name, found.cells) == (name, cells)


def test_a_branch_of_a_block_is_not_the_layer() -> None:
    """At 96 px the last block of Inception gives one cell, while its branches still have several on the way."""
    found = spatial_layer(build_model("inception_v3", 3, 0, 0.0, 96, "standard")[0], torch.zeros(1, 3, 96, 96))
    assert found is not None and (found.name, found.cells) == ("Mixed_6e", 4)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_map_but_those_of_tokens(name: str) -> None:
    torch.manual_seed(0)
    side = SMALLEST.get(name, 96)
    model = build_model(name, 3, 0, 0.0, side, "standard")[0].to(memory_format=torch.channels_last)
    inputs = torch.randn(1, 3, side, side).contiguous(memory_format=torch.channels_last)
    layer = spatial_layer(model, inputs)
    if name.startswith("vit"):
        assert layer is None
        return
    assert layer is not None and layer.cells > 1
    heat = grad_cam(model, layer.module, "cross_entropy", inputs, torch.tensor([1]))
    assert heat.shape == (1, side, side) and torch.isfinite(heat).all()
    assert heat.min() >= 0 and heat.max() in (0, 1)


@pytest.mark.parametrize(("name", "there"), [("resnet10t", True), ("vit_tiny_patch16_224", False)])
def test_models_of_timm_have_a_map_or_none(name: str, there: bool) -> None:
    pytest.importorskip("timm")
    model = build_model(f"timm/{name}", 3, 0, 0.0, 96, "standard")[0]
    assert (spatial_layer(model, torch.zeros(1, 3, 96, 96)) is not None) == there


def test_a_map_with_the_channels_last_is_none() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 5, 4, 4), nn.LayerNorm(5)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.norm(self.conv(inputs).permute(0, 2, 3, 1)).mean((1, 2))

    assert spatial_layer(Last(), torch.zeros(1, 3, 32, 32)) is None


@pytest.mark.parametrize(("loss", "outputs"), [("cross_entropy", 4), ("binary_cross_entropy", 1), ("ordinal", 3)])
def test_the_score_of_a_class_rises_with_its_probability(loss: str, outputs: int) -> None:
    """A step up the gradient of a class's score makes the class more likely."""
    logits = torch.linspace(1.0, -1.0, outputs)[None].clone().requires_grad_()
    before = probabilities(loss, logits)
    for number in range(before.shape[1]):
        step = torch.autograd.grad(class_scores(loss, logits)[0, number], logits)[0]
        assert probabilities(loss, logits + 0.1 * step)[0, number] > before[0, number]


def predictions() -> pd.DataFrame:
    rows = [("a", "test", "x", "x", 0.6), ("b", "test", "x", "x", 0.9), ("c", "test", "x", "x", 0.9),
            ("d", "test", "x", "y", 0.3), ("e", "test", "y", "x", 0.8), ("f", "val", "y", "y", 0.0)]
    table = pd.DataFrame(rows, columns=["image", "split", "label", "prediction", "p_x"])
    return table.assign(p_y=1 - table["p_x"])


def test_the_most_confident_right_and_wrong_test_images_of_each_class_are_chosen() -> None:
    table = choose_images(predictions(), ["y", "x"], 2)
    assert table["image"].tolist() == ["e", "b", "c", "d"]
    assert table["kind"].tolist() == ["wrong", "right", "right", "wrong"]
    assert table["p"].tolist() == pytest.approx([0.8, 0.9, 0.9, 0.7])


def test_the_choice_does_not_depend_on_the_order_of_the_rows_and_may_be_none() -> None:
    pd.testing.assert_frame_equal(choose_images(predictions()[::-1], ["x", "y"], 1),
                                  choose_images(predictions(), ["x", "y"], 1))
    assert choose_images(predictions(), ["x", "y"], 0).empty


def chosen(cache: Cache) -> pd.DataFrame:
    return pd.DataFrame({"image": cache.index["image"].iloc[[3, 0]], "label": "a", "prediction": "b", "p": [0.9, 0.8],
                         "kind": "wrong"})


def test_saved_maps_are_small_grey_pictures_that_the_table_names(cache: Cache, tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 224, dtype=np.float32), (224, 1))
    save_heat_maps(tmp_path, chosen(cache), cache, iter([ramp, ramp.T]))
    table = read_table(tmp_path / "explanations.csv")
    assert table["file"].tolist() == [f"{cache.index['digest'].iloc[row]}.jpeg" for row in (3, 0)]
    content = (tmp_path / table["file"].iloc[0]).read_bytes()
    assert len(content) < 5000
    grey = simplejpeg.decode_jpeg(content, colorspace="GRAY")[..., 0]
    assert grey.shape == (96, 96)
    assert np.abs(grey[48] - 255 * (np.arange(96) + 0.5) / 96).max() < 4
    assert content == as_jpeg(ramp)


def test_without_maps_the_table_names_no_file(cache: Cache, tmp_path: Path) -> None:
    save_heat_maps(tmp_path, chosen(cache), cache, None)
    assert not list(tmp_path.glob("*.jpeg"))
    assert read_table(tmp_path / "explanations.csv")["file"].tolist() == ["", ""]


def test_a_prediction_that_nothing_speaks_for_has_a_black_map(tmp_path: Path) -> None:
    cache, model = squares(tmp_path / "cache"), Squares()
    explainer = Explainer(model, record() | {"loss": "binary_cross_entropy"}, Layer("maps", model.maps, 8), cache, CPU)
    inputs = torch.rand(1, 3, 32, 32)
    against = grad_cam(nn.Sequential(model, Minus()), model.maps, "cross_entropy", inputs, torch.tensor([0]))
    assert explainer.tolerance() == 2
    assert not against.any()


class Minus(nn.Module):
    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        return -scores
