"""Label tables in every format give the same rows, and damaged ones one line with file and place."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovea.errors import UserError
from fovea.ingest import label_files, records, tables
from fovea.ingest.files import by_stem
from fovea.ingest.tables import each_row, read_rows
from fovea.params.dataset import DatasetParams, Table
from tests.ingest_sets import FOLDERS, LISTS, SET, TABLE, encoded, ingest, labels_of, reasons_of, write_images

LAW = settings(max_examples=60, deadline=None)
RECORDS = [{"image": "a.jpg", "level": 0, "extra": None}, {"image": "b.jpg", "level": 1.0, "extra": [1, {"x": 2}]}]
CSV = "image,level\na.jpg,0\nb.jpg,1\n"


def write_table(root: Path, name: str, content: str | bytes) -> Path:
    write_images(root, "images/a.jpg", "images/b.jpg")
    (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return root / name


def rows_of(path: Path) -> list[tuple[int, list[str]]]:
    return read_rows(path, "key")


@pytest.mark.parametrize(("name", "content"), [
    ("labels.json", json.dumps(RECORDS)),
    ("labels.json", "\ufeff" + json.dumps(RECORDS)),
    ("labels.json", json.dumps(RECORDS).encode("utf-16")),
    ("labels.json", json.dumps({"image": ["a.jpg", "b.jpg"], "level": [0, 1]})),
    ("labels.jsonl", "\n".join(map(json.dumps, RECORDS))),
    ("labels.ndjson", ("\n\n".join(map(json.dumps, RECORDS)) + "\n").encode("utf-16")),
    ("labels.CSV", CSV.encode("utf-16")),
    ("labels.txt", CSV.replace(",", "\t").encode("utf-16-le").join([b"\xff\xfe", b""])),
    ("labels.tsv", CSV.replace(",", "\t").encode("utf-16-be").join([b"\xfe\xff", b""])),
])  # fmt: skip
def test_each_format_gives_the_same_labels(tmp_path: Path, name: str, content: str | bytes) -> None:
    write_table(tmp_path, name, content)
    manifest, rejected = ingest(tmp_path, {**TABLE, "file": name})
    assert labels_of(manifest) == {"images/a.jpg": "0", "images/b.jpg": "1"} and rejected.empty


def test_parquet_numbers_and_missing_values(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    table = pd.DataFrame({"image": ["a.jpg", "b.jpg", "c.jpg"], "level": [0.0, 1.0, None]}, index=[7, 8, 9])
    table.to_parquet(tmp_path / "labels.parquet")
    manifest, rejected = ingest(tmp_path, {**TABLE, "file": "labels.parquet"})
    assert labels_of(manifest) == {"images/a.jpg": "0", "images/b.jpg": "1"}
    assert reasons_of(rejected) == {"images/c.jpg": "no label: labels.parquet, record 3"}


def test_parquet_of_categories_texts_and_truths(tmp_path: Path) -> None:
    table = pd.DataFrame({"image": pd.Categorical(["a", "b"]), "ill": [True, False], "raw": [b"x", b"\xe9"]})
    table.to_parquet(tmp_path / "t.parquet", index=False)
    assert rows_of(tmp_path / "t.parquet") == [(0, ["image", "ill", "raw"]), (1, ["a", "true", "x"]),
                                               (2, ["b", "false", "\\xe9"])]  # fmt: skip


def test_json_that_maps_names_to_labels(tmp_path: Path) -> None:
    write_table(tmp_path, "labels.json", '{"a.jpg": 0, "b.jpg": 1, "b.jpg": 2}')
    source = {**TABLE, "file": "labels.json", "name_column": "name", "label_column": "label"}
    with pytest.raises(UserError, match=r"2 files were rejected: images/b\.jpg .duplicate identifier: with diff"):
        ingest(tmp_path, source)


def test_records_may_lack_columns(tmp_path: Path) -> None:
    write_table(tmp_path, "labels.jsonl", '{"level": 1, "image": "a.jpg"}\n{"image": "b.jpg", "patient": "p"}')
    assert rows_of(tmp_path / "labels.jsonl") == [(0, ["level", "image", "patient"]), (1, ["1", "a.jpg", ""]),
                                                  (2, ["", "b.jpg", "p"])]  # fmt: skip


def test_half_a_character_pair_in_a_label_can_be_stored(tmp_path: Path) -> None:
    write_table(tmp_path, "labels.json", '{"a.jpg": "\\ud800", "b.jpg": "\\u00e9"}')
    source = {**TABLE, "file": "labels.json", "name_column": "name", "label_column": "label"}
    manifest, _ = ingest(tmp_path, source)
    manifest.to_parquet(tmp_path / "manifest.parquet")
    assert list(manifest["label"]) == ["\\ud800", "é"]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("t.json", '[{"image": "a.jpg"},\n{"image" "b.jpg"}]', r"t\.json, line 2: is no JSON \(Expecting ':' delimiter\)"),
    ("t.json", '[{"image": "a.jpg"}, 7]', r"t\.json, record 2: is no record"),
    ("t.json", '[{"image": "a.jpg", "image": "b.jpg"}]', r"t\.json, record 1: names a column twice"),
    ("t.json", '{"image": ["a.jpg"], "level": [0, 1]}', r"column image has 1 values but level has 2"),
    ("t.json", '{"image": ["a.jpg"], "level": 0}', "must be a list of records"),
    ("t.json", '"text"', "must be a list of records"),
    ("t.json", "[]", "is empty"),
    ("t.json", "{}", "is empty"),
    ("t.json", "", r"t\.json, line 1: is no JSON"),
    ("t.json", b'["\xe9"]', "cannot be read as JSON .*UTF-8"),
    ("t.json", "[" * 100_000, "cannot be read as JSON"),
    ("t.json", "[" + "9" * 5000 + "]", "cannot be read as JSON"),
    ("t.jsonl", '{"image": "a.jpg"}\n\nnonsense', r"t\.jsonl, line 3: is no JSON"),
    ("t.jsonl", '{"image": "a.jpg"}\n[1]', r"t\.jsonl, line 2: is no record"),
    ("t.jsonl", b'{"image": "a.jpg"}\n{"\xe9": 1}', r"t\.jsonl, line 2: is not UTF-8 text"),
    ("t.parquet", "no parquet", "cannot be read as Parquet"),
    ("t.xlsx", "no archive", "cannot be read as XLSX"),
    ("t.csv", CSV.encode("utf-16")[:-1], r"t\.csv, after line \d: is not UTF-16 text"),
    ("t.csv", b"image,level\n" + b"a.jpg,0\n" * 5000 + b"\xe9,1\n", r"t\.csv, line 5002: is not UTF-8 text"),
    ("t.csv", 'image,level\n"' + "x" * 200_000, r"t\.csv, line 2: field larger than field limit"),
])  # fmt: skip
def test_damaged_table_is_one_line_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    write_table(tmp_path, name, content)
    with pytest.raises(UserError, match=message) as error:
        ingest(tmp_path, {**TABLE, "file": name})
    assert "dataset.sources.0.file" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["t.parquet", "t.xlsx", "t.json", "t.csv"])
@LAW
@given(data=st.data())
def test_any_bytes_give_rows_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    content = bytearray(TABLES[name])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))])
    try:
        assert all(isinstance(cell, str) for _, cells in rows_of(path) for cell in cells)
    except UserError as error:
        assert "\n" not in str(error)


def xlsx(*rows: tuple[Any, ...]) -> bytes:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(buffer)
    return buffer.getvalue()


def parquet() -> bytes:
    return bytes(pd.DataFrame({"image": ["a.jpg", "b.jpg"], "level": [0, 1]}).to_parquet())


TABLES = {"t.parquet": parquet(), "t.xlsx": xlsx(("image", "level"), ("a.jpg", 0)), "t.csv": CSV.encode(),
          "t.json": json.dumps(RECORDS).encode()}  # fmt: skip


def changed_sheet(book: bytes, old: bytes, new: bytes) -> bytes:
    """The XLSX with `old` replaced in its sheet."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as before, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            data = before.read(name)
            after.writestr(name, data.replace(old, new) if name.startswith("xl/worksheets/sheet") else data)
    return buffer.getvalue()


