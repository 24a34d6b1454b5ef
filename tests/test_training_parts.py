"""Data order, transforms, schedules, losses, scores: each against its law or against torch and scikit-learn."""

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, roc_auc_score

from fovea.training.ahead import Timed, ahead
from fovea.training.progress import Progress
from fovea.training.scaling import SCALINGS, Scaling, mean_pixel
from fovea.training.schedule import learning_rate
from fovea.training.scores import score
from fovea.training.transforms import (
    Draws,
    apply_cpu,
    centred,
    colour_maps,
    draw,
    recolour_batched,
    warp_batched,
)
from tests.small import train_params

CPU = torch.device("cpu")
OFF = dict.fromkeys(("hflip", "vflip", "rotation", "brightness", "contrast", "saturation", "erasing"), 0.0)


def transforms(**changes: Any) -> Any:
    return SimpleNamespace(**{**OFF, "scale": (1.0, 1.0), **changes})


def applied(images: np.ndarray, draws: Draws, crop: int) -> np.ndarray:
    return np.stack([image.copy() for image in apply_cpu(images, draws, crop)])


def smooth_images(n: int = 4, size: int = 24) -> np.ndarray:
    """Gradients, so that the two ways to interpolate can be compared."""
    x = np.linspace(0, 1, size)
    base = np.stack([np.add.outer(x, x) * 100, np.add.outer(x, -x) * 50 + 80, np.tile(x * 180, (size, 1))], axis=-1)
    return np.stack([np.roll(base, i, axis=2) for i in range(n)]).astype(np.uint8)


@pytest.mark.parametrize("name", SCALINGS)
def test_scaling_is_what_it_is_called(name: str) -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    if name == "caffe":  # OpenCV's order, as the networks of Caffe were trained
        expected = np.array([255 - 104, 51 - 117, 0 - 123])
    else:
        mean, deviation = (np.array(values) for values in SCALINGS[name])
        expected = (np.array([0, 0.2, 1.0]) - mean) / deviation
    np.testing.assert_allclose(Scaling(name, CPU)(pixels).flatten(), expected, atol=1e-4 if name == "caffe" else 1e-6)


@pytest.mark.parametrize("name", SCALINGS)
def test_the_mean_pixel_becomes_zero(name: str) -> None:
    pixel = torch.from_numpy(mean_pixel(name)).view(1, 3, 1, 1)
    half_a_level = np.max(0.5 / 255 / np.array(SCALINGS[name][1]))
    assert Scaling(name, CPU)(pixel).abs().max() <= half_a_level + 1e-4


@pytest.mark.parametrize("name", SCALINGS)
def test_looking_up_gives_the_values_of_scaling(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3), np.uint8)
    expected = Scaling(name, CPU)(torch.from_numpy(pixels).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    out = np.empty(pixels.shape, np.float32)
    for image, place in zip(pixels, out, strict=True):
        Scaling(name, CPU).looked_up(image, place)
    np.testing.assert_array_equal(out, expected.numpy())


def test_an_error_in_the_reading_thread_reaches_the_loop() -> None:
    def broken() -> Any:
        yield 1
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        list(ahead(broken()))


def test_the_time_until_each_batch_came_is_counted_and_the_time_it_is_used_is_not() -> None:
    def slow() -> Iterator[int]:
        time.sleep(0.1)
        yield 1

    timed = Timed(slow())
    start = time.perf_counter()
    for _ in timed:
        time.sleep(0.1)
    assert 0.1 <= timed.seconds <= time.perf_counter() - start - 0.1


def test_a_loop_that_stops_early_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    stream = ahead(iter(range(1000)))
    next(stream)
    assert set(threading.enumerate()) > before
    stream.close()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hflip": 1.0}, lambda image: image[:, ::-1]),
        ({"vflip": 1.0}, lambda image: image[::-1]),
        ({"hflip": 1.0, "vflip": 1.0}, lambda image: image[::-1, ::-1]),
    ],
    ids=["hflip", "vflip", "both"],
)
def test_flips_are_exact(change: Any, expected: Any) -> None:
    images = smooth_images()
    out = applied(images, draw(transforms(**change), 24, 24, 0, 1, list("abcd")), 24)
    np.testing.assert_array_equal(out, np.stack([expected(image) for image in images]))


