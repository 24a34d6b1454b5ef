"""Images that were looked at before, so that ingest decodes each content once and reads unchanged files not at all.

Two tables in SQLite: what is known of a content, by its digest; and which content a file had, by what the file system
says of it (as git's index does). A file whose size and times are unchanged is not read again.
"""

import os
import threading
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, Self

from fovea import decode, dicom
from fovea.ingest import check, digest, look
from fovea.ingest.entry import Facts
from fovea.store import code_of, open_database
from fovea.urls import found, number

CODE = code_of(check, look, decode, dicom, digest)  # of what fills Facts
SETTLED = 2  # s; a file changed later than this before we looked may change again within the clock's step
COLUMNS = Facts._fields


class Stamp(NamedTuple):
    """What identifies an unchanged file: it changes with every write, rename over it, or change of its links."""

    device: int
    inode: int
    size: int
    modified: int  # ns
    changed: int   # ns


def stamp(path: Path | str) -> Stamp:
    """Raises OSError if the file is not there."""
    found = os.stat(path)
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def stamp_of_url(url: str) -> Stamp | None:
    """Of a file that was listed: its URL and ETag in the place of device and inode. None where the store gives no ETag,
    so that the file is read each time."""
    there = found(url)
    if there is None or there.tag is None:
        return None
    return Stamp(-number(url), number(there.tag), there.size, there.modified, there.modified)


class Seen:
    """The store in `folder`; a context manager. `facts` may be called by several threads, and several processes may
    use one store: SQLite locks it for the moment of a write."""

    def __init__(self, folder: Path) -> None:
        self._database = open_database(
            folder, "facts", CODE,
            f"contents ({', '.join(COLUMNS)}, PRIMARY KEY (digest))",
            f"files ({', '.join(Stamp._fields)}, digest, PRIMARY KEY (device, inode)) WITHOUT ROWID",
        )
        self._lock = threading.Lock()
        self._opened = time.time_ns()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def unchanged(self, stamps: Iterable[Stamp]) -> dict[Stamp, Facts]:
        """What is known of files that have not changed since, in one query: 35,000 in half a second."""
        names = ", ".join(Stamp._fields)
        with self._lock, self._database as database:
            database.execute(f"CREATE TEMP TABLE asked ({names})")
            database.executemany("INSERT INTO asked VALUES (?, ?, ?, ?, ?)", stamps)
            with closing(database.execute(
                f"SELECT {names}, {', '.join(f'contents.{name}' for name in COLUMNS)} FROM asked "
                f"JOIN files USING ({names}) JOIN contents USING (digest)"
            )) as rows:
                found = {Stamp(*row[:5]): Facts(*row[5:]) for row in rows}
            database.execute("DROP TABLE asked")
        return found

    def facts(self, content: str) -> Facts | None:
        """What is known of the content with this digest."""
        with self._lock:
            row = self._database.execute(f"SELECT {', '.join(COLUMNS)} FROM contents WHERE digest = ?", (content,))
            found = row.fetchone()
        return Facts(*found) if found else None

    def remember(self, looked_at: Iterable[tuple[Stamp | None, Facts]]) -> None:
        """Keep what was found, and of files that have settled their stamps. One transaction."""
        known = list(looked_at)
        settled = self._opened - SETTLED * 10**9
        stamps = [(*one, facts.digest) for one, facts in known if one and max(one.modified, one.changed) < settled]
        with self._lock, self._database as database:
            database.executemany(f"INSERT OR REPLACE INTO contents VALUES ({', '.join('?' * len(COLUMNS))})",
                                 [facts for _, facts in known])
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", stamps)
