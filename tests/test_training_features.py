"""Features of the frozen phase: what is kept, what is used again, and that nobody can tell from the result."""

import io
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from fovea.cache.read import Cache
from fovea.params.train import TrainParams
from fovea.prune.needs import Revision, Stage
from fovea.prune.others import find_trainings
from fovea.training import features as module
from fovea.training.data import Rows, epoch_batches, make_rows
from fovea.training.features import CODE, features
from fovea.training.forward import INFERENCE_BATCH, backbone_features
from fovea.training.model import build_model
from fovea.training.optimizer import make_optimizer
from tests.faults import PROCESSES, wait_for
from tests.small import train_params, write_cache
from tests.trainings import silent, trainer

CPU = torch.device("cpu")
IMAGES = 150  # three batches, the last not full
FROZEN = {"frozen__epochs": 4, "full__epochs": 0, "frozen__lr": 0.002}
LAW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Asked:
    """A backbone of which the features of rows are asked for; `calls` counts its forward passes."""

    def __init__(self, cache: Cache, store: Path, seed: int = 0, **changes: Any) -> None:
        self.cache, self.store, self.params = cache, store, train_params(**changes)
        torch.manual_seed(seed)
        size = self.params.crop or cache.attrs["size"]
        self.model, self.head = build_model("resnet18", 3, self.params.head.hidden, 0.0, size, "standard")
        self.calls = 0
        self.model.register_forward_hook(self._count)

    def _count(self, *_: Any) -> None:
        self.calls += 1

    def rows(self, chosen: Any = slice(None)) -> Rows:
        picked = np.zeros(len(self.cache), bool)
        picked[chosen] = True
        return make_rows(self.cache, picked, self.params.crop, self.params.scaling, CPU)

    def __call__(self, chosen: Any = slice(None)) -> Tensor:
        return features(self.model, self.head, self.rows(chosen), self.params, self.store, silent, "features")


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return write_cache(tmp_path_factory.mktemp("cache") / "cache", IMAGES)


