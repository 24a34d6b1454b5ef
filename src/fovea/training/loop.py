"""The training loop: a frozen phase over features, a full phase over images, and the best epoch by validation."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fovea.errors import UserError
from fovea.training.data import Rows, Timed, shuffled_batches
from fovea.training.loss import decided, make_loss, predicted, probabilities
from fovea.training.optimizer import make_optimizer
from fovea.training.schedule import Plateau, learning_rate
from fovea.training.scores import score

if TYPE_CHECKING:
    from fovea.params.train import PhaseParams, TrainParams

INFERENCE_BATCH = 64  # fixed, because another size may change the last bit of a result
HISTORY = (
    "epoch", "phase", "samples", "lr", "train_loss", "train_accuracy",
    "val_loss", "val_accuracy", "val_balanced_accuracy", "val_auroc", "val_kappa",
)  # columns of the history; val_* are missing without validation
Epoch = dict[str, Any]
Steps = list[dict[str, Any]]
Batches = Callable[[int], Iterable[tuple[Tensor, Tensor]]]
Track = Callable[[Iterable[Any], str, int], Iterator[Any]]


@dataclass
class Trainer:
    """One training. After `run`, the model holds the weights of the `best` epoch, a row of `history`.

    `val` is None without validation rows: then the last epoch is kept. `track(items, label, total)` shows progress,
    `on_epoch` gets each row of `history`, the rows of `steps` of that epoch, and the share of the epoch's training time
    in which the model waited for data. No timing is in `history`, which is the same for the same inputs.
    """

    model: nn.Module
    head: nn.Module
    train: Rows
    val: Rows | None
    classes: int
    params: "TrainParams"
    track: Track
    on_epoch: Callable[[Epoch, Steps, float], None]
    history: list[Epoch] = field(default_factory=list)
    steps: Steps = field(default_factory=list)
    best: Epoch = field(default_factory=dict)
    samples: int = 0
    step: int = 0

    def run(self) -> None:
        """Train both phases. Raises UserError if the loss is not finite."""
        self.best_state: dict[str, Tensor] = {}
        self.loss = make_loss(self.params.loss, self.train.targets, self.classes)
        if self.params.frozen.epochs:
            self._frozen_phase()
        if self.params.full.epochs:
            self._full_phase()
        self.model.load_state_dict(self.best_state)

    def _frozen_phase(self) -> None:
        """The backbone in eval mode sees each stored row once; the head trains on its features."""
        features = backbone_features(self.model, self.head, self.track(*self._in_order(self.train, "features")))
        targets = self.train.targets
        val = None
        if self.val:
            val = backbone_features(self.model, self.head, self.track(*self._in_order(self.val, "features of val")))

        def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
            for batch in shuffled_batches(len(targets), self.params.batch_size, self.params.seed, epoch):
                chosen = torch.as_tensor(batch, device=targets.device)
                yield features[chosen], targets[chosen]

        self._phase("frozen", self.params.frozen, self.head, batches, lambda: self.head(val))

    def _full_phase(self) -> None:
        p = self.params

        def batches(epoch: int) -> Iterable[tuple[Tensor, Tensor]]:
            return self.train.shuffled(p.batch_size, p.transforms, p.seed, epoch)

        self._phase("full", p.full, self.model, batches, self._val_logits)

    def _val_logits(self) -> Tensor:
        assert self.val is not None
        return logits(self.model, self.track(*self._in_order(self.val, "validation")))

    def _in_order(self, rows: Rows, label: str) -> tuple[Iterable[Tensor], str, int]:
        return rows.in_order(INFERENCE_BATCH), label, math.ceil(len(rows) / INFERENCE_BATCH)

    def _phase(
        self, name: str, phase: "PhaseParams", module: nn.Module, batches: Batches, val_logits: Callable[[], Tensor]
    ) -> None:
        optimizer = make_optimizer(phase, module, self.head)
        plateau = Plateau(phase.schedule.factor, phase.schedule.patience) if phase.schedule.name == "plateau" else None
        steps_per_epoch = len(shuffled_batches(len(self.train), self.params.batch_size, 0, 0))
        phase_best: Epoch = {}
        for number in range(phase.epochs):
            factor = plateau.factor if plateau else 1.0
            rates = [
                factor * learning_rate(phase, number * steps_per_epoch + i, steps_per_epoch)
                for i in range(steps_per_epoch)
            ]
            module.train()
            epoch, label = len(self.history) + 1, f"{name} epoch {number + 1}/{phase.epochs}"
            row: Epoch = {"epoch": epoch, "phase": name, "lr": rates[-1]}
            start, data = time.perf_counter(), Timed(batches(epoch))
            row |= self._one_epoch(epoch, label, module, optimizer, data, rates)
            data_wait = data.seconds / (time.perf_counter() - start)
            module.eval()
            row |= self._validate(val_logits)
            self._keep(row, data_wait)
            if self.val and better(row, phase_best, self.params.best_metric):
                phase_best = row
            waited = epoch - (phase_best or row)["epoch"]
            if plateau:
                plateau.update(lower_is_better(row, self.params.plateau_metric))
            if self.params.early_stopping and waited >= self.params.early_stopping:
                break

    def _one_epoch(
        self,
        epoch: int,
        label: str,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Iterable[tuple[Tensor, Tensor]],
        rates: list[float],
    ) -> Epoch:
        """Train on every batch. Nothing is read back from the device before the epoch ends."""
        device = self.train.device
        total, right, seen = torch.zeros((), device=device), torch.zeros((), device=device), 0
        logged: list[tuple[dict[str, Any], Tensor]] = []
        for rate, (inputs, targets) in zip(rates, self.track(batches, label, len(rates)), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = group["factor"] * rate
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                outputs = module(inputs)
            loss = self._mean_loss(outputs.float(), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                total += loss.detach() * len(targets)
                right += (predicted(self.params.loss.name, outputs) == targets).sum()
            seen += len(targets)
            if self.step % self.params.log_every == 0:
                where = {"step": self.step, "epoch": epoch, "samples": self.samples + seen, "lr": rate}
                logged.append((where, loss.detach()))
            self.step += 1
        self.samples += seen
        if not math.isfinite(total.item()):  # waits for the device, once an epoch
            raise UserError(f"train: the loss is not finite in {label} (lr {rates[-1]:g}); lower the learning rate")
        self.steps += [{**where, "loss": loss.item()} for where, loss in logged]
        return {"samples": self.samples, "train_loss": total.item() / seen, "train_accuracy": right.item() / seen}

    @torch.no_grad()
    def _validate(self, val_logits: Callable[[], Tensor]) -> Epoch:
        if self.val is None:
            return {}
        outputs = val_logits().float()
        chances = probabilities(self.params.loss.name, outputs.cpu()).numpy()
        scores = score(self.val.targets.cpu().numpy(), chances, decided(self.params.loss.name, chances))
        loss = self._mean_loss(outputs, self.val.targets).item()
        return {"val_loss": loss} | {f"val_{key}": value for key, value in scores.items()}

    def _mean_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.loss.each(logits, targets).sum() / self.loss.weight(targets).sum()

    def _keep(self, row: Epoch, data_wait: float) -> None:
        """Record an epoch; copy the weights if it is the best so far (the live ones go on changing)."""
        self.history.append(row)
        if self.val is None or better(row, self.best, self.params.best_metric):
            self.best = row
            self.best_state = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
        self.on_epoch(row, [step for step in self.steps if step["epoch"] == row["epoch"]], data_wait)


def better(row: Epoch, best: Epoch, metric: str) -> bool:
    """Whether `row` is at least as good by `metric`; a tie goes to the lower loss, then to the later epoch."""
    return not best or _rank(row, metric) <= _rank(best, metric)


def _rank(row: Epoch, metric: str) -> tuple[float, float]:
    return lower_is_better(row, metric), row["val_loss"]


def lower_is_better(row: Epoch, metric: str) -> float:
    """The validation metric, negated unless it is the loss; an undefined one is the worst."""
    value = row[f"val_{metric}"]
    return math.inf if math.isnan(value) else value if metric == "loss" else -value


@torch.no_grad()
def logits(model: nn.Module, inputs: Iterable[Tensor]) -> Tensor:
    """Logits (n, outputs) float32 of batches of inputs, in eval mode."""
    model.eval()
    return torch.cat([model(batch) for batch in inputs])


@torch.no_grad()
def backbone_features(model: nn.Module, head: nn.Module, inputs: Iterable[Tensor]) -> Tensor:
    """What the head gets (n, features) float32, for batches of inputs, the model in eval mode."""
    found: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, arguments: found.append(arguments[0].flatten(1)))
    try:
        logits(model, inputs)
    finally:
        hook.remove()
    return torch.cat(found)
