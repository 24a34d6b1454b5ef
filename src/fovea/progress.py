"""Progress of whatever takes over two seconds: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[Item], label: str, total: int | None = None, unit: str = "images") -> Iterator[Item]:
    """Yield `items`, showing how many of `total` (`len(items)` if None) have passed.

    On a terminal a bar appears after two seconds; in a log, a line at most every 10 seconds and one at the end.
    """
    total = total if total is not None else len(items)  # type: ignore[arg-type]
    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, total=total, unit=f" {unit}", delay=2)
        return
    start = last = time.monotonic()
    count = 0
    for count, item in enumerate(items, 1):
        yield item
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            print(f"{label}: {count}/{total} {unit}", file=sys.stderr, flush=True)
    if time.monotonic() - start > 2:
        print(f"{label}: {count}/{total} {unit} in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
