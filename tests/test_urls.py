"""Images that lie at URLs: their labels and names are here, their bytes are fetched when they are looked at."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from fovea.cache.rows import Missing, decode_square
from fovea.errors import UserError
from fovea.ingest.check import check_url
from fovea.ingest.manifest import build_manifest
from fovea.params.dataset import DatasetParams
from fovea.raw import RawFiles
from fovea.urls import read_url
from tests.cache_sets import augment_params
from tests.ingest_sets import FOLDERS, LISTS, SET, TABLE, encoded, ingest, labels_of, reasons_of
from tests.ray_nodes import BUCKET, s3_server

URL = "memory://bucket/set"


@pytest.fixture
def store() -> Iterator[Any]:
    """A file system of fsspec that lies in memory, empty."""
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/bucket", recursive=True)


def put(store: Any, *names: str) -> None:
    for seed, name in enumerate(names):
        store.pipe_file(f"/bucket/set/{name}", encoded(seed))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def test_folders_at_a_url_name_the_classes(store: Any, root: Path) -> None:
    put(store, "x/a.jpg", "x/deep/b.jpg", "y/c.jpg", ".hidden/d.jpg", "y/.e.jpg", "z/notes.txt")
    manifest, rejected = ingest(root, {**FOLDERS, "images": URL})
    assert labels_of(manifest) == {f"{URL}/x/a.jpg": "x", f"{URL}/x/deep/b.jpg": "x", f"{URL}/y/c.jpg": "y"}
    assert rejected.empty


def test_what_a_set_is_does_not_depend_on_where_it_lies(store: Any, root: Path) -> None:
    put(store, "x/a.jpg", "y/b.jpg")
    for seed, name in enumerate(("x/a.jpg", "y/b.jpg")):
        (root / name).parent.mkdir()
        (root / name).write_bytes(encoded(seed))
    here, there = (ingest(root, {**FOLDERS, "images": where})[0] for where in ("", URL + "/"))
    assert [f"{URL}/{name}" for name in here["image"]] == there["image"].tolist()
    facts = [column for column in here.columns if column not in ("image", "rest")]
    assert here[facts].equals(there[facts])


def test_a_table_here_names_images_there(store: Any, root: Path) -> None:
    put(store, "a.jpg", "sub/b.jpg", "c.png", "unnamed.jpg")
    (root / "labels.csv").write_text("image,level\na,0\nsub/b,1\nc,0\nd,1\n")
    manifest, rejected = ingest(root, {**TABLE, "images": URL, "extension": None})
    assert labels_of(manifest) == {f"{URL}/a.jpg": "0", f"{URL}/sub/b.jpg": "1", f"{URL}/c.png": "0"}
    assert reasons_of(rejected) == {f"{URL}/d": "no such file",
                                    f"{URL}/unnamed.jpg": "no label: no label file names it"}


def test_lists_and_patterns_name_images_there(store: Any, root: Path) -> None:
    put(store, "a.jpeg", "b.jpeg")
    (root / "names.csv").write_text("a\nb\n")
    (root / "labels.csv").write_text("0\n1\n")
    assert set(labels_of(ingest(root, {**LISTS, "images": URL})[0]).values()) == {"0", "1"}
    pattern = {"layout": "pattern", "images": URL, "pattern": "^(?P<label>.)", "split": None}
    assert set(labels_of(ingest(root, pattern)[0]).values()) == {"a", "b"}


@pytest.mark.parametrize("name", ["../other/a.jpg", "/etc/a.jpg", "x/../../other/a.jpg"])
def test_a_name_that_leads_out_of_the_url_is_no_file(store: Any, root: Path, name: str) -> None:
    put(store, "a.jpg", "b.jpg")
    store.pipe_file("/bucket/other/a.jpg", encoded(7))
    (root / "labels.csv").write_text(f"image,level\na.jpg,0\nb.jpg,1\n{name},1\n")
    _, rejected = ingest(root, {**TABLE, "images": URL})
    assert rejected["reason"].tolist() == ["no such file"]


def test_damaged_and_too_large_files_are_rejected(store: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "x/a.jpg", "y/b.jpg")
    store.pipe_file("/bucket/set/x/broken.jpg", b"no image")
    monkeypatch.setattr("fovea.ingest.check.SPARE_BYTES", 0)
    store.pipe_file("/bucket/set/x/heavy.jpg", bytes(8001))
    _, rejected = ingest(root, {**FOLDERS, "images": URL}, max_pixels=1000)
    assert reasons_of(rejected) == {f"{URL}/x/broken.jpg": "not an image",
                                    f"{URL}/x/heavy.jpg": "larger than ingest.max_pixels: a file of 0 MiB"}


def test_a_url_without_images_is_named(store: Any, root: Path) -> None:
    put(store, "readme.txt")
    with pytest.raises(UserError, match=rf"dataset.sources.0.images: no image lies below {URL}"):
        ingest(root, {**FOLDERS, "images": URL})


def test_a_url_that_nothing_opens_is_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"nosuch://bucket/set: cannot be opened \(Protocol not known"):
        ingest(root, {**FOLDERS, "images": "nosuch://bucket/set"})


def test_a_store_that_cannot_be_reached_is_no_fault_of_its_images() -> None:
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/a.jpg: cannot be reached \(ClientConnectorError"):
        check_url("http://127.0.0.1:9/a.jpg", 10**6)


def test_an_image_that_is_gone_is_named(store: Any, root: Path) -> None:
    put(store, "a.jpg")
    with RawFiles(root) as files:
        assert files.read(f"{URL}/a.jpg") == encoded(0)
        with pytest.raises(UserError, match=rf"{URL}/b.jpg: not there any more; run dvc repro --force ingest"):
            files.read(f"{URL}/b.jpg")


def test_an_image_that_was_overwritten_is_named_with_what_looks_at_it_again(store: Any, root: Path) -> None:
    put(store, "a.jpg")
    with RawFiles(root) as files, pytest.raises(UserError, match=rf"{URL}/a.jpg: .*; run dvc repro --force ingest$"):
        decode_square(Missing(f"{URL}/a.jpg", "0" * 40, [0], None), files, augment_params())


def test_a_url_with_a_password_is_refused_without_telling_it(root: Path) -> None:
    with pytest.raises(UserError, match=r"dataset.sources: sftp://\*\*\*@host/eyes holds a password") as error:
        ingest(root, {**FOLDERS, "images": "sftp://ann:hunter2@host/eyes"})
    assert "hunter2" not in str(error.value)


def test_an_unchanged_image_on_s3_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fovea.ingest.seen.SETTLED", -10)  # as if they were there for long
    read: list[str] = []

    def noting(url: str) -> bytes:
        read.append(url)
        return read_url(url)

    monkeypatch.setattr("fovea.ingest.check.read_url", noting)
    (tmp_path / "raw").mkdir()
    params = DatasetParams.model_validate({**SET, "sources": [{**FOLDERS, "images": f"s3://{BUCKET}/few"}]})
    with s3_server() as s3:
        for number in range(4):
            s3.put_object(Bucket=BUCKET, Key=f"few/{number % 2}/{number}.jpg", Body=encoded(number))
        first = build_manifest(tmp_path / "raw", params, 10**7, 2, tmp_path / "store")[0]
        s3.put_object(Bucket=BUCKET, Key="few/1/3.jpg", Body=encoded(33))
        second = build_manifest(tmp_path / "raw", params, 10**7, 2, tmp_path / "store")[0]
    assert len(read) == 5 and read[4].endswith("few/1/3.jpg")
    assert (first["digest"] != second["digest"]).tolist() == [False, False, False, True]
