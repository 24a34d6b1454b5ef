"""What a user can put right: one line on stderr and exit code 1, never a traceback. SIGTERM: orderly, exit code 143."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType, TracebackType


class UserError(Exception):
    """Wrong input. The message names the key, file or line, what is wrong, and what to do."""


class Terminated(SystemExit):
    """SIGTERM as an exception: `with` and `finally` blocks run, then the process ends with 143."""


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
