"""What `fovea diff` says about two versions of an image set."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fovea.cli import app
from fovea.tables import read_table
from fovea.versions import CHANGES, compare, describe
from tests.miniatures import write_fundus_lesions
from tests.project import SMALL, Project

LAW = settings(max_examples=100, deadline=None)
COLUMNS = ["image", "digest", "label", "split"]
runner = CliRunner()
Row = tuple[str, str, str, str | None]


def table_of(*rows: Any) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def counts_of(table: pd.DataFrame) -> Counter[str]:
    return Counter(change for changes in table["change"] for change in changes.split("; "))


LABELS, PARTS = st.sampled_from("xyz"), st.sampled_from(["train", "val", "test", None])


@st.composite
def versions(draw: st.DrawFn, distinct: bool = False) -> pd.DataFrame:
    """A set of up to 12 images; digests repeat unless `distinct`."""
    names = draw(st.lists(st.sampled_from("abcdefghijklmnop"), unique=True, max_size=12))
    digest = (lambda name: f"D{name}") if distinct else lambda _: draw(st.sampled_from(["D1", "D2", "D3", "D4"]))
    return table_of(*((name, digest(name), draw(LABELS), draw(PARTS)) for name in names))


@LAW
@given(versions())
def test_a_version_does_not_differ_from_itself(version: pd.DataFrame) -> None:
    assert compare(version, version.sample(frac=1, random_state=0)).empty


@LAW
@given(versions(), versions())
def test_counts_add_up_and_every_image_is_accounted_for_once(old: pd.DataFrame, new: pd.DataFrame) -> None:
    table, counts = compare(old, new), counts_of(compare(old, new))
    assert len(new) == len(old) + counts["added"] - counts["removed"]
    for side, frame in (("image", new), ("old_image", old)):
        assert table[side].dropna().is_unique and set(table[side].dropna()) <= set(frame["image"])
    assert set(table["image"].dropna()) >= set(new["image"]) - set(old["image"])
    assert set(table["old_image"].dropna()) >= set(old["image"]) - set(new["image"])


@LAW
@given(versions(), versions())
def test_renames_are_as_many_as_copies_on_either_side_allow(old: pd.DataFrame, new: pd.DataFrame) -> None:
    """Multisets of digests: of three copies that went and two that came, two were renamed and one removed."""
    went, came = ({(row.image, row.digest) for row in table.itertuples()} for table in (old, new))
    left = [Counter(digest for _, digest in rows) for rows in (went - came, came - went)]
    assert counts_of(compare(old, new))["renamed"] == (left[0] & left[1]).total()


@LAW
@given(versions(), versions())
def test_the_way_back_undoes_the_way_there(old: pd.DataFrame, new: pd.DataFrame) -> None:
    there, back = counts_of(compare(old, new)), counts_of(compare(new, old))
    assert (there["added"], there["removed"]) == (back["removed"], back["added"])
    assert all(there[change] == back[change] for change in ("relabelled", "content", "renamed", "moved"))


@LAW
@given(versions(), versions(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_does_not_matter(old: pd.DataFrame, new: pd.DataFrame, order: random.Random) -> None:
    shuffled = [frame.iloc[order.sample(range(len(frame)), len(frame))] for frame in (old, new)]
    pd.testing.assert_frame_equal(compare(*shuffled), compare(old, new))


@LAW
@given(versions(distinct=True), st.data())
def test_what_was_planted_is_found(old: pd.DataFrame, data: st.DataObject) -> None:
    planted, rows = {}, []
    for image, digest, label, split in old.itertuples(index=False):
        change = data.draw(st.sampled_from([None, *CHANGES]))
        if change == "added":
            rows += [(image, digest, label, split), (f"new {image}", f"new {digest}", label, split)]
            planted[f"new {image}"] = change
            continue
        if change is not None:
            planted[f"renamed {image}" if change == "renamed" else image] = change
        if change != "removed":
            rows.append((f"renamed {image}" if change == "renamed" else image,
                         f"other {digest}" if change == "content" else digest,
                         f"other {label}" if change == "relabelled" else label,
                         "elsewhere" if change == "moved" else split))
    table = compare(old, table_of(*rows))
    assert dict(zip(table["image"].fillna(table["old_image"]), table["change"], strict=True)) == planted


def test_one_image_may_change_in_several_ways() -> None:
    table = compare(table_of(("a", "D", "x", "train")), table_of(("b", "D", "y", "test")))
    assert table.to_dict("records") == [{"change": "relabelled; renamed; moved", "image": "b", "label": "y",
                                         "split": "test", "old_image": "a", "old_label": "x", "old_split": "train"}]


def test_copies_with_several_labels_are_matched_by_label_first() -> None:
    old = table_of(("a", "D", "x", None), ("b", "D", "y", None))
    new = table_of(("c", "D", "y", None), ("d", "D", "x", None))
    table = compare(old, new)
    assert list(table["change"]) == ["renamed", "renamed"]
    assert list(zip(table["old_image"], table["image"], strict=True)) == [("b", "c"), ("a", "d")]


def test_numbers_that_shift_are_other_names_of_the_same_images() -> None:
    """As in an array file whose first image is left out: no label and no content has changed."""
    old = table_of(*((f"a.npz!train/{number}", f"D{number}", "xy"[number % 2], None) for number in range(6)))
    new = table_of(*((f"a.npz!train/{number}", f"D{number + 1}", "xy"[(number + 1) % 2], None) for number in range(5)))
    assert counts_of(compare(old, new)) == {"renamed": 5, "removed": 1}


def test_a_name_that_another_image_took_over_is_added() -> None:
    table = compare(table_of(("a", "D1", "x", None)), table_of(("a", "D2", "x", None), ("b", "D1", "x", None)))
    assert dict(zip(table["image"], table["change"], strict=True)) == {"a": "added", "b": "renamed"}


def test_an_image_that_is_dropped_from_the_split_has_moved() -> None:
    lines = describe(compare(table_of(("a", "D", "x", "train")), table_of(("a", "D", "x", None))))
    assert "moved between parts             1   x train -> none: 1" in lines


def test_names_cannot_command_the_terminal() -> None:
    lines = describe(compare(table_of(), table_of(("\x1b[2Jevil\n.jpg", "D", "قط", None))))
    assert lines[:2] == ["added                           1   قط: 1", " " * 36 + r"\x1b[2Jevil\n.jpg"]


def test_a_large_set_is_compared_in_seconds() -> None:
    """35,000 images with a tenth renamed: the matching is by tables, not image by image."""
    names = np.arange(35_000).astype(str)
    old = pd.DataFrame({"image": names, "digest": names, "label": "x", "split": None}, dtype=object)
    new = old.assign(image=np.where(np.arange(35_000) % 10, names, np.char.add("n", names)))
    assert counts_of(compare(old, new)) == {"renamed": 3_500}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A git and DVC repository in which the tag v1 is one version of a set; the workspace holds the next."""
    project = Project.create(tmp_path_factory.mktemp("versions"))
    images = project.folder / "data/raw/small"
    write_fundus_lesions(images, per_class=10)
    project.set_params(SMALL)
    project.run("dvc repro split")
    project.commit("First version")
    project.run("git tag v1")
    (images / "normal/normal_000.jpg").unlink()
    (images / "normal/normal_001.jpg").rename(images / "exudates/normal_001.jpg")
    (images / "normal/normal_002.jpg").rename(images / "normal/again.jpg")
    (images / "normal/normal_003.jpg").write_bytes((images / "normal/normal_004.jpg").read_bytes())
    (images / "normal/=new.jpg").write_bytes((images / "exudates/exudates_000.jpg").read_bytes())
    project.run("dvc repro split")
    return project


