"""Losses against torch and against their formulas; what their logits mean."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fovea.errors import UserError
from fovea.training.loss import Loss, balanced_weights, decided, make_loss, predicted, probabilities
from fovea.training.scores import score
from tests.small import train_params

LAW = settings(max_examples=60, deadline=None)
TARGETS = torch.tensor([0, 1, 2, 3, 4, 0, 0, 2, 0])
GAMMA = {"focal": 2.0}
NAMES = ("cross_entropy", "binary_cross_entropy", "focal", "ordinal")


def loss_of(name: str, targets: Tensor = TARGETS, classes: int = 5, **changes: Any) -> Loss:
    changes = {"gamma": GAMMA.get(name, 0.0), "class_weights": "none", **changes}
    params = train_params(loss__name=name, **{f"loss__{key}": value for key, value in changes.items()})
    return make_loss(params.loss, targets, classes)


def mean(loss: Loss, logits: Tensor, targets: Tensor = TARGETS) -> Tensor:
    return loss.each(logits, targets).sum() / loss.weight(targets).sum()


def logits_of(loss: Loss, n: int = len(TARGETS)) -> Tensor:
    return torch.randn(n, loss.outputs, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_that_of_torch(class_weights: str, smoothing: float) -> None:
    loss = loss_of("cross_entropy", label_smoothing=smoothing, class_weights=class_weights)
    weights = balanced_weights(TARGETS, 5) if class_weights == "balanced" else None
    expected = torch.nn.CrossEntropyLoss(weights, label_smoothing=smoothing)(logits_of(loss), TARGETS)
    torch.testing.assert_close(mean(loss, logits_of(loss)), expected)


def test_binary_cross_entropy_of_two_classes_is_that_of_torch_with_one_output() -> None:
    targets = TARGETS.clamp(max=1)
    loss = loss_of("binary_cross_entropy", targets, 2)
    logits = logits_of(loss)
    assert logits.shape == (9, 1)
    torch.testing.assert_close(mean(loss, logits, targets), torch.nn.BCEWithLogitsLoss()(logits[:, 0], targets.float()))
    torch.testing.assert_close(probabilities("binary_cross_entropy", logits)[:, 1], logits[:, 0].double().sigmoid())


def test_a_weighted_binary_loss_equals_the_weighted_two_class_loss() -> None:
    """One logit z is the two logits (0, z): both losses must weigh images in the same way."""
    targets = TARGETS.clamp(max=1)
    binary, plain = (loss_of(name, targets, 2, class_weights="balanced") for name in NAMES[1::-1])
    logits = logits_of(binary)
    two = torch.cat([torch.zeros(9, 1), logits], dim=1)
    torch.testing.assert_close(mean(binary, logits, targets), mean(plain, two, targets))


def test_binary_cross_entropy_of_more_classes_is_the_mean_over_one_output_for_each() -> None:
    loss = loss_of("binary_cross_entropy")
    logits = logits_of(loss)
    expected = F.binary_cross_entropy_with_logits(logits, F.one_hot(TARGETS, 5).float())
    torch.testing.assert_close(mean(loss, logits), expected)


def test_focal_is_cross_entropy_times_a_power_of_what_is_missing() -> None:
    loss = loss_of("focal", gamma=1.5)
    p = torch.softmax(logits_of(loss), 1)[torch.arange(9), TARGETS]
    torch.testing.assert_close(loss.each(logits_of(loss), TARGETS), (1 - p) ** 1.5 * -p.log())


def test_the_focal_gradient_of_a_certain_image_is_finite() -> None:
    """Below gamma 1 the derivative of (1 - p)^gamma has no limit at p = 1."""
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss_of("focal", classes=2, gamma=0.5).each(logits, torch.tensor([0])).sum().backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_ordinal_is_the_sum_over_thresholds_that_the_grade_passes_or_not() -> None:
    loss = loss_of("ordinal")
    logits = logits_of(loss)
    passed = torch.tensor([[grade > k for k in range(4)] for grade in TARGETS.tolist()]).float()
    expected = F.binary_cross_entropy_with_logits(logits, passed, reduction="none").sum(1)
    torch.testing.assert_close(loss.each(logits, TARGETS), expected)


@pytest.mark.parametrize("name", NAMES)
def test_the_sums_of_parts_of_a_batch_are_those_of_the_whole(name: str) -> None:
    loss = loss_of(name, class_weights="balanced")
    logits = logits_of(loss)
    parts = [loss.each(logits[part], TARGETS[part]).sum() for part in (slice(0, 4), slice(4, 9))]
    torch.testing.assert_close(sum(parts), loss.each(logits, TARGETS).sum())
    torch.testing.assert_close(loss.weight(TARGETS), balanced_weights(TARGETS, 5)[TARGETS])


@pytest.mark.parametrize("name", NAMES)
def test_class_weights_multiply_the_loss_of_their_images(name: str) -> None:
    plain, weighted = loss_of(name), loss_of(name, class_weights="balanced")
    logits = logits_of(plain)
    expected = plain.each(logits, TARGETS) * balanced_weights(TARGETS, 5)[TARGETS]
    torch.testing.assert_close(weighted.each(logits, TARGETS), expected)


def test_ordinal_of_two_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"train.loss.name: ordinal needs at least 3 classes .* the data have 2"):
        loss_of("ordinal", TARGETS.clamp(max=1), 2)


@LAW
@given(name=st.sampled_from(NAMES), classes=st.integers(2, 6), seed=st.integers(0, 9999),
       spread=st.sampled_from([0.1, 3.0, 300.0]))
def test_probabilities_are_shares_of_one_and_lead_to_the_class_of_the_logits(
    name: str, classes: int, seed: int, spread: float
) -> None:
    """Sigmoids that are all 1 tell nothing apart: those of several classes stay below that here."""
    classes = max(classes, 3) if name == "ordinal" else classes
    spread = min(spread, 3.0) if name == "binary_cross_entropy" else spread
    loss = loss_of(name, torch.zeros(1, dtype=torch.int64), classes)
    logits = torch.randn(20, loss.outputs, generator=torch.Generator().manual_seed(seed)) * spread
    chances = probabilities(name, logits).numpy()
    assert chances.shape == (20, classes)
    assert chances.min() >= 0 and chances.max() <= 1
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-12)
    np.testing.assert_array_equal(predicted(name, logits).numpy(), decided(name, chances))


def test_ordinal_probabilities_are_differences_of_falling_ones() -> None:
    above = torch.tensor([[0.9, 0.6, 0.7, 0.1]], dtype=torch.float64)  # the third may not be above the second
    np.testing.assert_allclose(probabilities("ordinal", above.logit()), [[0.1, 0.3, 0.0, 0.5, 0.1]], atol=1e-12)


def test_the_grade_is_the_median_not_the_likeliest_one() -> None:
    chances = np.array([[0.4, 0.3, 0.3], [0.3, 0.3, 0.4], [0.6, 0.1, 0.3]])
    assert decided("ordinal", chances).tolist() == [1, 1, 0]
    assert decided("cross_entropy", chances).tolist() == [0, 2, 0]


def test_the_median_serves_the_quadratic_kappa_better_than_the_likeliest_grade() -> None:
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.full(5, 0.7), 3000)
    grades = (rng.random((3000, 1)) > chances.cumsum(1)[:, :-1]).sum(1)  # drawn from the probabilities
    median, likeliest = (score(grades, chances, decided(name, chances))["kappa"] for name in ("ordinal", "focal"))
    assert median > likeliest


@pytest.mark.parametrize("name", NAMES)
def test_a_linear_model_learns_by_each_loss(name: str) -> None:
    inputs = torch.linspace(-2, 2, 60)[:, None]
    inputs = torch.cat([inputs, inputs**2], dim=1)
    targets = torch.arange(60) // 20
    loss = loss_of(name, targets, 3)
    layer = torch.nn.Linear(2, loss.outputs)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        mean(loss, layer(inputs), targets).backward()
        optimizer.step()
    assert (predicted(name, layer(inputs)) == targets).float().mean() > 0.9


def test_balanced_weights_give_each_class_the_same_sum() -> None:
    targets = torch.tensor([0] * 6 + [1] * 3 + [2])
    weights = balanced_weights(targets, 3)
    torch.testing.assert_close(weights * torch.bincount(targets), torch.full((3,), 10 / 3))
