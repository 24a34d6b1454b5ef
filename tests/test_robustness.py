"""The figures under small changes of the test images."""

from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fovea.cache.read import Cache
from fovea.evaluation.metrics import score
from fovea.evaluation.predict import predict
from fovea.evaluation.robustness import CHANGES, ChangedTest, robustness
from tests.trainings import silent

CPU = torch.device("cpu")
IMAGE = cv2.resize(np.random.default_rng(0).integers(40, 200, (12, 12, 3)).astype(np.uint8), (96, 96))


class Colours(nn.Module):
    """A logit for each class of tests.small: how much of its colour there is, weighed by place."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 50 * (inputs * torch.linspace(0.5, 1.5, inputs.shape[3])).mean((2, 3))


def record(cache: Cache) -> dict[str, Any]:
    return {"crop": None, "scaling": "unit", "loss": "cross_entropy", "classes": cache.attrs["classes"]}


def plain(cache: Cache) -> pd.DataFrame:
    return predict(Colours(), record(cache), cache, CPU, 1, silent)


@pytest.mark.parametrize("name", ["blur", "noise", "brightness", "rotation"])
def test_strength_0_changes_nothing(name: str) -> None:
    np.testing.assert_array_equal(CHANGES[name][0](IMAGE, 0, "digest"), IMAGE)


@pytest.mark.parametrize("name", CHANGES)
def test_a_stronger_change_changes_more(name: str) -> None:
    change, strengths = CHANGES[name]
    changed = [change(IMAGE, strength, "digest") for strength in strengths]
    far = [float(np.abs(one.astype(int) - IMAGE).mean()) for one in changed]
    assert far == sorted(far) and far[0] < far[-1]
    assert all(one.shape == IMAGE.shape and one.dtype == np.uint8 for one in changed)


def test_the_draws_are_those_of_the_image_and_not_of_its_place() -> None:
    noise, strengths = CHANGES["noise"]
    assert (noise(IMAGE, strengths[0], "a") == noise(IMAGE, strengths[0], "a")).all()
    assert (noise(IMAGE, strengths[0], "a") != noise(IMAGE, strengths[0], "b")).any()
    turned = {CHANGES["rotation"][0](IMAGE, 15, f"{number}").tobytes() for number in range(20)}
    assert len(turned) == 2


def test_unchanged_pixels_give_the_plain_predictions(cache: Cache) -> None:
    same = ChangedTest(cache, lambda image, strength, digest: image, 0)
    expected = plain(cache).query("split == 'test'").reset_index(drop=True)
    pd.testing.assert_frame_equal(predict(Colours(), record(cache), same, CPU, 1, silent), expected)


def test_rows_are_changed_as_they_are_read(cache: Cache) -> None:
    changed = ChangedTest(cache, lambda image, strength, digest: image + np.uint8(int(digest, 16)), 0)
    numbers = np.array([2, 0])
    rows = np.flatnonzero(cache.index["split"] == "test")[numbers]
    expected = cache.take(rows) + rows.astype(np.uint8)[:, None, None, None]  # the digests of tests.small are numbers
    np.testing.assert_array_equal(changed.take(numbers), expected)
    out = np.empty((2, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(changed.take(numbers, out=out), expected)


def test_the_table_has_each_change_from_none_to_the_strongest(cache: Cache) -> None:
    """Whatever the order of the predictions that it is held against."""
    predictions = plain(cache)
    table = robustness(predictions[::-1], Colours(), record(cache), cache, CPU, 1, silent)
    assert list(table) == ["change", "level", "strength", "balanced_accuracy", "auroc_macro", "other"]
    assert table["level"].tolist() == [0, 1, 2, 3, 4] * len(CHANGES)
    expected = score(predictions[predictions["split"] == "test"], cache.attrs["classes"], None)
    begin = table[table["level"] == 0]
    assert (begin[["balanced_accuracy", "auroc_macro"]] == [expected["balanced_accuracy"], expected["auroc_macro"]]
            ).all(axis=None)
    assert begin["strength"].isna().all() and (begin["other"] == 0).all()
    turned = ChangedTest(cache, CHANGES["rotation"][0], 15)
    found = score(predict(Colours(), record(cache), turned, CPU, 1, silent), cache.attrs["classes"], None)
    assert table["auroc_macro"].iloc[-1] == found["auroc_macro"]


def test_other_is_the_share_of_images_that_are_predicted_otherwise_with_the_same_views(cache: Cache) -> None:
    predictions = predict(Colours(), record(cache), cache, CPU, 2, silent)
    predictions.loc[predictions.index % 2 > 0, "prediction"] = "a"
    table = robustness(predictions[::-1], Colours(), record(cache), cache, CPU, 2, silent)
    turned = predict(Colours(), record(cache), ChangedTest(cache, CHANGES["rotation"][0], 15), CPU, 2, silent)
    both = turned.merge(predictions, on="image")
    expected = (both["prediction_x"] != both["prediction_y"]).mean()
    assert 0 < expected < 1 and table["other"].iloc[-1] == expected
    assert table["auroc_macro"].iloc[-1] == score(turned, cache.attrs["classes"], None)["auroc_macro"]
