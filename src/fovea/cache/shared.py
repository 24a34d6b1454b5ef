"""Finished shards at a place that several machines share (`machine.shards`): a folder, or a URL such as s3://bucket/x.

What one machine has rendered, the others fetch. Who can write there decides what they train on, as with a DVC remote.
"""

from collections.abc import Callable
from pathlib import Path

from fovea.urls import file_system, unreachable


class SharedShards:
    """The shards below `url`, by the key of what they are made with. Threads may use it at once."""

    def __init__(self, url: str, settings: str) -> None:
        self._url = url
        self._files, path = file_system(url)
        self._folder = f"{path.rstrip('/')}/{settings}"
        try:
            self._files.makedirs(self._folder, exist_ok=True)
            listed = self._files.ls(self._folder, detail=False, refresh=True)
        except FileNotFoundError:  # S3 has no folders
            listed = []
        except Exception as error:  # each store has errors of its own
            raise unreachable(f"machine.shards: {url}", error) from None
        pixels, records = ({Path(name).stem for name in listed if name.endswith(end)} for end in (".npy", ".rows"))
        self._there = pixels & records  # one of the two may have been deleted

    def has(self, name: str) -> bool:
        """Whether the shard was there when this began, or was put there since."""
        return name in self._there

    def fetch(self, folder: Path, name: str) -> None:
        """Put the shard into `folder` as one that was begun: its writer compares each row with its checksum, and
        what is not as it should be is rendered. So is a shard that was deleted since this began."""
        try:
            self._move(self._files.get_file, f"{self._folder}/{name}.npy", str(folder / f"{name}.part"))
            self._move(self._files.get_file, f"{self._folder}/{name}.rows", str(folder / f"{name}.rows"))
        except FileNotFoundError:
            self._there.discard(name)

    def keep(self, folder: Path, name: str) -> None:
        """Copy a finished shard there, its records last: without them nobody fetches it."""
        for suffix in ("npy", "rows"):
            self._move(self._files.put_file, str(folder / f"{name}.{suffix}"), f"{self._folder}/{name}.{suffix}")
        self._there.add(name)

    def _move(self, move: Callable[[str, str], None], start: str, end: str) -> None:
        try:
            move(start, end)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise unreachable(f"machine.shards: {self._url}", error) from None
