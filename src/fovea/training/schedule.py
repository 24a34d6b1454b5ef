"""Learning rates as functions of the step, so that a resumed run needs no state for them."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fovea.params.train import PhaseParams


def learning_rate(phase: "PhaseParams", step: int, steps_per_epoch: int) -> float:
    """Learning rate of optimiser step `step` (0, 1, ..) of a phase; of `plateau` the one before any reduction.

    one_cycle: the cosine form of torch's OneCycleLR with its constants (start at lr/25, end at lr/250,000).
    polynomial: final_lr + (lr - final_lr) * (1 - min(step, steps) / steps) ** power.
    """
    schedule, lr, total = phase.schedule, phase.lr, phase.epochs * steps_per_epoch
    match schedule.name:
        case "cosine":
            warmup = schedule.warmup_epochs * steps_per_epoch
            if step < warmup:
                return lr * (step + 1) / warmup
            return _cosine(lr, schedule.final_lr, (step - warmup) / max(total - warmup, 1))
        case "one_cycle":
            peak = schedule.rise * total - 1
            if step < peak:
                return _cosine(lr / 25, lr, step / peak)
            return _cosine(lr, lr / 250_000, (step - peak) / (total - 1 - peak))
        case "polynomial":
            steps = schedule.steps or total
            return schedule.final_lr + (lr - schedule.final_lr) * (1 - min(step, steps) / steps) ** schedule.power
        case "steps":
            epoch = step // steps_per_epoch
            return lr * schedule.factor ** sum(epoch >= at for at in schedule.at)
        case _:  # constant, plateau
            return lr


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
