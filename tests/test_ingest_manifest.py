"""The manifest as a whole: classes, order, counts, and errors that name the key."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from fovea.errors import UserError
from fovea.ingest.manifest import check_rejected, summarise
from fovea.params.dataset import DatasetParams
from tests.ingest_sets import FOLDERS, SET, TABLE, ingest, labels_of, write_images

ROOT = Path(__file__).parents[1]


def write_table(root: Path, labels: dict[str, str]) -> None:
    write_images(root, *(f"images/{name}" for name in labels))
    rows = [f"{name},{label}" for name, label in labels.items()]
    (root / "labels.csv").write_text("\n".join(["image,level", *rows]))


def test_columns_and_types_of_the_contract(tmp_path: Path) -> None:
    write_table(tmp_path, {"b.jpg": "1", "a.jpg": "0"})
    manifest, rejected = ingest(tmp_path, TABLE)
    assert {name: str(dtype) for name, dtype in manifest.dtypes.items()} == {
        "image": "str", "digest": "str", "bytes": "int64", "width": "int32", "height": "int32", "format": "str",
        "frames": "int32", "camera": "str", "compression": "str", "brightness": "float32", "sharpness": "float32",
        "saturated": "float32", "offset": "float32", "thumbnail": "object", "fingerprint": "object",
        "rest": "str", "label": "str", "target": "int16", "group": "str", "given_split": "str",
    }  # fmt: skip
    assert list(manifest["image"]) == ["images/a.jpg", "images/b.jpg"]
    assert list(rejected.columns) == ["image", "reason", "label"]


def test_attrs_survive_the_file(tmp_path: Path) -> None:
    write_table(tmp_path, {"a.jpg": "no", "b.jpg": "yes"})
    manifest, _ = ingest(tmp_path, TABLE, classes=["no", "yes"], positive="yes")
    manifest.to_parquet(tmp_path / "manifest.parquet", index=False)
    attrs = pd.read_parquet(tmp_path / "manifest.parquet").attrs
    assert attrs == manifest.attrs
    assert attrs["name"] == "set" and attrs["classes"] == ["no", "yes"] and attrs["positive"] == "yes"


def test_workers_and_order_of_files_change_nothing(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(40)]
    write_table(tmp_path / "one", {name: str(number % 3) for number, name in enumerate(names)})
    (tmp_path / "two" / "images").mkdir(parents=True)
    for name in reversed(names):
        (tmp_path / "two" / "images" / name).write_bytes((tmp_path / "one" / "images" / name).read_bytes())
    header, *rows = (tmp_path / "one" / "labels.csv").read_text().split("\n")
    (tmp_path / "two" / "labels.csv").write_text("\n".join([header, *reversed(rows)]))
    first, second = ingest(tmp_path / "one", TABLE, workers=1)[0], ingest(tmp_path / "two", TABLE, workers=5)[0]
    pd.testing.assert_frame_equal(first, second)
    assert first.attrs == second.attrs


def test_digest_of_the_set_changes_with_a_label(tmp_path: Path) -> None:
    write_table(tmp_path, {"a.jpg": "0", "b.jpg": "1", "c.jpg": "1"})
    before = ingest(tmp_path, TABLE)[0].attrs["digest"]
    write_table(tmp_path, {"a.jpg": "0", "b.jpg": "1", "c.jpg": "0"})
    assert ingest(tmp_path, TABLE)[0].attrs["digest"] != before


def test_classes_keep_the_given_order(tmp_path: Path) -> None:
    write_table(tmp_path, {"a.jpg": "benign", "b.jpg": "malignant"})
    manifest, _ = ingest(tmp_path, TABLE, classes=["malignant", "benign"])
    assert list(manifest["target"]) == [1, 0]


def test_numeric_classes_are_sorted_as_numbers(tmp_path: Path) -> None:
    write_table(tmp_path, {"a.jpg": "10", "b.jpg": "9", "c.jpg": "0"})
    assert ingest(tmp_path, TABLE)[0].attrs["classes"] == ["0", "9", "10"]


def test_labels_map_to_classes(tmp_path: Path) -> None:
    write_table(tmp_path, {"a.jpg": "0", "b.jpg": "1", "c.jpg": "other"})
    manifest, _ = ingest(tmp_path, TABLE, labels={0: "healthy", 1: "ill"})
    assert list(labels_of(manifest).values()) == ["healthy", "ill", "other"]


@pytest.mark.parametrize(("labels", "changes", "message"), [
    ({"a.jpg": "0", "b.jpg": "0"}, {}, r"dataset\.classes: all images have the label 0"),
    ({"a.jpg": "0", "b.jpg": "1"}, {"classes": ["0", "1", "2"]}, r"dataset\.classes: no usable image has the label 2"),
    ({"a.jpg": "0", "b.jpg": "1"}, {"classes": ["x", "y"]}, "2 files were rejected: images/a.jpg .label outside"),
    ({"a.jpg": "0", "b.jpg": "1"}, {"positive": "ill"}, r"dataset\.positive: is ill, but the classes are 0, 1"),
    ({"a.jpg": "0", "b.jpg": "1"}, {"group": "(?P<group>z)"}, r"dataset\.group: .* matches no image"),
])  # fmt: skip
def test_unusable_set_names_the_key(tmp_path: Path, labels: dict[str, str], changes: Any, message: str) -> None:
    write_table(tmp_path, labels)
    with pytest.raises(UserError, match=message) as error:
        ingest(tmp_path, TABLE, **changes)
    assert "\n" not in str(error.value)


def test_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.sources: no images"):
        ingest(tmp_path, FOLDERS)


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.name: the folder .*nowhere does not exist; .*dvc pull"):
        ingest(tmp_path / "nowhere", FOLDERS)


def test_too_many_rejected_files_are_an_error(tmp_path: Path) -> None:
    write_table(tmp_path, {"a.jpg": "0", "b.jpg": "1", "c.jpg": "1", "d.jpg": "1"})
    (tmp_path / "images" / "c.jpg").write_bytes(b"")
    manifest, rejected = ingest(tmp_path, TABLE)
    check_rejected(manifest, rejected, 0.25)
    with pytest.raises(UserError, match=r"ingest\.max_rejected: 1 of 4 .*images/c\.jpg \(empty file\)"):
        check_rejected(manifest, rejected, 0.24)


def test_summary_counts(tmp_path: Path) -> None:
    write_table(tmp_path, {"1_left.jpg": "0", "1_right.jpg": "1", "2_left.jpg": "1", "3_left.jpg": "1"})
    (tmp_path / "images" / "3_left.jpg").write_bytes(b"")
    assert summarise(*ingest(tmp_path, {**TABLE, "split": "train"}, group="(?P<group>.+)_")) == {
        "images": 3, "rejected": 1, "classes": {"0": 1, "1": 2}, "groups": 2, "formats": {"jpeg": 3},
        "several_frames": 0,
        "given": {"train": 3}, "width": [24, 24], "height": [16, 16], "reasons": {"empty file": 1},
    }  # fmt: skip


@pytest.mark.parametrize("source", [
    {**FOLDERS, "split_folders": True, "split": "train"},
    {**TABLE, "split_column": "part", "split": "train"},
    {**TABLE, "header": False},
])  # fmt: skip
def test_contradicting_settings_are_refused(source: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"split: must be null|name_column: must be a number"):
        DatasetParams.model_validate({**SET, "sources": [source]})


def test_unquoted_yes_and_no_are_refused() -> None:
    with pytest.raises(ValueError, match="in quotes"):
        DatasetParams.model_validate({**SET, "sources": [FOLDERS], **yaml.safe_load("classes: [no, yes]")})


def test_stage_ends_wrong_input_with_one_line_and_writes_nothing(tmp_path: Path) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["dataset"]["name"] = "nowhere"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, ROOT / "stages" / "ingest.py"], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: dataset.name: the folder data/raw/nowhere") and done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
