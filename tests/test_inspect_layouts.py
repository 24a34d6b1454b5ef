"""Which layout `fovea inspect` finds in a folder, why, and what it counts."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fovea.inspect.command import Wish, inspect, listing_of
from fovea.inspect.find import Found, find
from tests.inspect_sets import AMBIGUOUS, BROKEN, CASES, PACKED, Case, Files, images, numbered, write


def found_in(path: Path, labels: str | None = None) -> Found:
    return find(listing_of(path), "set", labels)


def subset(wanted: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    return {key: found.get(key, "missing") for key in wanted}


ALL = CASES | PACKED


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives are unpacked below the project's folder, which is not the set's."""
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))


@pytest.mark.parametrize("case", ALL.values(), ids=list(ALL))
def test_the_layout_is_found(tmp_path: Path, case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "set", case.files) / case.path
    layouts = found_in(path).layouts
    assert [[reading.source for reading in layout.option] for layout in layouts[1:]] == []
    (layout,) = layouts
    sources = layout.dataset["sources"]
    assert [subset(wanted, source) for wanted, source in zip(case.sources, sources, strict=True)] == case.sources
    assert layout.counts("label") == case.classes
    assert len(layout.counts("group")) == case.group
    assert layout.counts("given") == case.parts
    assert subset(case.section, layout.dataset) == case.section
    assert inspect(path, Wish()) == 0
    output = capsys.readouterr().out
    for part in case.says:
        assert part in output


CELLS = st.sampled_from(["", "a", "1.jpg", "1", "images/2.jpg", "image", "level", "0", "x y", "train", "Study 2023"])


@example([["a", "1.jpg", "a"], ["", "a", "a"], ["a", "", "1.jpg"]], ",")  # its one image that is there has no label
@given(st.lists(st.lists(CELLS, max_size=4), max_size=8), st.sampled_from(",;\t"))
def test_no_table_ends_the_command(rows: list[list[str]], mark: str) -> None:
    with TemporaryDirectory() as folder:
        text = "\n".join(mark.join(row) for row in rows)
        path = write(Path(folder), {**images(*numbered("images/{}.jpg", 4)), "labels.csv": text})
        for layout in found_in(path).layouts:
            assert len(layout.counts("label")) > 1


def test_what_ingest_would_reject_is_not_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "set", CASES["folder per class"].files)
    outside = write(tmp_path / "outside", {"a.jpg": b"x"}) / "a.jpg"
    (path / "amd" / "link.jpg").symlink_to(outside)
    (path / "amd" / "inside.jpg").symlink_to(path / "dr" / "1.jpg")
    Path(os.fsdecode(os.fsencode(path) + b"/amd/\xff.jpg")).write_bytes(b"x")
    (layout,) = found_in(path).layouts
    assert layout.counts("label") == {"amd": 5, "dr": 4, "normal": 4}
    assert {reason: len(images) for reason, images in layout.unusable.items()} == {
        "symbolic link that leads out of the set's folder": 1, "its name is not UTF-8 text": 1}  # fmt: skip
    assert inspect(path, Wish()) == 0
    assert "1 not usable: symbolic link" in capsys.readouterr().out


@pytest.mark.parametrize(("files", "says"), BROKEN.values(), ids=list(BROKEN))
def test_what_fits_no_layout_is_described(
    tmp_path: Path, files: Files, says: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect(write(tmp_path / "set", files), Wish()) == 1
    output = capsys.readouterr().out
    assert output.startswith("No layout fits.")
    for part in says:
        assert part in output


@pytest.mark.parametrize(("files", "classes"), AMBIGUOUS.values(), ids=list(AMBIGUOUS))
def test_several_layouts_are_numbered_and_none_is_guessed(
    tmp_path: Path, files: Files, classes: list[dict[str, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "set", files)
    assert [layout.counts("label") for layout in found_in(path).layouts] == classes
    assert inspect(path, Wish()) == 0
    assert inspect(path, Wish(how="link")) == 2
    output = capsys.readouterr().out
    assert "Layout 1" in output and "Layout 2" in output and "Say which one" in output
    assert inspect(path, Wish(layout=2)) == 0
    assert "dataset:" in capsys.readouterr().out
