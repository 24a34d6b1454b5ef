"""Raw images by their address in the manifest, as bytes of a file or as one member of an array file."""

import shutil
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Self

import numpy as np

from fovea.errors import UserError
from fovea.ingest.address import locate, split_address
from fovea.ingest.digest import array_digest, bytes_digest
from fovea.urls import is_url, read_url

Content = bytes | np.ndarray
READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def digest(content: Content) -> str:
    """Digest of what `RawFiles.read` returned, as the manifest has it: 40 hex digits."""
    return bytes_digest(content) if isinstance(content, bytes) else array_digest(content)


class RawFiles:
    """The images of one set. A context manager: arrays are unpacked once to files without a name, which end with it,
    or with the process, however that ends.

    `read` may be called by several threads.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arrays: dict[tuple[str, str], np.ndarray] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._arrays.clear()

    def read(self, address: str) -> Content:
        """Bytes of the file `images/a.jpeg`, `a.zip!b.jpeg` or `s3://bucket/a.jpeg`; uint8 (h, w[, 1 or 3]) of the
        member `a.npz!train/12`.

        Archives are unpacked again if their store was deleted. Raises UserError if the set, the file or the member is
        not there, or an archive or array file cannot be unpacked.
        """
        file, array, member = address.partition(".npz!")
        try:
            if is_url(address):
                return read_url(address)
            path = locate(self.folder, address)
            if not array or path.is_file():  # a name may hold .npz! without being an array
                return path.read_bytes()
            part, _, position = member.rpartition("/")
            return np.asarray(self._array(f"{file}.npz", f"{part}_images.npy")[int(position)])
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(self._missing(address)) from None
        except OSError as error:
            raise UserError(f"{self.shown(address)}: cannot be read: {error.strerror or error}") from None
        except (UserError, MemoryError):
            raise
        except Exception:  # numpy and zipfile raise whatever they like for bytes that are not what they were
            raise UserError(f"{self.folder / address}: no such member; changed since ingest, run dvc repro") from None

    def changed(self, address: str) -> UserError:
        """For an image whose digest is not the manifest's. DVC does not see that one at a URL has changed."""
        again = "dvc repro --force ingest" if is_url(address) else "dvc repro"
        return UserError(f"{self.shown(address)}: changed since ingest; run {again}")

    def shown(self, address: str) -> str:
        """What a message calls the image."""
        return address if is_url(address) else str(self.folder / address)

    def _missing(self, address: str) -> str:
        if is_url(address):
            return f"{address}: not there any more; run dvc repro --force ingest, or put it back"
        path = self.folder / address
        archive = self.folder / split_address(address)[0][:-1]
        if archive.is_file():
            return f"{path}: not in the archive any more; changed since ingest, run dvc repro"
        lost = next((there for there in (self.folder, archive) if not there.exists()), path)
        return f"{lost} not found; run: dvc pull {self.folder}"

    def _array(self, file: str, name: str) -> np.ndarray:
        with self._lock:
            if (file, name) not in self._arrays:
                self._arrays[file, name] = _unpack(locate(self.folder, file), name)
            return self._arrays[file, name]


def _unpack(arrays: Path, name: str) -> np.ndarray:
    """A memory map of one array, uint8: the pixels of a large set fit on disk, not in memory."""
    with zipfile.ZipFile(arrays) as members, members.open(name) as packed:
        try:
            with tempfile.TemporaryFile() as unpacked:  # has no name, so that nothing of a killed process is left
                shutil.copyfileobj(packed, unpacked, 1 << 20)
                unpacked.seek(0)
                shape, by_column, dtype = READ_HEADER[np.lib.format.read_magic(unpacked)](unpacked)
                if dtype != np.uint8:
                    raise ValueError(f"{name} is {dtype}")
                return np.memmap(unpacked, dtype, "r", unpacked.tell(), shape, "F" if by_column else "C")
        except OSError as error:
            raise UserError(f"{arrays}: cannot be unpacked in {tempfile.gettempdir()} ({error.strerror or error}); "
                            "make room there, or set TMPDIR to a folder that has it") from None
