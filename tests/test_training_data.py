"""The order of an epoch, and the batches that come of it, on the CPU and as on a GPU."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fovea.cache.read import Cache
from fovea.params.train import TrainParams
from fovea.training.ahead import Ring
from fovea.training.data import Rows, epoch_batches, make_rows
from tests.small import train_params, write_cache

CPU = torch.device("cpu")
ALL: dict[str, Any] = {  # every transform, and both ways to mix
    "transforms__scale": (0.8, 1.2), "transforms__brightness": 0.3, "transforms__contrast": 0.3,
    "transforms__saturation": 0.3, "transforms__erasing": 0.5, "mix__mixup": 0.4, "mix__cutmix": 1.0,
}  # fmt: skip


def train_rows(cache: Cache, **options: Any) -> Rows:
    return make_rows(cache, (cache.index["split"] == "train").to_numpy(), **{"crop": 28, "scaling": "unit",
                                                                           "device": CPU, **options})  # fmt: skip


def ordered(targets: np.ndarray, epoch: int, sampling: str = "shuffled", batch_size: int = 1000) -> list[np.ndarray]:
    params: Any = SimpleNamespace(sampling=sampling, batch_size=batch_size)
    return epoch_batches(targets, params, 0, epoch)


def epoch_of(rows: Rows, params: TrainParams, batches: list[np.ndarray] | None = None) -> list[torch.Tensor]:
    """Inputs, targets, labels mixed in and shares of an epoch, each as one tensor."""
    found = list(rows.batches(batches or epoch_batches(rows.targets, params, 0, 1), params, 1))
    return [torch.cat(column) for column in zip(*found, strict=True)]


@given(count=st.integers(1, 300), batch=st.integers(2, 64), epoch=st.integers(0, 5))
def test_an_epoch_shows_every_row_once_but_for_a_last_single_one(count: int, batch: int, epoch: int) -> None:
    seen = np.concatenate(ordered(np.zeros(count, np.int64), epoch, batch_size=batch))
    assert len(set(seen.tolist())) == len(seen)
    assert len(seen) == count or (len(seen) == count - 1 and count % batch == 1)


@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=5), epoch=st.integers(0, 5))
def test_a_balanced_epoch_has_as_many_rows_of_each_class_each_as_often(counts: list[int], epoch: int) -> None:
    targets = np.repeat(np.arange(len(counts)) * 2, counts)  # some classes may have no training row
    positions = np.concatenate(ordered(targets, epoch, "balanced"))
    assert len(set(positions.tolist())) == len(positions)  # each repeat has its own draws
    seen = np.bincount(positions % len(targets), minlength=len(targets))
    per_class = [seen[targets == name] for name in np.unique(targets)]
    assert {rows.sum() for rows in per_class} == {max(1, len(targets) // len(counts))}
    assert all(rows.max() - rows.min() <= 1 for rows in per_class)


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_each_epoch_has_its_own_order(sampling: str) -> None:
    targets = np.arange(100) % 10 // 7
    orders = [np.concatenate(ordered(targets, e, sampling)) for e in (1, 2, 1)]
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], orders[2])


def test_validation_rows_come_in_order_and_unchanged(cache: Cache) -> None:
    rows = make_rows(cache, (cache.index["split"] == "val").to_numpy(), None, "unit", CPU)
    expected = cache.take(np.flatnonzero(cache.index["split"] == "val")).transpose(0, 3, 1, 2) / 255
    np.testing.assert_allclose(torch.cat(list(rows.in_order(5))).numpy(), expected, atol=1e-6)
    chosen = np.array([3, 1, 7, 1])
    np.testing.assert_allclose(torch.cat(list(rows.in_order(3, chosen))).numpy(), expected[chosen], atol=1e-6)


@pytest.mark.parametrize("resident", [None, False, True], ids=["cpu", "staged", "resident"])
def test_training_targets_belong_to_their_inputs(cache: Cache, resident: bool | None) -> None:
    off = dict.fromkeys((f"transforms__{name}" for name in ("brightness", "contrast", "saturation")), 0)
    inputs, targets, other, share = epoch_of(train_rows(cache, resident=resident), train_params(**off))
    assert torch.equal(inputs.mean((2, 3)).argmax(1), targets)  # the fixture's class is the brightest channel
    assert torch.equal(other, targets) and (share == 1).all()


@pytest.mark.parametrize("resident", [None, False, True], ids=["cpu", "staged", "resident"])
@pytest.mark.parametrize("scaling", ["imagenet", "caffe"])
def test_inputs_are_channels_last(cache: Cache, scaling: str, resident: bool | None) -> None:
    rows = train_rows(cache, resident=resident, scaling=scaling)
    inputs = [*rows.in_order(5), next(iter(rows.batches([np.arange(6)], train_params(**ALL), 1))).inputs]
    assert all(batch.is_contiguous(memory_format=torch.channels_last) for batch in inputs)
    assert {batch.dtype for batch in inputs} == {torch.float32}


@pytest.mark.parametrize("resident", [False, True], ids=["staged", "resident"])
@pytest.mark.parametrize("scaling", ["unit", "caffe"])
def test_a_gpu_s_batches_are_those_of_the_cpu_within_a_grey_level(
    tmp_path: Path, scaling: str, resident: bool
) -> None:
    cache = smooth_cache(tmp_path / "smooth")
    params = train_params(**ALL, transforms__rotation=30, batch_size=7)
    level = 1 / 255 if scaling == "unit" else 1
    on_cpu = epoch_of(train_rows(cache, scaling=scaling), params)
    batched = epoch_of(train_rows(cache, scaling=scaling, resident=resident), params)
    for ours, theirs in zip(on_cpu[1:], batched[1:], strict=True):
        assert torch.equal(ours, theirs)
    off = (on_cpu[0] - batched[0]).abs() / level
    assert off.mean() < 1
    assert (off > 3).float().mean() < 0.03  # at the border of an image OpenCV rounds places to 1/32 px


def smooth_cache(folder: Path) -> Cache:
    """Gradients instead of noise, so that two ways to interpolate can be compared."""
    write_cache(folder)
    pixels = np.load(folder / "0.npy")
    x = np.linspace(20, 120, pixels.shape[1])
    waves = np.add.outer(x, x)[None, :, :, None] + np.arange(len(pixels))[:, None, None, None] / 4
    np.save(folder / "0.npy", np.concatenate([waves, waves * 0.7, 250 - waves], axis=3).astype(np.uint8))
    return Cache(folder)


@given(cuts=st.sets(st.integers(1, 11)), balanced=st.booleans(), resident=st.sampled_from([None, False, True]))
@settings(max_examples=15, deadline=None)
def test_an_image_is_the_same_however_its_pairs_are_sliced(
    cuts: set[int], balanced: bool, resident: bool | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sliced") / "cache"
    rows = train_rows(write_cache(folder), resident=resident)
    sampling = {"sampling": "balanced" if balanced else "shuffled", "loss__class_weights": "none"}
    params = train_params(**ALL, **sampling, batch_size=24)
    (whole,) = epoch_batches(rows.targets, params, 0, 1)
    pieces = np.split(whole, sorted(2 * cut for cut in cuts))
    for one, several in zip(epoch_of(rows, params, [whole]), epoch_of(rows, params, pieces), strict=True):
        torch.testing.assert_close(one, several, atol=1e-6, rtol=0)


def test_a_row_that_comes_again_in_an_epoch_gets_other_draws(cache: Cache) -> None:
    rows = train_rows(cache)
    inputs, targets, *_ = epoch_of(rows, train_params(), [np.array([0, len(rows), 2 * len(rows), 0])])
    assert not torch.equal(inputs[0], inputs[1]) and not torch.equal(inputs[1], inputs[2])
    assert torch.equal(inputs[0], inputs[3])
    assert len(set(targets.tolist())) == 1


def test_a_batch_that_is_kept_is_not_overwritten(cache: Cache) -> None:
    """The buffers of a batch are used again, but for those that something still refers to."""
    rows, params = train_rows(cache), train_params(batch_size=2)
    batches = epoch_batches(rows.targets, params, 0, 1)
    kept, copies = [], []
    for batch in rows.batches(batches, params, 1):
        kept.append(batch.inputs[:1])
        copies.append(batch.inputs[:1].clone())
    assert all(map(torch.equal, kept, copies))


def test_what_autograd_keeps_of_a_batch_is_not_overwritten(cache: Cache) -> None:
    rows, params = train_rows(cache), train_params(batch_size=2)
    weight = torch.ones(1, requires_grad=True)
    stream = rows.batches(epoch_batches(rows.targets, params, 0, 1), params, 1)
    batch = next(iter(stream))
    expected, loss = batch.inputs.sum().item(), (batch.inputs * weight).sum()
    del batch
    list(stream)
    loss.backward()
    assert weight.grad is not None and weight.grad.item() == pytest.approx(expected)


@pytest.mark.parametrize("resident", [None, False, True], ids=["cpu", "staged", "resident"])
def test_an_epoch_that_is_left_early_leaves_no_thread(cache: Cache, resident: bool | None) -> None:
    rows, params = train_rows(cache, resident=resident), train_params(batch_size=2)
    for start in (lambda: rows.batches([np.arange(2)] * 9, params, 1), lambda: rows.in_order(2)):
        before, stream = threading.active_count(), start()
        next(stream)
        assert threading.active_count() == before + 1
        del stream
        assert threading.active_count() == before


def test_a_loop_that_drops_its_batches_gets_by_with_few_buffers() -> None:
    ring = Ring((4, 2))
    held = [torch.from_numpy(ring.free()[:3]) for _ in range(3)]
    assert len(ring.arrays) == 3
    for _ in range(20):
        held = [*held[1:], torch.from_numpy(ring.free()[:3])]
    assert len(ring.arrays) == 4
