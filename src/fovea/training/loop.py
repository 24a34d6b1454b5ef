"""The training loop: a frozen phase over features, a full phase over images, and the best epoch by validation."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fovea.errors import UserError
from fovea.seeds import integer
from fovea.training.ahead import Timed
from fovea.training.checkpoint import Checkpoint
from fovea.training.data import epoch_batches
from fovea.training.device import seed
from fovea.training.distributed import World
from fovea.training.loss import decided, probabilities
from fovea.training.phases import Phase, Track, frozen_phase, full_phase
from fovea.training.prepare import Prepared
from fovea.training.progress import Epoch, Progress, Steps, lower_is_better
from fovea.training.schedule import learning_rate
from fovea.training.scores import score
from fovea.training.tally import Tally

if TYPE_CHECKING:
    from fovea.params.train import TrainParams

HISTORY = (
    "epoch", "phase", "samples", "lr", "train_loss", "train_accuracy",
    "val_loss", "val_accuracy", "val_balanced_accuracy", "val_auroc", "val_kappa",
)  # columns of the history; val_* are missing without validation


class Stopped(Exception):  # noqa: N818  # no error
    """Training was asked to stop, and has written its checkpoint."""


@dataclass
class Trainer:
    """One training. After `run`, the model holds the weights of the epoch `at.best`, a row of `at.history`.

    Without validation rows the last epoch is kept. `track(items, label, total)` shows progress, `on_epoch` gets each
    row of the history, the rows of `at.steps` of that epoch, and the share of the epoch's training time in which the
    model waited for data. No timing is in the history, which is the same for the same inputs. `should_stop` is asked
    after every batch.
    """

    parts: Prepared
    params: "TrainParams"
    track: Track
    on_epoch: Callable[[Epoch, Steps, float], None]
    checkpoint: Checkpoint | None = None
    should_stop: Callable[[], bool] = lambda: False
    world: World = field(default_factory=World)
    compile: bool = False
    at: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.best_state: dict[str, Tensor] = {}
        self._phase: Phase | None = None
        self._saved: dict[str, Any] = {}  # of the phase that is resumed, until it begins

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what a checkpoint holds."""
        self.at = Progress(**saved["progress"])
        self.parts.model.load_state_dict(saved["model"])
        device = self.parts.train.device
        self.best_state = {key: value.to(device) for key, value in saved["best"].items()}
        self._saved = saved

    def run(self) -> None:
        """Train both phases. Raises UserError if the loss is not finite, and Stopped after `should_stop`."""
        self._start = time.monotonic() - self.at.clock
        parts, p = self.parts, self.params
        try:
            if p.frozen.epochs and self.at.phase != "full":
                self._begin("frozen")
                self._run(frozen_phase(parts, p, self._watched))
            if p.full.epochs:
                self._begin("full")
                self._run(full_phase(parts, p, self._watched, self.world, self.compile))
        except Stopped:
            self._write()
            raise
        self._write()
        parts.model.load_state_dict(self.best_state)

    def _begin(self, name: str) -> None:
        if self.at.phase != name:
            self.at.begin_phase(name)
            self.at.begin_epoch()

    def _watched(self, items: Iterable[Any], label: str, total: int) -> Iterator[Any]:
        """`items`, shown as progress, until the training is asked to stop."""
        for item in self.track(items, label, total):
            if self.should_stop():
                raise Stopped
            yield item

    def _run(self, phase: Phase) -> None:
        if self._saved:
            phase.restore(self._saved)
            self._saved = {}
        self._phase = phase
        at, p, schedule = self.at, self.params, phase.params.schedule
        val_metric = p.best_metric if self.parts.val else None
        per_epoch = len(epoch_batches(self.parts.train.targets, p, p.seed, 0))
        while at.epochs < phase.params.epochs and not (p.early_stopping and at.waited() >= p.early_stopping):
            first = at.epochs * per_epoch
            rates = [at.factor * learning_rate(phase.params, first + i, per_epoch) for i in range(per_epoch)]
            self._train_epoch(phase, rates)
            row = at.row(rates[-1])
            with phase.step.average.in_place() if phase.step.average else nullcontext():
                phase.module.eval()
                row |= self._validate(phase)
                if at.end_epoch(row, val_metric):
                    state = self.parts.model.state_dict()
                    self.best_state = {key: value.detach().clone() for key, value in state.items()}
            if schedule.name == "plateau":
                at.watch(lower_is_better(row, p.plateau_metric), schedule.factor, schedule.patience)
            self.on_epoch(*at.last_epoch())

    def _train_epoch(self, phase: Phase, rates: list[float]) -> None:
        """Train on the batches of the epoch that are left. A GPU is waited for at its end and for checkpoints."""
        at, p, rows = self.at, self.params, self.parts.train
        phase.module.train()
        left = epoch_batches(rows.targets, p, p.seed, at.epoch())[at.batches :]
        data = Timed(phase.batches([phase.world.part(batch) for batch in left], at.epoch()))
        label, tally = f"{at.phase} epoch {at.epochs + 1}/{phase.params.epochs}", Tally(at, rows.device)
        start, seconds, waiting = time.perf_counter(), at.seconds, at.waiting
        for batch, whole in zip(self.track(data, label, len(left)), left, strict=True):
            rate = rates[at.batches]
            seed(rows.device, integer(p.seed, "step", at.step, phase.world.rank))  # of dropout
            tally.add(*phase.step(batch, rate, len(whole)), len(whole), rate if at.step % p.log_every == 0 else None)
            due, stop = self.checkpoint is not None and self.checkpoint.due(), self.should_stop()
            if rows.device.type == "cpu" or due or stop or at.batches == len(rates):
                at.seconds, at.waiting = seconds + time.perf_counter() - start, waiting + data.seconds
                if (bad := tally.settle()) is not None:
                    raise self._diverged(bad, rates[bad])
            if stop:
                raise Stopped
            if due:
                self._write()

    def _diverged(self, batch: int, rate: float) -> UserError:
        at = self.at
        kept = "; the checkpoint before it is kept" if self.checkpoint and self.checkpoint.exists() else ""
        where = f"step {at.step - at.batches + batch} (epoch {at.epoch()}, learning rate {rate:g})"
        return UserError(f"train.{at.phase}.lr: the loss is not finite at {where}; lower it, or set "
                         f"train.gradient_clip{kept}")

    def _write(self) -> None:
        """Write the checkpoint, unless a weight is not finite: the next loss will not be either."""
        self.at.clock = time.monotonic() - self._start
        if self.checkpoint is None or self._phase is None:
            return
        model = self.parts.model
        if all(bool(torch.isfinite(weight).all()) for weight in model.parameters()):
            state = {"progress": self.at.plain(), "model": model.state_dict(), "best": self.best_state}
            self.checkpoint.write(state | self._phase.state())

    @torch.no_grad()
    def _validate(self, phase: Phase) -> Epoch:
        if self.parts.val is None:
            return {}
        loss, targets, name = self.parts.loss, self.parts.val.targets, self.params.loss.name
        outputs = phase.val_logits().float()
        chances = probabilities(name, outputs.cpu()).numpy()
        scores = score(targets.cpu().numpy(), chances, decided(name, chances))
        val_loss = loss.mean(outputs, targets).item()
        return {"val_loss": val_loss} | {f"val_{name}": value for name, value in scores.items()}
