"""Progress of whatever takes over two seconds: one line that is written over on a terminal, few lines in a log."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_UNTIL_SHOWN = 2.0
SECONDS_BETWEEN_LINES = 10.0  # in a log; later a tenth of the time so far
SECONDS_BETWEEN_VIEWS = 0.2   # on a terminal
TIMES = "{elapsed} elapsed, {remaining} left, {rate_noinv_fmt}"
UP = "\x1b[A"  # with which tqdm goes back to the line of an outer bar
FORMAT = "{desc}: {n_fmt}/{total_fmt}{unit}, " + TIMES + "{postfix}"


class _Log:
    """What a bar writes to where no line can be written over."""

    bar: Any = None

    def write(self, text: str) -> None:
        if line := text.replace(UP, "").strip():
            print(line, file=sys.stderr, flush=True)
        if self.bar is not None:
            self.bar.mininterval = max(SECONDS_BETWEEN_LINES, self.bar.format_dict["elapsed"] / 10)

    def flush(self) -> None:
        pass


def make_bar(label: str, total: int, unit: str, initial: int = 0, leave: bool = True) -> Any:
    """A bar of tqdm without a bar. `initial` of `total` were done before; with `leave` its last state stays."""
    log = None if sys.stderr.isatty() else _Log()
    between = SECONDS_BETWEEN_LINES if log else SECONDS_BETWEEN_VIEWS
    bar = tqdm(desc=label, total=total, unit=f" {unit}", initial=initial, leave=leave, delay=SECONDS_UNTIL_SHOWN,
               bar_format=FORMAT, file=log, mininterval=between, miniters=1, smoothing=0, dynamic_ncols=log is None)
    if log:
        log.bar = bar
    return bar


def track(
    items: Iterable[Item], label: str, total: int | None = None, unit: str = "images",
    count: Callable[[Item], int] = lambda item: 1, leave: bool = True,
) -> Iterator[Item]:
    """Yield `items`, showing how many of `total` (`len(items)` if None) units have passed, times and speed.

    `count` says how many units an item is.
    """
    whole = total if total is not None else len(items)  # type: ignore[arg-type]
    with make_bar(label, whole, unit, leave=leave) as bar:
        for item in items:
            yield item
            bar.update(count(item))


class TrainingLine:
    """The line of a training: phase and epoch, images, times of the phase, speed, the losses. Nothing once closed.

    It is the `track` of a `Trainer`, whose progress `at()` gives; `epochs` are those of each phase, `images` are of an
    epoch. The loss is the last one that was read from the device: none is read for this.
    """

    def __init__(self, at: Callable[[], Any], epochs: Mapping[str, int], images: int) -> None:
        self._at, self._epochs, self._images = at, epochs, images
        self._phase = ""
        self._bar: Any = None

    def __call__(self, items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
        if not label.startswith(self._at().phase):  # features, validation
            yield from track(items, f"train: {label}", total, "batches", leave=False)
            return
        self._begin_phase()
        for item in items:
            yield item
            self._show()

    def _begin_phase(self) -> None:
        """The speed of one phase says nothing about the other, nor does what was done before an interruption."""
        phase = self._at().phase
        if self._phase != phase:
            self.close()
            total = self._epochs[phase] * self._images
            self._phase, self._bar = phase, make_bar("train", total, "images", self._done(), leave=False)

    def _done(self) -> int:
        """Images of the phase that the model was trained on."""
        return int(self._at().epochs * self._images + self._at().seen)

    def _show(self) -> None:
        at, bar = self._at(), self._bar
        losses = {"loss": at.steps[-1]["loss"]} if at.steps else {}
        losses |= {"val_loss": at.history[-1]["val_loss"]} if at.history and "val_loss" in at.history[-1] else {}
        bar.set_postfix_str(", ".join(f"{name} {value:.3f}" for name, value in losses.items()), refresh=False)
        bar.set_description_str(f"train: {at.phase} epoch {at.epochs + 1}/{self._epochs[at.phase]}", refresh=False)
        bar.update(self._done() - bar.n)

    def speed(self) -> str:
        """Time taken and left of the phase, images per second."""
        return str(tqdm.format_meter(**self._bar.format_dict | {"bar_format": TIMES, "ncols": None}))

    def close(self) -> None:
        """Take the line away."""
        if self._bar is not None:
            self._bar.close()
