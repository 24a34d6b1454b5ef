"""Predictions of a model over the cached rows: their views, and the class that the loss decides."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fovea.cache.read import Cache
from fovea.evaluation.predict import predict, view
from fovea.evaluation.table import probabilities
from fovea.training.data import make_rows
from fovea.training.loop import INFERENCE_BATCH, logits
from fovea.training.loss import probabilities as chances_of
from fovea.training.model import build_model
from tests.small import write_cache
from tests.test_training_loop import silent

CPU = torch.device("cpu")


def record(cache: Cache, **changes: Any) -> dict[str, Any]:
    return {"crop": None, "scaling": "unit", "loss": "cross_entropy", "classes": cache.attrs["classes"], **changes}


def predicted(cache: Cache, model: nn.Module, views: int, **changes: Any) -> pd.DataFrame:
    return predict(model, record(cache, **changes), cache, CPU, views, silent)


def network(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return build_model("resnet18", outputs, 0, 0.0, 32, "standard")[0]


class Corner(nn.Module):
    """Two logits: the first is how bright the red of the top left corner is."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        corner = 10 * inputs[:, 0, 0, 0]
        return torch.stack([corner, torch.zeros_like(corner)], dim=1)


def test_one_view_gives_the_bits_of_the_image_as_it_is(cache: Cache) -> None:
    model = network(3)
    table = predicted(cache, model, 1).set_index("image")
    chosen = cache.index["split"].isin(["val", "test"]).to_numpy()
    inputs = make_rows(cache, chosen, None, "unit", CPU).in_order(INFERENCE_BATCH)
    expected = chances_of("cross_entropy", logits(model, inputs)).numpy()
    found = probabilities(table.loc[cache.index.loc[chosen, "image"]], cache.attrs["classes"])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("views", "corners"), [(2, [(0, 0), (0, -1)]), (8, [(0, 0), (0, -1), (-1, 0), (-1, -1)])])
def test_probabilities_are_the_mean_over_the_views(
    tmp_path: Path, views: int, corners: list[tuple[int, int]]
) -> None:
    """Of the eight views of a square, two show each corner at the top left."""
    cache = write_cache(tmp_path / "two", classes=("a", "b"))
    table = predicted(cache, Corner(), views).set_index("image")
    for image, row in cache.index.set_index("image").iterrows():
        if row["split"] != "train":
            pixels = cache.take(np.array([row["row"]]))[0, ..., 0] / 255
            expected = np.mean([1 / (1 + np.exp(-10 * pixels[corner])) for corner in corners])
            assert table["p_a"].to_dict()[image] == pytest.approx(expected, abs=1e-5)


def test_the_eight_views_are_different_and_closed_under_turns_and_mirrors() -> None:
    images = torch.arange(27.0).view(1, 3, 3, 3)

    def as_set(inputs: torch.Tensor) -> set[tuple[float, ...]]:
        return {tuple(view(inputs, number).flatten().tolist()) for number in range(8)}

    assert len(as_set(images)) == 8
    assert as_set(images) == as_set(images.rot90(1, (2, 3))) == as_set(images.flip(2))
    assert torch.equal(view(images, 0), images)
    assert torch.equal(view(images, 1), images.flip(3))


def test_the_prediction_of_grades_is_the_median(cache: Cache) -> None:
    model = network(2)
    table = predicted(cache, model, 2, loss="ordinal")
    chances = probabilities(table, cache.attrs["classes"])
    median = (np.cumsum(chances, axis=1) < 0.5).sum(1)
    assert table["prediction"].tolist() == [cache.attrs["classes"][number] for number in median]
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-12)
