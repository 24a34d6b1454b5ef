"""`fovea prune`: what lies in the store, for whom, and the end of what nobody needs."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from dvc.exceptions import NotDvcRepoError
from dvc.repo import Repo

from fovea.errors import UserError
from fovea.params.section import read_sections
from fovea.prune.found import Found, Size, size_of
from fovea.prune.indexes import read_index
from fovea.prune.needs import WORKSPACE, read_revisions
from fovea.prune.others import find_archives, find_databases, find_trainings
from fovea.prune.rows import find_rows
from fovea.prune.running import nothing_running
from fovea.store import store_root

NAMED = 4  # revisions that a line names


def prune(free: bool) -> None:
    """Print what lies in the store and, if `free`, free what no current revision needs.

    Raises UserError outside a project, and, if `free`, while a stage is running.
    """
    root, store = Path.cwd(), store_root()
    try:
        repo = Repo(str(root))
    except NotDvcRepoError:
        raise UserError(f"{root}: is no DVC project; run from the folder that holds params.yaml") from None
    if not store.is_dir():
        print(f"{store}: nothing is there")
        return
    with nothing_running(repo, store) if free else nullcontext():
        things = list(find(root, store, Path(repo.cache.local.path)))
        print("\n".join(describe(things)))
        if free:
            remove(path for thing in things if not thing.needed_by for path in thing.paths)


def find(root: Path, store: Path, cache: Path) -> Iterator[Found]:
    """What lies in the store, kind by kind; a kind that is not known here is left alone. `cache` is DVC's own."""
    revisions = read_revisions(root)
    raw = root / "data/raw" / read_sections()["dataset"]["name"]
    kinds: dict[str, Callable[[Path], Iterator[Found]]] = {
        "rows": lambda folder: find_rows(folder, revisions, partial(read_index, root, cache)),
        "ingest": lambda folder: find_databases(folder, "ingest", "what ingest saw", revisions),
        "audit": lambda folder: find_databases(folder, "split", "what split compared", revisions),
        "archives": lambda folder: find_archives(folder, raw, revisions),
        "features": lambda folder: find_trainings(folder, "features", revisions),
        "checkpoints": lambda folder: find_trainings(folder, "a checkpoint", revisions),
    }
    for name, find_kind in kinds.items():
        if (store / name).is_dir():
            yield from find_kind(store / name)


def describe(things: list[Found]) -> list[str]:
    """A line for each thing and one for the sum."""
    lines = [("", "", "own", "shared", "")]
    kept = freed = Size(0, 0)
    for thing in things:
        size = size_of(thing.paths)
        kept, freed = (kept + size, freed) if thing.needed_by else (kept, freed + size)
        verdict = f"kept for {_names(thing.needed_by)}" if thing.needed_by else "freed"
        if thing.paths or thing.note:
            lines.append((thing.place, thing.what, _bytes(size.own), _bytes(size.shared),
                          f"{verdict} ({thing.note})" if thing.note else verdict))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}" for a, b, c, d, e in lines]
    total = f"{_bytes(freed.own)} freed, {_bytes(kept.own)} kept"
    shared = f"; {_bytes(freed.shared + kept.shared)} are files of data/cache or DVC's cache as well, and stay there"
    return [*(line.rstrip() for line in table), total + (shared if freed.shared + kept.shared else "")]


def _names(names: list[str]) -> str:
    first = sorted(names, key=lambda name: (name != WORKSPACE, name))[:NAMED]
    return ", ".join(first) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def remove(paths: Iterable[Path]) -> None:
    """Delete files and folders. Raises UserError if one stays."""
    try:
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be deleted ({error.strerror})") from None
