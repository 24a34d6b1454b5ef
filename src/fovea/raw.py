"""Raw images by their address in the manifest, as bytes of a file or as one member of an array file."""

import shutil
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Self

import numpy as np

from fovea.errors import UserError
from fovea.ingest.digest import array_digest, bytes_digest

Content = bytes | np.ndarray


def digest(content: Content) -> str:
    """Digest of what `RawFiles.read` returned, as the manifest has it: 40 hex digits."""
    return bytes_digest(content) if isinstance(content, bytes) else array_digest(content)


class RawFiles:
    """The images of one set. A context manager: arrays are unpacked once to a temporary folder, removed at its end.

    `read` may be called by several threads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arrays: dict[tuple[str, str], np.ndarray] = {}
        self._lock = threading.Lock()
        self._unpacked = tempfile.TemporaryDirectory(prefix="fovea-")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._arrays.clear()
        self._unpacked.cleanup()

    def read(self, address: str) -> Content:
        """Bytes of the file `images/a.jpeg`; uint8 (h, w[, 1 or 3]) of the member `a.npz!train/12`.

        Raises UserError if the set, the file or the member is not there.
        """
        file, _, member = address.partition(".npz!")
        try:
            if not member:
                return (self.folder / address).read_bytes()
            part, _, position = member.rpartition("/")
            return np.asarray(self._array(f"{file}.npz", f"{part}_images.npy")[int(position)])
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{self._missing(address)} not found; run: dvc pull {self.folder}") from None
        except (KeyError, IndexError, ValueError, zipfile.BadZipFile):
            raise UserError(f"{self.folder / address}: no such member; changed since ingest, run dvc repro") from None
        except OSError as error:
            raise UserError(f"{self.folder / address}: cannot be read: {error.strerror or error}") from None

    def _missing(self, address: str) -> Path:
        return self.folder if not self.folder.is_dir() else self.folder / address

    def _array(self, file: str, name: str) -> np.ndarray:
        """A memory map of one array: the pixels of a large set fit on disk, not in memory."""
        with self._lock:
            if (file, name) not in self._arrays:
                path = Path(self._unpacked.name) / f"{len(self._arrays)}.npy"
                _unpack(self.folder / file, name, path)
                self._arrays[file, name] = np.load(path, mmap_mode="r", allow_pickle=False)
            return self._arrays[file, name]


def _unpack(archive: Path, name: str, to: Path) -> None:
    with zipfile.ZipFile(archive) as members, members.open(name) as packed, to.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
