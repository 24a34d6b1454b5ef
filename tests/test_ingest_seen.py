"""An image that was looked at before is not looked at again, and a changed one always is."""

import os
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fovea.ingest import check
from fovea.ingest.manifest import build_manifest
from fovea.ingest.seen import Seen
from fovea.params.dataset import DatasetParams
from tests.ingest_sets import FOLDERS, SET, encoded, write_images

LONG_AGO = (1_600_000_000, 1_600_000_000)
DATASET = DatasetParams.model_validate({**SET, "sources": [FOLDERS]})


def take_in(root: Path, store: Path, max_pixels: int = 10**6) -> pd.DataFrame:
    return build_manifest(root, DATASET, max_pixels, 2, store)[0]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes in bytes of the images that were decoded."""
    sizes: list[int] = []
    real, lock = check._decode_small, threading.Lock()

    def counting(data: bytes, header: Any) -> Any:
        with lock:
            sizes.append(len(data))
        return real(data, header)

    monkeypatch.setattr(check, "_decode_small", counting)
    return sizes


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that were read."""
    names: list[str] = []
    real = Path.read_bytes

    def noting(path: Path) -> bytes:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", noting)
    return names


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path / "set", "x/a.jpg", "x/b.jpg", "y/c.jpg", "y/d.jpg")
    return tmp_path / "set"


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files as old as we need: their change time cannot be set, so our clock is put forward."""
    monkeypatch.setattr("fovea.ingest.seen.SETTLED", -10)


def test_an_unchanged_file_is_neither_read_nor_decoded(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[int], read: list[str]
) -> None:
    settle(monkeypatch)
    first = take_in(root, tmp_path / "store")
    assert len(decoded) == len(read) == 4
    second = take_in(root, tmp_path / "store")
    assert len(decoded) == len(read) == 4
    pd.testing.assert_frame_equal(first, second)


def test_a_file_that_has_just_changed_is_read_again(root: Path, tmp_path: Path, read: list[str]) -> None:
    take_in(root, tmp_path / "store")
    take_in(root, tmp_path / "store")
    assert len(read) == 8  # it might change once more within the clock's step


def test_a_known_content_in_another_file_is_read_but_not_decoded(
    root: Path, tmp_path: Path, decoded: list[int], read: list[str]
) -> None:
    take_in(root, tmp_path / "store")
    (root / "y" / "copy.jpg").write_bytes((root / "y" / "d.jpg").read_bytes())
    assert len(take_in(root, tmp_path / "store")) == 5
    assert len(decoded) == 4 and "copy.jpg" in read


def test_only_the_changed_file_is_decoded(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[int], read: list[str]
) -> None:
    settle(monkeypatch)
    take_in(root, tmp_path / "store")
    (root / "x" / "b.jpg").write_bytes(encoded(77))
    changed = take_in(root, tmp_path / "store")
    assert read[4:] == ["b.jpg"] and decoded[4:] == [len(encoded(77))]
    pd.testing.assert_frame_equal(changed, take_in(root, tmp_path / "another"))


def test_a_change_that_hides_its_time_and_size_is_found(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    path = root / "x" / "a.jpg"
    data = path.read_bytes()
    os.utime(path, LONG_AGO)
    before = take_in(root, tmp_path / "store")
    path.write_bytes(data.replace(data[-40:-2], data[-40:-2][::-1]))
    os.utime(path, LONG_AGO)
    after = take_in(root, tmp_path / "store")
    assert path.stat().st_size == len(data)
    assert list(before["digest"]) != list(after["digest"])


def test_limits_are_judged_anew(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    take_in(root, tmp_path / "store")
    (root / "x" / "big.jpg").write_bytes(encoded(9, (40, 40)))
    assert len(take_in(root, tmp_path / "store", 24 * 16 + 1)) == 4
    assert len(take_in(root, tmp_path / "store")) == 5
    assert len(take_in(root, tmp_path / "store", 24 * 16 + 1)) == 4


def test_a_rejected_file_is_looked_at_again(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    (root / "x" / "b.jpg").write_bytes(b"no image")
    assert len(take_in(root, tmp_path / "store")) == 3
    (root / "x" / "b.jpg").write_bytes(encoded(5))
    assert len(take_in(root, tmp_path / "store")) == 4


def test_a_deleted_store_costs_time_only(root: Path, tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(take_in(root, tmp_path / "one"), take_in(root, tmp_path / "two"))


def test_several_processes_and_threads_share_a_store(tmp_path: Path, root: Path) -> None:
    found: list[pd.DataFrame] = []
    threads = [threading.Thread(target=lambda: found.append(take_in(root, tmp_path / "store"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    with Seen(tmp_path / "store") as seen:
        assert all(seen.facts(digest) is not None for digest in found[0]["digest"])
