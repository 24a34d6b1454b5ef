"""`machine.shards`: what one machine has rendered another fetches; what is not as it should be is rendered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fovea.cache import plan
from fovea.cache.keys import square_settings
from fovea.cache.shared import SharedShards
from tests.cache_sets import augment_params, places, write_set
from tests.ray_nodes import BUCKET, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with s3_server() as client:
        yield client


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_what_one_machine_rendered_another_fetches(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(plan, "SMALLEST", 4 * 16 * 16 * 3)
    where = f"s3://{BUCKET}/rows" if kind == "s3" else str(tmp_path / "shared")
    here, there = places(tmp_path)
    manifest, split = write_set(here.raw)
    assert here.build(manifest, split, shards=where).rendered == 23
    assert there.build(manifest, split, shards=where).rendered == 0
    assert there.contents() == here.contents()


def test_a_shared_row_that_is_not_as_its_checksum_says_is_rendered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "SMALLEST", 4 * 16 * 16 * 3)
    here, there = places(tmp_path)
    manifest, split = write_set(here.raw)
    here.build(manifest, split, shards=str(tmp_path / "shared"))
    shared = min((tmp_path / "shared" / square_settings(augment_params())).glob("*.npy"))
    whole = shared.read_bytes()
    shared.chmod(0o644)
    shared.write_bytes(whole[:-1] + bytes([whole[-1] ^ 255]))
    assert there.build(manifest, split, shards=str(tmp_path / "shared")).rendered == 1
    assert there.contents() == here.contents()
    assert shared.read_bytes() == whole  # and put right there


@pytest.mark.parametrize("end", ["npy", "rows"])
def test_what_was_deleted_of_shared_shards_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(plan, "SMALLEST", 4 * 16 * 16 * 3)
    here, there = places(tmp_path)
    manifest, split = write_set(here.raw)
    here.build(manifest, split, shards=str(tmp_path / "shared"))
    lost = min((tmp_path / "shared").rglob(f"*.{end}"))
    lost.unlink()
    assert 0 < there.build(manifest, split, shards=str(tmp_path / "shared")).rendered < 23
    assert there.contents() == here.contents() and lost.exists()


def test_a_shared_shard_that_is_deleted_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = places(tmp_path)
    manifest, split = write_set(here.raw)
    here.build(manifest, split, shards=str(tmp_path / "shared"))
    found = SharedShards.has

    def lose(shared: SharedShards, name: str) -> bool:
        for path in (tmp_path / "shared").rglob(f"{name}.*"):
            path.unlink()
        return found(shared, name)

    monkeypatch.setattr(SharedShards, "has", lose)
    assert there.build(manifest, split, shards=str(tmp_path / "shared")).rendered == 23
    assert there.contents() == here.contents()
