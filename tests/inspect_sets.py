"""Image sets in every layout that `fovea inspect` finds, as files with a byte each: it opens no image."""

import io
import json
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd

Files = dict[str, str | bytes]


def images(*names: str) -> Files:
    return dict.fromkeys(names, b"x")


def numbered(pattern: str, count: int, start: int = 1) -> list[str]:
    return [pattern.format(number) for number in range(start, start + count)]


def per_class(prefix: str, *classes: str, count: int = 4, name: str = "{}.jpg") -> Files:
    return images(*(f"{prefix}{label}/{label_free}" for label in classes for label_free in numbered(name, count)))


def table(names: list[str], labels: list[str], header: str | None = "image,level", **more: list[str]) -> str:
    """CSV text; labels and further columns are repeated as often as need be."""
    columns = [names, labels, *more.values()]
    rows = [",".join(column[i % len(column)] for column in columns) for i in range(len(names))]
    return "\n".join(([",".join([header, *more])] if header else []) + rows) + "\n"


def records(text: str) -> list[dict[str, str]]:
    header, *rows = [line.split(",") for line in text.splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


def as_json(text: str) -> str:
    return json.dumps(records(text))


def parquet(text: str) -> bytes:
    return pd.DataFrame(records(text)).to_parquet()


def write(root: Path, files: Files) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def zipped(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            data = content.encode() if isinstance(content, str) else content
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def arrays(**counts: int) -> bytes:
    buffer = io.BytesIO()
    content: dict[str, Any] = {}
    for part, count in counts.items():
        content[f"{part}_images"] = np.random.default_rng(count).integers(0, 255, (count, 8, 8), dtype=np.uint8)
        content[f"{part}_labels"] = (np.arange(count) % 3)[:, None]
    np.savez(buffer, **content)
    return buffer.getvalue()


def workbook(text: str, *more: str) -> bytes:
    """An XLSX with the sheets Sheet and `more`."""
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    for title in more:
        book.create_sheet(title)
    for line in text.splitlines():
        book.worksheets[0].append(line.split(","))
    book.save(buffer)
    return buffer.getvalue()


@dataclass
class Case:
    """A set and what has to be found in it; `sources` has for each the settings that are compared."""

    files: Files
    sources: list[dict[str, Any]]
    classes: dict[str, int]
    group: int = 0  # number of groups
    parts: dict[str, int] = field(default_factory=dict)
    section: dict[str, Any] = field(default_factory=dict)  # settings of `dataset` that are compared
    says: tuple[str, ...] = ()  # what the output has to say
    path: str = ""  # what is inspected, below the set's folder


NAMES = numbered("{:03d}.jpg", 12)
STEMS = numbered("{:03d}", 12)
IN_IMAGES = images(*(f"images/{name}" for name in NAMES))
GRADES = ["0", "1", "2"]
THIRDS = {"0": 4, "1": 4, "2": 4}
EYES = [f"{number}_{side}" for number in range(1, 7) for side in ("left", "right")]
FOLDERS = {"layout": "folders", "images": "", "split_folders": False, "split": None}
TABLE = {"layout": "table", "header": True, "images": "images", "split": None}

CASES: dict[str, Case] = {
    # folders
    "folder per class": Case(per_class("", "normal", "amd", "dr"), [FOLDERS], {"amd": 4, "dr": 4, "normal": 4}),
    "folder per class in a folder": Case(
        per_class("pictures/all/", "normal", "amd"), [{"images": "pictures/all"}], {"amd": 4, "normal": 4},
        section={"positive": "amd", "splits": None},
    ),
    "endings of JPEGs": Case(
        images(*(f"{label}/{n}{end}" for label in "ab" for n, end in enumerate((".jfif", ".jpe", ".JIF")))),
        [FOLDERS], {"a": 3, "b": 3}),
    "photographs of which Fovea does not read some": Case(
        {**per_class("", "a", "b"), **images("a/5.heic", "notes.pdf")}, [FOLDERS], {"a": 4, "b": 4},
        says=("2 other files: 1 .heic, 1 .pdf", "1 not usable: unsupported: .heic, such as a/5.heic")),
    "folders in Chinese": Case(per_class("", "正常", "病变"), [FOLDERS], {"正常": 4, "病变": 4}),
    "folders in Arabic": Case(per_class("", "طبيعي", "مرض"), [FOLDERS], {"طبيعي": 4, "مرض": 4}),
    "folders with blanks": Case(per_class("", "no DR", "mild DR"), [FOLDERS], {"mild DR": 4, "no DR": 4}),
    "grades as folders": Case(per_class("", "0", "1", "2"), [FOLDERS], THIRDS),
    "parts above the classes": Case(
        per_class("train/", "a", "b", count=6) | per_class("test/", "a", "b", count=2),
        [{"layout": "folders", "images": "", "split_folders": True}], {"a": 8, "b": 8},
        parts={"train": 12, "test": 4}, section={"splits": {"train": "train", "test": "test"}},
    ),
    "three parts by other names": Case(
        per_class("Train/", "a", "b") | per_class("validation/", "a", "b") | per_class("testing/", "a", "b"),
        [{"split_folders": True}], {"a": 12, "b": 12}, parts={"train": 8, "val": 8, "test": 8},
        section={"splits": {"Train": "train", "validation": "val", "testing": "test"}},
    ),
    "train and valid only": Case(
        per_class("train/", "a", "b") | per_class("valid/", "a", "b"), [{"split_folders": True}], {"a": 8, "b": 8},
        parts={"train": 8, "test": 8}, section={"splits": {"train": "train", "valid": "test"}},
        says=("the former is used as test part",),
    ),
    "parts with a folder between": Case(
        per_class("train/images/", "a", "b") | per_class("test/images/", "a", "b"),
        [{"images": "test/images", "split": "test"}, {"images": "train/images", "split": "train"}],
        {"a": 8, "b": 8}, parts={"train": 8, "test": 8},
    ),
    "classes that one part lacks": Case(
        per_class("train/", "a", "b", "c") | per_class("test/", "a", "b", "d"), [{"split_folders": True}],
        {"a": 8, "b": 8, "c": 4, "d": 4}, parts={"train": 12, "test": 12},
        says=("classes only in train, and never tested: c", "classes only in test, and never learnt: d"),
    ),
    "parts in Chinese": Case(
        per_class("训练集/", "正常", "病变") | per_class("测试集/", "正常", "病变"), [{"split_folders": True}],
        {"正常": 8, "病变": 8}, parts={"train": 8, "test": 8},
    ),
    "a test folder without labels": Case(
        per_class("train/", "a", "b") | images(*numbered("test/{}.jpg", 3)), [{"images": "train", "split": None}],
        {"a": 4, "b": 4}, section={"splits": None}, says=("test", "3"),
    ),
    "parts below the classes": Case(
        per_class("a/", "train", "test") | per_class("b/", "train", "test"),
        [{**FOLDERS, "split_folders": "below"}], {"a": 8, "b": 8}, parts={"train": 8, "test": 8},
        says=("in each a folder for each part of the split (test, train)", "split_folders: below"),
    ),
    "parts and others below the classes": Case(
        per_class("a/", "train", "test") | per_class("b/", "train", "test", "more"), [FOLDERS], {"a": 8, "b": 12},
        says=("not read as a split: not all name a part",),
    ),
    "patients below the classes": Case(
        per_class("a/", "patient1", "patient2") | per_class("b/", "patient3", "patient4"), [FOLDERS], {"a": 8, "b": 8},
        group=4, says=("patient",),
    ),
    "two hospitals with the same classes": Case(
        per_class("hospital1/", "a", "b") | per_class("hospital2/", "a", "b"),
        [{"images": "hospital1"}, {"images": "hospital2"}], {"a": 8, "b": 8},
    ),
    "spellings that differ in case": Case(
        per_class("hospital1/", "Normal", "AMD") | per_class("hospital2/", "normal", "amd", count=2),
        [{"images": "hospital1"}, {"images": "hospital2"}], {"AMD": 6, "Normal": 6},
        section={"labels": {"amd": "AMD", "normal": "Normal"}}, says=("normal is Normal",),
    ),
    "numbered folders below the classes": Case(
        per_class("glaucoma/", "g1", "g2") | per_class("healthy/", "h1", "h2"), [FOLDERS],
        {"glaucoma": 8, "healthy": 8},
        group=4, says=("the folders below the classes",),
    ),
    "masks beside the images": Case(
        per_class("", "a", "b", name="{}.png") | per_class("", "a", "b", name="{}_mask.png"), [FOLDERS],
        {"a": 8, "b": 8}, says=("8 names end as those of masks do",),
    ),
    # file names
    "letter before the number": Case(
        images(*numbered("H{:04d}.jpg", 3), *numbered("N{:04d}.jpg", 5), *numbered("P{:04d}.jpg", 4)),
        [{"layout": "pattern", "pattern": r"^(?P<label>[HNP])\d"}], {"H": 3, "N": 5, "P": 4},
        says=("the letter before",),
    ),
    "word before the number": Case(
        images(*numbered("benign_{}.png", 4), *numbered("malignant_{}.png", 4)), [{"layout": "pattern", "images": ""}],
        {"benign": 4, "malignant": 4}, section={"positive": "malignant"},
    ),
    "several words before the number": Case(
        images(*numbered("basal_cell_carcinoma_{}.png", 4), *numbered("melanoma_{}.png", 4)), [{"layout": "pattern"}],
        {"basal_cell_carcinoma": 4, "melanoma": 4},
    ),
    "word behind the number": Case(
        images(*numbered("{}-melanoma.png", 4), *numbered("{}-nevus.png", 4, 5)), [{"layout": "pattern"}],
        {"melanoma": 4, "nevus": 4},
    ),
    "word in the middle": Case(
        images(*numbered("ISIC{}_mel_x.jpg", 4), *numbered("ISIC{}_nv_x.jpg", 4, 5)), [{"layout": "pattern"}],
        {"mel": 4, "nv": 4},
    ),
    "numbered grade": Case(
        images(*numbered("{}_grade0.jpg", 4), *numbered("{}_grade1.jpg", 4, 5)), [{"layout": "pattern"}],
        {"0": 4, "1": 4},
    ),
    "names with blanks and brackets": Case(
        images(*numbered("normal ({}).jpg", 4), *numbered("glaucoma ({}).jpg", 4)), [{"layout": "pattern"}],
        {"glaucoma": 4, "normal": 4},
    ),
    "names in Chinese": Case(
        images(*numbered("正常_{}.jpg", 4), *numbered("病变_{}.jpg", 4)), [{"layout": "pattern"}],
        {"正常": 4, "病变": 4},
    ),
    "eyes in the names": Case(
        images(*(f"dr_{eye}.jpg" for eye in EYES), *(f"no_{eye}.jpg" for eye in EYES)), [{"layout": "pattern"}],
        {"dr": 12, "no": 12}, group=12, says=("_left and _right",),
    ),
    # tables
    "names without extension": Case(
        {**IN_IMAGES, "train.csv": table(STEMS, GRADES, "id_code,diagnosis")},
        [{**TABLE, "name_column": "id_code", "label_column": "diagnosis", "extension": ".jpg", "file": "train.csv"}],
        THIRDS,
    ),
    "both eyes": Case(
        {**images(*(f"images/{eye}.jpeg" for eye in EYES)), "trainLabels.csv": table(EYES, GRADES)},
        [{**TABLE, "name_column": "image", "label_column": "level", "extension": ".jpeg"}], THIRDS, group=6,
        says=("_left and _right",),
    ),
    "eyes as -L and -R": Case(
        {**images(*(f"{n}-{s}.png" for n in range(6) for s in "LR")),
         "labels.csv": table([f"{n}-{s}.png" for n in range(6) for s in "LR"], GRADES)},
        [{"images": ""}], THIRDS, group=6, says=("-L and -R",),
    ),
    "eyes as _OD and _OS": Case(
        {**images(*(f"{n}_{s}.png" for n in range(6) for s in ("OD", "OS"))),
         "labels.csv": table([f"{n}_{s}.png" for n in range(6) for s in ("OD", "OS")], GRADES)},
        [{"images": ""}], THIRDS, group=6, says=("_OD and _OS",),
    ),
    "patient and split columns": Case(
        {**IN_IMAGES, "meta.csv": table(NAMES, GRADES, "image_id,dx", age=["30", "40"], patient_id=["p", "q", "r", "s"],
                                        subset=["train", "train", "test"])},
        [{"group_column": "patient_id", "split_column": "subset", "label_column": "dx"}], THIRDS, group=4,
        parts={"train": 8, "test": 4}, says=("group in patient_id", "part in subset"),
    ),
    "unusual column names": Case(
        {**IN_IMAGES, "book.csv": table(NAMES, ["sick", "well"], "foo,bar", remark=[f"r{i}" for i in range(12)])},
        [{"name_column": "foo", "label_column": "bar"}], {"sick": 6, "well": 6}, says=("few different values",),
    ),
    "no header": Case(
        {**IN_IMAGES, "labels.txt": table(NAMES, ["benign", "malignant"], None)},
        [{"header": False, "name_column": 0, "label_column": 1}], {"benign": 6, "malignant": 6},
    ),
    "a list for each part": Case(
        {**IN_IMAGES, "labels/train.txt": table(NAMES[:6], ["0", "1"], None),
         "labels/val.txt": table(NAMES[6:8], ["0", "1"], None), "labels/test.txt": table(NAMES[8:], ["0", "1"], None)},
        [{"file": "labels/train.txt", "split": "train"}, {"file": "labels/val.txt", "split": "val"},
         {"file": "labels/test.txt", "split": "test"}], {"0": 6, "1": 6}, parts={"train": 6, "val": 2, "test": 4},
    ),
    "one-hot columns": Case(
        {**IN_IMAGES, "truth.csv": table(STEMS, ["1.0", "0.0", "0.0"], "image,MEL", NV=["0.0", "1.0", "0.0"],
                                         BCC=["0.0", "0.0", "1.0"], UNK=["0.0"])},
        [{"label_column": ["MEL", "NV", "BCC", "UNK"], "extension": ".jpg"}], {"BCC": 4, "MEL": 4, "NV": 4},
        says=("the one-hot columns MEL, NV, BCC, UNK",),
    ),
    "several extensions": Case(
        {**images(*(f"images/{stem}{end}" for stem, end in zip(STEMS, [".jpg", ".png", ".JPG"] * 4, strict=True))),
         "labels.csv": table(STEMS, GRADES)},
        [{"extension": None}], THIRDS, says=("whatever their extension",),
    ),
    "JSON": Case({**IN_IMAGES, "labels.json": as_json(table(NAMES, GRADES))}, [{"file": "labels.json"}], THIRDS),
    "JSON-lines": Case(
        {**IN_IMAGES, "labels.jsonl": "\n".join(map(json.dumps, records(table(STEMS, GRADES, "isic_id,diagnosis"))))},
        [{"file": "labels.jsonl", "header": True, "extension": ".jpg"}], THIRDS,
    ),
    "Parquet": Case({**IN_IMAGES, "labels.parquet": parquet(table(NAMES, GRADES))}, [{"header": True}], THIRDS),
    "semicolons": Case(
        {**IN_IMAGES, "labels.csv": table(NAMES, GRADES).replace(",", ";")}, [{"label_column": "level"}], THIRDS,
    ),
    "tabs": Case(
        {**IN_IMAGES, "labels.tsv": table(NAMES, GRADES).replace(",", "\t")}, [{"file": "labels.tsv"}], THIRDS,
    ),
    "XLSX": Case({**IN_IMAGES, "labels.xlsx": workbook(table(NAMES, GRADES))}, [{"file": "labels.xlsx"}], THIRDS),
    "XLSX with several sheets": Case(
        {**IN_IMAGES, "labels.xlsx": workbook(table(NAMES, GRADES), "Notes", "Old")}, [{"file": "labels.xlsx"}], THIRDS,
        says=("labels.xlsx has the sheets Sheet, Notes, Old: the first is read",)),
    "paths in the table": Case(
        {**IN_IMAGES, "labels.csv": table([f"images/{name}" for name in NAMES], GRADES)}, [{"images": ""}], THIRDS,
    ),
    "a table as the path": Case(
        {**IN_IMAGES, "a.csv": table(NAMES, GRADES), "b.csv": table(NAMES, ["0", "1"])}, [{"file": "a.csv"}], THIRDS,
        path="a.csv",
    ),
    "folders and a table that says the same": Case(
        {**per_class("", "a", "b"), "labels.csv": table(sorted(per_class("", "a", "b")), ["a"] * 4 + ["b"] * 4)},
        [{"layout": "table"}], {"a": 4, "b": 4},
    ),
    "names in folders, table beside": Case(
        {**images(*numbered("Training/P{:02d}.jpg", 4), *numbered("Training/N{:02d}.jpg", 4),
                  *numbered("Testing/X{:02d}.jpg", 4)),
         "test.csv": table(numbered("X{:02d}.jpg", 4), ["P", "N"], "imgName,Label")},
        [{"layout": "pattern", "images": "Training", "split": "train"}, {"layout": "table", "split": "test"}],
        {"N": 6, "P": 6}, parts={"train": 8, "test": 4},
    ),
    "the same names in two folders": Case(
        {**images(*numbered("Training/{}.png", 8), *numbered("Validation/{}.png", 4)),
         "Training_Labels.csv": table(numbered("{}", 8), ["0", "1"], "ID,Disease"),
         "Validation_Labels.csv": table(numbered("{}", 4), ["0", "1"], "ID,Disease")},
        [{"images": "Training", "split": "train"}, {"images": "Validation", "split": "val"}], {"0": 6, "1": 6},
        parts={"train": 8, "test": 4},
    ),
    "images of a table in two numbered folders": Case(
        {**images(*(f"part_{1 + (n > 7)}/{name}" for n, name in enumerate(NAMES))), "meta.csv": table(NAMES, GRADES)},
        [{"file": "meta.csv", "images": ["part_1", "part_2"]}], THIRDS,
        says=("12 of 12 names in image are images in 2 folders (part_1 8, part_2 4)", "images: [part_1, part_2]"),
    ),
    "lesions in two folders, which were unpacked twice": Case(
        {**images(*(f"{upper}_part_{1 + n // 6}/ISIC_{n}.jpg" for n in range(12) for upper in ("HAM", "ham"))),
         "HAM10000_metadata.csv": table(
             [f"HAM_{n // 2}" for n in range(12)], [f"ISIC_{n}" for n in range(12)], "lesion_id,image_id",
             dx=["bkl", "bkl", "nv", "nv", "mel", "mel"], dx_type=["histo"], age=["80.0"], sex=["male"],
             localization=["scalp", "back", "ear"])},
        [{"images": ["HAM_part_1", "HAM_part_2"], "name_column": "image_id", "label_column": "dx", "extension": ".jpg",
          "group_column": "lesion_id"}], {"bkl": 4, "mel": 4, "nv": 4}, group=6,
        says=("group in lesion_id", "in 2 folders (HAM_part_1 6, HAM_part_2 6)"),
    ),
    "lesions in three folders and an extension that differs": Case(
        {**images(*(f"images/imgs_part_{1 + n // 4}/PAT_{n}.{'png' if n < 8 else 'jpg'}" for n in range(12))),
         "metadata.csv": table([f"PAT_{n}" for n in range(12)], ["ACK", "BCC", "NEV"], "img_id,diagnostic",
                               patient_id=["P1", "P2", "P3", "P4"], lesion_id=numbered("{}", 12))},
        [{"images": ["images/imgs_part_1", "images/imgs_part_2", "images/imgs_part_3"], "name_column": "img_id",
          "extension": None, "group_column": "patient_id"}], {"ACK": 4, "BCC": 4, "NEV": 4}, group=4,
    ),
    "a table whose images lie in folders of parts": Case(
        {**images(*numbered("train/{}.jpg", 8), *numbered("test/{}.jpg", 4, 9)),
         "labels.csv": table(numbered("{}.jpg", 12), GRADES)},
        [{"images": ["test", "train"], "split": None}], THIRDS, says=("test, train are not read as a split",),
    ),
    "a table with a name that another part has": Case(
        {**images(*numbered("Training/{}.png", 11), *numbered("Validation/{}.png", 12)),
         "Training.csv": table(numbered("{}", 12), ["0", "1"], "ID,Disease"),
         "Validation.csv": table(numbered("{}", 12), ["0", "1"], "ID,Disease")},
        [{"images": "Training", "split": "train"}, {"images": "Validation", "split": "val"}], {"0": 12, "1": 11},
        parts={"train": 11, "test": 12}, says=("1 not usable: no such file",),
    ),
    "a table with names that stand in two of its folders": Case(
        {**images(*(f"part_{1 + n // 20}/{n}.jpg" for n in range(40)), "part_2/0.jpg"),
         "meta.csv": table(numbered("{}.jpg", 40, 0), ["0", "1"])},
        [{"images": ["part_1", "part_2"]}], {"0": 19, "1": 20},
        says=("2 not usable: several files have the name, such as part_1/0.jpg",),
    ),
    "two lists and images in two folders": Case(
        {**images(*(f"part_{1 + n // 6}/{name}" for n, name in enumerate(NAMES))), "names.txt": "\n".join(STEMS),
         "labels.txt": "\n".join(GRADES * 4)},
        [{"layout": "lists", "images": ["part_1", "part_2"], "extension": ".jpg"}], THIRDS,
    ),
    "a group in another table": Case(
        {**IN_IMAGES, "labels.csv": table(NAMES, GRADES),
         "meta.csv": table(NAMES, numbered("{}", 12), "image,patient_id", age=[str(n) for n in range(12)])},
        [{"file": "labels.csv"}], THIRDS, says=("patient_id could be the group",),
    ),
    # lists and arrays
    "two lists": Case(
        {**IN_IMAGES, "names.txt": "\n".join(STEMS), "labels.txt": "\n".join(GRADES * 4)},
        [{"layout": "lists", "names": "names.txt", "labels": "labels.txt", "extension": ".jpg"}], THIRDS,
    ),
    "two lists for each part": Case(
        {**IN_IMAGES, "train_img.csv": "\n".join(STEMS[:6]), "train_label.csv": "\n".join(["0", "1"] * 3),
         "test_img.csv": "\n".join(STEMS[6:]), "test_label.csv": "\n".join(["0", "1"] * 3)},
        [{"names": "train_img.csv", "split": "train"}, {"names": "test_img.csv", "labels": "test_label.csv"}],
        {"0": 6, "1": 6}, parts={"train": 6, "test": 6},
    ),
    "arrays": Case(
        {"eyes.npz": arrays(train=9, test=3)}, [{"layout": "arrays", "file": "eyes.npz"}], {"0": 4, "1": 4, "2": 4},
        parts={"train": 9, "test": 3},
    ),
    "arrays as the path": Case(
        {"eyes.npz": arrays(train=9, val=3), "a.jpg": b"x"}, [{"layout": "arrays"}], {"0": 4, "1": 4, "2": 4},
        parts={"train": 9, "test": 3}, path="eyes.npz",
    ),
}  # fmt: skip

Broken = tuple[Files, tuple[str, ...]]
TITLE = "labels.csv, line 1 looks like a title, not like a header: delete the lines above the header"
BROKEN: dict[str, Broken] = {
    "an empty folder": ({}, ("No layout fits. The folder is empty.", "0 images")),
    "nothing": ({"readme.md": "x"}, ("There are no images.", "0 images", "Expected is one of")),
    "images without labels": (images(*numbered("IMG_{}.jpg", 5)), ("5 images", "IMG_1.jpg", "Expected is one of")),
    "one class": (per_class("", "normal"), ("All images lie in one folder, normal, so they", "4 images in normal 4")),
    "patients without classes": (per_class("", "patient1", "patient2"), ("8 images",)),
    "a table whose images are elsewhere": (
        {"labels.csv": table(NAMES, GRADES)},
        ("There are tables but no images: name the folder that holds both.", "labels.csv",
         "none of its columns names an image that is there; column image has 001.jpg, which is no file")),
    "paths of another computer": (
        {**IN_IMAGES, "labels.csv": table([f"C:\\x\\images\\{name}" for name in NAMES], GRADES, "path,grade")},
        (r"column path has C:\x\images\001.jpg; a file 001.jpg lies in images: remove the folders",)),
    "folders that are not there": (
        {**IN_IMAGES, "labels.csv": table([f"/home/me/{name}" for name in NAMES], GRADES)},
        ("column image has /home/me/001.jpg; a file 001.jpg lies in images",)),
    "names in upper case": (
        {**images(*(f"eye_{name}" for name in NAMES)), "l.csv": table([f"EYE_{name}" for name in NAMES], GRADES)},
        ("column image has EYE_001.jpg, the file is eye_001.jpg: upper and lower case",)),
    "accents of another system": (
        {**images(*numbered("e\u0301_{}.jpg", 12)), "l.csv": table(numbered("\u00e9_{}.jpg", 12), GRADES)},
        ("column image has \u00e9_1.jpg, the file is e\u0301_1.jpg: the two write their accents",)),
    "numbers without their zeros": (
        {**images(*numbered("{:04d}.jpg", 12)), "l.csv": table(numbered("{}", 12), GRADES, "id,grade")},
        ("column id has 1, the file is 0001.jpg: write the zeros in front",)),
    "names with another ending": (
        {**IN_IMAGES, "l.csv": table([f"{stem}.png" for stem in STEMS], GRADES, "foo,grade")},
        ("column 1 has 001.png, the file is 001.jpg: the endings",)),
    "a list of names in upper case": (
        {**images(*numbered("e{}.jpg", 12)), "names.txt": "\n".join(numbered("E{}.jpg", 12)),
         "labels.txt": "0\n1\n" * 6},
        ("names.txt: column 1 has E1.jpg, the file is e1.jpg",)),
    "a title above the header": (
        {**IN_IMAGES, "labels.csv": f"Retina study 2023\n\n{table(NAMES, GRADES)}"}, (TITLE,)),
    "a title with commas": (
        {**IN_IMAGES, "labels.csv": f"\nRetina study,2023\n{table(NAMES, GRADES)}"}, ("labels.csv, line 2 looks",)),
    "a title above semicolons": (
        {**IN_IMAGES, "labels.csv": f"Retina, 2023\n{table(NAMES, GRADES).replace(',', ';')}"}, (TITLE,)),
    "a title in a workbook": (
        {**IN_IMAGES, "labels.xlsx": workbook(f"Retina study 2023\n\n{table(NAMES, GRADES)}")},
        ("labels.xlsx, line 1 looks like a title",)),
    "a title as wide as the workbook": (
        {**IN_IMAGES, "labels.xlsx": workbook(f"Retina study 2023,,\n{table(NAMES, GRADES, eye=['x', 'y'])}")},
        ("labels.xlsx, line 1 looks like a title",)),
    "a header that names too few columns": (
        {**IN_IMAGES, "labels.csv": table(GRADES * 4, NAMES, "grade")}, ("line 1 names 1 columns",)),
    "photographs that Fovea does not read": (
        images(*numbered("a/{}.heic", 8), *numbered("b/{}.JP2", 4), "c.txt", ".d.heic"),
        ("12 other files: 8 .heic, 4 .jp2, which Fovea does not read",)),
    "columns separated by blanks": (
        {**IN_IMAGES, "train.txt": "\n".join(f"{name} 0" for name in NAMES)}, ("separated by blanks",)),
    "a table of one class": (
        {**IN_IMAGES, "labels.csv": table(NAMES, ["0"])}, ("labels.csv: all images have one class only, 0 in level",)),
    "a table without labels": ({**IN_IMAGES, "labels.csv": table(NAMES, ["0"], "image,foo")}, ("no column of labels",)),
    "a damaged table": ({**IN_IMAGES, "labels.csv": b"image,level\n\xff\xfe,1\n"}, ("not read: labels.csv", "UTF-8")),
    "a damaged workbook": ({**IN_IMAGES, "labels.xlsx": b"nonsense"}, ("not read: labels.xlsx",)),
    "a workbook whose first sheet is empty": (
        {**IN_IMAGES, "labels.xlsx": workbook("", "Labels")},
        ("labels.xlsx is empty", "labels.xlsx has the sheets Sheet, Labels: the first is read")),
    "a damaged archive": ({"a.zip": b"nonsense"}, ("archives: a.zip", "is damaged")),
    "damaged arrays": ({"a.npz": b"nonsense"}, ("arrays: a.npz",)),
}  # fmt: skip

Ambiguous = tuple[Files, list[dict[str, int]]]
AMBIGUOUS: dict[str, Ambiguous] = {
    "one list for all and one for each part": (
        {**IN_IMAGES, "all.txt": table(NAMES, ["benign", "malignant"], None),
         "train.txt": table(NAMES[:8], ["0", "1"], None), "test.txt": table(NAMES[8:], ["0", "1"], None)},
        [{"0": 6, "1": 6}, {"benign": 6, "malignant": 6}]),
    "two columns of labels": (
        {**IN_IMAGES, "labels.csv": table(NAMES, GRADES, "image,diagnosis", grade=["0", "1"])},
        [{"0": 4, "1": 4, "2": 4}, {"0": 6, "1": 6}]),
    "folders and a table that disagree": (
        {**per_class("", "a", "b"), "labels.csv": table(sorted(per_class("", "a", "b")), ["0", "1"])},
        [{"0": 4, "1": 4}, {"a": 4, "b": 4}]),
    "classes outside or inside": (
        per_class("zeiss/", "a", "b") | per_class("topcon/", "a", "b"), [{"topcon": 8, "zeiss": 8}, {"a": 8, "b": 8}]),
    "folders and words in the names": (
        images(*(f"{folder}/{word}_{n}.jpg" for folder in ("mild", "bad") for word in ("amd", "glaucoma")
                 for n in "123")),
        [{"bad": 6, "mild": 6}, {"amd": 6, "glaucoma": 6}]),
}  # fmt: skip

PACKED: dict[str, Case] = {
    "ZIP of class folders": Case(
        {"eyes.zip": zipped(per_class("all/", "a", "b"))}, [{"layout": "folders", "images": "eyes.zip!all"}],
        {"a": 4, "b": 4}, path="eyes.zip"),
    "ZIP of class folders at its root": Case(
        {"eyes.zip": zipped(per_class("", "a", "b"))}, [{"layout": "folders", "images": "eyes.zip!"}],
        {"a": 4, "b": 4}, path="eyes.zip"),
    "TAR.GZ of images and a table": Case(
        {"eyes.tar.gz": tarred({**IN_IMAGES, "labels.csv": table(STEMS, GRADES)})},
        [{"file": "eyes.tar.gz!labels.csv", "images": "eyes.tar.gz!images", "extension": ".jpg"}], THIRDS,
        path="eyes.tar.gz"),
    "TGZ of names with classes": Case(
        {"eyes.tgz": tarred(images(*numbered("benign_{}.png", 4), *numbered("malignant_{}.png", 4)))},
        [{"layout": "pattern", "images": "eyes.tgz!"}], {"benign": 4, "malignant": 4}, path="eyes.tgz"),
    "ZIP of two lists": Case(
        {"a.zip": zipped({**IN_IMAGES, "names.txt": "\n".join(NAMES), "labels.txt": "\n".join(GRADES * 4)})},
        [{"names": "a.zip!names.txt", "labels": "a.zip!labels.txt", "images": "a.zip!images"}], THIRDS, path="a.zip"),
    "ZIP of arrays": Case(
        {"a.zip": zipped({"x/eyes.npz": arrays(train=9, test=3)})}, [{"layout": "arrays", "file": "a.zip!x/eyes.npz"}],
        THIRDS, parts={"train": 9, "test": 3}, path="a.zip"),
    "a folder with a ZIP and a table": Case(
        {"train_images.zip": zipped(images(*NAMES)), "train.csv": table(STEMS, GRADES, "id_code,diagnosis")},
        [{"file": "train.csv", "images": "train_images.zip!", "extension": ".jpg"}], THIRDS),
    "a table and its images in two ZIPs": Case(
        {"a_1.zip": zipped(images(*NAMES[:6])), "a_2.zip": zipped(images(*(f"sub/{name}" for name in NAMES[6:]))),
         "train.csv": table(STEMS, GRADES, "id_code,diagnosis")},
        [{"file": "train.csv", "images": ["a_1.zip!", "a_2.zip!sub"], "extension": ".jpg"}], THIRDS),
    "a ZIP for each part": Case(
        {"train.zip": zipped(per_class("", "a", "b", count=6)), "test.zip": zipped(per_class("", "a", "b"))},
        [{"images": "test.zip!", "split": "test"}, {"images": "train.zip!", "split": "train"}], {"a": 10, "b": 10},
        parts={"train": 12, "test": 8}),
    "images beside the ZIP they came from": Case(
        {**per_class("", "a", "b"), "eyes.zip": zipped(per_class("", "a", "b"))}, [FOLDERS], {"a": 4, "b": 4},
        says=("eyes.zip: not opened",)),
}  # fmt: skip
