"""The cache as a whole: its bytes depend on the images and parameters alone, and bad raw files are named."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fovea.cache import plan
from fovea.cache.build import build_cache
from fovea.cache.plan import ROWS_AT_ONCE
from fovea.cache.read import Cache
from fovea.errors import UserError
from fovea.raw import digest
from tests.cache_sets import augment_params, draw_eye, tables, write_png, write_set


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SMALLEST", 4 * 16 * 16 * 3)


def build(folder: Path, raw: Path, manifest: pd.DataFrame, split: pd.DataFrame, workers: int = 1,
          **changes: Any) -> dict[str, Any]:
    """A cold build: each has a store of its own."""
    store = folder.with_name(f"{folder.name}-store")
    return build_cache(folder, raw, manifest, split, augment_params(**changes), workers, store).summary


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def pixels(folder: Path) -> np.ndarray:
    cache = Cache(folder)
    return cache.take(np.arange(len(cache)))


def test_the_number_of_workers_does_not_change_a_byte(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw")
    build(tmp_path / "one", tmp_path / "raw", manifest, split, workers=1)
    build(tmp_path / "four", tmp_path / "raw", manifest, split, workers=4)
    assert contents(tmp_path / "one") == contents(tmp_path / "four")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(9)))
def test_the_order_of_the_manifest_does_not_change_a_byte(
    order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("order")
    manifest, split = write_set(folder / "raw")
    build(folder / "one", folder / "raw", manifest, split)
    build(folder / "other", folder / "raw", manifest.iloc[order], split.iloc[order[::-1]], workers=2)
    assert contents(folder / "one") == contents(folder / "other")


def test_the_summary_counts_images_rows_and_variants(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw")
    summary = build(tmp_path / "cache", tmp_path / "raw", manifest, split)
    assert summary == {"images": 9, "rows": 23, "variants": 14, "size": 16, "uncropped": 0, "uncropped_images": []}


def test_images_without_a_circle_are_counted_once_and_named(tmp_path: Path) -> None:
    images = ["a.png", "b.png"]
    write_png(tmp_path / "a.png", np.full((30, 30, 3), 180, np.uint8))
    write_png(tmp_path / "b.png", draw_eye(0))
    digests = [digest((tmp_path / image).read_bytes()) for image in images]
    summary = build(tmp_path / "cache", tmp_path, *tables(images, digests, [0, 1], ["train"] * 2))
    assert (summary["uncropped"], summary["uncropped_images"]) == (1, ["a.png"])


def test_the_index_carries_the_attributes_of_the_manifest(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw")
    build(tmp_path / "cache", tmp_path / "raw", manifest, split)
    shards = [path.name for path in (tmp_path / "cache").glob("*.npy")]
    attrs = Cache(tmp_path / "cache").attrs
    assert sorted(attrs.pop("shards")) == sorted(shards)
    assert len(attrs.pop("pixels")) == 32
    square = {"image_size": 16, "crop": "fundus", "fit": "pad", "interpolation": "bicubic", "exact": False,
              "normalise": "none"}  # fmt: skip
    assert attrs == {**manifest.attrs, "size": 16, "square": square}


def test_the_index_is_another_where_pixels_are(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw")
    for name, normalise in (("one", "none"), ("same", "none"), ("other", "ben_graham")):
        build(tmp_path / name, tmp_path / "raw", manifest, split, normalise=normalise)
    one, same, other = ((tmp_path / name / "index.parquet").read_bytes() for name in ("one", "same", "other"))
    assert one == same
    assert one != other


def test_a_change_of_seed_changes_the_variants_alone(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw")
    build(tmp_path / "one", tmp_path / "raw", manifest, split)
    build(tmp_path / "other", tmp_path / "raw", manifest, split, seed=1)
    differ = (pixels(tmp_path / "one") != pixels(tmp_path / "other")).any(axis=(1, 2, 3))
    assert np.array_equal(differ, Cache(tmp_path / "one").index["variant"] > 0)


def test_balance_gives_both_classes_the_same_rows(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw")
    build(tmp_path / "cache", tmp_path / "raw", manifest, split, balance=True)
    index = Cache(tmp_path / "cache").index
    assert index[index["split"] == "train"]["target"].value_counts().nunique() == 1


def test_a_row_is_the_same_whether_rendered_alone_or_in_a_long_series(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw", count=4)
    build(tmp_path / "few", tmp_path / "raw", manifest, split, variants=1)
    build(tmp_path / "many", tmp_path / "raw", manifest, split, variants=ROWS_AT_ONCE + 3)
    many = Cache(tmp_path / "many")
    assert np.array_equal(pixels(tmp_path / "few"), many.take(np.flatnonzero(many.index["variant"] <= 1)))


def test_identical_images_with_different_names_keep_a_row_each(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, draw_eye(0))
    content = digest((tmp_path / "a.png").read_bytes())
    build(tmp_path / "cache", tmp_path, *tables(["b.png", "a.png"], [content] * 2, [0, 1], ["test"] * 2))
    assert Cache(tmp_path / "cache").index["image"].tolist() == ["a.png", "b.png"]


def test_members_of_arrays_are_read_by_position(tmp_path: Path) -> None:
    train, test = (np.stack([draw_eye(seed, 28, 28) for seed in seeds]) for seeds in ([1, 2, 3], [4]))
    np.savez_compressed(tmp_path / "set.npz", train_images=train, test_images=test[..., 0])
    images = ["set.npz!train/2", "set.npz!train/0", "set.npz!test/0"]
    digests = [digest(train[2]), digest(train[0]), digest(test[0, ..., 0])]
    manifest, split = tables(images, digests, [0, 1, 0], ["test"] * 3)
    build(tmp_path / "cache", tmp_path, manifest, split, workers=2, image_size=28, crop="none")
    cache = Cache(tmp_path / "cache")
    rows = [cache.index["image"].tolist().index(image) for image in images]
    assert np.array_equal(cache.take(np.array(rows)), [train[2], train[0], test[0, ..., :1].repeat(3, axis=2)])


def test_a_file_that_changed_since_ingest_is_refused(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw")
    write_png(tmp_path / "raw" / "images/3.png", draw_eye(99))
    with pytest.raises(UserError, match=r"images/3.png: changed since ingest; run dvc repro"):
        build(tmp_path / "cache", tmp_path / "raw", manifest, split)


def test_a_missing_folder_says_dvc_pull(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw")
    with pytest.raises(UserError, match=rf"{tmp_path / 'absent'} not found; run: dvc pull {tmp_path / 'absent'}$"):
        build(tmp_path / "cache", tmp_path / "absent", manifest, split)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw")
    (tmp_path / "raw/images/2.png").unlink()
    with pytest.raises(UserError, match=rf"images/2.png not found; run: dvc pull {tmp_path / 'raw'}$"):
        build(tmp_path / "cache", tmp_path / "raw", manifest, split)


@pytest.mark.parametrize("address", ["set.npz!train/9", "set.npz!val/0", "set.npz!train/x", "broken.npz!train/0"])
def test_a_missing_member_is_named(tmp_path: Path, address: str) -> None:
    np.savez(tmp_path / "set.npz", train_images=np.zeros((3, 8, 8), np.uint8))
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=address.replace("!", ".")):
        build(tmp_path / "cache", tmp_path, *tables([address], ["00"], [0], ["train"]))


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"a.png: not an image"):
        build(tmp_path / "cache", tmp_path, *tables(["a.png"], [digest(b"no image")], [0], ["train"]))


def test_thread_settings_are_put_back_after_an_error(tmp_path: Path) -> None:
    manifest, split = write_set(tmp_path / "raw")
    before = torch.get_num_threads(), cv2.getNumThreads()
    with pytest.raises(UserError):
        build(tmp_path / "cache", tmp_path / "absent", manifest, split)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before