def test_xlsx_with_empty_cells_at_the_end_of_a_line(tmp_path: Path) -> None:
    book = xlsx(("image", "level", "eye"), ("a", 0, "left"), ("b", 1, None), (None,), ("c",))
    (tmp_path / "t.xlsx").write_bytes(book)
    cells = [["image", "level", "eye"], ["a", "0", "left"], ["b", "1", ""], [], ["c", "", ""]]
    assert rows_of(tmp_path / "t.xlsx") == list(enumerate(cells, 1))


def test_xlsx_that_claims_to_be_wide_is_read_as_it_is(tmp_path: Path) -> None:
    book = changed_sheet(xlsx(("image", "level"), ("a", 0)), b' ref="A1:B2"', b' ref="A1:XFD1048576"')
    (tmp_path / "t.xlsx").write_bytes(book)
    assert rows_of(tmp_path / "t.xlsx") == [(1, ["image", "level"]), (2, ["a", "0"])]


def test_xlsx_that_unpacks_to_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b"")
    data = (tmp_path / "t.xlsx").read_bytes()
    entry = data.rindex(b"PK\x01\x02")
    (tmp_path / "t.xlsx").write_bytes(data[: entry + 24] + (2 << 30).to_bytes(4, "little") + data[entry + 28 :])
    with pytest.raises(UserError, match=r"t\.xlsx cannot be read as XLSX .it unpacks to more than 1 GiB"):
        rows_of(tmp_path / "t.xlsx")


