"""What was found of contents before: the digest of their pixels, and how alike two of them are."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from fovea import decode, dicom
from fovea.audit import pixels
from fovea.ingest import look
from fovea.store import code_of, open_database

CODE = code_of(pixels, look, decode, dicom)  # of what compares

Key = tuple[str, str, str]  # digests of whole and part, and their fit


class Compared:
    """The store in `folder`, a context manager. Several processes may use one: SQLite locks it while it is written."""

    def __init__(self, folder: Path) -> None:
        self._database = open_database(
            folder, "pairs", CODE,
            "pairs (whole, part, fit, likeness REAL, PRIMARY KEY (whole, part, fit)) WITHOUT ROWID",
            "pixels (content, shown, PRIMARY KEY (content)) WITHOUT ROWID",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def likeness(self, key: Key) -> float | None:
        """Likeness of a pair, None if it was not compared."""
        query = "SELECT likeness FROM pairs WHERE whole = ? AND part = ? AND fit = ?"
        row = self._database.execute(query, key).fetchone()
        return row[0] if row else None

    def shown(self, content: str) -> str | None:
        """Digest of the pixels that a content shows, None if they were not looked at."""
        row = self._database.execute("SELECT shown FROM pixels WHERE content = ?", (content,)).fetchone()
        return row[0] if row else None

    def remember_likeness(self, results: Iterable[tuple[Key, float]]) -> None:
        """One transaction."""
        with self._database as database:
            rows = [(*key, likeness) for key, likeness in results]
            database.executemany("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?, ?)", rows)

    def remember_shown(self, results: Iterable[tuple[str, str]]) -> None:
        """One transaction."""
        with self._database as database:
            database.executemany("INSERT OR REPLACE INTO pixels VALUES (?, ?)", results)
