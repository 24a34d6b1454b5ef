"""The training loop: a frozen phase over features, a full phase over images, and the best epoch by validation."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor, nn

from fovea.errors import UserError
from fovea.seeds import integer
from fovea.store import store_folder
from fovea.training.ahead import Timed
from fovea.training.average import Average
from fovea.training.batch import Batch
from fovea.training.checkpoint import Checkpoint
from fovea.training.data import Rows, epoch_batches
from fovea.training.device import seed
from fovea.training.distributed import World
from fovea.training.forward import INFERENCE_BATCH, logits
from fovea.training.loss import Loss, decided, probabilities
from fovea.training.optimizer import make_optimizer
from fovea.training.progress import Epoch, Progress, Steps, lower_is_better
from fovea.training.schedule import learning_rate
from fovea.training.scores import score
from fovea.training.step import Step

if TYPE_CHECKING:
    from fovea.params.train import PhaseParams, TrainParams

HISTORY = (
    "epoch", "phase", "samples", "lr", "train_loss", "train_accuracy",
    "val_loss", "val_accuracy", "val_balanced_accuracy", "val_auroc", "val_kappa",
)  # columns of the history; val_* are missing without validation
Batches = Callable[[list[np.ndarray], int], Iterable[Batch]]
Track = Callable[[Iterable[Any], str, int], Iterator[Any]]


class Stopped(Exception):  # noqa: N818  # no error
    """Training was asked to stop, and has written its checkpoint."""


@dataclass
class Phase:
    """One phase as it runs: `module` is trained with what `step` holds, on the batches that `batches` makes."""

    params: "PhaseParams"
    module: nn.Module
    step: Step
    batches: Batches
    val_logits: Callable[[], Tensor]
    world: World


@dataclass
class Trainer:
    """One training. After `run`, the model holds the weights of the `best` epoch, a row of `history`.

    `val` is None without validation rows: then the last epoch is kept. `track(items, label, total)` shows progress,
    `on_epoch` gets each row of `history`, the rows of `steps` of that epoch, and the share of the epoch's training time
    in which the model waited for data. No timing is in `history`, which is the same for the same inputs.
    `should_stop` is asked after every batch.
    """

    model: nn.Module
    head: nn.Module
    train: Rows
    val: Rows | None
    loss: Loss
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

    @property
    def history(self) -> list[Epoch]:
        return self.at.history

    @property
    def steps(self) -> Steps:
        return self.at.steps

    @property
    def best(self) -> Epoch:
        return self.at.best

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what a checkpoint holds."""
        self.at = Progress(**saved["progress"])
        self.model.load_state_dict(saved["model"])
        device = self.train.device
        self.best_state = {key: value.to(device) for key, value in saved["best"].items()}
        self._saved = saved

    def run(self) -> None:
        """Train both phases. Raises UserError if the loss is not finite, and Stopped after `should_stop`."""
        self._start = time.monotonic() - self.at.clock
        try:
            if self.params.frozen.epochs and self.at.phase != "full":
                self._run(self.frozen_phase())
            if self.params.full.epochs:
                self._run(self.full_phase())
        except Stopped:
            self._write()
            raise
        self._write()
        self.model.load_state_dict(self.best_state)

    def frozen_phase(self) -> Phase:
        """The backbone in eval mode sees each stored row once; the head trains on its features, in every process."""
        self._begin("frozen")
        train = self._features(self.train, "features")
        val = self._features(self.val, "features of val") if self.val else None
        targets = self.train.targets
        unmixed = torch.ones(len(targets), device=targets.device)

        def batches(positions: list[np.ndarray], epoch: int) -> Iterator[Batch]:
            order = np.concatenate([np.empty(0, np.int64), *positions]) % len(targets)
            lengths = [len(batch) for batch in positions]
            for chosen in torch.as_tensor(order, device=targets.device).split(lengths):  # one copy an epoch
                yield Batch(train[chosen], targets[chosen], targets[chosen], unmixed[chosen])

        alone = World()
        step = self._step(self.params.frozen, self.head, self.head, False, alone)
        return Phase(self.params.frozen, self.head, step, batches, lambda: self.head(val), alone)

    def _features(self, rows: Rows, label: str) -> Tensor:
        from fovea.training.features import features  # with pandas, which a benchmark on a bare GPU machine lacks

        return features(self.model, self.head, rows, self.params, store_folder("features"), self._watched, label)

    def full_phase(self) -> Phase:
        """The whole model trains on the images, each with its own draws."""
        self._begin("full")
        forward = self.world.wrap(self.model)
        mixed = bool(self.params.mix.mixup or self.params.mix.cutmix)
        if self.compile:
            forward = cast(nn.Module, torch.compile(forward))
        step = self._step(self.params.full, self.model, forward, mixed, self.world)

        def batches(positions: list[np.ndarray], epoch: int) -> Iterable[Batch]:
            return self.train.batches(positions, self.params, epoch)

        return Phase(self.params.full, self.model, step, batches, self._val_logits, self.world)

    def _begin(self, name: str) -> None:
        if self.at.phase != name:
            self.at.begin_phase(name)
            self.at.begin_epoch()

    def _step(self, phase: "PhaseParams", module: nn.Module, forward: nn.Module, mixed: bool, world: World) -> Step:
        p = self.params
        optimizer = make_optimizer(phase, module, self.head)
        average = Average(module, p.average) if p.average else None
        if self._saved:
            optimizer.load_state_dict(self._saved["optimizer"])
            if average:
                average.restore(self._saved["average"])
            self._saved = {}
        return Step(forward, optimizer, self.loss, mixed, p.gradient_clip, p.micro_batch, average, world)

    def _val_logits(self) -> Tensor:
        assert self.val is not None
        mine = np.arange(self.world.rank, len(self.val), self.world.size)
        some = mine if len(mine) else np.zeros(1, np.int64)  # fewer rows than processes
        total = math.ceil(len(some) / INFERENCE_BATCH)
        batches = self._watched(self.val.in_order(INFERENCE_BATCH, some), "validation", total)
        return self.world.gather(logits(self.model, batches)[: len(mine)], len(self.val))

    def _watched(self, items: Iterable[Any], label: str, total: int) -> Iterator[Any]:
        """`items`, shown as progress, until the training is asked to stop."""
        for item in self.track(items, label, total):
            if self.should_stop():
                raise Stopped
            yield item

    def _run(self, phase: Phase) -> None:
        self._phase = phase
        at, p, schedule = self.at, self.params, phase.params.schedule
        per_epoch = len(epoch_batches(self.train.targets, p, p.seed, 0))
        while at.epochs < phase.params.epochs and not (p.early_stopping and at.waited() >= p.early_stopping):
            first = at.epochs * per_epoch
            rates = [at.factor * learning_rate(phase.params, first + i, per_epoch) for i in range(per_epoch)]
            row: Epoch = {"epoch": len(at.history) + 1, "phase": at.phase, "lr": rates[-1]}
            self._train_epoch(phase, row["epoch"], rates)
            row |= {
                "samples": at.samples + at.seen, "train_loss": at.loss / at.seen, "train_accuracy": at.right / at.seen
            }  # fmt: skip
            with phase.step.average.in_place() if phase.step.average else nullcontext():
                phase.module.eval()
                row |= self._validate(phase)
                if at.end_epoch(row, p.best_metric if self.val else None):
                    self.best_state = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
            if schedule.name == "plateau":
                at.watch(lower_is_better(row, p.plateau_metric), schedule.factor, schedule.patience)
            self.on_epoch(*list(at.ended())[-1])

    def _train_epoch(self, phase: Phase, epoch: int, rates: list[float]) -> None:
        """Train on the batches of the epoch that are left. Nothing is read back from a GPU but where `_settle` is."""
        at, device = self.at, self.train.device
        phase.module.train()
        left = epoch_batches(self.train.targets, self.params, self.params.seed, epoch)[at.batches :]
        data = Timed(phase.batches([phase.world.part(batch) for batch in left], epoch))
        sums = torch.tensor([at.loss, at.right], device=device)
        bad = torch.full((), -1, device=device)  # first batch whose loss is not finite
        logged: list[tuple[dict[str, Any], Tensor]] = []
        label = f"{at.phase} epoch {at.epochs + 1}/{phase.params.epochs}"
        start, seconds, waiting = time.perf_counter(), at.seconds, at.waiting
        for batch, whole in zip(self.track(data, label, len(left)), left, strict=True):
            rate = rates[at.batches]
            seed(device, integer(self.params.seed, "step", at.step, phase.world.rank))  # of dropout
            loss, right = phase.step(batch, rate, len(whole))
            sums += torch.stack([loss * len(whole), right])
            bad = torch.where((bad < 0) & ~torch.isfinite(loss), at.batches, bad)
            at.batches, at.seen = at.batches + 1, at.seen + len(whole)
            if at.step % self.params.log_every == 0:
                logged.append(({"step": at.step, "epoch": epoch, "samples": at.samples + at.seen, "lr": rate}, loss))
            at.step += 1
            due, stop = self.checkpoint is not None and self.checkpoint.due(), self.should_stop()
            if device.type == "cpu" or due or stop or at.batches == len(rates):
                at.seconds, at.waiting = seconds + time.perf_counter() - start, waiting + data.seconds
                self._settle(sums, bad, logged, rates)
            if stop:
                raise Stopped
            if due:
                self._write()

    def _settle(
        self, sums: Tensor, bad: Tensor, logged: list[tuple[dict[str, Any], Tensor]], rates: list[float]
    ) -> None:
        """Read the figures of the epoch so far back from the device. Raises UserError if a loss was not finite."""
        if (number := int(bad)) >= 0:
            self._diverged(self.at.step - self.at.batches + number, rates[number])
        self.at.loss, self.at.right = sums.tolist()
        self.at.steps += [{**where, "loss": loss.item()} for where, loss in logged]
        logged.clear()

    def _diverged(self, step: int, rate: float) -> NoReturn:
        kept = "; the checkpoint before it is kept" if self.checkpoint and self.checkpoint.exists() else ""
        where = f"step {step} (epoch {len(self.at.history) + 1}, learning rate {rate:g})"
        raise UserError(f"train.{self.at.phase}.lr: the loss is not finite at {where}; lower it, or set "
                        f"train.gradient_clip{kept}")

    def _write(self) -> None:
        """Write the checkpoint, unless a weight is not finite: the next loss will not be either."""
        self.at.clock = time.monotonic() - self._start
        if self.checkpoint is None or self._phase is None:
            return
        step = self._phase.step
        if all(bool(torch.isfinite(weight).all()) for weight in self.model.parameters()):
            self.checkpoint.write({
                "progress": self.at.plain(),
                "model": self.model.state_dict(),
                "best": self.best_state,
                "optimizer": step.optimizer.state_dict(),
                "average": step.average.state() if step.average else None,
            })  # fmt: skip

    @torch.no_grad()
    def _validate(self, phase: Phase) -> Epoch:
        if self.val is None:
            return {}
        outputs, targets = phase.val_logits().float(), self.val.targets
        loss = (self.loss.each(outputs, targets).sum() / self.loss.weight(targets).sum()).item()
        chances = probabilities(self.params.loss.name, outputs.cpu()).numpy()
        scores = score(targets.cpu().numpy(), chances, decided(self.params.loss.name, chances))
        return {"val_loss": loss} | {f"val_{name}": value for name, value in scores.items()}
