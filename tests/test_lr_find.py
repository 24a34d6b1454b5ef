"""What `fovea lr-find` does: the rising rate, the end of the test, the suggestion, and the files it leaves."""

import shutil
from collections.abc import Iterator
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from torch import Tensor, nn
from typer.testing import CliRunner

from fovea.cli import app
from fovea.lr_curve import prepare
from fovea.training.data import make_rows
from fovea.training.loop import Trainer
from fovea.training.lr_find import STEPS, RangeTest, range_test, smoothed, suggestions
from tests.import_closure import ROOT
from tests.small import train_params, write_cache

runner = CliRunner()


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """The same 32 points for ever, whose target is three times the only input."""
    inputs = torch.linspace(-1, 1, 32)[:, None]
    return repeat((inputs, 3 * inputs))


def a_test(momentum: float = 0.0) -> RangeTest:
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=momentum)
    return range_test(model, optimizer, batches(), nn.functional.mse_loss)


def test_rates_rise_by_one_factor_and_the_test_ends_where_the_loss_explodes() -> None:
    """Gradient descent on this parabola of curvature 2/3 diverges from a learning rate of 1 on, because of the bias."""
    test = a_test()
    assert len(test.rates) < STEPS and test.rates[0] == pytest.approx(1e-7) and 1 < test.rates[-1] <= 10
    assert np.allclose(np.diff(np.log(test.rates)), np.log(1e8) / (STEPS - 1))
    assert test.smoothed[-1] > 4 * test.smoothed[5:].min()
    assert test.smoothed[-2] <= 4 * test.smoothed[5:-1].min()


def test_the_suggestion_lies_where_the_loss_falls() -> None:
    test = a_test()
    steepest, tenth = suggestions(test) or (0, 0)
    lowest = test.rates[int(np.argmin(test.smoothed))]
    assert 1e-2 < steepest < lowest and tenth == pytest.approx(lowest / 10)
    place = int(np.argmin(np.abs(test.rates - steepest)))
    assert test.smoothed[place + 1] < test.smoothed[place - 1]


def test_each_group_keeps_its_factor_on_the_rate() -> None:
    model = nn.Linear(1, 1)
    groups: list[dict[str, Any]] = [{"params": [model.weight], "factor": 0.1}, {"params": [model.bias]}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    test = range_test(model, optimizer, batches(), nn.functional.mse_loss)
    last = test.rates[-1]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 * last, last])


def test_a_loss_that_is_not_finite_ends_the_test_without_a_point() -> None:
    losses = iter([torch.tensor(1.0, requires_grad=True)] * 8 + [torch.tensor(float("nan"))])
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    test = range_test(model, optimizer, batches(), lambda outputs, targets: next(losses))
    assert len(test.rates) == len(test.losses) == 8


def test_smoothing_begins_at_the_first_loss_and_keeps_a_constant() -> None:
    assert np.allclose(smoothed(np.full(20, 0.7)), 0.7)
    assert smoothed(np.array([2.0, 1.0]))[0] == 2.0


@pytest.mark.parametrize("losses", [np.linspace(1, 2, 50), np.ones(3)])
def test_a_loss_that_never_falls_suggests_nothing(losses: np.ndarray) -> None:
    rates = np.geomspace(1e-7, 1, len(losses))
    assert suggestions(RangeTest(rates, losses, smoothed(losses))) is None


def test_the_first_loss_is_the_first_of_training(tmp_path: Path) -> None:
    """Same weights, rows, transforms and loss."""
    cache, params = write_cache(tmp_path / "cache"), train_params(model="squeezenet1_1", log_every=1)
    torch.manual_seed(0)
    first = range_test(*prepare(params, cache, torch.device("cpu"))).losses[0]
    torch.manual_seed(0)
    model = prepare(params, cache, torch.device("cpu")).model
    train = make_rows(cache, (cache.index["split"] == "train").to_numpy(), None, params.scaling, torch.device("cpu"))
    trainer = Trainer(model, model, train, None, 3, params, lambda items, *_: iter(items), lambda *_: None)
    trainer.run()
    assert trainer.steps[0]["loss"] == first


def test_batches_go_on_after_the_last_of_an_epoch(tmp_path: Path) -> None:
    cache, params = write_cache(tmp_path / "cache"), train_params(model="squeezenet1_1")
    batches = list(islice(prepare(params, cache, torch.device("cpu")).batches, 9))
    assert [len(inputs) for inputs, _ in batches] == [8] * 9  # 24 rows: three epochs
    assert not torch.equal(batches[0][0], batches[3][0])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_cache(tmp_path / "data/cache")
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    set_params(model="squeezenet1_1", batch_size=4)
    return tmp_path


def set_params(full: int = 1, **changes: object) -> None:
    yaml = YAML()
    params = yaml.load(Path("params.yaml"))
    params["train"].update(changes)
    params["train"]["full"]["epochs"] = full
    params["train"]["frozen"]["epochs"] = 1 - min(full, 1)
    yaml.dump(params, Path("params.yaml"))


def test_the_command_writes_a_table_and_a_figure_and_nothing_else(project: Path) -> None:
    before = {path for path in project.rglob("*") if path.is_file()}
    result = runner.invoke(app, ["lr-find"])
    assert result.exit_code == 0, result.output
    written = {path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()} - {
        path.relative_to(project).as_posix() for path in before}  # fmt: skip
    assert written == {"reports/lr_find.csv", "reports/lr_find.png"}
    table = pd.read_csv("reports/lr_find.csv")
    assert list(table) == ["lr", "loss", "smoothed"] and 20 < len(table) <= STEPS
    with Image.open("reports/lr_find.png") as image:
        image.verify()
    assert result.output.startswith("lr-find: ")


def test_the_same_settings_give_the_same_table(project: Path) -> None:
    tables = []
    for _ in range(2):
        runner.invoke(app, ["lr-find"])
        tables.append(Path("reports/lr_find.csv").read_bytes())
    assert tables[0] == tables[1]


def test_without_a_full_phase_or_a_cache_it_is_one_line(project: Path) -> None:
    set_params(full=0)
    result = runner.invoke(app, ["lr-find"])
    assert result.exit_code == 1 and result.stderr.startswith("error: train.full.epochs: is 0;")
    set_params(full=1)
    shutil.rmtree("data/cache")
    result = runner.invoke(app, ["lr-find"])
    assert result.exit_code == 1 and "data/cache/index.parquet: missing" in result.stderr
