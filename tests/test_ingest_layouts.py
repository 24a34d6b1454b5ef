"""Each label layout gives the labels, groups and splits that its files hold."""

import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
import yaml

from fovea.errors import UserError
from fovea.ingest.layouts import read_sources
from fovea.ingest.naming import in_our_terms
from fovea.params.dataset import DatasetParams
from tests.ingest_sets import FOLDERS, LISTS, SET, TABLE, column_of, ingest, labels_of, reasons_of, write_images


def test_folders_name_the_class(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/a.jpg", "cat/deep/b.PNG", "dog/c.jpeg")
    manifest, rejected = ingest(tmp_path, FOLDERS)
    assert labels_of(manifest) == {"cat/a.jpg": "cat", "cat/deep/b.PNG": "cat", "dog/c.jpeg": "dog"}
    assert rejected.empty


def test_split_folders_stand_above_the_class(tmp_path: Path) -> None:
    write_images(tmp_path, "train/cat/a.jpg", "train/dog/b.jpg", "validation/cat/c.jpg")
    source = {**FOLDERS, "split_folders": True}
    manifest, _ = ingest(tmp_path, source, splits={"train": "train", "validation": "val"})
    assert labels_of(manifest)["validation/cat/c.jpg"] == "cat"
    assert column_of(manifest, "given_split")["validation/cat/c.jpg"] == "val"


def test_split_folders_may_lie_in_each_class(tmp_path: Path) -> None:
    write_images(tmp_path, "all/cat/train/a.jpg", "all/dog/train/deep/b.jpg", "all/cat/validation/c.jpg",
                 "all/cat/d.jpg", "all/e.jpg")  # fmt: skip
    source = {**FOLDERS, "images": "all", "split_folders": "below"}
    manifest, rejected = ingest(tmp_path, source, splits={"train": "train", "validation": "val"})
    assert labels_of(manifest) == {
        "all/cat/d.jpg": "cat", "all/cat/train/a.jpg": "cat", "all/cat/validation/c.jpg": "cat",
        "all/dog/train/deep/b.jpg": "dog"}  # fmt: skip
    assert column_of(manifest, "given_split") == {
        "all/cat/d.jpg": None, "all/cat/train/a.jpg": "train", "all/cat/validation/c.jpg": "val",
        "all/dog/train/deep/b.jpg": "train"}  # fmt: skip
    assert list(manifest["rest"]) == ["all/*/d.jpg", "all/*/*/a.jpg", "all/*/*/c.jpg", "all/*/*/deep/b.jpg"]
    assert reasons_of(rejected) == {"all/e.jpg": "no label: lies in no class folder"}


def test_split_folders_taken_for_classes_are_an_error(tmp_path: Path) -> None:
    write_images(tmp_path, "train/cat/a.jpg", "test/dog/b.jpg")
    with pytest.raises(UserError, match=r"dataset\.sources\.0\.split_folders.*set split_folders: true"):
        ingest(tmp_path, FOLDERS)


def test_folders_skip_hidden_and_other_files(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/a.jpg", "dog/b.jpg", "cat/.c.jpg", ".git/d.jpg")
    (tmp_path / "cat" / "README.txt").write_text("no image")
    manifest, rejected = ingest(tmp_path, FOLDERS)
    assert len(manifest) == 2 and rejected.empty


PICTURES = ("a.heic", "deep/b.NEF", "c.svg")


def test_pictures_that_are_not_supported_are_rejected_by_every_layout(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/a.jpg", "dog/b.jpg", *(f"cat/{name}" for name in PICTURES), "cat/.d.heic")
    rows = "image,level\ncat/a.jpg,0\ndog/b.jpg,1\ncat/a.heic,1\n"
    (tmp_path / "labels.csv").write_text(rows)
    wanted = {"cat/a.heic": "unsupported: .heic", "cat/deep/b.NEF": "unsupported: .nef",
              "cat/c.svg": "unsupported: .svg"}  # fmt: skip
    pattern = {"layout": "pattern", "images": "", "pattern": "(?P<label>[ab])", "split": None}
    for source in (FOLDERS, pattern, {**TABLE, "images": ""}):
        manifest, rejected = ingest(tmp_path, source)
        assert list(manifest["image"]) == ["cat/a.jpg", "dog/b.jpg"]
        assert reasons_of(rejected) == wanted


def test_other_endings_of_jpegs_are_images(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/a.jfif", "cat/b.JPE", "dog/c.jif")
    manifest, rejected = ingest(tmp_path, FOLDERS)
    assert len(manifest) == 3 and set(manifest["format"]) == {"jpeg"} and rejected.empty


def test_image_outside_any_class_folder_is_rejected(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/a.jpg", "dog/b.jpg", "c.jpg")
    _, rejected = ingest(tmp_path, FOLDERS)
    assert reasons_of(rejected) == {"c.jpg": "no label: lies in no class folder"}


def test_pattern_reads_the_first_letter_of_the_name(tmp_path: Path) -> None:
    write_images(tmp_path, "P1/H0.jpg", "P1/N0.jpg", "P1/P0.jpg", "P1/X0.jpg")
    source = {"layout": "pattern", "images": "P1", "pattern": "^(?P<label>[HNP])", "split": None}
    manifest, rejected = ingest(tmp_path, source, labels={"H": "normal", "N": "normal", "P": "myopia"})
    assert list(labels_of(manifest).values()) == ["normal", "normal", "myopia"]
    assert list(reasons_of(rejected)) == ["P1/X0.jpg"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_table_with_header(tmp_path: Path, delimiter: str) -> None:
    write_images(tmp_path, "images/a.jpeg", "images/b.jpeg")
    text = f"\ufeffimage{delimiter} level {delimiter}id\na{delimiter}0{delimiter}1\n b {delimiter} 1 {delimiter}2\n"
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    manifest, _ = ingest(tmp_path, {**TABLE, "extension": ".jpeg"})
    assert labels_of(manifest) == {"images/a.jpeg": "0", "images/b.jpeg": "1"}


def test_last_line_without_newline_is_read(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "train.txt").write_text("a.jpg,0\nb.jpg,1")
    source = {**TABLE, "file": "train.txt", "header": False, "name_column": 0, "label_column": 1}
    manifest, rejected = ingest(tmp_path, source)
    assert labels_of(manifest) == {"images/a.jpg": "0", "images/b.jpg": "1"}
    assert rejected.empty


def test_three_text_files_give_the_split(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    parts = {"train": "a.jpg,0\n", "validation": "b.jpg,1\n", "test": "c.jpg,1"}
    sources = []
    for part, text in parts.items():
        (tmp_path / f"{part}.txt").write_text(text)
        sources.append({**TABLE, "file": f"{part}.txt", "header": False, "name_column": 0, "label_column": 1,
                        "split": part})
    manifest, rejected = ingest(tmp_path, *sources, splits={"train": "train", "validation": "val", "test": "test"})
    assert list(column_of(manifest, "given_split").values()) == ["train", "val", "test"]
    assert rejected.empty


def test_table_may_hold_labels_that_look_like_missing_values(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "labels.csv").write_text("image,level\na.jpg,NA\nb.jpg,None\n")
    assert set(labels_of(ingest(tmp_path, TABLE)[0]).values()) == {"NA", "None"}


def test_xlsx_numbers_become_text(tmp_path: Path) -> None:
    write_images(tmp_path, "images/V1.jpg", "images/V2.jpg")
    book = openpyxl.Workbook()
    for row in (("ID", "imgName", "Label"), (1, "V1.jpg", 0), (2, "V2.jpg", 1.0), (None, None, None)):
        book.active.append(row)
    book.save(tmp_path / "labels.xlsx")
    source = {**TABLE, "file": "labels.xlsx", "name_column": "imgName", "label_column": "Label"}
    assert labels_of(ingest(tmp_path, source)[0]) == {"images/V1.jpg": "0", "images/V2.jpg": "1"}


def test_two_lists_name_images_and_labels_line_by_line(tmp_path: Path) -> None:
    write_images(tmp_path, "images/10_left.jpeg", "images/10_right.jpeg")
    (tmp_path / "names.csv").write_text("10_left\r\n10_right")
    (tmp_path / "labels.csv").write_text("0\n4\n\n")
    assert labels_of(ingest(tmp_path, LISTS)[0]) == {"images/10_left.jpeg": "0", "images/10_right.jpeg": "4"}


def test_lists_of_different_length_are_an_error(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpeg")
    (tmp_path / "names.csv").write_text("a\nb\nc")
    (tmp_path / "labels.csv").write_text("0\n4\n")
    with pytest.raises(UserError, match=r"names\.csv has 3 lines but .*labels\.csv has 2"):
        ingest(tmp_path, LISTS)


def test_arrays_give_label_and_split(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 10, 3), dtype=np.uint8)
    np.savez(tmp_path / "s.npz", train_images=pixels, train_labels=np.array([[0], [1], [1]], np.uint8),
             test_images=pixels[:2], test_labels=np.array([0.0, 1.0]))
    manifest, rejected = ingest(tmp_path, {"layout": "arrays", "file": "s.npz", "split": None})
    assert labels_of(manifest) == {"s.npz!test/0": "0", "s.npz!test/1": "1", "s.npz!train/0": "0",
                                   "s.npz!train/1": "1", "s.npz!train/2": "1"}
    assert column_of(manifest, "given_split")["s.npz!test/0"] == "test"
    assert set(manifest["width"]) == {10} and set(manifest["height"]) == {8} and set(manifest["format"]) == {"array"}
    assert column_of(manifest, "digest")["s.npz!test/0"] == column_of(manifest, "digest")["s.npz!train/0"]
    assert rejected.empty


@pytest.mark.parametrize(("arrays", "message"), [
    ({"train_pixels": np.zeros(2)}, "holds no <split>_images"),
    ({"train_images": np.zeros((2, 4, 4), np.uint8)}, "no train_labels"),
    ({"train_images": np.zeros((2, 4, 4)), "train_labels": np.zeros(2)}, "must be uint8"),
    ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.zeros(3)}, "one label for each"),
    ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.array([{}, {}])}, "cannot be read"),
])  # fmt: skip
def test_arrays_that_do_not_fit_are_an_error(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(UserError, match=message):
        ingest(tmp_path, {"layout": "arrays", "file": "s.npz", "split": None})


def test_damaged_npz_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "s.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(UserError, match=r"cannot be read as \.npz"):
        ingest(tmp_path, {"layout": "arrays", "file": "s.npz", "split": None})


def test_group_and_split_columns(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    (tmp_path / "labels.csv").write_text("image,level,lesion,part\na.jpg,0,L1,train\nb.jpg,1,L10,test\nc.jpg,1,,\n")
    manifest, _ = ingest(tmp_path, {**TABLE, "group_column": "lesion", "split_column": "part"})
    assert list(column_of(manifest, "group").values()) == ["L1", "L10", None]
    assert list(column_of(manifest, "given_split").values()) == ["train", "test", None]


def test_group_is_the_whole_match_not_a_substring(tmp_path: Path) -> None:
    write_images(tmp_path, "x/REGION_1_a.jpg", "x/REGION_10_a.jpg", "y/REGION_1_b.jpg")
    manifest, _ = ingest(tmp_path, FOLDERS, group=r"^(?P<group>REGION_\d+)")
    assert column_of(manifest, "group") == {
        "x/REGION_1_a.jpg": "REGION_1", "x/REGION_10_a.jpg": "REGION_10", "y/REGION_1_b.jpg": "REGION_1",
    }  # fmt: skip


def test_group_pattern_with_a_slash_sees_the_folders(tmp_path: Path) -> None:
    write_images(tmp_path, "x/patient1/a.jpg", "y/patient2/a.jpg")
    manifest, _ = ingest(tmp_path, FOLDERS, group=r"/(?P<group>[^/]+)/[^/]+$")
    assert list(column_of(manifest, "group").values()) == ["patient1", "patient2"]


def test_names_without_group_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_images(tmp_path, "x/1_left.jpg", "y/2_left.jpg", "y/odd.jpg")
    ingest(tmp_path, FOLDERS, group="(?P<group>.+)_left")
    assert "does not match 1 of 3 images, such as y/odd.jpg" in capsys.readouterr().err


@pytest.mark.parametrize(("change", "message"), [
    ({"name_column": "img"}, r"dataset\.sources\.0\.name_column: .*labels\.csv has no column 'img'; .* image, level"),
    ({"images": "pictures"}, r"dataset\.sources\.0\.images: .*pictures is not a folder; .* folders images"),
    ({"file": "label.csv"}, r"dataset\.sources\.0\.file: .*label\.csv does not exist; .* holds images, labels\.csv"),
    ({"extension": ".png"}, r"names no image that exists \(first: images/a\.jpg\.png; the folder holds images/a\.jpg"),
    ({"header": False, "name_column": 0, "label_column": 7}, "has no column 7; its columns are numbers from 0 to 1"),
])  # fmt: skip
def test_wrong_table_settings_name_key_and_remedy(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "labels.csv").write_text("image,level\na.jpg,0\nb.jpg,1\n")
    with pytest.raises(UserError, match=message):
        ingest(tmp_path, {**TABLE, **change})


@pytest.mark.parametrize(("content", "message"), [
    (b"image,level\na.jpg,0\nb.jpg\n", r"labels\.csv, line 3: has 1 columns"),
    (b"image,level\n,0\n", r"line 2: names no image"),
    (b"image,level\na.jpg,\xe9\n", r"line 2: is not UTF-8"),
    (b"", "is empty"),
    (b"image,level\n", "names no image that exists"),
])  # fmt: skip
def test_unreadable_table_names_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    write_images(tmp_path, "images/a.jpg")
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        ingest(tmp_path, TABLE)


def test_damaged_xlsx_is_an_error(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg")
    (tmp_path / "labels.xlsx").write_bytes(b"no archive")
    with pytest.raises(UserError, match="cannot be read as XLSX"):
        ingest(tmp_path, {**TABLE, "file": "labels.xlsx"})


def test_unknown_given_split_names_the_key(tmp_path: Path) -> None:
    write_images(tmp_path, "train/cat/a.jpg", "valid/dog/b.jpg")
    with pytest.raises(UserError, match=r"dataset\.splits: the set gives the split valid"):
        ingest(tmp_path, {**FOLDERS, "split_folders": True})


def test_given_split_can_be_ignored(tmp_path: Path) -> None:
    write_images(tmp_path, "train/cat/a.jpg", "valid/dog/b.jpg")
    manifest, _ = ingest(tmp_path, {**FOLDERS, "split_folders": True}, splits=None)
    assert manifest["given_split"].isna().all()


def test_label_of_an_optional_part_of_the_pattern_may_be_missing(tmp_path: Path) -> None:
    write_images(tmp_path, "H0.jpg", "P0.jpg", "0.jpg")
    source = {"layout": "pattern", "images": "", "pattern": r"^(?P<label>[HP])?\d", "split": None}
    manifest, rejected = ingest(tmp_path, source)
    assert list(manifest["label"]) == ["H", "P"] and list(rejected["image"]) == ["0.jpg"]


@pytest.mark.parametrize("name", ["c.dcm", "c.DICOM", "c.Webp", "c.gif"])
def test_files_are_accounted_for_by_their_extension(tmp_path: Path, name: str) -> None:
    write_images(tmp_path, "x/a.jpg", "y/b.jpg")
    (tmp_path / "x" / name).write_bytes(b"no picture at all")
    assert list(ingest(tmp_path, FOLDERS)[1]["image"]) == [f"x/{name}"]


def rest_of(root: Path, source: dict[str, Any], **changes: Any) -> dict[str, str]:
    dataset = DatasetParams.model_validate({**SET, "sources": [source], **changes})
    return {entry.image: entry.rest for entry in in_our_terms(read_sources(root, dataset), dataset)}


def test_rest_of_an_address_leaves_class_and_split_folders_out(tmp_path: Path) -> None:
    write_images(tmp_path, "all/train/cat/cat1.jpg", "all/test/dog/deep/2.png")
    source = {**FOLDERS, "images": "all", "split_folders": True}
    assert rest_of(tmp_path, source) == {"all/train/cat/cat1.jpg": "all/*/*/cat1.jpg",
                                         "all/test/dog/deep/2.png": "all/*/*/deep/2.png"}  # fmt: skip
    assert rest_of(tmp_path, {**FOLDERS, "images": "all/train"})["all/train/cat/cat1.jpg"] == "all/train/*/cat1.jpg"


def test_rest_of_an_address_leaves_label_and_group_of_the_name_out(tmp_path: Path) -> None:
    write_images(tmp_path, "a/7H12_left.jpg", "a/7P130_right.jpg")
    source = {"layout": "pattern", "images": "a", "pattern": "(?P<label>[HP])", "split": None}
    assert rest_of(tmp_path, source)["a/7H12_left.jpg"] == "a/7*12_left.jpg"
    grouped = rest_of(tmp_path, source, group=r"[HP](?P<group>\d+)_")
    assert grouped == {"a/7H12_left.jpg": "a/7*_left.jpg", "a/7P130_right.jpg": "a/7*_right.jpg"}
    assert rest_of(tmp_path, source, group="(?P<group>.+)/7")["a/7H12_left.jpg"] == "*/7*12_left.jpg"


def test_rest_of_an_address_in_a_table_is_all_but_the_group(tmp_path: Path) -> None:
    write_images(tmp_path, "images/1_left.jpg", "images/2_left.jpg")
    (tmp_path / "labels.csv").write_text("image,level,patient\n1_left.jpg,0,p\n2_left.jpg,1,\n")
    assert rest_of(tmp_path, TABLE)["images/1_left.jpg"] == "images/1_left.jpg"
    by_both = rest_of(tmp_path, {**TABLE, "group_column": "patient"}, group=r"^(?P<group>\d+)")
    assert by_both == {"images/1_left.jpg": "images/1_left.jpg", "images/2_left.jpg": "images/*_left.jpg"}


def test_positions_in_an_array_say_nothing(tmp_path: Path) -> None:
    pixels = np.zeros((2, 4, 4), np.uint8)
    np.savez(tmp_path / "s.npz", train_images=pixels, train_labels=np.array([0, 1]))
    source = {"layout": "arrays", "file": "s.npz", "split": None}
    assert set(rest_of(tmp_path, source, group=r"^(?P<group>\d)").values()) == {""}


def test_one_image_of_two_sources_is_one_image(tmp_path: Path) -> None:
    write_images(tmp_path, "cat/a.jpg", "dog/b.jpg")
    (tmp_path / "labels.csv").write_text("image,level\ncat/a.jpg,cat\n")
    manifest, rejected = ingest(tmp_path, FOLDERS, {**TABLE, "images": ""})
    assert len(manifest) == 2 and reasons_of(rejected)["cat/a.jpg"] == "duplicate identifier: named before"


def test_npz_bomb_is_an_error(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "s.npz", train_images=np.zeros((100_000, 32, 32), np.uint8), train_labels=[0, 1])
    with pytest.raises(UserError, match=r"s\.npz cannot be read as \.npz .*decompression bomb"):
        ingest(tmp_path, {"layout": "arrays", "file": "s.npz", "split": None})


def test_npz_whose_header_claims_more_than_the_memory_is_an_error(tmp_path: Path) -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000, 1000, 1000, 3), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "s.npz", "w") as packed:
        packed.writestr("train_images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        packed.writestr("train_labels.npy", b"")
    with pytest.raises(UserError, match=r"s\.npz cannot be read as \.npz"):
        ingest(tmp_path, {"layout": "arrays", "file": "s.npz", "split": None})


def test_every_example_of_the_layouts_page_fits_the_schema() -> None:
    page = (Path(__file__).parents[1] / "docs" / "layouts.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 9
    for example in examples:
        DatasetParams.model_validate({**SET, **yaml.safe_load(example)})
