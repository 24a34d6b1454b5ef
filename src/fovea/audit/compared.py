"""Pairs of images whose pixels were compared before, by their contents and how they were laid on each other."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Self

VERSION = 1  # of the comparison: raise it with any change of what pixels.py finds

Key = tuple[str, str, str]  # digests of whole and part, and their fit


class Compared:
    """The store in `folder`, a context manager. Several processes may use one: SQLite locks it while it is written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / f"pairs-{VERSION}.db", timeout=60)
        with self._database as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE IF NOT EXISTS pairs (whole, part, fit, likeness REAL, same INTEGER, "
                             "PRIMARY KEY (whole, part, fit)) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def recall(self, key: Key) -> tuple[float, bool] | None:
        """Likeness of a pair, and whether its pixels are the same."""
        query = "SELECT likeness, same FROM pairs WHERE whole = ? AND part = ? AND fit = ?"
        row = self._database.execute(query, key).fetchone()
        return (row[0], bool(row[1])) if row else None

    def remember(self, results: Iterable[tuple[Key, tuple[float, bool]]]) -> None:
        """One transaction."""
        rows = [(*key, *result) for key, result in results]
        with self._database as database:
            database.executemany("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?, ?, ?)", rows)