@pytest.fixture(scope="module")
def expected(images: Cache, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    return Asked(images, tmp_path_factory.mktemp("store"))()


def kept_files(store: Path) -> list[Path]:
    return sorted(store.glob("*/*.rows"))


def naive_losses(cache: Cache, params: TrainParams) -> list[tuple[float, float]]:
    """Of training and validation, epoch by epoch, with a forward pass of the whole model in every step."""
    made = trainer(cache, params)
    model, head, train, val, loss, *_ = made.parts
    model.eval()
    assert val is not None
    inputs, val_inputs = (torch.cat(list(rows.in_order(8))) for rows in (train, val))
    optimizer = make_optimizer(params.frozen, head, head)
    found = []
    for epoch in range(1, params.frozen.epochs + 1):
        total = 0.0
        for batch in epoch_batches(train.targets, params, params.seed, epoch):
            value = loss.mean(model(inputs[batch]), train.targets[batch])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            total += value.item() * len(batch)
        with torch.no_grad():
            found.append((total / len(train), loss.mean(model(val_inputs), val.targets).item()))
    return found


def test_frozen_epochs_on_features_have_the_losses_of_naive_ones(cache: Cache) -> None:
    params = train_params(**FROZEN)
    frozen = trainer(cache, params)
    frozen.run()
    losses = [(row["train_loss"], row["val_loss"]) for row in frozen.at.history]
    assert losses[0][0] - losses[-1][0] > 0.01, "it must learn, or this shows nothing"
    np.testing.assert_allclose(losses, naive_losses(cache, params), atol=1e-4)


def test_features_of_a_row_are_those_of_its_own_forward_pass(images: Cache, expected: Tensor) -> None:
    asked = Asked(images, Path())
    alone = backbone_features(asked.model, asked.head, asked.rows(slice(8)).in_order(1))
    torch.testing.assert_close(torch.cat(list(alone)), expected[:8])


def test_another_head_and_loss_compute_nothing(cache: Cache) -> None:
    trainer(cache, train_params(**FROZEN)).run()
    other = trainer(cache, train_params(**FROZEN | {"frozen__lr": 0.1, "frozen__epochs": 2}, head__hidden=5,
                                        loss__label_smoothing=0.1, batch_size=4))
    calls: list[None] = []
    other.parts.model.register_forward_hook(lambda *_: calls.append(None))
    other.run()
    assert not calls


def test_added_rows_alone_are_computed(images: Cache, tmp_path: Path, expected: Tensor) -> None:
    asked = Asked(images, tmp_path)
    assert torch.equal(asked(slice(100)), expected[:100])
    assert asked.calls == 2
    assert torch.equal(asked(), expected)
    assert asked.calls == 3
    assert torch.equal(asked(slice(20, 130)), expected[20:130])
    assert asked.calls == 3


@LAW
@given(st.lists(st.sets(st.integers(0, IMAGES - 1), min_size=1), min_size=1, max_size=3))
def test_the_bits_of_a_row_do_not_depend_on_what_was_asked_before(
    images: Cache, expected: Tensor, tmp_path_factory: pytest.TempPathFactory, history: list[set[int]]
) -> None:
    asked = Asked(images, tmp_path_factory.mktemp("store"))
    for chosen in (sorted(one) for one in history):
        assert torch.equal(asked(chosen), expected[chosen])


def test_rows_with_the_same_pixels_are_computed_once(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache", IMAGES)
    pixels = np.load(tmp_path / "cache/0.npy")
    pixels[1:] = pixels[0]
    np.save(tmp_path / "cache/0.npy", pixels)
    asked = Asked(cache, tmp_path / "store")
    found = asked()
    assert asked.calls == 1
    assert torch.equal(found, found[:1].expand_as(found))


def test_other_pixels_are_computed_even_if_the_index_is_the_same(tmp_path: Path) -> None:
    first, second = (write_cache(tmp_path / name) for name in "ab")
    pixels = np.load(tmp_path / "b/0.npy")
    pixels[0, 0, 0, 0] += 1
    np.save(tmp_path / "b/0.npy", pixels)
    one, two = Asked(first, tmp_path / "store"), Asked(Cache(tmp_path / "b"), tmp_path / "store")
    changed = (one() != two()).any(1)
    assert changed.nonzero().tolist() == [[0]]
    assert second.index.equals(first.index)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"scaling": "unit"}, {"crop": 24}, {"stem": "small"}, {"weights": "other.pth"}],
    ids=lambda changes: next(iter(changes)),
)
def test_another_backbone_or_input_never_uses_them(images: Cache, tmp_path: Path, changes: dict[str, Any]) -> None:
    Asked(images, tmp_path)(slice(64))
    other = Asked(images, tmp_path, **changes)
    fresh = Asked(images, tmp_path / "fresh", **changes)
    assert torch.equal(other(slice(64)), fresh(slice(64)))
    assert other.calls == 1


def test_one_changed_running_mean_is_another_backbone(images: Cache, tmp_path: Path) -> None:
    asked = Asked(images, tmp_path)
    asked(slice(64))
    asked.model.get_buffer("layer4.1.bn2.running_mean")[0] += 1
    asked(slice(64))
    assert asked.calls == 2


def test_another_number_of_threads_computes_its_own(images: Cache, tmp_path: Path) -> None:
    asked = Asked(images, tmp_path)
    asked(slice(64))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        asked(slice(64))
    finally:
        torch.set_num_threads(threads)
    assert asked.calls == 2


