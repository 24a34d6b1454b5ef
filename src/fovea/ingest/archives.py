"""Archives (.zip, .tar, .tar.gz, .tgz), unpacked once by content into the store, without trust in what they say.

Only plain files are written, only below the archive's own folder, and only as many bytes as are plausible. Whatever is
not written becomes a fault with its reason; folders, hidden files and `__MACOSX` are passed over as walk does on disk.
"""

import errno
import gzip
import hashlib
import json
import os
import shutil
import stat
import tarfile
import threading
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from fovea.errors import UserError, one_line
from fovea.store import store_folder

VERSION = 1  # of what stands in the store; counts up with each change of the rules below
DUPLICATE = "duplicate identifier"
MIB = 1 << 20
TIMES, ALLOWANCE = 200, 64 * MIB  # more than 200 times the archive's size and 64 MiB is taken for a bomb
BLOCK = 4096  # a member costs the disk at least this, so a million empty ones are a bomb as well
DEEPEST = 100  # folders above a member
UNFIT_NAME = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


@dataclass(frozen=True)
class Unpacked:
    """`folder` (real path) holds the members; `faults` are the others, as (name in the archive, reason)."""

    folder: Path
    faults: list[tuple[str, str]]

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Why a name that is not in `folder` is not there."""
        return {name: reason for name, reason in self.faults if not reason.startswith(DUPLICATE)}


class Member(NamedTuple):
    """A file in an archive: its name as written, size in bytes as declared, what it is if no plain file."""

    name: str
    size: int
    fault: str | None
    open: Callable[[], IO[bytes]]


_known: dict[tuple[int, ...], Unpacked] = {}  # by identity of the file: the digest of 10 GB takes 10 s
_lock = threading.Lock()


def unpack(archive: Path) -> Unpacked:
    """The members of `archive` in the store, unpacked if they are not there; a later call costs two stats.

    Several threads and processes may do so at once. Raises UserError if the archive is damaged, unpacks to
    implausibly much, or does not fit on the disk, and FileNotFoundError if it is missing.
    """
    status = archive.stat()
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    with _lock:
        if identity not in _known or not _known[identity].folder.is_dir():
            _known[identity] = _from_store(archive)
        return _known[identity]


def _from_store(archive: Path) -> Unpacked:
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    except OSError as error:
        raise UserError(f"{archive}: cannot be read: {error.strerror or error}") from None
    folder = store_folder("archives") / f"{digest}-{VERSION}"
    kept = _kept(folder)
    if kept is None:
        _fill(folder, archive)
        kept = _kept(folder)
    if kept is None:
        raise UserError(f"{folder}: was deleted while {archive} was unpacked into it; run again")
    return kept


def _kept(folder: Path) -> Unpacked | None:
    """What `_fill` left in `folder`, None if it is not there as a whole: the store may be deleted in part."""
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    files = sum(len(names) for _, _, names in os.walk(folder / "members"))
    faults = [(name, reason) for name, reason in index["faults"]]
    return Unpacked((folder / "members").resolve(), faults) if files == index["files"] else None


def _fill(folder: Path, archive: Path) -> None:
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        (temporary / "members").mkdir(parents=True)
        files, faults = write_members(archive, temporary / "members")
        (temporary / "index.json").write_text(json.dumps({"files": files, "faults": faults}), encoding="utf-8")
        if folder.is_dir() and _kept(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first: the same bytes, so ours are not needed
                raise
    except OSError as error:
        raise UserError(f"{archive}: cannot be unpacked below {folder.parent} ({error.strerror or error}); "
                        "make room there, or unpack it yourself and name the folder") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_members(archive: Path, folder: Path) -> tuple[int, list[tuple[str, str]]]:
    """Write the plain files of `archive` into the empty `folder`; returns how many, and the faults of the others.

    Raises UserError as `unpack`, and OSError if the disk cannot be written to.
    """
    budget = _Budget(archive, folder)
    members = _zip_members(archive, budget) if archive.suffix.lower() == ".zip" else _tar_members(archive, budget)
    files, faults, seen = 0, [], set()
    for member in _readable(members, archive):
        name = "/".join(part for part in member.name.split("/") if part not in ("", "."))
        if _hidden(name):
            budget.spend(member.size)  # a compressed tar has to be read through it
            continue
        fault = _name_fault(member.name, name)
        shown = member.name if fault else name
        fault = fault or (f"{DUPLICATE}: a member before has that name" if name in seen else member.fault)
        seen.add(name)
        if fault:
            budget.spend(member.size)
        else:
            fault = _write(member, folder / name, budget)
        if fault:
            faults.append((shown, fault))
        else:
            files += 1
    return files, faults


def plausible_size(archive: Path) -> int:
    """The most bytes that an archive may unpack to before it is taken for a decompression bomb."""
    return TIMES * archive.stat().st_size + ALLOWANCE


class _Budget:
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


def _readable(members: Iterator[Member], archive: Path) -> Iterator[Member]:
    """`members`, with whatever the readers of foreign bytes raise as one UserError."""
    try:
        yield from members
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(f"{archive}: is damaged or not what its name says ({one_line(error)}); fetch it again, or "
                        "unpack it with another program and name the folder") from None


def _zip_members(archive: Path, budget: _Budget) -> Iterator[Member]:
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
    return "encrypted in its archive" if info.flag_bits & 0x1 else None


def _tar_members(archive: Path, budget: _Budget) -> Iterator[Member]:
    compressed = archive.suffix.lower() != ".tar"
    with gzip.open(archive) if compressed else archive.open("rb") as file:
        blocks: Any = _Blocks(file)
        with tarfile.open(fileobj=blocks, mode="r:", encoding="utf-8", errors="surrogateescape") as packed:
            while (info := packed.next()) is not None:
                packed.members.clear()  # or it keeps every member of the archive in memory
                budget.spend(BLOCK)
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
    """The bytes of a tar for tarfile: refuses a header that would fill the memory, and keeps what was read last.

    tarfile reads a header whole, whatever its size; data are asked for in pieces of at most 1 MiB.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.last = file, b""
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MIB:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self._file.read(size)
        return self.last


def _hidden(name: str) -> bool:
    parts = name.split("/")
    return parts[0] == "__MACOSX" or any(part.startswith(".") and part != ".." for part in parts)


def _name_fault(written: str, name: str) -> str | None:
    parts = name.split("/")
    if written.startswith("/") or ".." in parts:
        return "leads out of its archive"
    if not name or "\0" in name:
        return "its name is empty" if not name else "its name is not UTF-8 text"
    if len(parts) > DEEPEST:
        return f"lies more than {DEEPEST} folders deep in its archive"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8 text"
    return None


def _write(member: Member, path: Path, budget: _Budget) -> str | None:
    """Write one member; returns why it is not there afterwards. Raises OSError if the disk is to blame."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")  # "x": on a disk that ignores case A.jpg may be a.jpg
    except OSError as error:
        if error.errno in UNFIT_NAME:
            return f"cannot be unpacked under its name: {error.strerror}"
        raise
    try:
        with file, member.open() as packed:
            while chunk := packed.read(MIB):
                budget.spend(len(chunk))
                file.write(chunk)
        return None
    except (UserError, MemoryError):
        raise
    except Exception as error:  # readers of foreign bytes raise whatever they like; the next member may be sound
        if isinstance(error, OSError) and error.errno is not None:
            raise
        path.unlink()
        return f"damaged in its archive: {one_line(error)}"