def test_table_of_more_than_a_gigabyte_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("wb") as file:
        file.truncate((1 << 30) + 1)  # takes no room on the disk
    with pytest.raises(UserError, match=r"t\.csv has more than 1 GiB, which no label table has; correct key"):
        rows_of(tmp_path / "t.csv")


def test_table_of_too_many_cells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_CELLS", 99)
    (tmp_path / "t.csv").write_text("a,b\n" * 50)
    with pytest.raises(UserError, match=r"t\.csv has more than 99 cells"):
        rows_of(tmp_path / "t.csv")


def test_parquet_that_declares_too_many_cells_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_CELLS", 99)
    pd.DataFrame({"image": ["x"] * 50, "level": [0] * 50}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(UserError, match="in 50 rows are too much for a label table"):
        next(each_row(tmp_path / "t.parquet", "key"))


ONE_HOT = {**TABLE, "label_column": ["MEL", "NV"]}


def test_one_hot_columns_name_the_label(tmp_path: Path) -> None:
    write_images(tmp_path, *(f"images/{name}.jpg" for name in "abcdef"))
    rows = ["image,MEL,NV", "a.jpg,1.0,0.0", "b.jpg,0,1", "c.jpg,FALSE,True", "d.jpg,1,1", "e.jpg,0,", "f.jpg,0.5,0.5"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    manifest, rejected = ingest(tmp_path, ONE_HOT, labels={"NV": "naevus"})
    assert labels_of(manifest) == {"images/a.jpg": "MEL", "images/b.jpg": "naevus", "images/c.jpg": "naevus"}
    assert reasons_of(rejected) == {"images/d.jpg": "several labels: MEL, NV in labels.csv, line 5",
                                    "images/e.jpg": "no label: no column is 1 in labels.csv, line 6",
                                    "images/f.jpg": "no label: no column is 1 in labels.csv, line 7"}  # fmt: skip


def test_one_hot_of_truths_in_json_and_of_numbered_columns(tmp_path: Path) -> None:
    records = [{"image": "a.jpg", "MEL": True, "NV": False}, {"image": "b.jpg", "MEL": 0, "NV": 1}]
    write_table(tmp_path, "labels.json", json.dumps(records))
    write_table(tmp_path, "labels.csv", "a.jpg,1,0\nb.jpg,0,1\n")
    named, _ = ingest(tmp_path, {**ONE_HOT, "file": "labels.json"})
    numbered, _ = ingest(tmp_path, {**TABLE, "header": False, "name_column": 0, "label_column": [1, 2]})
    assert list(named["label"]) == ["MEL", "NV"] and list(numbered["label"]) == ["1", "2"]


def test_unknown_one_hot_column_is_named(tmp_path: Path) -> None:
    write_table(tmp_path, "labels.csv", "image,MEL,BCC\na.jpg,1,0\n")
    with pytest.raises(UserError, match=r"label_column: .* no column 'NV'; its columns are image, MEL, BCC"):
        ingest(tmp_path, ONE_HOT)


@pytest.mark.parametrize(("source", "message"), [
    ({**TABLE, "label_column": ["MEL"]}, "label_column.*at least 2 items"),
    ({**TABLE, "label_column": ["MEL", "MEL"]}, "label_column: a column stands twice"),
    ({**TABLE, "header": False, "name_column": 0, "label_column": [1, "NV"]}, "label_column: must be a number"),
    ({**TABLE, "header": False, "file": "t.json", "name_column": 0, "label_column": 1}, "header: must be true"),
    ({**LISTS, "names": "names.json"}, "names: must be a text file or XLSX"),
    ({**TABLE, "images": ["part_1"]}, "images.*at least 2 items"),
    ({**TABLE, "images": ["part_1", "part_1"]}, "images: a folder stands twice"),
    ({**FOLDERS, "images": ["part_1", "part_2"]}, "images.*valid string"),
])  # fmt: skip
def test_settings_that_do_not_fit_are_refused(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"(?s){message}"):
        DatasetParams.model_validate({**SET, "sources": [source]})


def test_names_without_extension_are_looked_up(tmp_path: Path) -> None:
    write_images(tmp_path, "images/a.jpg", "images/deep/b.jpeg", "images/c.d.JPG", "images/two.jpg")
    (tmp_path / "images" / "two.png").write_bytes(encoded(7, kind="png"))
    (tmp_path / "images" / "a.txt").write_text("a description beside the picture")
    (tmp_path / "images" / "plain").write_bytes(encoded(8))
    (tmp_path / "images" / "raw.dat").write_bytes(encoded(9))
    names = ["a", "deep/b", "c.d", "two", "plain", "raw", "missing", "../out", "deep"]
    (tmp_path / "labels.csv").write_text("image,level\n" + "".join(f"{name},{len(name) % 2}\n" for name in names))
    manifest, rejected = ingest(tmp_path, {**TABLE, "extension": None})
    assert set(manifest["image"]) == {"images/a.jpg", "images/deep/b.jpeg", "images/c.d.JPG", "images/plain",
                                      "images/raw.dat"}  # fmt: skip
    several = "several files have the name: two.jpg, two.png"
    assert reasons_of(rejected) == {"images/two.jpg": several, "images/two.png": several, "out": "no such file",
                                    "images/missing": "no such file", "images/deep": "not a file"}  # fmt: skip


def test_a_folder_is_listed_once_for_all_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path, *(f"images/{number}.jpg" for number in range(30)))
    rows = [f"{number},{number % 2}\n" for number in range(30)]
    (tmp_path / "labels.csv").write_text("image,level\n" + "".join(rows))
    listed: list[str] = []

    def counted(root: Path, folder: str) -> dict[str, list[str]]:
        listed.append(folder)
        return by_stem(root, folder)

    monkeypatch.setattr(label_files, "by_stem", counted)
    manifest, _ = ingest(tmp_path, {**TABLE, "extension": None})
    assert len(manifest) == 30 and listed == ["images"]


PARTS = ["part_1", "part_2"]
TWICE = "several files have the name"


def test_images_of_a_table_may_lie_in_several_folders(tmp_path: Path) -> None:
    write_images(tmp_path, "part_1/a.jpg", "part_2/b.jpg", "part_1/c.jpg", "part_2/c.jpg", "part_2/deep/d.jpg",
                 "part_2/alone.jpg", "part_3/other.jpg")  # fmt: skip
    names = ["a.jpg", "b.jpg", "c.jpg", "deep/d.jpg", "missing.jpg"]
    (tmp_path / "labels.csv").write_text("image,level\n" + "".join(f"{name},{len(name) % 2}\n" for name in names))
    manifest, rejected = ingest(tmp_path, {**TABLE, "images": PARTS})
    assert list(manifest["image"]) == ["part_1/a.jpg", "part_2/b.jpg", "part_2/deep/d.jpg"]
    both = f"{TWICE}: part_1/c.jpg, part_2/c.jpg"
    assert reasons_of(rejected) == {"part_1/c.jpg": both, "part_2/c.jpg": both, "part_1/missing.jpg": "no such file",
                                    "part_2/alone.jpg": "no label: no label file names it"}  # fmt: skip


def test_a_name_that_carries_one_of_the_folders_is_not_ambiguous(tmp_path: Path) -> None:
    write_images(tmp_path, "all/part_1/a.jpg", "all/part_2/a.jpg", "all/part_2/b.jpg")
    (tmp_path / "labels.csv").write_text("image,level\npart_1/a.jpg,0\npart_2/a.jpg,1\nb.jpg,1\n")
    manifest, rejected = ingest(tmp_path, {**TABLE, "images": ["all/part_1", "all/part_2"]})
    assert labels_of(manifest) == {"all/part_1/a.jpg": "0", "all/part_2/a.jpg": "1", "all/part_2/b.jpg": "1"}
    assert rejected.empty


@pytest.mark.parametrize("extension", [".jpg", None])
def test_names_without_extension_are_looked_up_in_each_folder(tmp_path: Path, extension: str | None) -> None:
    write_images(tmp_path, "part_1/a.jpg", "part_2/b.jpg", "part_2/c.png", "part_1/d.jpg", "part_2/d.jpg")
    (tmp_path / "names.csv").write_text("a\nb\nc\nd\n")
    (tmp_path / "labels.csv").write_text("0\n1\n1\n0\n")
    manifest, rejected = ingest(tmp_path, {**LISTS, "images": PARTS, "extension": extension})
    found = ["part_1/a.jpg", "part_2/b.jpg"] + (["part_2/c.png"] if extension is None else [])
    assert list(manifest["image"]) == found
    assert reasons_of(rejected)["part_2/d.jpg"] == f"{TWICE}: part_1/d.jpg, part_2/d.jpg"
    assert len(manifest) + len(rejected) == (5 if extension is None else 6)  # c.png, which no label then names


def test_each_of_the_folders_may_lie_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    write_images(tmp_path / "set", "part_3/c.jpg")
    for number, name in ((1, "a.jpg"), (2, "sub/b.jpg")):
        with zipfile.ZipFile(tmp_path / f"set/part_{number}.zip", "w") as archive:
            archive.writestr(name, encoded(10 + number))
    (tmp_path / "set/labels.csv").write_text("image,level\na.jpg,0\nb.jpg,1\nc.jpg,1\n")
    manifest, rejected = ingest(tmp_path / "set", {**TABLE, "images": ["part_1.zip!", "part_2.zip!sub", "part_3"]})
    assert list(manifest["image"]) == ["part_1.zip!a.jpg", "part_2.zip!sub/b.jpg", "part_3/c.jpg"]
    assert rejected.empty


def test_each_of_the_folders_must_be_there(tmp_path: Path) -> None:
    write_images(tmp_path, "part_1/a.jpg")
    (tmp_path / "labels.csv").write_text("image,level\na.jpg,0\n")
    with pytest.raises(UserError, match=r"dataset\.sources\.0\.images: .*part_2 is not a folder; .* folders part_1"):
        ingest(tmp_path, {**TABLE, "images": PARTS})


def test_json_columns_that_are_named_twice_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"image": ["a", "b"], "x": [1], "x": [1, 2]}')
    with pytest.raises(UserError, match="names a column twice"):
        read_rows(tmp_path / "t.json", "key")


