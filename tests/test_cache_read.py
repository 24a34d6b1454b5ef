"""Random rows of the cache equal plain indexing of its shards."""

import gc
import shutil
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of 23 rows in five shards, the last of three rows."""
    folder = tmp_path_factory.mktemp("read")
    manifest, split = write_set(folder / "raw")
    build_cache(folder / "cache", folder / "raw", manifest, split, augment_params(), 2, 5 * 16 * 16 * 3)
    return folder / "cache"


@pytest.fixture(scope="module")
def cache(folder: Path) -> Cache:
    return Cache(folder)


@pytest.fixture(scope="module")
def plain(folder: Path) -> np.ndarray:
    return np.concatenate([np.load(path) for path in sorted(folder.glob("*.npy"))])


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


def write_shuffled(folder: Path, size: int, shards: int) -> np.ndarray:
    """A cache of noise whose index is not in the order of its shards, of 1 to 3 rows; returns the pixels by index."""
    rng = np.random.default_rng(size)
    counts = rng.integers(1, 4, shards)
    pixels = rng.integers(0, 256, (counts.sum(), size, size, 3), dtype=np.uint8)
    names = [f"{number}.npy" for number in rng.permutation(shards)]
    folder.mkdir()
    for name, part in zip(names, np.split(pixels, np.cumsum(counts)[:-1]), strict=True):
        np.save(folder / name, part)
    places = [(shard, row) for shard, count in enumerate(counts) for row in range(count)]
    order = rng.permutation(len(pixels))
    index = pd.DataFrame(np.array(places)[order], columns=["shard", "row"])
    index.attrs = {"size": size, "shards": names}
    index.to_parquet(folder / "index.parquet")
    return pixels[order]


@pytest.mark.parametrize("size", [1, 15, 37, 64])
def test_shards_of_any_length_and_order_are_read_at_any_size(tmp_path: Path, size: int) -> None:
    """A row of 64 px is three pages, one of 37 px fits no number of pages."""
    pixels = write_shuffled(tmp_path / "cache", size, 40)
    assert np.array_equal(Cache(tmp_path / "cache").take(np.arange(len(pixels))), pixels)


def test_more_shards_can_be_read_than_files_may_be_open(tmp_path: Path) -> None:
    write_shuffled(tmp_path / "cache", 8, 100)
    code = (
        "import resource, sys; from fovea.cache.read import Cache;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50)); print(len(Cache(sys.argv[1]).attrs['shards']))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "cache")], capture_output=True, text=True)
    assert done.stdout.strip() == "100", done.stderr


def test_pixels_outlive_the_cache_they_came_from(folder: Path, plain: np.ndarray) -> None:
    pixels = Cache(folder)._pixels
    gc.collect()
    assert np.array_equal(pixels[:5], plain[:5])


@pytest.mark.parametrize("name", ["index.parquet", "shard-00002.npy"])
def test_a_missing_file_is_named_with_what_to_run(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder, tmp_path / "cache")
    (tmp_path / "cache" / name).unlink()
    with pytest.raises(UserError, match=f"{name}: missing; run dvc checkout data/cache, or dvc repro augment"):
        Cache(tmp_path / "cache")


def test_a_truncated_shard_is_named_with_what_to_run(folder: Path, tmp_path: Path) -> None:
    """Reading past the end of a mapped file would kill the process with SIGBUS."""
    shutil.copytree(folder, tmp_path / "cache")
    with (tmp_path / "cache/shard-00004.npy").open("r+b") as file:
        file.truncate(2400)
    with pytest.raises(UserError, match=r"shard-00004.npy: 2400 bytes instead of 2432; run dvc checkout"):
        Cache(tmp_path / "cache")


def test_reading_imports_neither_torch_nor_opencv() -> None:
    code = "import sys, fovea.cache.read; print({'torch', 'cv2', 'PIL', 'mlflow'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"


def test_the_folder_can_be_given_as_text(cache: Cache, tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw", count=3)
    build_cache(tmp_path / "cache", tmp_path / "raw", manifest, split, augment_params(), 1)
    assert len(Cache(str(tmp_path / "cache"))) == 5
