"""Random rows of the cache equal plain indexing of its shards."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.cache.build import build_cache
from fovea.cache.read import Cache
from tests.cache_sets import augment_params, write_set

ROWS = 23


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    folder = tmp_path_factory.mktemp("read")
    manifest, split = write_set(folder / "raw")
    build_cache(folder / "cache", folder / "raw", manifest, split, augment_params(), 2, folder / "store")
    return Cache(folder / "cache")


@pytest.fixture(scope="module")
def plain(cache: Cache) -> np.ndarray:
    return np.concatenate(cache._shards)


@given(rows=st.lists(st.integers(0, ROWS - 1), max_size=30))
def test_take_equals_plain_indexing(cache: Cache, plain: np.ndarray, rows: list[int]) -> None:
    assert np.array_equal(cache.take(np.array(rows, int)), plain[np.array(rows, int)])


def test_take_fills_and_returns_the_given_array(cache: Cache, plain: np.ndarray) -> None:
    out = np.empty((3, 16, 16, 3), np.uint8)
    assert cache.take(np.array([22, 0, 7]), out) is out
    assert np.array_equal(out, plain[[22, 0, 7]])


@pytest.mark.parametrize("row", [-1, ROWS])
def test_a_row_outside_is_an_error(cache: Cache, row: int) -> None:
    with pytest.raises(IndexError, match="0 to 22"):
        cache.take(np.array([0, row]))


def test_shards_are_mapped_read_only(cache: Cache) -> None:
    assert not any(shard.flags.writeable for shard in cache._shards)


def test_reading_imports_neither_torch_nor_opencv() -> None:
    code = "import sys, fovea.cache.read; print({'torch', 'cv2', 'PIL', 'mlflow'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"


def test_the_folder_can_be_given_as_text(cache: Cache, tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw", count=3)
    build_cache(tmp_path / "cache", tmp_path / "raw", manifest, split, augment_params(), 1, tmp_path / "store")
    assert len(Cache(str(tmp_path / "cache"))) == 5