def test_columns_that_are_kept_stand_in_the_manifest_as_they_are_written(tmp_path: Path) -> None:
    write_table(tmp_path, "labels.csv", "image,sex,level,site\na.jpg,f,0,\nb.jpg,m,1, back \n")
    manifest, _ = ingest(tmp_path, {**TABLE, "keep": ["site", "sex"]})
    assert list(manifest)[-2:] == ["site", "sex"]
    assert manifest["sex"].tolist() == ["f", "m"]
    assert manifest["site"].isna().tolist() == [True, False] and manifest["site"].iloc[1] == "back"
    plain, _ = ingest(tmp_path, TABLE)
    assert "sex" not in plain and plain.attrs["digest"] != manifest.attrs["digest"]


def test_a_column_to_keep_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    write_table(tmp_path, "labels.csv", CSV)
    with pytest.raises(UserError, match=r"keep: .*labels.csv has no column 'sex'; its columns are image, level"):
        ingest(tmp_path, {**TABLE, "keep": ["sex"]})


def test_no_column_of_the_manifest_is_overwritten_by_one_that_is_kept(tmp_path: Path) -> None:
    write_table(tmp_path, "labels.csv", CSV)
    for name in ingest(tmp_path, TABLE)[0]:
        with pytest.raises(UserError, match=f"keep: the manifest has a column {name} of its own"):
            ingest(tmp_path, {**TABLE, "keep": [name]})


def test_columns_without_names_cannot_be_kept() -> None:
    changes = {"keep": ["sex"], "header": False, "name_column": 0, "label_column": 1}
    with pytest.raises(ValueError, match="the columns have no names"):
        Table.model_validate({**TABLE, **changes})