def test_a_revision_is_compared_with_the_workspace(project: Project) -> None:
    lines = project.run("fovea diff v1").stdout.splitlines()
    assert lines[0] == "v1: 30 images; workspace: 30 images"
    assert lines[1:3] == ["added                           1   normal: 1", " " * 36 + "normal/=new.jpg"]
    assert lines[3:5] == ["removed                         1   normal: 1", " " * 36 + "normal/normal_000.jpg"]
    assert lines[5] == "relabelled                      1   normal -> exudates: 1"
    assert lines[7:9] == ["same name, other content        1   normal: 1", " " * 36 + "normal/normal_003.jpg"]
    assert lines[9] == "renamed                         2   exudates: 1, normal: 1"


def test_two_revisions_are_compared_after_the_workspace_has_gone_on(project: Project) -> None:
    assert project.run("fovea diff v1 HEAD").stdout.splitlines()[1] == "added                           0"


def test_the_full_list_is_a_table_that_is_safe_in_a_spreadsheet(project: Project) -> None:
    project.run("fovea diff v1 --csv changes.csv")
    assert "'normal/=new.jpg" not in project.text("changes.csv") and "normal/=new.jpg" in project.text("changes.csv")
    table = read_table(project.folder / "changes.csv")
    row = table[table["image"] == "exudates/normal_001.jpg"].iloc[0]
    assert row["change"].startswith("relabelled; renamed") and row["old_image"] == "normal/normal_001.jpg"
    split = pd.read_parquet(project.folder / "data/split.parquet").set_index("image")["split"]
    assert (table.loc[table["image"] != "", "split"] == split[table["image"][table["image"] != ""]].to_numpy()).all()


def test_manifest_files_are_compared_by_the_given_split_where_one_has_no_other(
    project: Project, tmp_path: Path
) -> None:
    manifest = pd.read_parquet(project.folder / "data/manifest.parquet")
    for name, part in (("old", "train"), ("new", "test")):
        manifest.assign(given_split=part).to_parquet(tmp_path / f"{name}.parquet")
    result = runner.invoke(app, ["diff", str(tmp_path / "old.parquet"), str(tmp_path / "new.parquet")])
    assert "old.parquet has no split of these images" in result.output
    assert "moved between parts            30   exudates train -> test: 11," in result.output


def test_a_split_that_is_older_than_the_manifest_is_left_aside(project: Project, tmp_path: Path) -> None:
    for name in ("manifest", "split"):
        table = pd.read_parquet(project.folder / f"data/{name}.parquet")
        (table.iloc[1:] if name == "split" else table).to_parquet(tmp_path / f"{name}.parquet")
    result = runner.invoke(app, ["diff", str(tmp_path / "manifest.parquet"), str(tmp_path / "manifest.parquet")])
    assert "has no split of these images" in result.output


@pytest.mark.parametrize("name", ["nothing", "nothing.parquet", "params.parquet", "before"])
def test_what_is_no_version_is_one_line(project: Project, name: str) -> None:
    (project.folder / "params.parquet").write_text("no table")
    project.run("git tag -f before v1~1")
    done = project.run(f"fovea diff {name}", check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"error: {name}: ")
