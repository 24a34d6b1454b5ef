"""What a user can put right: one line on stderr and exit code 1, never a traceback. SIGTERM: orderly, exit code 143."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType, TracebackType
from typing import NoReturn, Self


class UserError(Exception):
    """Wrong input. The message names the key, file or line, what is wrong, and what to do."""


class Terminated(SystemExit):
    """SIGTERM as an exception: `with` and `finally` blocks run, then the process ends with 143."""


class Stopping:
    """Inside, the first SIGINT or SIGTERM is a wish that `asked` tells, so that work can be left in order.

    A second one ends as it would without this. Only the main thread may enter.
    """

    def __enter__(self) -> Self:
        self._number = 0
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        signal.signal(number, self._before[signal.Signals(number)])
        self._number = number

    def asked(self) -> bool:
        return bool(self._number)

    def leave(self) -> NoReturn:
        """End as the signal would have ended the process at once."""
        raise Terminated(128 + self._number) if self._number == signal.SIGTERM else KeyboardInterrupt


def one_line(error: Exception) -> str:
    """What a foreign library says of an error, for the middle of a message of ours."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def report_user_errors() -> None:
    """Make this process end a `UserError`, or a missing file, with one line, and SIGTERM with `Terminated`.

    Any other error keeps its traceback. Only the main thread may call this.
    """
    sys.excepthook = _one_line
    signal.signal(signal.SIGTERM, _terminate)  # by default Python ends at once, and no block is left in order


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, UserError):
        print(f"error: {error}", file=sys.stderr)
    elif isinstance(error, FileNotFoundError):
        name = error.filename or error  # pyarrow gives the path alone
        print(f"error: {name}: not found; run `dvc repro`, which makes what is missing", file=sys.stderr)
    elif issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends at once
    with suppress(OSError):
        os.write(2, b"stopped\n")  # not print, which the signal may have interrupted
    raise Terminated(128 + number)