@given(probability=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
@settings(max_examples=4)
def test_a_flip_comes_as_often_as_its_probability_says(probability: float) -> None:
    drawn = draw(transforms(hflip=probability), 8, 8, 0, 1, [str(i) for i in range(4000)])
    assert abs((drawn.affine[:, 0, 0] < 0).mean() - probability) < 0.04


def test_validation_is_cropped_to_the_centre() -> None:
    images = smooth_images(size=24)
    np.testing.assert_array_equal(applied(images, centred(24, 16, 4), 16), images[:, 4:20, 4:20])


def test_random_crops_are_pieces_of_the_image() -> None:
    images = smooth_images(1, 24)
    places = set()
    for key in range(40):
        out = applied(images, draw(transforms(), 24, 20, 0, 1, [str(key)]), 20)[0]
        found = [(y, x) for y in range(5) for x in range(5) if np.array_equal(out, images[0, y : y + 20, x : x + 20])]
        assert found
        places.update(found)
    assert len(places) > 10


def test_a_draw_depends_on_content_and_epoch_not_on_neighbours() -> None:
    params = transforms(rotation=90, brightness=0.5)
    alone = draw(params, 24, 24, 0, 3, ["b"])
    among = draw(params, 24, 24, 0, 3, ["a", "b", "c"])
    np.testing.assert_array_equal(alone.affine[0], among.affine[1])
    assert alone.brightness[0] == among.brightness[1]
    assert not np.array_equal(alone.affine, draw(params, 24, 24, 0, 4, ["b"]).affine)


@pytest.mark.parametrize(
    "change",
    [{"rotation": 30.0}, {"scale": (0.8, 1.2)}, {"brightness": 0.4}, {"contrast": 0.4}, {"saturation": 0.8}],
    ids=lambda change: next(iter(change)),
)
def test_cpu_and_batched_transforms_agree_and_change_the_image(change: Any) -> None:
    images = smooth_images()
    drawn = draw(transforms(**change), 24, 20, 0, 1, list("abcd"))
    on_cpu = applied(images, drawn, 20).astype(float)
    affine, *colour = (torch.from_numpy(values).float() for values in (drawn.affine, *colour_maps(drawn)))
    warped = warp_batched(torch.from_numpy(images).permute(0, 3, 1, 2), affine, 20)
    batched = recolour_batched(warped, *colour).permute(0, 2, 3, 1).numpy()
    inside = (on_cpu > 0) & (batched > 0)  # at the border of the image cv2 rounds positions to 1/32 px
    assert np.abs(on_cpu - batched)[inside].mean() < 1.0
    assert np.abs(on_cpu - applied(images, draw(transforms(), 24, 20, 0, 1, list("abcd")), 20)).mean() > 1.0


def phase(schedule: dict[str, Any], epochs: int = 5, lr: float = 0.1) -> Any:
    return train_params(full__epochs=epochs, full__lr=lr, full__schedule=schedule).full


def torch_rates(make: Any, steps: int, lr: float = 0.1, per_epoch: int = 1) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(optimizer)
    rates = []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % per_epoch == 0 and step + 1 < steps:
            scheduler.step()
    return rates


def test_one_cycle_is_that_of_torch() -> None:
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=50, pct_start=0.3), 50)
    params = phase({"name": "one_cycle", "rise": 0.3})
    np.testing.assert_allclose([learning_rate(params, step, 10) for step in range(50)], expected, rtol=1e-6)


def test_one_cycle_of_a_few_steps_has_a_peak() -> None:
    params = phase({"name": "one_cycle", "rise": 0.1}, epochs=10)  # the peak is the first step
    assert learning_rate(params, 0, 1) == pytest.approx(0.1)


