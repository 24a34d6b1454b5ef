"""Members of array files: unpacked without a trace, and never taken for what they are not."""

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fovea.errors import UserError
from fovea.raw import RawFiles

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 9, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("packed") / "set.npz"
    np.savez_compressed(path, train_images=IMAGES)
    return path.read_bytes()


def test_nothing_of_an_array_lies_in_the_temporary_folder(
    tmp_path: Path, packed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    (tmp_path / "set.npz").write_bytes(packed)
    with RawFiles(tmp_path) as files:
        image = files.read("set.npz!train/3")
        assert list(temporary.iterdir()) == []
    assert np.array_equal(image, IMAGES[3])


def test_an_array_is_mapped_and_not_read_into_memory(tmp_path: Path, packed: bytes) -> None:
    (tmp_path / "set.npz").write_bytes(packed)
    with RawFiles(tmp_path) as files:
        image = files.read("set.npz!train/3")
        assert isinstance(image, np.ndarray)
        assert isinstance(image.base, np.memmap)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), value=st.none() | st.integers(1, 255))
@example(at=0, value=None)
def test_a_damaged_array_file_is_refused_or_gives_its_images(
    tmp_path: Path, packed: bytes, at: int, value: int | None
) -> None:
    """Cut there, or a byte changed."""
    at %= len(packed)
    rest = b"" if value is None else bytes([packed[at] ^ value]) + packed[at + 1 :]
    (tmp_path / "set.npz").write_bytes(packed[:at] + rest)
    with RawFiles(tmp_path) as files:
        try:
            assert np.array_equal(files.read("set.npz!train/3"), IMAGES[3])
        except UserError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00\x10\x00{'descr': |u1\n"])
def test_a_member_that_is_no_array_is_refused(tmp_path: Path, content: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as members:
        members.writestr("train_images.npy", content)
    with pytest.raises(UserError, match=r"set.npz!train/0: no such member; changed since ingest"):
        RawFiles(tmp_path).read("set.npz!train/0")


@pytest.mark.parametrize("other", [np.zeros((5, 8, 8)), np.array([{"a": 1}] * 5, object)], ids=["floats", "objects"])
def test_an_array_of_another_type_is_refused(tmp_path: Path, other: np.ndarray) -> None:
    np.savez(tmp_path / "set.npz", train_images=other)
    with pytest.raises(UserError, match="changed since ingest"):
        RawFiles(tmp_path).read("set.npz!train/0")


def test_no_room_to_unpack_says_where(tmp_path: Path, packed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "set.npz").write_bytes(packed)
    with pytest.raises(UserError, match=r"set.npz: cannot be unpacked in .*/temporary .*; make room there"):
        RawFiles(tmp_path).read("set.npz!train/0")
