"""Every file is accepted or rejected with a reason, never a crash and never dropped."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fovea.ingest.address import path_fault
from fovea.ingest.check import check_file
from fovea.ingest.entry import Facts
from fovea.tables import as_utf8, read_table, write_table
from tests.ingest_sets import FOLDERS, TABLE, encoded, ingest, reasons_of, write_images

LAW = settings(max_examples=60, deadline=None)
STARTS = (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"BM")  # of a JPEG, a PNG, a TIFF, a BMP


def checked(path: Path, data: bytes, max_pixels: int = 10**6) -> Facts | str:
    path.write_bytes(data)
    return check_file(path, max_pixels)


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp", "bmp", "gif"])
def test_formats_are_told_by_content(tmp_path: Path, kind: str) -> None:
    facts = checked(tmp_path / "misleading.dat", encoded(0, (24, 16), kind))
    assert isinstance(facts, Facts)
    assert (facts.width, facts.height, facts.format) == (24, 16, kind)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_are_accepted(tmp_path: Path, mode: str) -> None:
    assert isinstance(checked(tmp_path / "a.jpg", encoded(0, mode=mode)), Facts)


def test_jpeg_with_a_second_picture_is_a_jpeg(tmp_path: Path) -> None:
    second = Image.open(io.BytesIO(encoded(1)))
    facts = checked(tmp_path / "a.jpg", encoded(0, kind="MPO", save_all=True, append_images=[second]))
    assert isinstance(facts, Facts) and facts.format == "jpeg"


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp"])
def test_orientation_turns_width_and_height(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    facts = checked(tmp_path / "a.jpg", encoded(0, (24, 16), kind, exif=exif))
    assert isinstance(facts, Facts) and (facts.width, facts.height) == (16, 24)


@LAW
@given(cut=st.floats(0.02, 0.999), progressive=st.booleans(), kind=st.sampled_from(["jpeg", "png", "bmp", "gif"]))
def test_truncated_file_is_rejected_wherever_it_ends(
    tmp_path_factory: pytest.TempPathFactory, cut: float, progressive: bool, kind: str
) -> None:
    options = {"progressive": progressive} if kind == "jpeg" else {}
    data = encoded(0, (64, 48), kind, **options)
    if kind != "jpeg":
        data = data[:-16]  # the last bytes of these hold no pixels
    result = checked(tmp_path_factory.getbasetemp() / "cut.img", data[: int(len(data) * cut)])
    assert isinstance(result, str)


def test_jpeg_with_its_middle_missing_is_rejected(tmp_path: Path) -> None:
    data = encoded(0, (64, 48))
    assert checked(tmp_path / "a.jpg", data[: len(data) // 2] + b"\xff\xd9") == "truncated or damaged JPEG"


@pytest.mark.parametrize("seed", range(8))
def test_jpeg_with_something_appended_is_a_jpeg(tmp_path: Path, seed: int) -> None:
    video = np.random.default_rng(seed).integers(0, 256, 400_000, dtype=np.uint8).tobytes()  # of a phone's moving photo
    assert isinstance(checked(tmp_path / "a.jpg", encoded(0, (64, 48)) + video), Facts)
    assert isinstance(checked(tmp_path / "b.jpg", encoded(0, (64, 48), progressive=True) + video), Facts)


def test_jpeg_whose_second_picture_is_cut_is_a_jpeg(tmp_path: Path) -> None:
    second = Image.open(io.BytesIO(encoded(1, (64, 48))))
    both = encoded(0, (64, 48), kind="MPO", save_all=True, append_images=[second])
    assert isinstance(checked(tmp_path / "a.jpg", both[:-200]), Facts)


@LAW
@given(data=st.binary(max_size=200), start=st.sampled_from(STARTS))
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_any_bytes_give_facts_or_a_reason(tmp_path_factory: pytest.TempPathFactory, start: bytes, data: bytes) -> None:
    assert isinstance(checked(tmp_path_factory.getbasetemp() / "any.img", start + data), Facts | str)


def test_too_large_image_is_rejected_by_its_header(tmp_path: Path) -> None:
    header = encoded(0, (100, 100), "png")[:60]  # no pixels follow, so decoding would fail
    assert checked(tmp_path / "a.png", header, 9999) == "larger than ingest.max_pixels: 100 x 100 px"


def test_reasons_for_rejection(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg", "images/lonely.jpg", "images/unlisted.jpg")
    (tmp_path / "images" / "empty.jpg").write_bytes(b"")
    (tmp_path / "images" / "text.jpg").write_text("no image at all")
    rows = ["a.jpg,0", "b.jpg,1", "empty.jpg,0", "text.jpg,0", "missing.jpg,0", "lonely.jpg,7", "../out.jpg,0"]
    (tmp_path / "labels.csv").write_text("\n".join(["image,level", *rows]))
    manifest, rejected = ingest(tmp_path, TABLE, classes=["0", "1"])
    assert reasons_of(rejected) == {
        "images/empty.jpg": "empty file",
        "images/text.jpg": "not an image",
        "images/missing.jpg": "no such file",
        "images/lonely.jpg": "label outside dataset.classes: 7",
        "images/unlisted.jpg": "no label: no label file names it",
        "out.jpg": "no such file",
    }
    assert list(manifest["image"]) == ["images/a.jpg", "images/b.jpg"]


@pytest.mark.parametrize("name", ["../../out.jpg", "/etc/out.jpg"])
def test_name_that_leaves_the_folder_is_rejected(tmp_path: Path, name: str) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "labels.csv").write_text(f"image,level\na.jpg,0\nb.jpg,1\n{name},1\n")
    _, rejected = ingest(tmp_path, TABLE)
    assert list(rejected["reason"]) == ["leads out of the set's folder"]


def test_image_without_a_label_is_rejected(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    (tmp_path / "labels.csv").write_text("image,level\na.jpg,0\nb.jpg,1\nc.jpg,\n")
    _, rejected = ingest(tmp_path, TABLE)
    assert reasons_of(rejected) == {"images/c.jpg": "no label: labels.csv, line 4"}


def test_duplicate_identifier_keeps_the_first(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "labels.csv").write_text("image,level\na.jpg,0\nb.jpg,1\na.jpg,0\n")
    manifest, rejected = ingest(tmp_path, TABLE)
    assert len(manifest) == 2 and reasons_of(rejected) == {"images/a.jpg": "duplicate identifier: named before"}


def test_contradicting_identifiers_are_all_rejected(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    (tmp_path / "labels.csv").write_text("image,level\na.jpg,0\nb.jpg,1\nc.jpg,0\nc.jpg,1\n")
    manifest, rejected = ingest(tmp_path, TABLE)
    assert list(manifest["image"]) == ["images/a.jpg", "images/b.jpg"]
    assert list(rejected["image"]) == ["images/c.jpg", "images/c.jpg"]


def test_identical_files_are_accepted(tmp_path: Path) -> None:
    write_images(tmp_path, "x/a.jpg", "y/b.jpg")
    (tmp_path / "y" / "copy.jpg").write_bytes((tmp_path / "x" / "a.jpg").read_bytes())
    manifest, rejected = ingest(tmp_path, FOLDERS)
    assert len(manifest) == 3 and manifest["digest"].nunique() == 2 and rejected.empty


def test_links_out_of_the_folder_are_rejected(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_images(root, "x/a.jpg", "y/b.jpg")
    write_images(tmp_path, "secret/c.jpg")
    os.symlink(tmp_path / "secret" / "c.jpg", root / "x" / "file.jpg")
    os.symlink(tmp_path / "secret", root / "x" / "folder")
    os.symlink(tmp_path / "secret", root / "class")
    os.symlink("nowhere.jpg", root / "x" / "broken.jpg")
    os.symlink("a.jpg", root / "x" / "inside.jpg")
    manifest, rejected = ingest(root, FOLDERS)
    out = "symbolic link that leads out of the set's folder"
    assert reasons_of(rejected) == {"x/file.jpg": out, "x/folder": out, "class": out,
                                    "x/broken.jpg": "symbolic link to nothing"}
    assert list(manifest["image"]) == ["x/a.jpg", "x/inside.jpg", "y/b.jpg"]


def test_the_set_itself_may_be_a_link(tmp_path: Path) -> None:
    write_images(tmp_path, "elsewhere/x/a.jpg", "elsewhere/y/b.jpg")
    os.symlink(tmp_path / "elsewhere", tmp_path / "set")
    assert len(ingest(tmp_path / "set", FOLDERS)[0]) == 2


def test_links_into_the_store_of_dvc_are_files_of_the_set(tmp_path: Path) -> None:
    stored = f"files/md5/ab/{'0' * 30}"
    write_images(tmp_path, "set/x/a.jpg", "set/y/b.jpg", stored)
    os.symlink(tmp_path / stored, tmp_path / "set" / "x" / "c.jpg")
    assert len(ingest(tmp_path / "set", FOLDERS)[0]) == 3


def test_link_to_a_folder_above_ends(tmp_path: Path) -> None:
    write_images(tmp_path, "x/a.jpg", "x/deep/b.jpg", "y/c.jpg")
    os.symlink(tmp_path, tmp_path / "x" / "root")
    os.symlink(tmp_path / "x", tmp_path / "x" / "deep" / "again")
    manifest, rejected = ingest(tmp_path, FOLDERS)
    assert list(manifest["image"]) == ["x/a.jpg", "x/deep/b.jpg", "y/c.jpg"] and rejected.empty


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="macOS has UTF-8 file names only")
def test_file_name_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    write_images(tmp_path, "x/a.jpg", "y/b.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path / "x") + b"/\xe9.jpg")).write_bytes(encoded(7))
    _, rejected = ingest(tmp_path, FOLDERS)
    rejected.to_csv(io.StringIO())
    assert list(rejected["reason"]) == ["its name is not UTF-8 text"]


def test_folder_named_like_an_image_is_no_image(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "images" / "c.jpg").mkdir()
    (tmp_path / "labels.csv").write_text("image,level\na.jpg,0\nb.jpg,1\nc.jpg,1\n")
    assert reasons_of(ingest(tmp_path, TABLE)[1]) == {"images/c.jpg": "not a file"}


ODD_NAMES = ("=cmd.jpg", "'=cmd.jpg", "@SUM(A1).jpg", "a\rb.jpg", "a\nb.jpg", "a\r\n,b.jpg", "\r.jpg", 'a"b.jpg',
             '".jpg', "\udce9.jpg")  # fmt: skip


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="macOS has UTF-8 file names only")
def test_rejected_names_come_back_from_the_table_and_are_safe_in_a_spreadsheet(tmp_path: Path) -> None:
    write_images(tmp_path / "set", "x/a.jpg", "y/b.jpg", *ODD_NAMES)
    _, rejected = ingest(tmp_path / "set", FOLDERS)
    write_table(tmp_path / "rejected.csv", rejected)
    back = read_table(tmp_path / "rejected.csv")
    assert sorted(back["image"]) == sorted(as_utf8(name) for name in ODD_NAMES)
    assert back.to_dict() == rejected.to_dict()
    with (tmp_path / "rejected.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in cells)


def test_a_rejected_name_in_a_label_file_that_no_file_can_have_comes_back(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg")
    labels = {"a.jpg": "0", "b.jpg": "1", "c\0d.jpg": "=1", "\ud800.jpg": "1"}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    _, rejected = ingest(tmp_path, {**TABLE, "file": "labels.json", "name_column": "name", "label_column": "label"})
    write_table(tmp_path / "rejected.csv", rejected)
    back = read_table(tmp_path / "rejected.csv")
    assert back[["image", "label"]].to_numpy().tolist() == [["images/c\\x00d.jpg", "=1"], ["images/\\ud800.jpg", "1"]]


def test_a_link_to_itself_is_rejected(tmp_path: Path) -> None:
    write_images(tmp_path, "x/a.jpg", "y/b.jpg")
    os.symlink("loop.jpg", tmp_path / "x" / "loop.jpg")
    os.symlink("there", tmp_path / "x" / "back")
    os.symlink("back", tmp_path / "x" / "there")
    manifest, rejected = ingest(tmp_path, FOLDERS)
    assert len(manifest) == 2 and reasons_of(rejected) == {"x/loop.jpg": "symbolic link to nothing"}


def test_a_fault_is_the_same_with_folders_remembered(tmp_path: Path) -> None:
    """Each address by itself, all with one memory, and all again, when every folder is known."""
    write_images(tmp_path, "set/x/a.jpg", "out/b.jpg")
    root = tmp_path / "set"
    for link, target in {"x/out.jpg": "../../out/b.jpg", "x/in.jpg": "a.jpg", "x/no.jpg": "nothing", "in": "x",
                         "out": "../out", "x/loop.jpg": "loop.jpg", "loop": "loop"}.items():  # fmt: skip
        (root / link).symlink_to(target)
    out = "symbolic link that leads out of the set's folder"
    expected = {
        "x/a.jpg": None, "x/in.jpg": None, "in/a.jpg": None, "in/in.jpg": None, "in/../x/a.jpg": None, "x//a.jpg": None,
        "x/out.jpg": out, "in/out.jpg": out, "out/b.jpg": out, "x/../out/b.jpg": out, "out": out,
        "x/no.jpg": "symbolic link to nothing", "x/loop.jpg": "symbolic link to nothing",
        "loop/a.jpg": "no such file", "x/a.jpg/b.jpg": "no such file", "x/b.jpg": "no such file",
        "x/../../out/b.jpg": out, "x": "not a file", "": "not a file",
        "../out/b.jpg": "leads out of the set's folder", f"{root}/x/a.jpg": "leads out of the set's folder",
    }  # fmt: skip
    real: dict[str, str] = {}
    assert {address: path_fault(str(root), address, {}) for address in expected} == expected
    assert {address: path_fault(str(root), address, real) for address in expected} == expected
    assert {address: path_fault(str(root), address, real) for address in expected} == expected


@LAW
@given(faults=st.lists(st.sampled_from(["fine", "empty", "text", "cut", "missing"]), max_size=12))
def test_what_goes_in_is_accepted_or_rejected(tmp_path_factory: pytest.TempPathFactory, faults: list[str]) -> None:
    root = tmp_path_factory.mktemp("set")
    write_images(root, "images/x.jpg", "images/y.jpg")
    contents = {"fine": encoded(5), "empty": b"", "text": b"text", "cut": encoded(5)[:-40]}
    rows = ["image,level", "x.jpg,0", "y.jpg,1"]
    for number, fault in enumerate(faults):
        if fault in contents:
            (root / "images" / f"{number}.jpg").write_bytes(contents[fault])
        rows.append(f"{number}.jpg,{number % 2}")
    (root / "labels.csv").write_text("\n".join(rows))
    manifest, rejected = ingest(root, TABLE)
    assert len(manifest) == 2 + faults.count("fine")
    assert len(manifest) + len(rejected) == 2 + len(faults)
