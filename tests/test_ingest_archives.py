"""Archives are unpacked once, never outside their folder, and every member is written or has a reason."""

import gzip
import io
import json
import multiprocessing
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovea.errors import UserError
from fovea.ingest import members as members_module
from fovea.ingest.archives import unpack, write_members
from fovea.prune.found import contents
from fovea.raw import RawFiles, digest
from fovea.store import LOCK, store_folder
from tests.ingest_sets import FOLDERS, LISTS, TABLE, column_of, encoded, ingest, labels_of, reasons_of, write_images

LAW = settings(max_examples=60, deadline=None)
Members = dict[str, bytes]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store is below this folder, not in the checkout."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    return tmp_path / "project"


def write_zip(path: Path, members: Members) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return path


def write_tar(path: Path, members: Members) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as packed:
        for name, data in members.items():
            add(packed, name, data)
    return path


def add(packed: tarfile.TarFile, name: str, data: bytes = b"", **fields: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    packed.addfile(info, io.BytesIO(data))


WRITERS: dict[str, Callable[[Path, Members], Path]] = {
    "a.zip": write_zip, "a.tar": write_tar, "a.tar.gz": write_tar, "a.tgz": write_tar, "A.ZIP": write_zip,
}  # fmt: skip
IMAGES = {f"{label}/{number}.jpg": encoded(number) for number, label in enumerate(["cat", "cat", "dog"])}


def written(folder: Path) -> set[str]:
    """Files below `folder` but for the lock of a store."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != LOCK}


@pytest.mark.parametrize("name", WRITERS)
def test_folders_in_an_archive(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / "set" / name, {f"train/{member}": data for member, data in IMAGES.items()})
    manifest, rejected = ingest(tmp_path / "set", {**FOLDERS, "images": f"{name}!train"})
    assert labels_of(manifest) == {f"{name}!train/cat/0.jpg": "cat", f"{name}!train/cat/1.jpg": "cat",
                                   f"{name}!train/dog/2.jpg": "dog"}  # fmt: skip
    assert rejected.empty
    with RawFiles(tmp_path / "set") as files:
        for image, content in column_of(manifest, "digest").items():
            assert digest(files.read(image)) == content


def test_the_root_of_an_archive(tmp_path: Path) -> None:
    write_tar(tmp_path / "set" / "deep" / "a.tar", {f"./{name}": data for name, data in IMAGES.items()})
    manifest, _ = ingest(tmp_path / "set", {**FOLDERS, "images": "deep/a.tar!"}, group=r"^(?P<group>\d)")
    assert list(manifest["image"]) == ["deep/a.tar!cat/0.jpg", "deep/a.tar!cat/1.jpg", "deep/a.tar!dog/2.jpg"]
    assert list(manifest["group"]) == ["0", "1", "2"]


def test_table_and_images_in_one_archive(tmp_path: Path) -> None:
    table = b"image,level\ncat/0.jpg,0\n../images/dog/2.jpg,1\n../../../out.jpg,1\n"
    images = {f"images/{name}": data for name, data in IMAGES.items()}
    write_zip(tmp_path / "set" / "a.zip", {"labels.csv": table, **images})
    manifest, rejected = ingest(tmp_path / "set", {**TABLE, "file": "a.zip!labels.csv", "images": "a.zip!images"})
    assert labels_of(manifest) == {"a.zip!images/cat/0.jpg": "0", "a.zip!images/dog/2.jpg": "1"}
    assert reasons_of(rejected) == {"a.zip!../../out.jpg": "leads out of the set's folder",
                                    "a.zip!images/cat/1.jpg": "no label: no label file names it"}  # fmt: skip


def test_lists_beside_an_archive_and_names_without_extension(tmp_path: Path) -> None:
    write_zip(tmp_path / "set" / "a.zip", {"left.png": encoded(0, kind="png"), "right.jpg": encoded(1)})
    (tmp_path / "set" / "names.csv").write_text("left\nright\n")
    (tmp_path / "set" / "labels.csv").write_text("0\n1\n")
    manifest, _ = ingest(tmp_path / "set", {**LISTS, "images": "a.zip!", "extension": None})
    assert labels_of(manifest) == {"a.zip!left.png": "0", "a.zip!right.jpg": "1"}


def test_arrays_in_an_archive(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 10, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, train_images=pixels, train_labels=np.array([0, 1]))
    write_zip(tmp_path / "set" / "a.zip", {"x.npz": buffer.getvalue()})
    manifest, _ = ingest(tmp_path / "set", {"layout": "arrays", "file": "a.zip!x.npz", "split": None})
    assert list(manifest["image"]) == ["a.zip!x.npz!train/0", "a.zip!x.npz!train/1"]
    with RawFiles(tmp_path / "set") as files:
        np.testing.assert_array_equal(files.read("a.zip!x.npz!train/1"), pixels[1])
        with pytest.raises(UserError, match="no such member; changed since ingest"):
            files.read("a.zip!x.npz!train/2")


def test_several_roots_one_of_them_an_archive(tmp_path: Path) -> None:
    write_images(tmp_path / "set", "one/cat/a.jpg")
    write_zip(tmp_path / "set" / "two.zip", {"dog/a.jpg": encoded(5)})
    write_tar(tmp_path / "set" / "three.tgz", {"x/dog/a.jpg": encoded(6)})
    roots = ("one", "two.zip!", "three.tgz!x")
    manifest, _ = ingest(tmp_path / "set", *({**FOLDERS, "images": root} for root in roots))
    assert labels_of(manifest) == {"one/cat/a.jpg": "cat", "three.tgz!x/dog/a.jpg": "dog", "two.zip!dog/a.jpg": "dog"}


def test_a_file_with_an_exclamation_mark_is_a_file(tmp_path: Path) -> None:
    write_images(tmp_path / "set", "x/a!b.jpg", "y/old.zip!b.jpg", "y!/z.npz!c.jpg")
    manifest, _ = ingest(tmp_path / "set", FOLDERS)
    assert list(manifest["image"]) == ["x/a!b.jpg", "y!/z.npz!c.jpg", "y/old.zip!b.jpg"]
    with RawFiles(tmp_path / "set") as files:
        for image, content in column_of(manifest, "digest").items():
            assert digest(files.read(image)) == content


def test_hidden_members_are_passed_over(tmp_path: Path) -> None:
    members = {**IMAGES, "__MACOSX/cat/._0.jpg": b"x", "cat/.DS_Store": b"x", ".git/a.jpg": b"x", "README.txt": b"x"}
    write_zip(tmp_path / "set" / "a.zip", members)
    manifest, rejected = ingest(tmp_path / "set", {**FOLDERS, "images": "a.zip!"})
    assert len(manifest) == 3 and rejected.empty


def test_links_and_devices_in_a_tar_are_rejected(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set" / "a.tar", IMAGES)
    with tarfile.open(path, "a") as packed:
        add(packed, "cat/symbolic.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(packed, "cat/inside.jpg", type=tarfile.SYMTYPE, linkname="0.jpg")
        add(packed, "cat/hard.jpg", type=tarfile.LNKTYPE, linkname="cat/0.jpg")
        add(packed, "cat/pipe.jpg", type=tarfile.FIFOTYPE)
        add(packed, "cat/device.jpg", type=tarfile.CHRTYPE)
        add(packed, "up", type=tarfile.SYMTYPE, linkname="..")
        add(packed, "up/through.jpg", encoded(9))
    manifest, rejected = ingest(tmp_path / "set", {**FOLDERS, "images": "a.tar!"})
    assert reasons_of(rejected) == {
        "a.tar!cat/symbolic.jpg": "symbolic link in an archive",
        "a.tar!cat/inside.jpg": "symbolic link in an archive",
        "a.tar!cat/hard.jpg": "hard link in an archive",
        "a.tar!cat/pipe.jpg": "no plain file in an archive",
        "a.tar!cat/device.jpg": "no plain file in an archive",
        "a.tar!up": "symbolic link in an archive",
    }
    assert "a.tar!up/through.jpg" in set(manifest["image"])  # in a folder of that name: the link was never made
    assert (unpack(tmp_path / "set" / "a.tar").folder / "up").is_dir()


def test_links_and_encrypted_members_of_a_zip_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "set" / "a.zip"
    write_zip(path, IMAGES)
    with zipfile.ZipFile(path, "a") as packed:
        link = zipfile.ZipInfo("cat/link.jpg")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
        packed.writestr("cat/secret.jpg", b"unreadable")
    data = path.read_bytes()
    entry = data.rindex(b"PK\x01\x02")
    path.write_bytes(data[: entry + 8] + b"\x01" + data[entry + 9 :])  # the flag of encryption
    _, rejected = ingest(tmp_path / "set", {**FOLDERS, "images": "a.zip!"})
    assert reasons_of(rejected) == {"a.zip!cat/link.jpg": "symbolic link in an archive",
                                    "a.zip!cat/secret.jpg": "encrypted in its archive"}  # fmt: skip


@pytest.mark.parametrize("name", ["../out.jpg", "/etc/out.jpg", "cat/../../out.jpg", "cat/../dog/a.jpg", "..", "a/.."])
@pytest.mark.parametrize("archive", ["a.zip", "a.tar"])
def test_members_that_lead_out_are_rejected(tmp_path: Path, archive: str, name: str) -> None:
    WRITERS[archive](tmp_path / "set" / archive, {**IMAGES, name: encoded(9)})
    manifest, rejected = ingest(tmp_path / "set", {**FOLDERS, "images": f"{archive}!"})
    assert reasons_of(rejected) == {f"{archive}!{name}": "leads out of its archive"}
    assert len(manifest) == 3 and not list(tmp_path.rglob("out.jpg"))


def test_second_member_of_a_name_is_rejected_and_the_first_kept(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set" / "a.tar", IMAGES)
    with tarfile.open(path, "a") as packed:
        add(packed, "cat/0.jpg", encoded(8))
        add(packed, "./cat//0.jpg", encoded(9))
    manifest, rejected = ingest(tmp_path / "set", {**FOLDERS, "images": "a.tar!"})
    assert list(rejected["image"]) == ["a.tar!cat/0.jpg"] * 2
    assert set(rejected["reason"]) == {"duplicate identifier: a member before has that name"}
    assert len(manifest) == 3
    with RawFiles(tmp_path / "set") as files:
        assert files.read("a.tar!cat/0.jpg") == IMAGES["cat/0.jpg"]


def test_names_that_no_disk_holds_are_rejected(tmp_path: Path) -> None:
    deep = "d/" * 150 + "a.jpg"
    members = {**IMAGES, f"cat/{'n' * 300}.jpg": b"x", "cat/0.jpg/below.jpg": b"x", deep: b"x", "cat": b"x"}
    write_zip(tmp_path / "set" / "a.zip", members)
    _, rejected = ingest(tmp_path / "set", {**FOLDERS, "images": "a.zip!"})
    reasons = {image.removeprefix("a.zip!"): reason for image, reason in reasons_of(rejected).items()}
    assert reasons.pop(deep) == "lies more than 100 folders deep in its archive"
    assert set(reasons) == {f"cat/{'n' * 300}.jpg", "cat/0.jpg/below.jpg", "cat"}
    assert all(reason.startswith("cannot be unpacked under its name: ") for reason in reasons.values())


def test_names_that_are_no_utf8_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "set" / "a.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as packed:
        for name, data in [*IMAGES.items(), ("cat/é.jpg", encoded(9))]:
            add(packed, name, data)
    _, rejected = ingest(tmp_path / "set", {**FOLDERS, "images": "a.tar!"})
    assert list(rejected["reason"]) == ["its name is not UTF-8 text"]


@pytest.mark.parametrize(("stored", "expected"), [(b"\xc3\xa9a", "éa"), (b"\x82ba", None)])
def test_names_of_a_zip_without_the_utf8_flag(tmp_path: Path, stored: bytes, expected: str | None) -> None:
    path = write_zip(tmp_path / "set" / "a.zip", {**IMAGES, "cat/xyz.jpg": encoded(9)})
    path.write_bytes(path.read_bytes().replace(b"xyz", stored))
    manifest, rejected = ingest(tmp_path / "set", {**FOLDERS, "images": "a.zip!"})
    if expected:
        assert f"a.zip!cat/{expected}.jpg" in set(manifest["image"]) and rejected.empty
    else:
        assert list(rejected["reason"]) == ["its name is not UTF-8 text"]


def test_label_of_a_member_that_was_not_unpacked_has_its_reason(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set" / "a.tar", {"0.jpg": encoded(0), "1.jpg": encoded(1)})
    with tarfile.open(path, "a") as packed:
        add(packed, "2.jpg", type=tarfile.SYMTYPE, linkname="0.jpg")
    (tmp_path / "set" / "labels.csv").write_text("image,level\n0.jpg,0\n1.jpg,1\n2.jpg,1\n")
    _, rejected = ingest(tmp_path / "set", {**TABLE, "images": "a.tar!"})
    assert [tuple(row) for row in rejected.itertuples(index=False)] == [
        ("a.tar!2.jpg", "symbolic link in an archive", "1")
    ]


def test_member_of_a_zip_that_is_damaged_is_rejected_alone(tmp_path: Path) -> None:
    path = tmp_path / "set" / "a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as packed:  # stored: one byte of a picture changes
        for name, data in IMAGES.items():
            packed.writestr(name, data)
    data = path.read_bytes()
    path.write_bytes(data.replace(IMAGES["dog/2.jpg"], IMAGES["dog/2.jpg"][:-9] + b"\0" * 9))
    with pytest.raises(UserError, match=r"a\.zip!dog/2\.jpg .damaged in its archive: Bad CRC-32"):
        ingest(tmp_path / "set", {**FOLDERS, "images": "a.zip!"}, classes=["cat", "dog"])
    assert written(unpack(path).folder) == {"cat/0.jpg", "cat/1.jpg"}


@pytest.mark.parametrize("name", WRITERS)
def test_archive_cut_anywhere_is_one_line(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / "set" / name, {f"cat/{number}.jpg": encoded(number) for number in range(8)})
    data = path.read_bytes()
    end = len(data) if path.suffix != ".tar" else data.rindex(encoded(7)[-9:])  # a tar is padded with zeros
    boundary = [data.index(b"cat/3.jpg")] if path.suffix == ".tar" else []
    for stop in [*boundary, 0, 1, 100, 511, 512, 513, 1024, 1536, *range(2000, end, 499)]:
        path.write_bytes(data[:stop])
        with pytest.raises(UserError, match="fetch it again") as error:
            unpack(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert written(tmp_path / "project") == set()


@pytest.mark.parametrize("change", ["zeros between", "text between", "second archive"])
def test_tar_that_hides_members_is_an_error(tmp_path: Path, change: str) -> None:
    path = write_tar(tmp_path / "a.tar", IMAGES)
    data = path.read_bytes()
    header = data.index(b"dog/2.jpg")
    between = {"zeros between": bytes(1024) + data[header:], "text between": b"x" * 512 + data[header + 512 :],
               "second archive": data[header:] + data}[change]  # fmt: skip
    path.write_bytes(data[:header] + between)
    with pytest.raises(UserError, match="fetch it again"):
        unpack(path)


@pytest.mark.parametrize(("name", "data"), [("a.zip", b"GIF89a"), ("a.tar", b"x" * 5000), ("a.tgz", b"no gzip" * 99),
                                            ("b.tgz", gzip.compress(b"no tar" * 999, mtime=0)), ("a.tar.gz", b"")],
                         ids=["gif", "no tar", "no gzip", "gzip without tar", "empty"])  # fmt: skip
def test_what_is_no_archive_is_one_line(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=f"{name}: is damaged or not what its name says"):
        unpack(tmp_path / name)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize("member", ["cat/a.jpg", ".hidden", "../out"])
def test_a_bomb_is_refused_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, member: str
) -> None:
    monkeypatch.setattr(members_module, "ALLOWANCE", 1 << 20)
    path = WRITERS[name](tmp_path / name, {member: bytes(6 << 20)})
    with pytest.raises(UserError, match=rf"{name}: unpacks to more than . MiB, 200 times its size: a decompression"):
        unpack(path)
    assert written(tmp_path / "project") == set()


def test_an_archive_of_black_pictures_is_no_bomb(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {f"{number}.bmp": bytes(1 << 20) for number in range(60)})
    assert len(written(unpack(path).folder)) == 60


def test_thousands_of_empty_folders_in_a_few_bytes_are_a_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members_module, "ALLOWANCE", 1 << 20)
    header = tarfile.TarInfo("folder").tobuf()
    (tmp_path / "a.tgz").write_bytes(gzip.compress(header * 2000, 9))
    with pytest.raises(UserError, match="decompression bomb"):
        unpack(tmp_path / "a.tgz")


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(UserError, match="a header of 8589934592 bytes"):
        unpack(tmp_path / "a.tar")


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_a_member_of_less_than_nothing_is_no_endless_loop(tmp_path: Path, kind: bytes) -> None:
    first = tarfile.TarInfo("cat/0.jpg").tobuf(tarfile.GNU_FORMAT)
    header = tarfile.TarInfo("cat/1.jpg")
    header.type, header.size = kind, -1024
    (tmp_path / "a.tar").write_bytes(first + header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(UserError, match="fetch it again"):
        unpack(tmp_path / "a.tar")


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.jpg": bytes(20_000)})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 9999, 9999))
    with pytest.raises(UserError, match=r"a\.zip: unpacks to more than the 0 MiB that are free"):
        unpack(path)


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "project").write_text("a file where the store should be")
    with pytest.raises(UserError, match=r"a\.zip: cannot be unpacked below .*archives .Not a directory.; make room"):
        unpack(write_zip(tmp_path / "a.zip", IMAGES))


def test_the_store_may_be_deleted_at_any_time(tmp_path: Path) -> None:
    write_zip(tmp_path / "set" / "a.zip", IMAGES)
    with RawFiles(tmp_path / "set") as files:
        assert files.read("a.zip!dog/2.jpg") == IMAGES["dog/2.jpg"]
        shutil.rmtree(tmp_path / "project")
        assert files.read("a.zip!dog/2.jpg") == IMAGES["dog/2.jpg"]


def test_a_store_that_was_deleted_in_part_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "a.zip", IMAGES)
    (unpack(path).folder / "cat" / "0.jpg").unlink()
    monkeypatch.setattr("fovea.ingest.archives._known", {})  # as in the next process
    assert written(unpack(path).folder) == set(IMAGES)


def test_the_same_archive_elsewhere_is_not_unpacked_again(tmp_path: Path) -> None:
    first, second = (write_zip(tmp_path / name / "a.zip", {}) for name in ("x", "y"))
    shutil.copy(write_zip(tmp_path / "a.zip", IMAGES), first)
    shutil.copy(first, second)
    folder = unpack(first).folder
    made = folder.stat().st_ino
    assert unpack(second).folder == folder and folder.stat().st_ino == made
    assert [path.name for path in contents(store_folder("archives"))] == [folder.parent.name]


def test_a_changed_archive_is_noticed(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set" / "a.zip", IMAGES)
    with RawFiles(tmp_path / "set") as files:
        before = digest(files.read("a.zip!cat/0.jpg"))
        write_zip(path, {"cat/0.jpg": encoded(77)})
        assert digest(files.read("a.zip!cat/0.jpg")) != before
        with pytest.raises(UserError, match=r"a\.zip!dog/2\.jpg: not in the archive any more; .*dvc repro"):
            files.read("a.zip!dog/2.jpg")
        path.unlink()
        with pytest.raises(UserError, match=r"set/a\.zip not found; run: dvc pull"):
            files.read("a.zip!dog/2.jpg")


def test_archive_outside_the_set_is_not_opened(tmp_path: Path) -> None:
    write_zip(tmp_path / "out.zip", IMAGES)
    write_images(tmp_path / "set", "a.jpg", "b.jpg")
    rows = ["image,level", "a.jpg,0", "b.jpg,1", "../out.zip!cat/0.jpg,0", f"{tmp_path}/out.zip!cat/0.jpg,0"]
    (tmp_path / "set" / "labels.csv").write_text("\n".join(rows))
    manifest, rejected = ingest(tmp_path / "set", {**TABLE, "images": ""})
    assert len(manifest) == 2 and set(rejected["reason"]) == {"leads out of the set's folder"}
    assert not (tmp_path / "project").exists()


@pytest.mark.parametrize(("change", "message"), [
    ({"images": "a.zip"}, r"a\.zip is not a folder; it is a file; the folder in an archive is written a\.zip!"),
    ({"images": "a.zip!pictures"}, r"a\.zip!pictures is not a folder; a\.zip! has the folders cat, dog"),
    ({"images": "b.zip!"}, r"b\.zip! is not a folder; .*set has no folders"),
    ({"file": "a.zip!list.csv"}, r"file: .*a\.zip!list\.csv does not exist; .* holds cat, dog"),
])  # fmt: skip
def test_wrong_path_into_an_archive_says_what_there_is(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_zip(tmp_path / "set" / "a.zip", IMAGES)
    with pytest.raises(UserError, match=message):
        ingest(tmp_path / "set", {**TABLE, "images": "a.zip!", **change})


def unpack_in_process(path: str) -> list[str]:
    folder = unpack(Path(path)).folder
    return sorted(file.read_bytes().hex() for file in folder.rglob("*.jpg"))


def test_processes_and_threads_may_unpack_at_once(tmp_path: Path) -> None:
    members = {f"cat/{number}.jpg": encoded(number, (64, 48)) for number in range(200)}
    path = str(write_zip(tmp_path / "a.zip", members))
    expected = sorted(data.hex() for data in members.values())
    with multiprocessing.get_context("fork").Pool(3) as processes, ThreadPoolExecutor(3) as threads:
        started = processes.map_async(unpack_in_process, [path] * 3, chunksize=1)
        assert list(threads.map(unpack_in_process, [path] * 3)) == [expected] * 3
        assert started.get(60) == [expected] * 3
    assert len(contents(store_folder("archives"))) == 1


PARTS = st.sampled_from(["a", "b", "..", ".", "", "A", "é", ".x", "__MACOSX", "\udce9", "n" * 256, "c:", "a\\b", "a!b"])
NAMES = st.lists(st.one_of(PARTS, st.text(max_size=4)), min_size=1, max_size=5).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE])


def hidden(name: str) -> bool:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return parts[:1] == ["__MACOSX"] or any(part.startswith(".") and part != ".." for part in parts)


def count(archive: Path) -> Iterator[str]:
    """Names of the members of an archive that are neither folders nor hidden, as its own library lists them."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as packed:
            yield from (name for name in packed.namelist() if not name.endswith("/") and not hidden(name))
    else:
        with tarfile.open(archive, encoding="utf-8", errors="surrogateescape") as tar:
            yield from (info.name for info in tar if not info.isdir() and not hidden(info.name))


def outside(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if not path.is_relative_to(root / "deep" / "target")}


@LAW
@given(members=st.lists(st.tuples(NAMES, KINDS, NAMES), max_size=8))
def test_nothing_is_written_outside_and_every_member_of_a_tar_counts(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes, str]]
) -> None:
    root = tmp_path_factory.mktemp("law")
    (root / "deep" / "target").mkdir(parents=True)
    archive = root / "a.tar"
    with tarfile.open(archive, "w", encoding="utf-8", errors="surrogateescape", format=tarfile.GNU_FORMAT) as packed:
        for name, kind, target in members:
            try:
                add(packed, name, b"data" if kind == tarfile.REGTYPE else b"", type=kind, linkname=target)
            except UnicodeEncodeError:  # half a character pair: no tar holds it
                continue
    before = outside(root)
    files, faults = write_members(archive, root / "deep" / "target")
    assert outside(root) == before
    assert files == len(written(root / "deep" / "target"))
    assert files + len(faults) == len(list(count(archive)))


