"""Archives (.zip, .tar, .tar.gz, .tgz), unpacked once by content into the store, without trust in what they say.

Only plain files are written, only below the archive's own folder, and only as many bytes as are plausible. Whatever is
not written becomes a fault with its reason; folders, hidden files and `__MACOSX` are passed over as walk does on disk.
"""

import errno
import hashlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fovea.errors import UserError, one_line
from fovea.ingest.members import MIB, Budget, Member, members_of
from fovea.store import share, store_folder

VERSION = 1  # of what stands in the store; counts up with each change of the rules below
DUPLICATE = "duplicate identifier"
DEEPEST = 100  # folders above a member
UNFIT_NAME = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


@dataclass(frozen=True)
class Unpacked:
    """`folder` (real path) holds the members; `faults` are the others, as (name in the archive, reason)."""

    folder: Path
    faults: list[tuple[str, str]]

    @property
    def digest(self) -> str:
        """`archive_digest` of what was unpacked."""
        return self.folder.parent.name.partition("-")[0]

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Why a name that is not in `folder` is not there."""
        return {name: reason for name, reason in self.faults if not reason.startswith(DUPLICATE)}


_known: dict[tuple[int, ...], Unpacked] = {}  # by identity of the file: a digest reads all of it
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
    folder = store_folder("archives") / f"{archive_digest(archive)}-{VERSION}"
    try:
        share(folder.parent)
        if _kept(folder) is None:
            _fill(folder, archive)
    except OSError as error:
        raise UserError(f"{archive}: cannot be unpacked below {folder.parent} ({error.strerror or error}); "
                        "make room there, or unpack it yourself and name the folder") from None
    kept = _kept(folder)
    if kept is None:
        raise UserError(f"{folder}: was deleted while {archive} was unpacked into it; run again")
    return kept


def archive_digest(archive: Path) -> str:
    """Digest of the archive as a file, 40 hex digits: what it holds lies in the store under that."""
    try:
        with archive.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    except OSError as error:
        raise UserError(f"{archive}: cannot be read: {error.strerror or error}") from None


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
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_members(archive: Path, folder: Path) -> tuple[int, list[tuple[str, str]]]:
    """Write the plain files of `archive` into the empty `folder`; returns how many, and the faults of the others.

    Raises UserError as `unpack`, and OSError if the disk cannot be written to.
    """
    budget = Budget(archive, folder)
    files, faults, seen = 0, [], set()
    for member in members_of(archive, budget):
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


def _write(member: Member, path: Path, budget: Budget) -> str | None:
    """Write one member; returns why it is not there afterwards. Raises OSError if the disk is to blame."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")  # "x": on a disk that ignores case A.jpg may be a.jpg
    except OSError as error:
        if error.errno in UNFIT_NAME:
            return f"cannot be unpacked under its name: {error.strerror}"
        raise
    try:
        with file:
            for chunk in _chunks(member):
                budget.spend(len(chunk))
                file.write(chunk)
        return None
    except _DamagedError as error:
        path.unlink()
        return f"damaged in its archive: {error}"


class _DamagedError(Exception):
    """A member cannot be read to its end; the next one may be sound."""


def _chunks(member: Member) -> Iterator[bytes]:
    try:
        with member.open() as packed:
            while chunk := packed.read(MIB):
                yield chunk
    except MemoryError:
        raise
    except Exception as error:  # readers of foreign bytes raise whatever they like
        raise _DamagedError(one_line(error)) from None
