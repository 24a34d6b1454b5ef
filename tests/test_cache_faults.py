"""Whatever ends a build, or befalls its files: the next one has the right bytes and renders only what is missing."""

import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fovea.cache import plan
from fovea.cache.shards import RECORD, ShardWriter, header
from fovea.errors import UserError
from tests import faults
from tests.cache_sets import ROW, Place, draw_eye, encode_png, write_png, write_set
from tests.faults import Point

ROWS = 23
SUMMARY = {"images": 9, "rows": ROWS, "variants": 14, "size": 16, "uncropped": 0, "uncropped_images": []}
Set = tuple[pd.DataFrame, pd.DataFrame]  # manifest and split


@pytest.fixture(autouse=True, scope="module")
def _small_shards() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "SMALLEST", 4 * ROW)
        yield


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def images(place: Place) -> Set:
    return write_set(place.raw)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A finished build, not to be changed; its images are those of `images`."""
    place = Place(tmp_path_factory.mktemp("finished"))
    assert place.build(*write_set(place.raw)).rendered == ROWS
    return place


def goes_on(place: Place, images: Set, finished: Place) -> int:
    """How many rows the next build renders, which is to be none with a record and to end with the right bytes."""
    recorded = place.recorded()
    built = place.build(*images)
    assert built.rendered == ROWS - recorded
    assert place.contents() == finished.contents()
    return built.rendered


KILLS = {
    "between the pixels of a row and its record": (Point("call", "_write", 7), 2),  # a header, two rows, pixels
    "between two rows": (Point("call", "ShardWriter.write", 8), 7),
    "between the seal of a shard and its name": (Point("c_call", "posix.replace", 2), None),
    "between two links": (Point("c_call", "posix.link", 2), ROWS),
    "between the shards and the index": (Point("call", "DataFrame.to_parquet", 1), ROWS),
}


@pytest.mark.parametrize(("point", "recorded"), KILLS.values(), ids=KILLS)
def test_a_killed_build_is_gone_on_with(
    place: Place, images: Set, finished: Place, point: Point, recorded: int | None
) -> None:
    assert faults.run(place, *images, point=point, action=faults.kill) == (-signal.SIGKILL, "")
    assert 0 < place.recorded() == (recorded or place.recorded())
    assert not place.cache.exists()
    goes_on(place, images, finished)


def test_a_build_that_is_killed_again_and_again_comes_to_its_end(place: Place, images: Set, finished: Place) -> None:
    recorded = []
    for _ in range(3):
        faults.run(place, *images, point=Point("call", "ShardWriter.write", 5), action=faults.kill)
        recorded.append(place.recorded())
    assert recorded == [4, 8, 12]
    assert goes_on(place, images, finished) == ROWS - 12


def test_a_kill_while_the_old_cache_is_deleted_leaves_the_new_one(place: Place, images: Set, finished: Place) -> None:
    place.build(*images, variants=1)
    second = Point("c_call", "posix.unlink", 2)
    assert faults.run(place, *images, point=second, action=faults.kill) == (-signal.SIGKILL, "")
    assert place.contents() == finished.contents()
    assert len(list(place.folder.glob(".cache.*.old"))) == 1
    assert faults.run(place, *images) == (0, "0 rendered\n")
    assert [path.name for path in place.folder.glob(".cache*")] == []


def test_sigterm_ends_a_build_in_order_within_a_shard(place: Place, images: Set, finished: Place) -> None:
    point = Point("call", "ShardWriter.write", 5)
    ended = faults.run(place, *images, point=point, action=faults.terminate, shard=100 * ROW)
    assert ended == (128 + signal.SIGTERM, "stopped\n")
    assert len(list(place.settings_folder().glob("*.part"))) == 1
    assert 4 <= place.recorded() < ROWS // 2
    assert [path.name for path in place.folder.glob("*cache*")] == ["cache.log"]
    goes_on(place, images, finished)


FULL = {  # largest file in bytes: what cannot be written
    len(header(3, 16)) + 5 * ROW // 2: "store/[0-9a-f]{16}",
    len(header(4, 16)) + 4 * ROW: "cache",  # the index is longer than any shard
}


@pytest.mark.parametrize(("largest", "where"), FULL.items(), ids=["the store", "the cache"])
def test_a_full_disk_ends_a_build_with_one_line(
    place: Place, images: Set, finished: Place, largest: int, where: str
) -> None:
    code, line = faults.run(place, *images, largest_file=largest)
    assert code == 1
    path = f"{re.escape(str(place.folder))}/{where}"
    assert re.fullmatch(rf"error: {path}: cannot be written \(File too large\); make room there .*\n", line)
    assert [path.name for path in place.folder.glob("*cache*")] == ["cache.log"]
    assert goes_on(place, images, finished) < ROWS


def test_two_processes_render_each_row_once(place: Place, images: Set, finished: Place) -> None:
    waits = partial(faults.wait_for_text, "waiting for another process", place.folder / "two.log")
    one = faults.start(place, *images, name="one", point=Point("call", "ShardWriter.write", 3), action=waits)
    faults.wait_for(lambda: place.recorded() == 2)
    two = faults.start(place, *images, name="two")
    for process in (one, two):
        process.join()
    outputs = [faults.log(place, name).splitlines()[-1] for name in ("one", "two")]
    assert outputs == [f"{ROWS} rendered", "0 rendered"]
    for name in ("one", "two"):
        place.cache = place.folder / name
        assert place.contents() == finished.contents()


def test_a_shard_that_another_process_began_anew_is_not_sealed(tmp_path: Path) -> None:
    """As when the store is deleted and used again while a build is running."""
    (tmp_path / "store").mkdir()
    with (pytest.raises(FileNotFoundError, match=r"shard\.part"),
          ShardWriter(tmp_path / "store", "shard", np.array([b"key"]), size=16) as writer):
        writer.write(draw_eye(0, 16, 16), True)
        (tmp_path / "store").rename(tmp_path / "deleted")
        (tmp_path / "store").mkdir()
        for suffix in ("part", "rows"):
            (tmp_path / f"store/shard.{suffix}").write_bytes(b"of another process")
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["shard.part", "shard.rows"]


def test_a_store_on_another_disk_is_copied(place: Place, images: Set, finished: Place) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == place.folder.stat().st_dev:
        pytest.skip("no second file system: /dev/shm")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        place.store = Path(folder)
        for rendered in (ROWS, 0):
            assert place.build(*images).rendered == rendered
            assert place.contents() == finished.contents()
            assert {path.stat().st_dev for path in place.cache.iterdir()} == {place.folder.stat().st_dev}


def test_nobody_else_may_read_what_the_umask_keeps_from_them(place: Place, images: Set) -> None:
    before = os.umask(0o077)
    try:
        place.build(*images)
    finally:
        os.umask(before)
    files = [path for folder in (place.store, place.cache) for path in folder.rglob("*")]
    assert not any(path.stat().st_mode & 0o077 for path in files)


DAMAGE = st.tuples(st.sampled_from(["none", "cut", "flip"]), st.floats(0, 1), st.integers(0, 7))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shard=st.integers(0, 50), begun=st.booleans(), pixels=DAMAGE, records=DAMAGE)
def test_a_damaged_shard_costs_its_own_rows_and_never_gives_a_wrong_byte(
    shard: int, begun: bool, pixels: tuple[str, float, int], records: tuple[str, float, int],
    finished: Place, images: Set, tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = copy(finished, tmp_path_factory.mktemp("damaged"))
    file, rows, count = shard_of(place, shard)
    if begun:
        file = file.rename(file.with_suffix(".part"))
    damage(file, *pixels)
    damage(rows, *records)
    left = min((file.stat().st_size - len(header(count, 16))) // ROW, rows.stat().st_size // RECORD.itemsize)
    kept = 0 if "flip" in (pixels[0], records[0]) else max(left, 0)
    built = place.build(*images)
    assert built.rendered <= count - kept
    assert built.summary == SUMMARY
    assert place.contents() == finished.contents()


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("at", range(RECORD.itemsize))
def test_every_byte_of_a_record_counts(tmp_path: Path, finished: Place, images: Set, at: int, begun: bool) -> None:
    place = copy(finished, tmp_path / "copy")
    file, rows, count = shard_of(place, 0)
    if begun:
        file.rename(file.with_suffix(".part"))
    damage(rows, "flip", at / rows.stat().st_size)
    built = place.build(*images)
    assert built.rendered == (count if begun else 1)
    assert built.summary == SUMMARY


def test_a_shard_of_half_its_length_is_not_sealed_whatever_its_times(
    tmp_path: Path, finished: Place, images: Set
) -> None:
    """As `cp -r` leaves it on a disk that becomes full, if both files are written in one tick of the clock."""
    place = copy(finished, tmp_path / "copy")
    file, rows, _ = shard_of(place, 0)
    damage(file, "cut", 0.5)
    os.utime(file, ns=(rows.stat().st_mtime_ns,) * 2)
    assert place.build(*images).rendered > 0
    assert place.contents() == finished.contents()


def copy(finished: Place, folder: Path) -> Place:
    """Its store and raw files, with their times."""
    shutil.copytree(finished.folder, folder, dirs_exist_ok=True)
    return Place(folder)


def shard_of(place: Place, number: int) -> tuple[Path, Path, int]:
    """Pixels, records and number of rows of a finished shard."""
    files = sorted(place.settings_folder().glob("*.npy"))
    file = files[number % len(files)]
    return file, file.with_suffix(".rows"), file.with_suffix(".rows").stat().st_size // RECORD.itemsize


def damage(path: Path, how: str, share: float, bit: int = 0) -> None:
    """Cut the file at this share of its length, or turn one bit there."""
    data = path.read_bytes()
    at = min(int(share * len(data)), len(data) - 1)
    path.chmod(0o644)
    if how == "cut":
        os.truncate(path, at)
    elif how == "flip":
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])


def test_a_raw_file_that_changes_all_the_time_never_gives_a_wrong_byte(
    place: Place, images: Set, finished: Place
) -> None:
    path = place.raw / "images/4.png"
    right, wrong, stop = path.read_bytes(), encode_png(draw_eye(77)), threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            for content in (wrong, right):
                with path.open("wb") as file:  # cuts the file first
                    file.write(content[:300])
                    file.flush()
                    file.write(content[300:])

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(30):
            shutil.rmtree(place.store, ignore_errors=True)
            with suppress(UserError):
                place.build(*images)
                assert place.contents() == finished.contents()
    finally:
        stop.set()
        writer.join()
    place.build(*images)
    assert place.contents() == finished.contents()


def test_a_raw_file_that_changes_within_its_read_is_refused(place: Place, images: Set, finished: Place) -> None:
    path = place.raw / "images/4.png"
    right, other = path.read_bytes(), encode_png(draw_eye(77))
    path.unlink()
    os.mkfifo(path)  # so that the change cannot fall before or behind the read
    writer = threading.Thread(target=path.write_bytes, args=(right[:300] + other[300:],))
    writer.start()
    with pytest.raises(UserError, match=r"images/4.png: changed since ingest; run dvc repro$"):
        place.build(*images)
    writer.join()
    path.unlink()
    path.write_bytes(right)
    goes_on(place, images, finished)


def test_a_raw_file_that_changed_costs_no_row_that_was_rendered(place: Place, images: Set, finished: Place) -> None:
    path = place.raw / "images/8.png"
    right = path.read_bytes()
    write_png(path, draw_eye(77))
    with pytest.raises(UserError, match="changed since ingest"):
        place.build(*images, workers=1)
    assert place.recorded() >= ROWS // 2
    assert not place.cache.exists()
    path.write_bytes(right)
    goes_on(place, images, finished)