@LAW
@given(names=st.lists(NAMES, max_size=8))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_nothing_is_written_outside_and_every_member_of_a_zip_counts(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = tmp_path_factory.mktemp("law")
    (root / "deep" / "target").mkdir(parents=True)
    archive = root / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in names:
            try:
                packed.writestr(name, b"data")
            except (UnicodeEncodeError, IndexError):  # IndexError: zipfile cannot write a name that is empty
                continue
    before = outside(root)
    files, faults = write_members(archive, root / "deep" / "target")
    assert outside(root) == before
    assert files == len(written(root / "deep" / "target"))
    assert files + len(faults) == len(list(count(archive)))


@LAW
@given(data=st.data())
def test_any_bytes_give_members_or_one_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("law")
    name = data.draw(st.sampled_from(["a.zip", "a.tar", "a.tgz"]))
    content = bytearray(WRITERS[name](root / name, IMAGES).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (root / name).write_bytes(content)
    (root / "target").mkdir()
    try:
        files, _ = write_members(root / name, root / "target")
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert files == len(written(root / "target"))


def test_the_index_of_the_store_keeps_names_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", encoding="utf-8", errors="surrogateescape", format=tarfile.GNU_FORMAT) as packed:
        add(packed, "\udce9.jpg", b"x")
    assert unpack(path).faults == [("\udce9.jpg", "its name is not UTF-8 text")]
    assert json.loads((unpack(path).folder.parent / "index.json").read_text())["files"] == 0


def test_size_that_a_zip_declares_too_small_is_damage(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.jpg": bytes(1000)})
    data = path.read_bytes()
    entry = data.rindex(b"PK\x01\x02")
    path.write_bytes(data[: entry + 24] + struct.pack("<I", 10) + data[entry + 28 :])
    assert [reason.split(":")[0] for _, reason in unpack(path).faults] == ["damaged in its archive"]


def test_manifest_of_an_archive_is_that_of_its_folder(tmp_path: Path) -> None:
    write_zip(tmp_path / "set" / "a.zip", IMAGES)
    for name, data in IMAGES.items():
        (tmp_path / "plain" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / name).write_bytes(data)
    packed, _ = ingest(tmp_path / "set", {**FOLDERS, "images": "a.zip!"})
    plain, _ = ingest(tmp_path / "plain", FOLDERS)
    for column in ("image", "rest"):
        packed[column] = packed[column].str.removeprefix("a.zip!")
    pd.testing.assert_frame_equal(packed, plain)


def test_members_compressed_with_lzma_are_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("x/a.jpg", encoded(0))
        packed.writestr("x/b.jpg", encoded(1), zipfile.ZIP_LZMA)
    assert unpack(tmp_path / "a.zip").faults == [("x/b.jpg", "compressed with LZMA, which is not read; pack it again")]
