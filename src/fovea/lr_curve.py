"""`fovea lr-find`: a learning-rate range test with the settings of params.yaml, as a table and a figure."""

from itertools import chain, count
from pathlib import Path

import pandas as pd
import torch
from matplotlib.axes import Axes

from fovea.cache.read import Cache
from fovea.errors import UserError
from fovea.files import replacing
from fovea.params.machine import MachineParams
from fovea.params.section import load
from fovea.params.train import TrainParams
from fovea.report.figures import COLOURS, Panel, draw, save_png
from fovea.training.data import epoch_batches
from fovea.training.device import choose_device
from fovea.training.distributed import World
from fovea.training.lr_find import RangeTest, range_test, suggestions
from fovea.training.phases import full_phase
from fovea.training.prepare import prepare


def find(out: Path) -> list[str]:
    """Test the full phase on data/cache; write lr_find.csv and lr_find.png into `out`. Returns what is printed.

    The model starts as training does, without the frozen phase; no file but these two is written. Raises UserError
    where there is no full phase, or no cache.
    """
    params, machine = load("train", TrainParams), load("machine", MachineParams)
    if not params.full.epochs:
        raise UserError("train.full.epochs: is 0; the test is of the full phase, set at least 1")
    cache, device = Cache("data/cache"), choose_device(machine.device)
    test = measure(params, cache, device)
    with replacing(out / "lr_find.csv") as path:
        pd.DataFrame({"lr": test.rates, "loss": test.losses, "smoothed": test.smoothed}).to_csv(path, index=False)
    found = suggestions(test)
    with replacing(out / "lr_find.png") as path:
        save_png(draw(_panel(test, found, params.full.lr), height=3.4), path)
    return [*_advice(found, params.full.lr), f"{out / 'lr_find.csv'}", f"{out / 'lr_find.png'}"]


def measure(params: TrainParams, cache: Cache, device: torch.device) -> RangeTest:
    """The full phase as `train` begins it, its epochs one after the other for as long as the test asks."""
    parts = prepare(params, cache, device)
    phase = full_phase(parts, params, lambda items, *_: iter(items), World())
    phase.module.train()
    targets = parts.train.targets
    epochs = (phase.batches(epoch_batches(targets, params, params.seed, epoch), epoch) for epoch in count(1))
    return range_test(lambda batch, rate: phase.step(batch, rate, len(batch.targets))[0], chain.from_iterable(epochs))


def _advice(found: tuple[float, float] | None, lr: float) -> list[str]:
    if found is None:
        return ["lr-find: the loss never fell; look at the figure, or give the model weights or more images"]
    return [f"lr-find: {found[0]:.1e} where the loss falls steepest, {found[1]:.1e} a tenth of where it is lowest",
            f"train.full.lr is {lr:g}; the schedule one_cycle takes it as its highest"]


def _panel(test: RangeTest, found: tuple[float, float] | None, lr: float) -> Panel:
    marks = dict(zip(("steepest", "lowest / 10"), found or (), strict=False)) | {"train.full.lr": lr}

    def panel(axes: Axes) -> None:
        axes.plot(test.rates, test.losses, color=COLOURS["muted"], alpha=0.4, linewidth=0.8, label="loss")
        axes.plot(test.rates, test.smoothed, color=COLOURS["accent"], label="smoothed")
        for number, (name, rate) in enumerate(marks.items(), 1):
            axes.axvline(rate, color=COLOURS[f"curve-{number}"], linewidth=0.8, linestyle="dashed",
                         label=f"{name}, {rate:.1e}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss")
        axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:.0e}")
        axes.set_ylim(0, 1.2 * test.smoothed[0])
        axes.legend(fontsize="small", loc="lower left")

    return panel
