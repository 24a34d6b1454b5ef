"""Copies of a picture are found however they were made; different pictures are not taken for copies."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovea.audit.candidates import near, propose
from fovea.audit.copies import LARGEST_GROUP, find_copies, group_copies
from fovea.demo.photograph import draw_photograph, encode_jpeg
from fovea.errors import UserError
from tests.ingest_sets import FOLDERS, ingest

PICTURES = 16
SIDE = 300  # px


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((image.shape[1] / 2 - 0.5, image.shape[0] / 2 - 0.5), degrees, 1)
    return cv2.warpAffine(image, matrix, image.shape[1::-1])


WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "recompressed": lambda image: image,
    "mirrored": lambda image: image[:, ::-1],
    "upside-down": lambda image: image[::-1],
    "a-quarter": lambda image: np.rot90(image),
    "half-round": lambda image: np.rot90(image, 2),
    "seven-degrees": lambda image: turned(image, 7),
    "smaller": lambda image: cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, None, fx=1.4, fy=1.4, interpolation=cv2.INTER_CUBIC),
    "cropped": lambda image: image[8:-8, 8:-8],
    "padded": lambda image: np.pad(image, ((30, 50), (10, 0), (0, 0))),
    "darker": lambda image: (image * 0.8).astype(np.uint8),
}  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [draw_photograph(f"picture {number}", number % 5, SIDE, seed=7)[0] for number in range(PICTURES)]


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def png(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1])


@pytest.fixture
def root(tmp_path: Path, pictures: list[np.ndarray]) -> Path:
    """A set of different pictures in two classes."""
    for number, picture in enumerate(pictures):
        write(tmp_path / "set" / "xy"[number % 2] / f"{number:02}.jpg", encode_jpeg(picture, 90))
    return tmp_path / "set"


def pairs_of(root: Path, store: Path) -> set[tuple[str, str, str]]:
    manifest = ingest(root, FOLDERS)[0]
    found = find_copies(manifest, root, 2, store)
    ends = manifest["image"].to_numpy()[found[["first", "second"]].to_numpy(int)].tolist()
    return {(min(pair), max(pair), kind) for pair, kind in zip(ends, found["kind"], strict=True)}


def test_different_pictures_are_no_copies(root: Path, tmp_path: Path) -> None:
    assert pairs_of(root, tmp_path / "store") == set()


@pytest.mark.parametrize("way", WAYS)
def test_copies_are_found(way: str, root: Path, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    for number in range(0, PICTURES, 4):
        write(root / "y" / f"copy-{number:02}.jpg", encode_jpeg(np.ascontiguousarray(WAYS[way](pictures[number])), 60))
    assert pairs_of(root, tmp_path / "store") == {
        (f"x/{number:02}.jpg", f"y/copy-{number:02}.jpg", "near") for number in range(0, PICTURES, 4)
    }


def test_identical_files_and_pixels_are_told_from_near_ones(
    root: Path, tmp_path: Path, pictures: list[np.ndarray]
) -> None:
    jpeg = (root / "x" / "00.jpg").read_bytes()
    write(root / "y" / "file.jpg", jpeg)
    write(root / "y" / "comment.jpg", jpeg[:2] + b"\xff\xfe\x00\x06abcd" + jpeg[2:])
    write(root / "y" / "one.png", png(pictures[1]))
    write(root / "y" / "same.bmp", bytes(cv2.imencode(".bmp", pictures[1][..., ::-1])[1]))
    found = pairs_of(root, tmp_path / "store")
    assert ("x/00.jpg", "y/file.jpg", "identical files") in found
    assert ("x/00.jpg", "y/comment.jpg", "identical pixels") in found
    assert ("y/one.png", "y/same.bmp", "identical pixels") in found
    assert ("y/01.jpg", "y/one.png", "near") in found


def test_too_small_images_are_compared_by_content_alone(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    for number, picture in enumerate(pictures[:4]):
        small = cv2.resize(picture, (28, 28), interpolation=cv2.INTER_AREA)
        write(tmp_path / "set" / "xy"[number % 2] / f"{number}.png", png(small))
        write(tmp_path / "set" / "xy"[number % 2] / f"{number}.bmp", bytes(cv2.imencode(".bmp", small)[1]))
        write(tmp_path / "set" / "xy"[number % 2] / f"{number}-again.png", png(small))
    assert pairs_of(tmp_path / "set", tmp_path / "store") == {
        (f"{'xy'[number % 2]}/{number}-again.png", f"{'xy'[number % 2]}/{number}.png", "identical files")
        for number in range(4)
    }


def test_what_was_compared_is_not_read_again(root: Path, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    write(root / "y" / "copy.jpg", encode_jpeg(pictures[0], 60))
    manifest = ingest(root, FOLDERS)[0]
    first = find_copies(manifest, root, 2, tmp_path / "store")
    root.rename(tmp_path / "away")
    pd.testing.assert_frame_equal(first, find_copies(manifest, root, 2, tmp_path / "store"))
    with pytest.raises(UserError, match="dvc pull"):
        find_copies(manifest, root, 2, tmp_path / "another store")


def test_an_image_that_changed_since_ingest_is_an_error(
    root: Path, tmp_path: Path, pictures: list[np.ndarray]
) -> None:
    write(root / "y" / "copy.jpg", encode_jpeg(pictures[0], 60))
    manifest = ingest(root, FOLDERS)[0]
    write(root / "y" / "copy.jpg", encode_jpeg(pictures[1], 60))
    with pytest.raises(UserError, match=r"y/copy\.jpg: changed since ingest"):
        find_copies(manifest, root, 2, tmp_path / "store")


def test_order_of_the_images_changes_nothing(root: Path, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    for number in (0, 4, 5):
        write(root / "y" / f"copy-{number}.jpg", encode_jpeg(np.ascontiguousarray(pictures[number][:, ::-1]), 60))
    manifest = ingest(root, FOLDERS)[0]

    def named(table: pd.DataFrame) -> set[frozenset[str]]:
        pairs = find_copies(table, root, 2, tmp_path / "store")
        return set(map(frozenset, table["image"].to_numpy()[pairs[["first", "second"]].to_numpy(int)].tolist()))

    shuffled = manifest.sample(frac=1, random_state=3).reset_index(drop=True)
    assert named(manifest) == named(shuffled) and len(named(manifest)) == 3


@pytest.mark.parametrize("seed", [0, 1])
def test_many_copies_of_each_picture_stay_together(tmp_path: Path, pictures: list[np.ndarray], seed: int) -> None:
    """As in published sets that were augmented before they were split."""
    for number, picture in enumerate(pictures):
        for copy in range(8):
            image = turned(np.rot90(picture, copy % 4)[:, :: 1 if copy < 4 else -1].copy(), copy + seed)
            write(tmp_path / "set" / "xy"[number % 2] / f"{number:02}-{copy}.jpg", encode_jpeg(image, 80))
    manifest = ingest(tmp_path / "set", FOLDERS)[0]
    groups, too_large = group_copies(manifest, find_copies(manifest, tmp_path / "set", 2, tmp_path / "store"))
    assert too_large == []
    of_picture = pd.Series(groups).groupby(manifest["image"].str[2:4]).nunique(dropna=False)
    assert (of_picture == 1).all() and pd.Series(groups).nunique() == PICTURES


def test_a_set_of_two_copies_is_one_picture(tmp_path: Path, pictures: list[np.ndarray]) -> None:
    write(tmp_path / "set" / "x" / "a.jpg", encode_jpeg(pictures[0], 90))
    write(tmp_path / "set" / "y" / "b.jpg", encode_jpeg(pictures[0], 60))
    assert pairs_of(tmp_path / "set", tmp_path / "store") == {("x/a.jpg", "y/b.jpg", "near")}


@pytest.mark.parametrize("level", [0, 8, 90])
def test_identical_pixels_are_found_in_images_without_detail(
    root: Path, tmp_path: Path, level: int
) -> None:
    flat = np.full((200, 220, 3), level, np.uint8)
    write(root / "x" / "flat.png", png(flat))
    write(root / "y" / "flat.bmp", bytes(cv2.imencode(".bmp", flat)[1]))
    assert pairs_of(root, tmp_path / "store") == {("x/flat.png", "y/flat.bmp", "identical pixels")}


def test_a_damaged_store_is_begun_anew(root: Path, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    write(root / "y" / "copy.jpg", encode_jpeg(pictures[0], 60))
    first = pairs_of(root, tmp_path / "store")
    for database in (tmp_path / "store").glob("*.db"):
        database.write_bytes(b"no database" * 1000)
    assert pairs_of(root, tmp_path / "store") == first != set()


def groups_of(count: int, *pairs: tuple[int, int, str]) -> Any:
    manifest = pd.DataFrame({"digest": [f"{number:03}" for number in range(count)]})
    names, too_large = group_copies(manifest, pd.DataFrame(pairs, columns=["first", "second", "kind"]))
    return list(names), too_large


def test_groups_are_named_after_their_smallest_digest() -> None:
    assert groups_of(5, (3, 1, "near"), (3, 4, "identical files")) == ([None, "001", None, "001", "001"], [])


def test_a_chain_of_near_copies_that_is_too_long_is_reported_and_not_used() -> None:
    chain = [(number, number + 1, "near") for number in range(LARGEST_GROUP)]
    names, too_large = groups_of(LARGEST_GROUP + 4, *chain, (0, LARGEST_GROUP + 1, "identical pixels"))
    assert too_large == [list(range(LARGEST_GROUP + 2))]
    assert names == ["000", *[None] * LARGEST_GROUP, "000", None, None]
    assert groups_of(LARGEST_GROUP, *chain[:-1])[0] == ["000"] * LARGEST_GROUP


def test_a_near_copy_of_many_identical_files_belongs_to_them() -> None:
    files = [(0, number, "identical files") for number in range(1, 15)]
    assert groups_of(16, *files, (0, 15, "near")) == (["000"] * 16, [])


def test_many_identical_files_are_used_however_many() -> None:
    names, too_large = groups_of(30, *[(0, number, "identical files") for number in range(1, 30)])
    assert names == ["000"] * 30 and too_large == []


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 700), radius=st.floats(0.05, 2))
def test_the_search_finds_every_pair_within_its_radius(seed: int, count: int, radius: float) -> None:
    points, asking = np.random.default_rng(seed).standard_normal((2, count, 3)).astype(np.float32)
    squares = ((asking[:, None].astype(float) - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    found = set(map(tuple, near(asking, points, radius).tolist()))
    surely = {tuple(pair) for pair in np.argwhere(squares < (radius - 1e-3) ** 2).tolist()}
    at_most = {tuple(pair) for pair in np.argwhere(squares < (radius + 1e-3) ** 2).tolist()}
    assert surely <= found <= at_most


@pytest.mark.parametrize("count", [1, 2, 300])
def test_flat_images_have_no_candidates(count: int) -> None:
    assert len(propose(np.full((count, 32, 32), 90, np.uint8))) == 0
