"""Space on the disks that a run writes to, what it may take, and whether DVC's cache and workspace share files."""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from fovea.doctor.finding import GB, Finding, Place
from fovea.doctor.images import tracked_size
from fovea.params.augment import AugmentParams
from fovea.revisions import cache_folder
from fovea.store import store_root

FULL, LITTLE = 0.1 * GB, 2 * GB  # a model with its copies and checkpoints takes up to one
LINKS = {"reflink", "hardlink", "symlink"}
BY_DEFAULT = ("reflink", "copy")  # DVC's own order
SHARE = "uv run dvc config cache.type reflink,hardlink,copy"
MANIFEST = Path("data/manifest.parquet")
PROJECT, CACHE = "project", "DVC's cache"


def check_dvc_cache(place: Place) -> Iterator[Finding]:
    """Whether DVC's cache takes files, and whether the workspace has copies of them or the same ones."""
    assert place.root
    folder = dvc_cache(place.root)
    if folder is None:
        yield Finding("skipped", "DVC cannot read its configuration")
        return
    name = folder.relative_to(place.root) if folder.is_relative_to(place.root) else folder
    if refusal := unwritable(folder):
        yield Finding("error", f"{name}: {refusal}",
                      "make it yours to write, or take another place: uv run dvc cache dir --local PATH")
        return
    wanted, works = link_types(place.root, folder)
    if not works:
        yield Finding("error", f"{name}: cache.type {', '.join(wanted)} does not work between it and data/", SHARE)
    else:
        shared = "the workspace has copies of its files" if works[0] == "copy" else f"shared by {works[0]}"
        yield Finding("ok", f"{name}, {shared}")


def dvc_cache(root: Path) -> Path | None:
    """The folder of DVC's cache, None where DVC cannot read its configuration, which the check of DVC says."""
    from dvc.config import ConfigError

    try:
        return cache_folder(root)
    except ConfigError:
        return None


def link_types(root: Path, cache: Path) -> tuple[list[str], list[str]]:
    """The kinds of links that DVC's configuration names, in order, and those of them that work here."""
    from dvc.config import Config
    from dvc.fs import generic, localfs

    wanted = list(Config(str(root / ".dvc")).get("cache", {}).get("type") or BY_DEFAULT)
    tried = [each for each in wanted if each in LINKS]
    works = generic.test_links(tried, localfs, str(nearest(cache)), localfs, str(root / "data/any"))
    return wanted, [each for each in wanted if each in works or each == "copy"]


def nearest(path: Path) -> Path:
    """`path`, or the nearest one above it that is there."""
    return next(each for each in (path, *path.parents) if each.exists())


def unwritable(folder: Path) -> str:
    """Why nothing can be written to `folder`, or where it would be made; "" if it can. Leaves nothing."""
    try:
        with tempfile.TemporaryFile(dir=nearest(folder)):
            return ""
    except OSError as error:
        return f"cannot be written to ({error.strerror or error})"


def check_disk(place: Place) -> Iterator[Finding]:
    """Free space of each disk, against what the images and the rows of the cache may take there."""
    folders = {PROJECT if place.root else "this folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    needs: dict[str, float] = {}
    if place.root and (cache := dvc_cache(place.root)):
        folders |= {CACHE: cache, ".cache/fovea": store_root()}
        amount = bytes_to_come(place)
        needs = {CACHE: amount, PROJECT: amount if _copies(place.root, cache) else 0}
    on: dict[int, list[str]] = defaultdict(list)
    for name, folder in folders.items():
        on[nearest(folder.absolute()).stat().st_dev].append(name)
    for names in on.values():
        disk = shutil.disk_usage(nearest(folders[names[0]].absolute()))
        yield judge(names, disk.free, disk.total, sum(needs.get(name, 0) for name in names))


def _copies(root: Path, cache: Path) -> bool:
    try:
        return link_types(root, cache)[1][:1] == ["copy"]
    except OSError:  # it cannot be written to, which the check of DVC's cache says
        return True


def judge(names: list[str], free: float, total: float, need: float) -> Finding:
    """What `free` of `total` bytes on the disk of these folders means where `need` more may come."""
    found = f"{free / GB:.1f} of {total / GB:.1f} GB free for {', '.join(names)}"
    if need > FULL:
        found += f"; images and rows may take {need / GB:.1f} GB more"
    room = "make room: uv run fovea prune frees some, uv run dvc gc -w -a more"
    if free < FULL:
        return Finding("error", found, room)
    if free < need:
        less = f"; {SHARE} keeps one file in place of two" if {PROJECT, CACHE} <= {*names} else ""
        return Finding("warning", found, f"{room}; a smaller augment.image_size takes less{less}")
    return Finding("warning", found, room) if free < LITTLE else Finding("ok", found)


def bytes_to_come(place: Place) -> float:
    """At most so many bytes of images are still to be pulled, and of rows to be rendered, as far as it is known."""
    augment = place.read("augment", AugmentParams)
    noted = tracked_size(place.images) if place.images else None
    missing = noted[0] if noted and place.images and not place.images.exists() else 0
    rows = _count_rows(augment) if augment else 0
    if augment and not rows and noted:  # before the first ingest
        rows = noted[1] * (1 + augment.variants)
    size = rows * augment.image_size**2 * 3 if augment else 0
    there = sum(path.stat().st_size for path in Path("data/cache").glob("*.npy"))
    return missing + max(0, size - there)


def _count_rows(augment: AugmentParams) -> int:
    """Rows of the cache, at most: as if all images were of the train part. 0 without a manifest."""
    import pyarrow.parquet as pq

    if not MANIFEST.exists():
        return 0
    targets = pq.read_table(MANIFEST, columns=["target"])["target"].value_counts().to_pylist()
    counts = [each["counts"] for each in targets]
    images = max(counts, default=0) * len(counts) if augment.balance else sum(counts)
    return int(images) * (1 + augment.variants)