@LAW
@given(data=st.data())
def test_damage_costs_the_rows_that_it_hit_alone(
    images: Cache, expected: Tensor, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = tmp_path_factory.mktemp("store")
    Asked(images, store)()
    (path,) = kept_files(store)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
        lost = 1
    else:
        del content[place:]
        lost = IMAGES - place // (len(bytes(path.read_bytes())) // IMAGES)
    path.write_bytes(content)
    asked = Asked(images, store)
    assert torch.equal(asked(), expected)
    assert asked.calls == -(-lost // INFERENCE_BATCH)
    assert torch.equal(asked(), expected)
    assert asked.calls == -(-lost // INFERENCE_BATCH), "it must have been kept again"


def test_what_was_computed_is_kept_when_something_ends_it(
    images: Cache, tmp_path: Path, expected: Tensor
) -> None:
    asked = Asked(images, tmp_path)

    def stop(*_: Any) -> None:
        if asked.calls == 3:
            raise KeyboardInterrupt

    handle = asked.model.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        asked()
    handle.remove()
    assert torch.equal(asked(), expected)
    assert asked.calls == 4


def test_a_kill_loses_what_is_not_written_alone(images: Cache, tmp_path: Path, expected: Tensor) -> None:
    process = PROCESSES.Process(target=_killed, args=(images, tmp_path))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    asked = Asked(images, tmp_path)
    assert torch.equal(asked(), expected)
    assert asked.calls == 1


def _killed(images: Cache, store: Path) -> None:
    torch.set_num_threads(1)
    module.MOST_SECONDS = 0  # every batch is written
    asked = Asked(images, store)
    asked.model.register_forward_hook(lambda *_: os.kill(os.getpid(), signal.SIGKILL) if asked.calls == 3 else None)
    asked()


def test_a_second_process_waits_for_the_first_and_computes_nothing(
    images: Cache, tmp_path: Path, expected: Tensor
) -> None:
    calls = tmp_path / "calls"
    processes = [PROCESSES.Process(target=_together, args=(images, tmp_path / "store", calls)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(calls.read_text()) == 3
    asked = Asked(images, tmp_path / "store")
    assert torch.equal(asked(), expected)
    assert asked.calls == 0


def _together(images: Cache, store: Path, calls: Path) -> None:
    """Leave a mark for each forward pass; the first one is not over before another process waits for the lock."""
    torch.set_num_threads(1)
    output = calls.with_name(f"{os.getpid()}.log")
    sys.stdout = output.open("w", buffering=1)
    asked = Asked(images, store)

    def mark(*_: Any) -> None:
        with calls.open("a") as file:
            file.write(".")
        if asked.calls == 1:
            wait_for(lambda: any("waiting for" in path.read_text() for path in output.parent.glob("*.log")))

    asked.model.register_forward_hook(mark)
    asked()


@pytest.mark.parametrize("most", [0, 50_000], ids=["no lock", "no rows"])
def test_a_full_disk_is_a_warning_and_what_is_kept_is_read(
    images: Cache, tmp_path: Path, expected: Tensor, most: int
) -> None:
    """`most` are the bytes that any one file may have."""
    Asked(images, tmp_path / "store")(slice(20))
    process = PROCESSES.Process(target=_full_disk, args=(images, tmp_path, most))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert torch.equal(torch.load(tmp_path / "found.pt"), expected)
    calls, warnings = (tmp_path / "log").read_text().split("\n", 1)
    assert calls == "3"
    assert warnings.count("warning: the features of the frozen phase are not kept for other runs: ") == 1
    assert "File too large" in warnings
    assert len(kept_files(tmp_path / "store")) == 1


def _full_disk(images: Cache, folder: Path, most: int) -> None:
    torch.set_num_threads(1)
    sys.stderr = io.StringIO()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    module.MOST_PENDING = 64 * 2048  # bytes: each batch is written
    asked = Asked(images, folder / "store")
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    found = asked()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (folder / "log").write_text(f"{asked.calls}\n{sys.stderr.getvalue()}")
    torch.save(found, folder / "found.pt")


def test_prune_keeps_the_features_that_a_revision_would_use(images: Cache, tmp_path: Path) -> None:
    made = {"wanted": Asked(images, tmp_path), "other crop": Asked(images, tmp_path, crop=24)}
    for asked in made.values():
        asked(slice(64))
    (tmp_path / "unknown").mkdir()
    values = train_params(head__hidden=7, frozen__epochs=9).model_dump(mode="json")
    stage = Stage(values, {**CODE, "src/fovea/more.py": "0"}, {})
    found = list(find_trainings(tmp_path, "features", [Revision("main", {"train": stage}, frozenset())]))
    assert sorted((one.what, one.needed_by) for one in found) == [
        ("features of resnet18", []), ("features of resnet18", ["main"]), ("of unknown origin", []),
    ]
    edited = stage._replace(code={**CODE, "src/fovea/training/data.py": "0"})
    others = [Revision("main", {"train": edited}, frozenset())]
    assert not any(one.needed_by for one in find_trainings(tmp_path, "features", others))