def test_cosine_is_that_of_torch() -> None:
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 50, eta_min=0.01), 50)
    params = phase({"name": "cosine", "warmup_epochs": 0, "final_lr": 0.01})
    np.testing.assert_allclose([learning_rate(params, step, 10) for step in range(50)], expected, rtol=1e-6)


def test_cosine_warms_up_in_a_line() -> None:
    params = phase({"name": "cosine", "warmup_epochs": 1, "final_lr": 0.0})
    np.testing.assert_allclose([learning_rate(params, step, 4) for step in range(4)], [0.025, 0.05, 0.075, 0.1])


def test_steps_are_those_of_torch() -> None:
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 4], 0.5), 50, per_epoch=10)
    params = phase({"name": "steps", "at": [2, 4], "factor": 0.5})
    np.testing.assert_allclose([learning_rate(params, step, 10) for step in range(50)], expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"full__schedule": {"name": "steps", "at": [4, 2], "factor": 0.1}}, r"schedule\.at: 4 must be below epochs"),
        ({"full__schedule": {"name": "cosine", "warmup_epochs": 4, "final_lr": 0.0}},
         r"schedule\.warmup_epochs: 4 must be below epochs, 4"),
        ({"full__epochs": 0, "frozen__epochs": 1, "transforms__erasing": 0.5},
         r"transforms\.erasing: needs full\.epochs above 0"),
    ],
)  # fmt: skip
def test_what_would_be_ignored_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_params(**{"full__epochs": 4, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"full__schedule": {"name": "steps", "at": [3], "factor": 0.1}},
        {"full__schedule": {"name": "cosine", "warmup_epochs": 3.5, "final_lr": 0.0}},
        {"full__epochs": 0, "frozen__epochs": 1, "full__schedule": {"name": "steps", "at": [3], "factor": 0.1}},
        {"micro_batch": 3},
    ],
)
def test_what_is_used_is_accepted(changes: dict[str, Any]) -> None:
    train_params(**{"full__epochs": 4, **changes})


def test_polynomial_reaches_its_end_after_its_steps_and_stays() -> None:
    params = phase({"name": "polynomial", "power": 1.0, "final_lr": 0.001, "steps": 102.5}, epochs=10, lr=0.005)
    rates = [learning_rate(params, step, 40) for step in range(400)]
    assert rates[0] == 0.005
    assert rates[41] == pytest.approx(0.005 - 0.004 * 0.4)
    assert rates[102] == pytest.approx(0.001 + 0.004 * 0.5 / 102.5)
    assert set(rates[103:]) == {0.001}


@given(st.lists(st.floats(-1, 10), min_size=1, max_size=40), st.integers(0, 4))
def test_plateau_is_that_of_torch(values: list[float], patience: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.2, patience=patience, eps=0)
    ours = Progress()
    for value in map(abs, values):
        theirs.step(value)
        ours.watch(value, 0.2, patience)
        assert ours.factor == pytest.approx(optimizer.param_groups[0]["lr"])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_scores_are_those_of_scikit_learn(data: st.DataObject) -> None:
    classes, n = data.draw(st.integers(2, 5)), data.draw(st.integers(10, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    targets = np.concatenate([np.arange(classes), rng.integers(0, classes, n)])
    p = rng.dirichlet(np.ones(classes), len(targets)).round(2) + 1e-3  # rounded, so that there are ties
    ours = score(targets, p, p.argmax(1))
    each = [roc_auc_score(targets == c, p[:, c]) for c in range(classes)]
    assert ours["auroc"] == pytest.approx(np.mean(each))
    assert ours["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(targets, p.argmax(1)))
    assert ours["kappa"] == pytest.approx(cohen_kappa_score(targets, p.argmax(1), weights="quadratic"))
    assert ours["accuracy"] == pytest.approx((targets == p.argmax(1)).mean())
