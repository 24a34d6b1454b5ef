"""Where a training stands, as plain values, and which of its epochs is the best."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

Epoch = dict[str, Any]
Steps = list[dict[str, Any]]


@dataclass
class Progress:
    """What a resumed training needs beside its tensors. The sums are those of the epoch that is running."""

    phase: str = ""       # frozen | full
    epochs: int = 0       # of the phase, that have ended
    batches: int = 0      # of the running epoch, that were trained on
    loss: float = 0.0     # sum over their images
    right: float = 0.0    # images
    seen: int = 0         # images
    seconds: float = 0.0  # that its batches took, and of these the model waited for data:
    waiting: float = 0.0
    step: int = 0         # of the training
    samples: int = 0      # images, of the epochs that have ended
    clock: float = 0.0    # seconds of the training, pauses left out
    factor: float = 1.0   # on the learning rate, of the schedule plateau
    plateau_best: float = math.inf
    plateau_waited: int = 0
    history: list[Epoch] = field(default_factory=list)
    steps: Steps = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # share of each epoch's time in which the model waited for data
    best: Epoch = field(default_factory=dict)
    phase_best: Epoch = field(default_factory=dict)

    def begin_phase(self, name: str) -> None:
        self.phase, self.epochs, self.phase_best = name, 0, {}
        self.factor, self.plateau_best, self.plateau_waited = 1.0, math.inf, 0

    def begin_epoch(self) -> None:
        self.batches, self.loss, self.right, self.seen, self.seconds, self.waiting = 0, 0.0, 0.0, 0, 0.0, 0.0

    def end_epoch(self, row: Epoch, val_metric: str | None) -> bool:
        """Record an epoch that is validated by `val_metric`, None if it is not. Whether it is the best so far."""
        self.history.append(row)
        self.waits.append(self.waiting / self.seconds)
        self.epochs, self.samples = self.epochs + 1, row["samples"]
        self.begin_epoch()
        if val_metric and better(row, self.phase_best, val_metric):
            self.phase_best = row
        best = val_metric is None or better(row, self.best, val_metric)
        if best:
            self.best = row
        return best

    def epoch(self) -> int:
        """Number of the running epoch, from 1 and over both phases."""
        return len(self.history) + 1

    def row(self, rate: float) -> Epoch:
        """What is known of the running epoch after its last batch, whose learning rate was `rate`."""
        return {
            "epoch": self.epoch(), "phase": self.phase, "lr": rate, "samples": self.samples + self.seen,
            "train_loss": self.loss / self.seen, "train_accuracy": self.right / self.seen,
        }  # fmt: skip

    def last_epoch(self) -> tuple[Epoch, Steps, float]:
        """The last of what `ended` gives."""
        *_, last = self.ended()
        return last

    def ended(self) -> Iterator[tuple[Epoch, Steps, float]]:
        """Each epoch that has ended, its rows of `steps`, and the share of its time in which the model waited."""
        for row, wait in zip(self.history, self.waits, strict=True):
            yield row, [step for step in self.steps if step["epoch"] == row["epoch"]], wait

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    def watch(self, value: float, reduction: float, patience: int) -> None:
        """Multiply `factor` by `reduction` when `value`, the lower the better, stops improving, as ReduceLROnPlateau.

        A value improves on the best by more than 1e-4 of it, its default threshold.
        """
        if math.isinf(self.plateau_best) or value < self.plateau_best - 1e-4 * abs(self.plateau_best):
            self.plateau_best, self.plateau_waited = value, 0
            return
        self.plateau_waited += 1
        if self.plateau_waited > patience:
            self.factor, self.plateau_waited = self.factor * reduction, 0

    def waited(self) -> int:
        """Epochs of the phase since its best one."""
        return self.history[-1]["epoch"] - self.phase_best["epoch"] if self.epochs and self.phase_best else 0


def better(row: Epoch, best: Epoch, metric: str) -> bool:
    """Whether `row` is at least as good by `metric`; a tie goes to the lower loss, then to the later epoch."""
    return not best or _rank(row, metric) <= _rank(best, metric)


def _rank(row: Epoch, metric: str) -> tuple[float, float]:
    return lower_is_better(row, metric), row["val_loss"]


def lower_is_better(row: Epoch, metric: str) -> float:
    """The validation metric, negated unless it is the loss; an undefined one is the worst."""
    value = row[f"val_{metric}"]
    return math.inf if math.isnan(value) else value if metric == "loss" else -value
