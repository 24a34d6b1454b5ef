"""One shard of the store: `<key>.npy`, which numpy maps into memory, and `<key>.rows`, a record for each of its rows.

While it is written, the pixels are `<key>.part`, each row followed by its record. Whatever kills the writer, the rows
with a record that fits them are kept, and the next writer goes on behind them. A finished shard is sealed:
read-only, and both files have the same time of change, so that a write to the pixels is noticed. Nothing waits for the
disk: a file that a power cut left too short is not sealed, and a row that is not as its checksum says is not used.
"""

import errno
import io
import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from fovea.cache.keys import KEY_BYTES
from fovea.cache.read import HEADER

RECORD = np.dtype([("key", f"S{KEY_BYTES}"), ("crc", "<u4"), ("cropped", "?")])


def header(rows: int, size: int) -> bytes:
    """The `HEADER` bytes that an .npy file of uint8 (rows, size, size, 3) begins with."""
    begin = io.BytesIO()
    shape = (rows, size, size, 3)
    np.lib.format.write_array_header_1_0(begin, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return begin.getvalue()


def is_sealed(folder: Path, name: str, size: int) -> bool:
    """Whether the shard is finished and was not written to since. A copy of the store that broke off may have files
    with the same time by accident, therefore their lengths count as well."""
    try:
        pixels, records = (folder / f"{name}.npy").stat(), (folder / f"{name}.rows").stat()
    except FileNotFoundError:
        return False
    count = records.st_size // RECORD.itemsize
    whole = HEADER + count * size**2 * 3
    return pixels.st_mtime_ns == records.st_mtime_ns and pixels.st_size == whole


def read_records(folder: Path, name: str) -> np.ndarray:
    """`RECORD` (n,) of the rows of a shard that is sealed, or was begun; none if there is no such shard."""
    try:
        data = (folder / f"{name}.rows").read_bytes()
    except FileNotFoundError:
        return np.empty(0, RECORD)
    return np.frombuffer(data, RECORD, len(data) // RECORD.itemsize)


def checksum(data: bytes | memoryview, cropped: bool) -> int:
    """CRC-32 of a row's pixels and of what its record says of them."""
    return zlib.crc32(bytes([cropped]), zlib.crc32(data))


def read_row(path: Path, row: int, size: int, record: np.void) -> np.ndarray | None:
    """Row `row` of a shard, uint8 (size, size, 3); None if it is not there, or not what its `RECORD` says."""
    count = size * size * 3
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(HEADER + row * count)
            data = file.read(count)
    except FileNotFoundError:
        return None
    if len(data) != count or not _fits(data, record):
        return None
    return np.frombuffer(data, np.uint8).reshape(size, size, 3)


class ShardWriter:
    """Writes the rows of a shard, beginning with the first that is missing, number `done`. A context manager.

    Plain writes, not a writable map: a full disk is then an OSError, not the signal SIGBUS.
    """

    def __init__(self, folder: Path, name: str, keys: np.ndarray, size: int) -> None:
        self._folder, self._name, self._keys, self._size = folder, name, keys, size
        self._part = folder / f"{name}.part"
        self.done = self._kept()

    def __enter__(self) -> Self:
        self._pixels = _append(self._part, HEADER + self.done * self._size**2 * 3)
        self._records = _append(self._folder / f"{self._name}.rows", self.done * RECORD.itemsize)
        if not self.done:
            self._pixels.seek(0)
            _write(self._pixels, header(len(self._keys), self._size))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._pixels, self._records:
            if kind is None and self.done == len(self._keys):
                self._seal()

    def write(self, row: np.ndarray, cropped: bool) -> None:
        """Append the next row, uint8 (size, size, 3), C order."""
        data = row.reshape(-1).data
        _write(self._pixels, data)
        record = np.array([(self._keys[self.done], checksum(data, cropped), cropped)], RECORD)
        _write(self._records, record.tobytes())
        self.done += 1

    def _kept(self) -> int:
        """How many rows are there already, as their records say."""
        records = read_records(self._folder, self._name)[: len(self._keys)]
        try:
            with self._part.open("rb") as file:
                if file.read(HEADER) != header(len(self._keys), self._size):
                    return 0
                for number, record in enumerate(records):
                    data = file.read(self._size**2 * 3)
                    if record["key"] != self._keys[number] or not _fits(data, record):
                        return number
        except FileNotFoundError:
            return 0
        return len(records)

    def _seal(self) -> None:
        written, there = os.fstat(self._pixels.fileno()), self._part.stat()
        if not os.path.samestat(written, there):  # the store was deleted, and another process has begun it anew
            raise FileNotFoundError(errno.ENOENT, "deleted while it was written", str(self._part))
        os.utime(self._folder / f"{self._name}.rows", ns=(there.st_mtime_ns, there.st_mtime_ns))
        finished = self._part.replace(self._folder / f"{self._name}.npy")
        finished.chmod(there.st_mode & ~0o222)


def _fits(data: bytes, record: np.void) -> bool:
    return checksum(data, bool(record["cropped"])) == record["crc"]


def _append(path: Path, length: int) -> io.FileIO:
    """`path` opened for writing behind its first `length` bytes; what lies there now is cut off."""
    file = io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+")
    file.truncate(length)
    file.seek(length)
    return file


def _write(file: io.FileIO, data: bytes | memoryview) -> None:
    """All of `data`: a disk that becomes full takes a part of it first."""
    view = memoryview(data)
    while len(view):
        view = view[file.write(view) :]
