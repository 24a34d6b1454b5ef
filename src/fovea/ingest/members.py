"""Members of .zip, .tar, .tar.gz and .tgz archives one after the other, as they say they are: nothing is written."""

import gzip
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from fovea.errors import UserError, one_line

MIB = 1 << 20
TIMES, ALLOWANCE = 200, 64 * MIB  # more than 200 times the archive's size and 64 MiB is taken for a bomb
BLOCK = 4096  # a member costs the disk at least this, so a million empty ones are a bomb as well
LARGEST_HEADER = 1 << 15  # of a member in a tar; names take up to 4 KiB


class Member(NamedTuple):
    """A file in an archive: its name as written, size in bytes as declared, what it is if no plain file."""

    name: str
    size: int
    fault: str | None
    open: Callable[[], IO[bytes]]


def plausible_size(archive: Path) -> int:
    """The most bytes that an archive may unpack to before it is taken for a decompression bomb."""
    return TIMES * archive.stat().st_size + ALLOWANCE


class Budget:
    """Counts the bytes that are unpacked; `spend` raises UserError once they are more than is plausible or free."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.archive, self.spent = archive, 0
        self.plausible = plausible_size(archive)
        self.free = shutil.disk_usage(folder).free

    def spend(self, count: int) -> None:
        self.spent += count
        if self.spent > self.plausible:
            raise UserError(f"{self.archive}: unpacks to more than {self.plausible // MIB} MiB, {TIMES} times its "
                            "size: a decompression bomb? If it is none, unpack it yourself and name the folder")
        if self.spent > self.free:
            raise UserError(f"{self.archive}: unpacks to more than the {self.free // MIB} MiB that are free on the "
                            "disk; make room, or unpack it elsewhere and link the folder")


def members_of(archive: Path, budget: Budget) -> Iterator[Member]:
    """The members of an archive that are no folders; `budget` is charged for their names.

    Raises UserError if the archive cannot be read to its end.
    """
    try:
        yield from (_zip_members if archive.suffix.lower() == ".zip" else _tar_members)(archive, budget)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # readers of foreign bytes raise whatever they like
        raise UserError(f"{archive}: is damaged or not what its name says ({one_line(error)}); fetch it again, or "
                        "unpack it with another program and name the folder") from None


def _zip_members(archive: Path, budget: Budget) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            budget.spend(BLOCK)
            name = info.filename
            if not info.flag_bits & 0x800:  # zipfile has read cp437; what packs without the flag writes UTF-8 as well
                name = name.encode("cp437").decode("utf-8", "surrogateescape")
            if not name.endswith("/"):
                yield Member(name, info.file_size, _zip_fault(info), partial(packed.open, info))


def _zip_fault(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "symbolic link in an archive"
    if kind not in (0, stat.S_IFREG):
        return "no plain file in an archive"
    if info.compress_type == zipfile.ZIP_LZMA:  # whose header may ask for 4 GB of memory
        return "compressed with LZMA, which is not read; pack it again"
    return "encrypted in its archive" if info.flag_bits & 0x1 else None


def _tar_members(archive: Path, budget: Budget) -> Iterator[Member]:
    compressed = archive.suffix.lower() != ".tar"
    with gzip.open(archive) if compressed else archive.open("rb") as file:
        blocks: Any = _Blocks(file)
        with tarfile.open(fileobj=blocks, mode="r:", encoding="utf-8", errors="surrogateescape") as packed:
            while (info := blocks.next_of(packed)) is not None:
                budget.spend(BLOCK)
                if info.size < 0:  # tarfile would go back by it, for ever
                    raise tarfile.ReadError("a member of less than 0 bytes")
                if not info.isdir():
                    yield Member(info.name, info.size, _tar_fault(info), partial(_tar_file, packed, info))
        if blocks.last.strip(b"\0") or not blocks.last:  # tarfile takes any broken header for the end
            raise tarfile.ReadError("it ends early")
        while rest := file.read(MIB):  # to the end, where gzip has its checksum
            budget.spend(len(rest))
            if rest.strip(b"\0"):
                raise tarfile.ReadError("something follows its end")


def _tar_file(packed: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = packed.extractfile(info)
    assert file is not None  # of plain files it never is
    return file


def _tar_fault(info: tarfile.TarInfo) -> str | None:
    if info.issym() or info.islnk():
        return "symbolic link in an archive" if info.issym() else "hard link in an archive"
    return None if info.isreg() else "no plain file in an archive"


class _Blocks:
    """The bytes of a tar for tarfile: refuses a header of unusual size, and keeps what was read last.

    tarfile reads a header whole, whatever its size, and searches it in time that grows with its square (CVE-2024-6232).
    """

    def __init__(self, file: gzip.GzipFile | IO[bytes]) -> None:
        self._file, self._most, self.last = file, LARGEST_HEADER, b""
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._most:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self._file.read(size)
        return self.last

    def next_of(self, packed: Any) -> tarfile.TarInfo | None:
        """The next header; afterwards data may be read, in pieces of at most 1 MiB."""
        self._most = LARGEST_HEADER
        info: tarfile.TarInfo | None = packed.next()
        self._most = MIB
        packed.members.clear()  # or it keeps every member of the archive in memory
        return info
