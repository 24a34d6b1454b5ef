"""The loop: its losses, its best epoch, its phases."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from fovea.cache.read import Cache
from fovea.training.forward import backbone_features, logits
from fovea.training.loop import Trainer
from fovea.training.prepare import prepare
from fovea.training.progress import better
from tests.small import train_params, write_cache
from tests.trainings import run, silent, trainer

REFERENCE = Path(__file__).parent / "reference/losses.json"


def test_twenty_steps_give_the_reference_losses(cache: Cache) -> None:
    """A change that should not alter the arithmetic must not alter these; `pytest` never rewrites the file.

    In double precision and at a low rate, so that they are the same on each kind of processor: at 1e-3 the last bit of
    a float32, which each rounds in its own way, grows to more than a change would show in steps of so small a batch.
    """
    trained = trainer(cache, train_params(full__epochs=7, full__lr=3e-5, log_every=1, crop=28))
    trained.parts.model.double().register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    trained.run()
    losses = [step["loss"] for step in trained.at.steps][:20]
    assert len(losses) == 20
    np.testing.assert_allclose(losses, json.loads(REFERENCE.read_text()), atol=1e-4)


def test_a_compiled_model_gives_the_same_losses_and_weights_of_the_same_names(cache: Cache) -> None:
    parts = prepare(train_params(), cache, torch.device("cpu"))
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                        nn.Linear(8, 3))  # ResNet-18 takes a minute to compile
    losses, names = [], []
    for compiled in (False, True):
        own = deepcopy(net)
        model = parts._replace(model=own, head=own[-1])
        trained = Trainer(model, train_params(full__epochs=2, log_every=1), silent, lambda *_: None, compile=compiled)
        before = counters["frames"]["ok"]
        trained.run()
        assert (counters["frames"]["ok"] > before) == compiled
        losses.append([step["loss"] for step in trained.at.steps])
        names.append(list(own.state_dict()))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert names[0] == names[1]


def test_the_same_seed_gives_the_same_weights(cache: Cache) -> None:
    one, two = run(cache).parts.model.state_dict(), run(cache).parts.model.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_another_seed_gives_other_weights(cache: Cache) -> None:
    one, two = run(cache).parts.model.state_dict(), run(cache, seed=1).parts.model.state_dict()
    assert not torch.equal(one["conv1.weight"], two["conv1.weight"])


def test_it_learns_what_can_be_learned(cache: Cache) -> None:
    trained = run(cache, full__epochs=8, full__lr=0.002, transforms__saturation=0, transforms__brightness=0)
    assert trained.at.best["val_balanced_accuracy"] > 0.8


def test_the_kept_weights_are_those_of_the_best_epoch_not_the_live_ones(cache: Cache) -> None:
    trained = trainer(cache, train_params(full__epochs=4, best_metric="loss"))
    assert trained.parts.val is not None
    trained.parts.val.targets = (trained.parts.val.targets + 1) % 3  # the better it learns, the worse it is here
    seen = []
    weights = trained.parts.model.get_parameter("fc.weight")
    trained.on_epoch = lambda row, *rest: seen.append((row["val_loss"], weights.detach().clone()))
    trained.run()
    best_loss, best_weights = min(seen, key=lambda item: item[0])
    assert trained.at.best["val_loss"] == best_loss
    assert torch.equal(weights, best_weights)
    assert best_loss != seen[-1][0], "the last epoch must not be the best, or this shows nothing"


def test_without_validation_the_last_epoch_is_kept(cache: Cache) -> None:
    trained = trainer(cache, train_params(full__epochs=3), with_val=False)
    trained.run()
    assert trained.at.best["epoch"] == 3
    assert not [name for name in trained.at.best if name.startswith("val_")]


@pytest.mark.parametrize(
    ("row", "best", "wins"),
    [
        ({"val_accuracy": 0.9, "val_loss": 1.0}, {"val_accuracy": 0.8, "val_loss": 0.1}, True),
        ({"val_accuracy": 0.8, "val_loss": 0.2}, {"val_accuracy": 0.8, "val_loss": 0.1}, False),
        ({"val_accuracy": 0.8, "val_loss": 0.1}, {"val_accuracy": 0.8, "val_loss": 0.1}, True),
        ({"val_accuracy": float("nan"), "val_loss": 0.1}, {"val_accuracy": 0.1, "val_loss": 9.0}, False),
    ],
    ids=["higher metric", "tie with higher loss", "equal and later", "undefined"],
)
def test_ties_go_to_the_lower_loss_then_to_the_later_epoch(row: Any, best: Any, wins: bool) -> None:
    assert better(row, best, "accuracy") is wins


def test_early_stopping_ends_the_phase(cache: Cache) -> None:
    trained = trainer(cache, train_params(full__epochs=30, early_stopping=2, best_metric="loss"))
    assert trained.parts.val is not None
    trained.parts.val.targets = (trained.parts.val.targets + 1) % 3  # the better it learns, the worse it is here
    trained.run()
    assert len(trained.at.history) < 30
    assert len(trained.at.history) == trained.at.best["epoch"] + 2


def test_the_frozen_phase_trains_the_head_alone(cache: Cache) -> None:
    trained = trainer(cache, train_params(frozen__epochs=3, full__epochs=0))
    before = {key: value.clone() for key, value in trained.parts.model.state_dict().items()}
    trained.run()
    changed = {key for key, value in trained.parts.model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"fc.weight", "fc.bias"}


def test_features_give_the_logits_of_the_whole_model(cache: Cache) -> None:
    trained = trainer(cache, train_params(head__hidden=5, model="vgg11"))
    inputs = list(trained.parts.train.in_order(8))
    features = torch.cat(list(backbone_features(trained.parts.model, trained.parts.head, inputs)))
    torch.testing.assert_close(trained.parts.head(features), logits(trained.parts.model, inputs))


def test_frozen_then_full_are_one_history(cache: Cache) -> None:
    history = run(cache, frozen__epochs=2, full__epochs=2).at.history
    assert [(row["epoch"], row["phase"]) for row in history] == [(1, "frozen"), (2, "frozen"), (3, "full"), (4, "full")]


def test_binary_cross_entropy_has_one_output(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "two", classes=("no", "yes"))
    trained = run(cache, loss__name="binary_cross_entropy", full__epochs=2)
    assert trained.parts.model.get_parameter("fc.weight").shape[0] == 1
    assert 0 <= trained.at.history[-1]["val_accuracy"] <= 1


def test_class_weights_change_the_loss(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "odd")
    cache.index.loc[cache.index.index % 2 == 0, "target"] = 0
    plain, weighted = (run(cache, loss__class_weights=kind).at.steps[0]["loss"] for kind in ("none", "balanced"))
    assert plain != weighted


def test_plateau_lowers_the_learning_rate(cache: Cache) -> None:
    schedule = {"name": "plateau", "factor": 0.2, "patience": 0}
    trained = trainer(cache, train_params(full__epochs=4, full__lr=0.01, full__schedule=schedule))
    assert trained.parts.val is not None
    trained.parts.val.targets = (trained.parts.val.targets + 1) % 3  # the better it learns, the worse it is here
    trained.run()
    assert trained.at.history[0]["lr"] == 0.01
    assert trained.at.history[-1]["lr"] < 0.01


def test_plateau_watches_the_metric_that_it_is_told(cache: Cache) -> None:
    """Both fall from epoch to epoch: good for a loss, bad for an accuracy."""
    schedule = {"name": "plateau", "factor": 0.2, "patience": 0}
    rates = {}
    for metric in ("loss", "accuracy"):
        trained = trainer(cache, train_params(full__epochs=3, full__schedule=schedule, plateau_metric=metric))
        values = iter([0.9, 0.8, 0.7])
        trained._validate = lambda outputs, values=values: {  # type: ignore[method-assign, misc]
            "val_loss": (value := next(values)), "val_accuracy": value, "val_balanced_accuracy": value}  # fmt: skip
        trained.run()
        rates[metric] = [row["lr"] for row in trained.at.history]
    assert rates["loss"] == pytest.approx([0.001, 0.001, 0.001])
    assert rates["accuracy"] == pytest.approx([0.001, 0.001, 0.0002])


def test_steps_are_logged_as_often_as_asked(cache: Cache) -> None:
    trained = run(cache, full__epochs=3, log_every=2)
    assert [step["step"] for step in trained.at.steps] == [0, 2, 4, 6, 8]
    assert [step["samples"] for step in trained.at.steps] == [8, 24, 40, 56, 72]
