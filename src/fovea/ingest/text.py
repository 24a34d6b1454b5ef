"""Text files of label tables: UTF-8, or UTF-16 with a byte order mark, as spreadsheets save it."""

import codecs
from pathlib import Path

from fovea.errors import UserError


def encoding_of(path: Path) -> str:
    """The encoding by which Python reads the file."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def not_text(path: Path, where: str, read: int) -> UserError:
    """The error for a file that cannot be decoded after `read` lines; in UTF-8 the very line is found."""
    if encoding_of(path) == "utf-16":
        return UserError(f"{where}, after line {read}: is not UTF-16 text; save it again, in UTF-8")
    return UserError(f"{where}, line {_first_line_that_is_not_utf8(path)}: is not UTF-8 text; save it again in UTF-8")


def _first_line_that_is_not_utf8(path: Path) -> int:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
