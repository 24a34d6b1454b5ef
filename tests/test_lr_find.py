"""What `fovea lr-find` does: the rising rate, the end of the test, the suggestion, and the files it leaves."""

import shutil
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from torch import Tensor, nn
from typer.testing import CliRunner

from fovea.cache.read import Cache
from fovea.cli import app
from fovea.lr_curve import measure
from fovea.training.lr_find import STEPS, RangeTest, range_test, smoothed, suggestions
from tests.import_closure import ROOT
from tests.small import train_params, write_cache
from tests.trainings import trainer

runner = CliRunner()


def a_test() -> RangeTest:
    """Gradient descent on the distance of a line from 32 points whose target is three times the only input."""
    torch.manual_seed(0)
    inputs, model = torch.linspace(-1, 1, 32)[:, None], nn.Linear(1, 1)

    def step(_: None, rate: float) -> Tensor:
        loss = nn.functional.mse_loss(model(inputs), 3 * inputs)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for weight in model.parameters():
                assert weight.grad is not None
                weight.sub_(rate * weight.grad)
        return loss.detach()

    return range_test(step, repeat(None))


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


def test_a_loss_that_is_not_finite_ends_the_test_without_a_point() -> None:
    losses = iter([1.0] * 8 + [float("nan")])
    test = range_test(lambda *_: torch.tensor(next(losses)), repeat(None))
    assert len(test.rates) == len(test.losses) == 8


def test_smoothing_begins_at_the_first_loss_and_keeps_a_constant() -> None:
    assert np.allclose(smoothed(np.full(20, 0.7)), 0.7)
    assert smoothed(np.array([2.0, 1.0]))[0] == 2.0


@pytest.mark.parametrize("losses", [np.linspace(1, 2, 50), np.ones(3)])
def test_a_loss_that_never_falls_suggests_nothing(losses: np.ndarray) -> None:
    rates = np.geomspace(1e-7, 1, len(losses))
    assert suggestions(RangeTest(rates, losses, smoothed(losses))) is None


def test_the_first_loss_is_the_first_of_training(cache: Cache) -> None:
    """Same weights, rows, transforms and loss; three epochs of three batches and more."""
    params = train_params(model="shufflenet_v2_x0_5", log_every=1, mix__mixup=0.2, gradient_clip=1.0)
    trained = trainer(cache, params)
    trained.run()
    test = measure(params, cache, torch.device("cpu"))
    assert test.losses[0] == trained.at.steps[0]["loss"]
    assert len(test.losses) > 9


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
