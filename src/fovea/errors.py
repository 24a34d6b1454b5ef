"""What a user can put right: one line on stderr and exit code 1, never a traceback."""

import sys
from types import TracebackType


class UserError(Exception):
    """Wrong input. The message names the key, file or line, what is wrong, and what to do."""


def one_line(error: Exception) -> str:
    """What a foreign library says of an error, for the middle of a message of ours."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def report_user_errors() -> None:
    """Make this process end a `UserError`, or a missing file, with one line; any other error keeps its traceback."""
    sys.excepthook = _one_line


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
