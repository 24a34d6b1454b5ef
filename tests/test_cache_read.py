"""Random rows of the cache equal plain indexing of its shards."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.cache.build import build_cache
from fovea.cache.read import Cache
from fovea.errors import UserError
from tests.cache_sets import augment_params, write_set

ROWS = 23
COUNTS = [5, 1, 7, 2, 8]  # rows of the shards


def write_shards(folder: Path, size: int, counts: list[int]) -> np.ndarray:
    """A cache of noise whose index is not in the order of its shards; returns the pixels in the order of the index."""
    rng = np.random.default_rng(size)
    pixels = rng.integers(0, 256, (sum(counts), size, size, 3), dtype=np.uint8)
    names = [f"{number:03}.npy" for number in range(len(counts))]
    folder.mkdir()
    for name, part in zip(names, np.split(pixels, np.cumsum(counts)[:-1]), strict=True):
        np.save(folder / name, part)
    places = [(shard, row) for shard, count in enumerate(counts) for row in range(count)]
    order = rng.permutation(len(pixels))
    index = pd.DataFrame(np.array(places)[order], columns=["shard", "row"])
    index.attrs = {"size": size, "shards": names}
    index.to_parquet(folder / "index.parquet")
    return pixels[order]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return write_shards(tmp_path_factory.getbasetemp() / "cache", 16, COUNTS)


@pytest.fixture(scope="module")
def cache(plain: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.getbasetemp() / "cache")


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
    assert not cache._pixels.flags.writeable


@pytest.mark.parametrize("size", [1, 15, 37, 64])
def test_rows_of_any_size_are_read(tmp_path: Path, size: int) -> None:
    """A file begins at a page of memory: a row of 64 px is three pages, one of 37 px no whole number of them."""
    pixels = write_shards(tmp_path / "cache", size, COUNTS)
    assert np.array_equal(Cache(tmp_path / "cache").take(np.arange(ROWS)), pixels)


def test_more_shards_can_be_read_than_files_may_be_open(tmp_path: Path) -> None:
    write_shards(tmp_path / "cache", 8, [1] * 100)
    code = (
        "import resource, sys; from fovea.cache.read import Cache;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50)); print(len(Cache(sys.argv[1]).attrs['shards']))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "cache")], capture_output=True, text=True)
    assert done.stdout.strip() == "100", done.stderr


@pytest.mark.parametrize("name", ["index.parquet", "002.npy"])
def test_a_missing_file_is_named_with_what_to_run(tmp_path: Path, name: str) -> None:
    write_shards(tmp_path / "cache", 16, COUNTS)
    (tmp_path / "cache" / name).unlink()
    with pytest.raises(UserError, match=f"{name}: missing; run dvc checkout data/cache, or dvc repro augment"):
        Cache(tmp_path / "cache")


def test_a_truncated_shard_is_named_with_what_to_run(tmp_path: Path) -> None:
    """Reading behind the end of a mapped file would kill the process with SIGBUS."""
    write_shards(tmp_path / "cache", 16, COUNTS)
    with (tmp_path / "cache/002.npy").open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(UserError, match=r"002.npy: 5000 bytes instead of 5504; run dvc checkout data/cache, or dvc"):
        Cache(tmp_path / "cache")


def test_reading_imports_neither_torch_nor_opencv() -> None:
    code = "import sys, fovea.cache.read; print({'torch', 'cv2', 'PIL', 'mlflow'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"


def test_a_built_cache_is_read_from_a_folder_given_as_text(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw", count=3)
    build_cache(tmp_path / "cache", tmp_path / "raw", manifest, split, augment_params(), 1, tmp_path / "store")
    cache = Cache(str(tmp_path / "cache"))
    assert len(cache.take(np.arange(5))) == len(cache) == 5
