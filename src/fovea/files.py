"""Files that appear whole or not at all: written under a temporary name, then renamed."""

import errno
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fovea.errors import UserError

# What a disk says that is full, failing, or not ours to write
REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


@contextmanager
def writable(place: Path) -> Iterator[None]:
    """Raise UserError where the disk refuses what is written to `place` inside."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        raise UserError(f"{place}: cannot be written ({os.strerror(error.errno)}); make room there (uv run fovea prune "
                        "frees some) or make it yours to write, and run again") from None


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path` for a file or folder; rename it to `path` if the block succeeds.

    The last suffix is kept, because pandas and matplotlib choose the format by it. An existing `path` is replaced;
    after an error nothing of the temporary one is left, and what killed processes have left of theirs is deleted.
    Raises UserError if the disk is full or may not be written to.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{threading.get_native_id()}{path.suffix}")
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        try:
            yield temporary
            _swap(temporary, path)
        finally:
            _remove(temporary)


def _swap(new: Path, path: Path) -> None:
    """Put `new` in the place of `path`. A rename does not replace a folder that holds files: that goes aside first, and
    is deleted under another name, so that a killed process leaves all of it or nothing."""
    if not path.is_dir():
        new.replace(path)
        return
    aside = new.with_name(f"{new.name}.old")
    path.rename(aside)
    new.replace(path)
    _remove(aside)


def _sweep(path: Path) -> None:
    """Delete temporaries of `path` whose process has ended. One with our own number that no other thread of ours
    writes is of an earlier process: in a container numbers come again with each start."""
    others = {thread.native_id for thread in threading.enumerate()} - {threading.get_native_id()}
    pattern = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)\.(\d+){re.escape(path.suffix)}(\.old)?")
    for name in os.listdir(path.parent):
        if found := pattern.fullmatch(name):
            process, thread = int(found[1]), int(found[2])
            if thread not in others if process == os.getpid() else not is_running(process):
                _remove(path.with_name(name))


def is_running(process: int) -> bool:
    """Whether there is a process of this number, ours or somebody else's."""
    try:
        os.kill(process, 0)  # sends nothing
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN and infinity raise ValueError: JSON has neither."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path | str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))
