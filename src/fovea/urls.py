"""Images by URL, such as s3://bucket/images/a.jpg, through fsspec.

Credentials and endpoints are the machine's own, as the tools of each store take them: of S3 a role of the machine,
~/.aws, or variables such as AWS_ENDPOINT_URL. None stands in params.yaml.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fovea.errors import UserError, one_line
from fovea.tracking.provenance import scrub


class Found(NamedTuple):
    """What a store says of a file without reading it."""

    size: int
    modified: int    # ns since 1970, 0 if the store does not say
    tag: str | None  # its ETag, which changes with its content; None if the store gives none


_listed: dict[str, dict[str, Found]] = {}  # files by name, of each folder by its URL


def is_url(address: str) -> bool:
    """Whether an address is a URL. A path never is: `//` in a path is written `/`."""
    return "://" in address


def file_system(url: str) -> tuple[Any, str]:
    """The file system of fsspec that has `url`, and the path there. Raises UserError if nothing here can open it."""
    import fsspec  # takes 0.1 s

    try:
        return fsspec.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:  # ValueError: a protocol that nobody knows
        raise UserError(f"{url}: cannot be opened ({one_line(error)}); s3:// needs: uv sync --extra s3") from None


def unreachable(url: str, error: Exception) -> UserError:
    """For whatever a store raises: a network or a password at fault says nothing about the file."""
    what = scrub(f"{url}: cannot be reached ({type(error).__name__}: {one_line(error)})")
    return UserError(f"{what}; check the address, the network and this machine's credentials, and run again")


def list_files(folders: Iterable[str]) -> None:
    """List the files below these URLs, once for an ingest; what was listed before is forgotten.

    Costs a request per 1,000 files of S3, and memory for all. Raises UserError if a store cannot be reached, and for a
    URL with a password, which would stand in the manifest, the predictions and MLflow.
    """
    _listed.clear()
    for url in folders:
        refuse_password("dataset.sources", url)
        files, path = file_system(url)
        start = path.rstrip("/") + "/"
        try:
            found = files.find(path, detail=True)
        except Exception as error:  # each store has errors of its own
            raise unreachable(url, error) from None
        below: dict[str, dict[str, Found]] = defaultdict(dict)
        for name, facts in found.items():
            folder, _, last = f"{url.rstrip('/')}/{name.removeprefix(start)}".rpartition("/")
            below[folder][last] = _found(facts)
        _listed.update(below)


def refuse_password(where: str, url: str) -> None:
    """Raise UserError for a URL with a password: what it names stands in tables and in MLflow."""
    if urlsplit(url).password is not None:
        raise UserError(f"{where}: {scrub(url)} holds a password; leave it out, and set this machine's credentials as "
                        "docs/scale.md says")


def _found(facts: dict[str, Any]) -> Found:
    when = facts.get("LastModified") or facts.get("mtime") or 0
    modified = when.timestamp() if isinstance(when, datetime) else float(when)
    return Found(int(facts.get("size") or 0), int(modified * 1e9), facts.get("ETag") or facts.get("etag"))


def names_in(folder: str) -> list[str]:
    """Names of the files in a folder that was listed (not below it), hidden ones left out."""
    return sorted(name for name in _listed.get(folder.rstrip("/"), {}) if not name.startswith("."))


def walk_url(folder: str) -> Iterator[str]:
    """Addresses of the files below a folder that was listed; hidden files and folders left out."""
    top = folder.rstrip("/")
    for there in _listed:
        inner = there.removeprefix(top)
        if there.startswith(top) and (not inner or inner.startswith("/")) and "/." not in inner:
            yield from (f"{there}/{name}" for name in names_in(there))


def found(address: str) -> Found | None:
    """What the listing said of a file, None if it was not there."""
    folder, _, name = address.rpartition("/")
    return _listed.get(folder, {}).get(name)


def number(text: str) -> int:
    """A number from 0 to 2**62 that stands for `text`, as SQLite can hold it."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 2


def join_url(folder: str, name: str) -> str:
    """Address of `name` in a folder. What leads out of it is no file of the listing."""
    return f"{folder.rstrip('/')}/{posixpath.normpath(name)}"


def read_url(address: str) -> bytes:
    """All bytes of a file. Raises FileNotFoundError if it is not there, UserError if the store cannot be reached."""
    files, path = file_system(address)
    try:
        return bytes(files.cat_file(path))
    except FileNotFoundError:
        raise
    except Exception as error:
        raise unreachable(address, error) from None
